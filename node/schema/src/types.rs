//! The built-in types: facts, compiled one by one on first use. It knows the facts' form and no type by name.

use crate::facts::{FieldFact, Form, Gvk, Shape, TypeFact, TypeId};
use crate::node::{Bits, Field, List, Node, Object, Raw, Schema, Struct, Wire};
use api::{Name, Tree};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// Fields that one object may have; the decoder marks the seen ones in so many bits. The largest type has 46.
pub const FIELDS_MAX: usize = 128;

/// A table of types. Kept in a static; a type that is never used costs 16 bytes.
#[derive(Debug)]
pub struct Types {
    facts: &'static [TypeFact],
    compiled: Box<[OnceLock<Box<Struct>>]>,
    by_name: HashMap<&'static str, TypeId>,
    by_gvk: HashMap<Gvk, TypeId>,
}

impl Types {
    /// The table over facts. Nothing is compiled yet.
    #[must_use]
    pub fn new(facts: &'static [TypeFact]) -> Types {
        let id = |i: usize| TypeId(u16::try_from(i).expect("fewer than 65,536 types"));
        let by_name = facts.iter().enumerate().map(|(i, f)| (f.name, id(i))).collect();
        let by_gvk = facts.iter().enumerate().filter_map(|(i, f)| Some((f.gvk?, id(i)))).collect();
        Types { facts, compiled: facts.iter().map(|_| OnceLock::new()).collect(), by_name, by_gvk }
    }

    /// The facts of a type.
    #[must_use]
    pub fn fact(&self, id: TypeId) -> &'static TypeFact {
        &self.facts[usize::from(id.0)]
    }

    /// The type of a name in OpenAPI.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }

    /// The type of a group, version and kind.
    #[must_use]
    pub fn of_kind(&self, gvk: &Gvk) -> Option<TypeId> {
        self.by_gvk.get(gvk).copied()
    }

    /// The schema of a type.
    #[must_use]
    pub fn schema(&'static self, id: TypeId) -> Schema {
        Schema::new(self.node(&Shape::Ref(id)))
    }

    /// The schema of a name in OpenAPI.
    #[must_use]
    pub fn schema_named(&'static self, name: &str) -> Option<Schema> {
        self.named(name).map(|id| self.schema(id))
    }

    /// The fields of a type.
    pub(crate) fn compiled(&'static self, id: TypeId) -> &'static Struct {
        self.compiled[usize::from(id.0)].get_or_init(|| Box::new(self.compile(id)))
    }

    /// The node of a shape.
    pub(crate) fn node(&'static self, shape: &Shape) -> Node {
        match shape {
            Shape::Bool => Node::Bool,
            Shape::Int32 => Node::Int(Bits::Signed32),
            Shape::Int64 => Node::Int(Bits::Signed64),
            Shape::Uint32 => Node::Int(Bits::Unsigned32),
            Shape::Uint64 => Node::Int(Bits::Unsigned64),
            Shape::Float64 => Node::Float,
            Shape::String => Node::Text,
            Shape::Bytes => Node::Bytes,
            Shape::Time => Node::Time,
            Shape::MicroTime => Node::MicroTime,
            Shape::Duration => Node::Duration,
            Shape::Quantity => Node::Quantity,
            Shape::IntOrString => Node::IntOrString,
            Shape::RawExtension => Node::Raw(Raw::Extension),
            Shape::Json => Node::Raw(Raw::Json),
            Shape::FieldsV1 => Node::Raw(Raw::Fields),
            Shape::Any => Node::Any,
            Shape::List(item) => Node::List(Arc::new(List { item: self.node(item), wrapped: false })),
            Shape::Map(value) => Node::Map(Arc::new(self.node(value))),
            Shape::Ref(id) => match self.fact(*id).form {
                Form::Struct => Node::Object(Object::Named(self, *id)),
                Form::Either => Node::Either(Object::Named(self, *id)),
                Form::Alias(Shape::List(item)) => Node::List(Arc::new(List { item: self.node(item), wrapped: true })),
                Form::Alias(other) => self.node(&other),
            },
        }
    }

    fn compile(&'static self, id: TypeId) -> Struct {
        let fact = self.fact(id);
        let mut fields = Vec::new();
        self.collect(fact, &mut Vec::new(), &mut fields);
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        // As in Go, of two fields with one name the shallower one counts.
        fields.dedup_by(|later, first| later.name == first.name && first.through.len() <= later.through.len());
        assert!(fields.len() <= FIELDS_MAX, "{} has more than {FIELDS_MAX} fields", fact.name);
        let wire = self.wire(fact, &fields);
        let map_atomic = fact.map_atomic;
        Struct { name: fact.name.to_owned(), fields: fields.into(), wire, map_atomic }
    }

    fn collect(&'static self, fact: &'static TypeFact, through: &mut Vec<&'static str>, fields: &mut Vec<Field>) {
        for member in fact.fields {
            match (member.inline, member.shape) {
                (true, Shape::Ref(inner)) => {
                    let inner = self.fact(inner);
                    through.push(inner.name.rsplit('.').next().unwrap_or(inner.name));
                    self.collect(inner, through, fields);
                    through.pop();
                }
                _ => fields.push(self.field(member, through)),
            }
        }
    }

    fn field(&'static self, fact: &'static FieldFact, through: &[&'static str]) -> Field {
        let default = fact.default.map(|text| {
            Tree::from_json_strict(text.as_bytes())
                .unwrap_or_else(|e| panic!("the default of {} is no JSON: {e}", fact.json))
        });
        Field {
            name: Name::new(fact.json),
            node: self.node(&fact.shape),
            pointer: fact.pointer,
            omit: fact.omit,
            required: fact.required,
            patch: fact.patch,
            list: fact.list,
            map: fact.map,
            default,
            enums: fact.enums,
            through: through.into(),
        }
    }

    fn wire(&'static self, fact: &'static TypeFact, fields: &[Field]) -> Box<[Wire]> {
        let mut wire: Vec<Wire> = Vec::new();
        for member in fact.fields.iter().filter(|m| m.proto != 0) {
            let number = u32::from(member.proto);
            match (member.inline, member.shape) {
                (true, Shape::Ref(inner)) => {
                    wire.push(Wire::Message { number, wire: self.wire(self.fact(inner), fields) });
                }
                _ => {
                    let place = fields.binary_search_by(|f| f.name.as_str().cmp(member.json));
                    wire.push(Wire::Field { number, index: place.expect("the field was just collected") });
                }
            }
        }
        wire.sort_by_key(Wire::number);
        wire.into()
    }
}
