//! What the fields of the built-in types mean, for OpenAPI and `kubectl explain`: upstream's text, taken at build time
//! from k8s-openapi (Apache License 2.0) and kept compressed in the program.
//!
//! It must not know the shape of any type: that is the facts table in `resources`. It holds no state; who needs the
//! texts unpacks them, uses them and lets them go.

use flate2::read::ZlibDecoder;
use std::collections::BTreeMap;
use std::io::Read;

#[cfg(test)]
mod tests;

static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.z"));

/// The description of one type and of its members.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Description {
    /// What the type is; empty when upstream does not say.
    pub text: String,
    /// What each member is, by its JSON name.
    pub fields: BTreeMap<String, String>,
}

/// All descriptions, unpacked: about 650 kB of text. A field with an enum is described without the list of its values that upstream's
/// server appends; the values are in the facts table.
#[derive(Debug)]
pub struct Descriptions(BTreeMap<String, Description>);

impl Descriptions {
    /// Unpacks the texts that the program carries. Costs some milliseconds; keep the result only as long as needed.
    pub fn unpack() -> Descriptions {
        let mut text = String::new();
        ZlibDecoder::new(PACKED).read_to_string(&mut text).expect("the build script packed it");
        Descriptions(read(&text))
    }

    /// The description of the type with this OpenAPI name, such as `io.k8s.api.core.v1.Pod`.
    ///
    /// Lists are described by rule in our own words. Types that OpenAPI does not publish have no description.
    pub fn of(&self, type_name: &str) -> Option<Description> {
        self.0.get(type_name).cloned().or_else(|| self.list(type_name))
    }

    /// How many types have a description, lists aside.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never true of the texts that the program carries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn list(&self, type_name: &str) -> Option<Description> {
        let item_name = type_name.strip_suffix("List")?;
        let item = self.0.get(item_name)?;
        let kind = item_name.rsplit('.').next().unwrap_or(item_name);
        let mut fields = BTreeMap::from([
            ("items".to_owned(), format!("The objects of the kind {kind}.")),
            (
                "metadata".to_owned(),
                "The resource version of the list and, if there are more objects, how to go on.".to_owned(),
            ),
        ]);
        for name in ["apiVersion", "kind"] {
            fields.insert(name.to_owned(), item.fields.get(name)?.clone());
        }
        Some(Description { text: format!("{kind}List is a list of objects of the kind {kind}."), fields })
    }
}

/// Reads the packed form (see build.rs).
fn read(text: &str) -> BTreeMap<String, Description> {
    let mut all: BTreeMap<String, Description> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        let Some((name, text)) = line.split_once('\t') else { continue };
        if let Some(name) = name.strip_prefix("T ") {
            current =
                Some(all.entry(name.to_owned()).or_insert(Description { text: plain(text), ..Default::default() }));
        } else if let (Some(name), Some(current)) = (name.strip_prefix(' '), current.as_mut()) {
            current.fields.insert(name.to_owned(), plain(text));
        }
    }
    all
}

/// Undoes the escapes of the packed form.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match if letter == '\\' { letters.next() } else { None } {
            None => out.push(letter),
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some(other) => out.push(other),
        }
    }
    out
}
