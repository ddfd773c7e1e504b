//! JSON to `Tree` and back. The text is parsed by serde_json; duplicates are reported with their paths, as strict
//! decoding needs them, and the last value wins, as in Go.

use super::{Map, Name, Tree};
use crate::path::FieldPath;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use std::cell::RefCell;
use std::fmt;

/// Nesting that a document may have. Real objects stay below 100; beyond this the recursion would need a big stack.
pub const DEPTH_MAX: usize = 256;

/// Duplicate fields that are reported; more say nothing new. Upstream's strict decoder stops at 100 too.
pub const DUPLICATES_MAX: usize = 100;

/// A document that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

/// A document that was read, and the paths of fields that were given more than once (`spec.replicas`).
#[derive(Debug, PartialEq)]
pub struct Decoded {
    /// The value; of duplicate fields the last.
    pub tree: Tree,
    /// Paths of duplicate fields in the order they were met.
    pub duplicates: Vec<String>,
}

#[derive(Default)]
struct Trail {
    path: FieldPath,
    depth: usize,
    duplicates: Vec<String>,
}

/// Reads one value; the trail knows where we are.
struct Seed<'a>(&'a RefCell<Trail>);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Tree;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Seed<'_> {
    fn enter<E: serde::de::Error>(&self) -> Result<(), E> {
        let mut trail = self.0.borrow_mut();
        trail.depth += 1;
        if trail.depth > DEPTH_MAX {
            return Err(E::custom(format!("exceeded max depth of {DEPTH_MAX}")));
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        #[allow(clippy::cast_precision_loss, reason = "beyond 64 bits signed, Go reads a float too")]
        Ok(i64::try_from(value).map_or(Tree::Float(value as f64), Tree::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(value))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        self.enter::<A::Error>()?;
        let mut items = Vec::new();
        loop {
            self.0.borrow_mut().path.push_index(items.len());
            let next = seq.next_element_seed(Seed(self.0))?;
            self.0.borrow_mut().path.pop();
            match next {
                Some(item) => items.push(item),
                None => break,
            }
        }
        self.0.borrow_mut().depth -= 1;
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        self.enter::<A::Error>()?;
        let mut map = Map::new();
        while let Some(name) = access.next_key_seed(KeySeed)? {
            self.0.borrow_mut().path.push_field(&name);
            let value = access.next_value_seed(Seed(self.0))?;
            let mut trail = self.0.borrow_mut();
            if map.insert(name, value).is_some() && trail.duplicates.len() < DUPLICATES_MAX {
                let path = trail.path.to_string();
                if !trail.duplicates.contains(&path) {
                    trail.duplicates.push(path);
                }
            }
            trail.path.pop();
        }
        self.0.borrow_mut().depth -= 1;
        Ok(Tree::Map(map))
    }
}

/// Reads one field name.
struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Name;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Name;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }
    fn visit_str<E>(self, value: &str) -> Result<Name, E> {
        Ok(Name::new(value))
    }
}

impl Tree {
    /// Reads one JSON document.
    ///
    /// # Errors
    /// Says what is wrong and at which line and column; also for text after the document.
    pub fn from_json(bytes: &[u8]) -> Result<Decoded, DecodeError> {
        let trail = RefCell::new(Trail::default());
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        deserializer.disable_recursion_limit();
        let tree = Seed(&trail).deserialize(&mut deserializer).map_err(|e| DecodeError(e.to_string()))?;
        deserializer.end().map_err(|e| DecodeError(e.to_string()))?;
        Ok(Decoded { tree, duplicates: trail.into_inner().duplicates })
    }

    /// Reads one JSON document and refuses duplicates: for our own files.
    ///
    /// # Errors
    /// As [`Tree::from_json`], and names the first duplicate.
    pub fn from_json_strict(bytes: &[u8]) -> Result<Tree, DecodeError> {
        let decoded = Tree::from_json(bytes)?;
        match decoded.duplicates.first() {
            Some(path) => Err(DecodeError(format!("duplicate field \"{path}\""))),
            None => Ok(decoded.tree),
        }
    }

    /// Reads one value through any serde deserializer (YAML, a `serde_json::Value` at the edge).
    ///
    /// # Errors
    /// The deserializer's own.
    pub fn from_deserializer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decoded, D::Error> {
        let trail = RefCell::new(Trail::default());
        let tree = Seed(&trail).deserialize(deserializer).map_err(D::Error::custom)?;
        Ok(Decoded { tree, duplicates: trail.into_inner().duplicates })
    }

    /// The value as compact JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a tree has string keys only and no failing serializer")
    }

    /// The value as compact JSON text, for messages.
    #[must_use]
    pub fn to_json_text(&self) -> String {
        serde_json::to_string(self).expect("a tree has string keys only and no failing serializer")
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Tree::Null => serializer.serialize_unit(),
            Tree::Bool(value) => serializer.serialize_bool(*value),
            Tree::Int(value) => serializer.serialize_i64(*value),
            // Go writes a float without fraction as a whole number.
            #[allow(clippy::cast_possible_truncation, reason = "the guard bounds the value")]
            Tree::Float(value) if value.fract() == 0.0 && value.abs() < 1e15 => serializer.serialize_i64(*value as i64),
            Tree::Float(value) => serializer.serialize_f64(*value),
            Tree::Text(text) => serializer.serialize_str(text),
            Tree::List(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Tree::Map(map) => map.serialize(serializer),
        }
    }
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self {
            out.serialize_entry(name.as_str(), value)?;
        }
        out.end()
    }
}

impl<'de> serde::Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        Tree::from_deserializer(deserializer).map(|decoded| decoded.tree)
    }
}
