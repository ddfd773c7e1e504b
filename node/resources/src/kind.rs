//! What a kind is to the server: names, verbs, columns, and how its versions differ from what is stored.

use crate::rules::Rules;
use api::Tree;
use schema::facts::ResourceFact;

/// A built-in resource: its facts, and what is special about it.
pub struct Kind {
    /// Names, verbs, columns.
    pub fact: &'static ResourceFact,
    /// What it adds to the generic path.
    pub rules: &'static Rules,
    /// How it differs from what is stored, if it does.
    pub conversion: Option<&'static Conversion>,
}

/// A subresource: `pods/log`, `deployments/scale`.
#[derive(Clone, Debug)]
pub struct SubResource {
    /// The name behind the slash.
    pub name: String,
    /// Group of its kind.
    pub group: String,
    /// Version of its kind.
    pub version: String,
    /// Its kind.
    pub kind: String,
    /// Verbs.
    pub verbs: Vec<String>,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub struct Column {
    /// The heading.
    pub name: String,
    /// `string`, `integer`, `date`.
    pub kind: String,
    /// `name` for the column with the object's name; else empty.
    pub format: String,
    /// 0 is always shown, higher only with `-o wide`.
    pub priority: i64,
    /// What the column says; empty for what `doc` describes.
    pub description: String,
    /// The built-in field whose description it has, as in the facts; empty when none.
    pub doc: &'static str,
}

/// How a version of a kind differs from the stored one: Events have two faces over one storage, autoscaling two
/// versions.
pub struct Conversion {
    /// Group and plural under which objects are stored.
    pub stored: (&'static str, &'static str),
    /// Turns an object of this version into the stored form.
    pub to_stored: fn(object: &mut Tree),
    /// Turns a stored object into this version.
    pub from_stored: fn(object: &mut Tree),
}
