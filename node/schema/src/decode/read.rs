//! The walk over the incoming document, guided by the schema.

use super::report::{Report, Step, Trail, mismatch};
use super::scalar::{self, Refusal};
use crate::node::{Node, Object, Struct};
use api::tree::DEPTH_MAX;
use api::{Map, Name, Tree};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Reads one value.
pub(super) struct Seed<'a> {
    node: &'a Node,
    trail: Option<&'a Trail<'a>>,
    report: &'a mut Report,
}

impl<'a> Seed<'a> {
    pub(super) fn root(node: &'a Node, report: &'a mut Report) -> Seed<'a> {
        Seed { node, trail: None, report }
    }

    fn settle<E: Error>(self, taken: Result<Tree, Refusal>) -> Result<Tree, E> {
        match taken {
            Ok(tree) => return Ok(tree),
            Err(Refusal::Mismatch(value)) => self.report.mismatch(self.trail, &value, &self.node.go_type()),
            Err(Refusal::Malformed(why)) => _ = self.report.fault.get_or_insert(why),
            Err(Refusal::Abort(value, wanted)) => return Err(self.refused(&value, wanted)),
            Err(Refusal::Fatal(why)) => return Err(self.abort(why)),
        }
        Ok(Tree::Null)
    }

    fn abort<E: Error>(self, why: String) -> E {
        self.report.abort = Some(why);
        E::custom("aborted")
    }

    /// An object or array where the schema has something else. `None` says that it is to be read all the same.
    fn refuse_composite<E: Error>(self, what: &str) -> Result<(), E> {
        match self.node {
            Node::Time | Node::MicroTime | Node::Duration => Err(self.refused(what, "string")),
            Node::IntOrString => Err(self.refused(what, "int32")),
            Node::Quantity => {
                let why = api::quantity::QuantityError::Format.to_string();
                Err(self.abort(why))
            }
            node => {
                self.report.mismatch(self.trail, what, &node.go_type());
                Ok(())
            }
        }
    }

    fn refused<E: Error>(self, what: &str, wanted: &str) -> E {
        let why = mismatch(self.trail, what, wanted);
        self.abort(why)
    }

    fn enter<E: Error>(&mut self) -> Result<(), E> {
        self.report.depth += 1;
        if self.report.depth > DEPTH_MAX {
            self.report.abort = Some(format!("exceeded max depth of {DEPTH_MAX}"));
            return Err(E::custom("aborted"));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Tree;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Tree, E> {
        let taken = scalar::boolean(self.node, value);
        self.settle(taken)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Tree, E> {
        let taken = scalar::integer(self.node, value);
        self.settle(taken)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Tree, E> {
        #[allow(clippy::cast_precision_loss, reason = "beyond 64 bits signed, Go reads a float too")]
        let taken = match i64::try_from(value) {
            Ok(value) => scalar::integer(self.node, value),
            Err(_) if matches!(self.node, Node::Int(_)) => Err(Refusal::Mismatch(format!("number {value}"))),
            Err(_) => scalar::float(self.node, value as f64),
        };
        self.settle(taken)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Tree, E> {
        let taken = scalar::float(self.node, value);
        self.settle(taken)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Tree, E> {
        let taken = scalar::text(self.node, value);
        self.settle(taken)
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Tree, E> {
        if matches!(self.node, Node::Text | Node::Any | Node::Raw(_)) {
            return Ok(Tree::Text(value));
        }
        self.visit_str(&value)
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

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Tree, A::Error> {
        self.enter::<A::Error>()?;
        let list;
        let item = match self.node {
            Node::List(found) => &found.item,
            Node::Any | Node::Raw(_) => self.node,
            Node::Either(object) => {
                list = member(object, |n| matches!(n, Node::List(_)));
                match list {
                    Some(Node::List(found)) => &found.item,
                    _ => return skip_seq(self, seq),
                }
            }
            _ => return skip_seq(self, seq),
        };
        let free = matches!(self.node, Node::Any | Node::Raw(_));
        let mut items = Vec::new();
        loop {
            let trail = Trail { up: self.trail, step: Step::Index(items.len()) };
            let Some(read) = seq.next_element_seed(Seed { node: item, trail: Some(&trail), report: self.report })?
            else {
                break;
            };
            items.push(if read.is_null() && !free { item.zero() } else { read });
        }
        self.report.depth -= 1;
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Tree, A::Error> {
        self.enter::<A::Error>()?;
        let read = match self.node {
            Node::Object(object) => read_object(object.fields(), &mut self, access)?,
            Node::Map(value) => read_map(value, false, &mut self, access)?,
            Node::Any | Node::Raw(_) => read_map(self.node, true, &mut self, access)?,
            Node::Either(object) => match member(object, |n| matches!(n, Node::Object(_))) {
                Some(Node::Object(object)) => read_object(object.fields(), &mut self, access)?,
                _ => return Err(self.refused("object", "bool")),
            },
            _ => {
                while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                self.report.depth -= 1;
                return self.refuse_composite("object").map(|()| Tree::Null);
            }
        };
        self.report.depth -= 1;
        Ok(read)
    }
}

fn skip_seq<'de, A: SeqAccess<'de>>(seed: Seed<'_>, mut seq: A) -> Result<Tree, A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    seed.report.depth -= 1;
    seed.refuse_composite("array").map(|()| Tree::Null)
}

/// The member of a choice that holds values of a kind.
fn member(object: &Object, fits: fn(&Node) -> bool) -> Option<&Node> {
    object.fields().fields.iter().map(|f| &f.node).find(|n| fits(n))
}

fn read_map<'de, A: MapAccess<'de>>(
    value: &Node,
    free: bool,
    seed: &mut Seed<'_>,
    mut access: A,
) -> Result<Tree, A::Error> {
    let mut fields: Vec<(Name, Tree)> = Vec::with_capacity(access.size_hint().unwrap_or_default());
    let reports = !matches!(value, Node::Raw(_));
    while let Some(name) = access.next_key_seed(Key)? {
        let trail = Trail { up: seed.trail, step: Step::Key(&name) };
        let read = access.next_value_seed(Seed { node: value, trail: Some(&trail), report: seed.report })?;
        if reports && fields.iter().any(|(known, _)| *known == name) {
            seed.report.duplicate(seed.trail, &name);
        }
        let read = if read.is_null() && !free { value.zero() } else { read };
        fields.push((name, read));
    }
    Ok(Tree::Map(Map::from_fields(fields)))
}

fn read_object<'de, A: MapAccess<'de>>(fields: &Struct, seed: &mut Seed<'_>, mut access: A) -> Result<Tree, A::Error> {
    let mut read: Vec<(Name, Tree)> = Vec::with_capacity(8);
    let mut seen = 0u128;
    while let Some(key) = access.next_key_seed(FieldKey(fields))? {
        let index = match key {
            Ok(index) => index,
            Err(unknown) => {
                access.next_value::<IgnoredAny>()?;
                seed.report.unknown(seed.trail, &unknown);
                continue;
            }
        };
        let field = &fields.fields[index];
        if seen & (1 << index) != 0 {
            seed.report.duplicate(seed.trail, &field.name);
        }
        seen |= 1 << index;
        let trail = Trail { up: seed.trail, step: Step::Field(fields, field) };
        let value = access.next_value_seed(Seed { node: &field.node, trail: Some(&trail), report: seed.report })?;
        read.push((field.name.clone(), value));
    }
    let mut map = Map::from_fields(read);
    map.retain(|_, value| !value.is_null());
    Ok(Tree::Map(map))
}

/// Reads one key of a free map.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Name;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Name;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E>(self, value: &str) -> Result<Name, E> {
        Ok(Name::new(value))
    }
}

/// Reads one key of an object: the place of its field, or its text when there is none.
struct FieldKey<'a>(&'a Struct);

impl<'de> DeserializeSeed<'de> for FieldKey<'_> {
    type Value = Result<usize, String>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldKey<'_> {
    type Value = Result<usize, String>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }
    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(self.0.find(value).ok_or_else(|| value.to_owned()))
    }
}
