//! `Rules`: what a kind adds to the one path that all kinds take. Data with defaults, so that a plain kind is one line
//! and a special one names only what is special.

use api::{FieldError, Tree};

/// Faults that validation collects.
pub type Faults = Vec<FieldError>;

/// A value of an object that field selectors may ask for.
#[derive(Debug)]
pub struct SelectableField {
    /// The name in a selector, such as `status.phase`.
    pub label: &'static str,
    /// Where the value is.
    pub path: &'static [&'static str],
    /// The value when it is absent, as Go's zero value reads: "", "false" or "0".
    pub absent: &'static str,
}

/// Who decides when an object goes that is deleted with a grace period.
pub type Grace = fn(object: &Tree, requested_seconds: Option<i64>) -> i64;

/// What a kind adds to the generic path. Every function is pure; the order in which the API server calls them is in
/// `apiserver::write`.
pub struct Rules {
    /// What is wrong with a name, in upstream's words. `prefix` says that it is a `generateName`.
    pub name: fn(name: &str) -> Vec<String>,
    /// Whether `metadata.generation` counts changes of everything but metadata and status.
    pub generation: bool,
    /// Whether a PUT without resourceVersion overwrites what is there.
    pub unconditional_update: bool,
    /// Whether a PUT of an absent object creates it.
    pub create_on_update: bool,
    /// Whether a new object keeps the status that the client gave it.
    pub status_on_create: bool,
    /// Whether a DELETE answers the last state instead of a Status.
    pub returns_deleted: bool,
    /// Whether a DELETE of a collection or object without a propagation policy orphans dependents.
    pub orphan_by_default: bool,
    /// Fills in what the client left out, after the schema's defaults.
    pub default: fn(object: &mut Tree),
    /// Resets what clients may not set when creating, and computes what the server owns.
    pub on_create: fn(object: &mut Tree),
    /// Resets what clients may not change on the main resource.
    pub on_update: fn(object: &mut Tree, old: &Tree),
    /// Resets what clients may not change through `/status`, beside spec and metadata.
    pub on_status_update: fn(object: &mut Tree, old: &Tree),
    /// Faults of an object.
    pub validate: fn(object: &Tree, faults: &mut Faults),
    /// Faults of a change, beside those of the object.
    pub validate_update: fn(object: &Tree, old: &Tree, faults: &mut Faults),
    /// Faults of a change of the status.
    pub validate_status: fn(object: &Tree, old: &Tree, faults: &mut Faults),
    /// Warnings for the client, on create and update.
    pub warnings: fn(object: &Tree) -> Vec<String>,
    /// What field selectors may ask for, beside `metadata.name` and `metadata.namespace`.
    pub fields: &'static [SelectableField],
    /// Values for field selectors that are more than what stands at a path; they go before those of `fields`, where
    /// their labels stand too.
    pub computed: fn(object: &Tree) -> Vec<(&'static str, String)>,
    /// The cells of a table row, in the order of the kind's columns. `now` is in seconds since 1970.
    pub cells: fn(object: &Tree, now: i64) -> Vec<Tree>,
    /// What else holds a dying object, beside its finalizers.
    pub held: fn(object: &Tree) -> bool,
    /// Marks a dying object that is held, beside its metadata.
    pub on_dying: fn(object: &mut Tree),
    /// Set when objects of this kind are deleted with a grace period.
    pub grace: Option<Grace>,
}

/// A kind without anything special: names are subdomains, status is reset and kept, everything else is as the client
/// says.
pub const PLAIN: Rules = Rules {
    name: api::names::dns1123_subdomain,
    generation: false,
    unconditional_update: true,
    create_on_update: false,
    status_on_create: false,
    returns_deleted: false,
    orphan_by_default: false,
    default: |_| {},
    on_create: |_| {},
    on_update: |_, _| {},
    on_status_update: |_, _| {},
    validate: |_, _| {},
    validate_update: |_, _, _| {},
    validate_status: |_, _, _| {},
    warnings: |_| Vec::new(),
    fields: &[],
    computed: |_| Vec::new(),
    cells: name_and_age,
    held: |_| false,
    on_dying: |_| {},
    grace: None,
};

/// The cells of a kind without columns of its own: name and creation time.
fn name_and_age(object: &Tree, _now: i64) -> Vec<Tree> {
    let created = object.str_at(&["metadata", "creationTimestamp"]).unwrap_or_default();
    vec![Tree::text(api::meta::name(object)), Tree::text(created)]
}
