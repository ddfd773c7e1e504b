//! Typed decoding: JSON, YAML or a tree becomes a tree that fits its schema, as Go's decoder would fill a struct. What
//! the schema does not know is pruned and reported; values of the wrong type are refused in Go's words.

mod read;
mod report;
mod scalar;

use crate::node::{Node, Schema};
use api::Tree;
use read::Seed;
use report::Report;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A document that cannot be decoded; the words after `cannot be handled as a …: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeFault(pub String);

/// A document that was decoded.
#[derive(Debug, PartialEq)]
pub struct Decoded {
    /// What the schema knows of it, in canonical scalars, without nulls.
    pub tree: Tree,
    /// What strict decoding objects to, in the order it was met: `unknown field "spec.x"`, `duplicate field "spec.y"`.
    /// At most 100.
    pub strict: Vec<String>,
}

impl Decoded {
    /// The message that refuses the document when validation of fields is strict, if there is anything to object to.
    #[must_use]
    pub fn strict_error(&self) -> Option<String> {
        let objections = self.strict.join(", ");
        (!objections.is_empty()).then(|| format!("strict decoding error: {objections}"))
    }
}

/// Decodes one JSON document.
///
/// # Errors
/// The text is no JSON, is nested too deeply, or a value has the wrong type.
pub fn decode_json(schema: &Schema, bytes: &[u8]) -> Result<Decoded, DecodeFault> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    deserializer.disable_recursion_limit();
    let mut report = Report::default();
    let read = Seed::root(schema.root(), &mut report).deserialize(&mut deserializer);
    let read = read.and_then(|tree| deserializer.end().map(|()| tree)).map_err(|e| e.to_string());
    finish(schema.root(), read, report)
}

/// Decodes one YAML document. A key that is given twice in one mapping is objected to in the words of the YAML library.
///
/// # Errors
/// The text is no YAML, holds more than one document, or a value has the wrong type.
pub fn decode_yaml(schema: &Schema, bytes: &[u8]) -> Result<Decoded, DecodeFault> {
    let read = Tree::from_yaml(bytes).map_err(|e| DecodeFault(e.to_string()))?;
    let mut decoded = decode_tree(schema, read.tree)?;
    if let Some(objection) = read.objection {
        decoded.strict.insert(0, objection);
    }
    Ok(decoded)
}

/// Decodes a tree, such as the result of a patch.
///
/// # Errors
/// A value has the wrong type, or the tree is nested too deeply.
pub fn decode_tree(schema: &Schema, tree: Tree) -> Result<Decoded, DecodeFault> {
    let mut report = Report::default();
    let read = Seed::root(schema.root(), &mut report).deserialize(tree).map_err(|e| e.to_string());
    finish(schema.root(), read, report)
}

fn finish(root: &Node, read: Result<Tree, String>, report: Report) -> Result<Decoded, DecodeFault> {
    let tree = match (report.abort, read, report.fault) {
        (Some(fault), _, _) | (None, Err(fault), _) | (None, Ok(_), Some(fault)) => return Err(DecodeFault(fault)),
        (None, Ok(tree), None) => tree,
    };
    // Go leaves the struct as it is when the whole document is null.
    let tree = if tree.is_null() && matches!(root, Node::Object(_)) { Tree::map() } else { tree };
    Ok(Decoded { tree, strict: report.strict })
}

/// `apiVersion` and `kind` of a document, empty where absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeMeta {
    /// Such as `apps/v1`.
    pub api_version: String,
    /// Such as `Deployment`.
    pub kind: String,
}

/// Looks for `apiVersion` and `kind` in a JSON document without decoding it.
///
/// # Errors
/// The text is no JSON object, or one of the two is no string; in upstream's words, which are Go's.
pub fn kind_of_json(bytes: &[u8]) -> Result<TypeMeta, DecodeFault> {
    let fault = |why: String| DecodeFault(format!("couldn't get version/kind; json parse error: {why}"));
    if let Some(why) = api::tree::json_fault(bytes) {
        return Err(fault(why));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    deserializer.disable_recursion_limit();
    let mut head = Head::default();
    deserializer.deserialize_any(&mut head).map_err(|e| fault(e.to_string()))?;
    match head.fault {
        Some(why) => Err(fault(why)),
        None => Ok(head.found),
    }
}

/// `apiVersion` and `kind` of a tree.
#[must_use]
pub fn kind_of_tree(tree: &Tree) -> TypeMeta {
    let text = |name| tree.str_at(&[name]).unwrap_or_default().to_owned();
    TypeMeta { api_version: text("apiVersion"), kind: text("kind") }
}

/// The struct that upstream decodes the head into, as Go prints its type.
const HEAD: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

#[derive(Default)]
struct Head {
    found: TypeMeta,
    /// The first value of the wrong type.
    fault: Option<String>,
}

impl Head {
    fn no_object<E>(&mut self, value: &str) -> Result<(), E> {
        self.fault = Some(format!("json: cannot unmarshal {value} into Go value of type {HEAD}"));
        Ok(())
    }
}

impl<'de> Visitor<'de> for &mut Head {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.no_object("bool")
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.no_object("number")
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.no_object("number")
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.no_object("number")
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.no_object("string")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        self.no_object("array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let place = match &*key {
                "apiVersion" => &mut self.found.api_version,
                "kind" => &mut self.found.kind,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            match map.next_value::<Tree>()? {
                Tree::Null => {}
                Tree::Text(text) => *place = text,
                other => {
                    let value = match other {
                        Tree::Bool(_) => "bool",
                        Tree::Int(_) | Tree::Float(_) => "number",
                        ref other => other.type_name(),
                    };
                    self.fault.get_or_insert_with(|| {
                        format!("json: cannot unmarshal {value} into Go struct field .{key} of type string")
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
