//! The compiled schema: one form for built-in types (made from facts, on first use) and for custom resources (made
//! from their OpenAPI schema). It knows no encoding.

use crate::facts::{Omit, Patch, TypeId};
use crate::types::Types;
use api::{Name, Tree};
use std::sync::Arc;

/// The schema of one kind or type. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The value itself.
    pub(crate) root: Node,
}

/// What a value may be.
#[derive(Clone, Debug)]
pub enum Node {
    /// A boolean.
    Bool,
    /// A whole number of this many bits.
    Int(Bits),
    /// A double.
    Float,
    /// A string.
    Text,
    /// Bytes, base64 in the tree.
    Bytes,
    /// RFC 3339 with seconds.
    Time,
    /// RFC 3339 with microseconds.
    MicroTime,
    /// Go's text form of a duration.
    Duration,
    /// An amount.
    Quantity,
    /// A 32-bit number or a string.
    IntOrString,
    /// Anything, kept as it came; duplicates inside are not reported.
    Raw(Raw),
    /// Anything; duplicates inside are reported.
    Any,
    /// An array.
    List(Arc<List>),
    /// An object with free keys.
    Map(Arc<Node>),
    /// An object with known fields.
    Object(Object),
    /// The value of whichever field of the struct fits its type.
    Either(Object),
}

/// Widths of whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// 32 bits, signed.
    Signed32,
    /// 64 bits, signed.
    Signed64,
    /// 32 bits, unsigned.
    Unsigned32,
    /// 64 bits, unsigned; what does not fit 63 bits is refused.
    Unsigned64,
}

impl Bits {
    /// Whether a number fits.
    #[must_use]
    pub fn holds(self, value: i64) -> bool {
        match self {
            Bits::Signed32 => i32::try_from(value).is_ok(),
            Bits::Signed64 => true,
            Bits::Unsigned32 => u32::try_from(value).is_ok(),
            Bits::Unsigned64 => value >= 0,
        }
    }

    /// Go's name of the type.
    #[must_use]
    pub fn go(self) -> &'static str {
        match self {
            Bits::Signed32 => "int32",
            Bits::Signed64 => "int64",
            Bits::Unsigned32 => "uint32",
            Bits::Unsigned64 => "uint64",
        }
    }
}

/// Free-form values, by the message that carries them in protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raw {
    /// `runtime.RawExtension`.
    Extension,
    /// `JSON` of apiextensions.
    Json,
    /// `metav1.FieldsV1`.
    Fields,
}

/// An array.
#[derive(Debug)]
pub struct List {
    /// Its items.
    pub item: Node,
    /// In protobuf a message of its own, with the items under number 1.
    pub wrapped: bool,
}

/// Where the fields of an object are.
#[derive(Clone, Debug)]
pub enum Object {
    /// A built-in type, compiled on first use.
    Named(&'static Types, TypeId),
    /// A schema of its own.
    Owned(Arc<Struct>),
}

impl Object {
    /// The fields.
    #[must_use]
    pub fn fields(&self) -> &Struct {
        match self {
            Object::Named(types, id) => types.compiled(*id),
            Object::Owned(fields) => fields,
        }
    }
}

/// An object with known fields.
#[derive(Debug)]
pub struct Struct {
    /// The name in OpenAPI, such as `io.k8s.api.core.v1.Container`.
    pub name: String,
    /// The fields in the order of their names; those of inlined structs stand among them.
    pub fields: Box<[Field]>,
    /// The protobuf form, in the order of the numbers.
    pub wire: Box<[Wire]>,
    /// Apply replaces the whole object.
    pub map_atomic: bool,
}

/// One entry of a protobuf message.
#[derive(Debug)]
pub enum Wire {
    /// A field.
    Field {
        /// Its number.
        number: u32,
        /// Its place in [`Struct::fields`].
        index: usize,
    },
    /// A struct that is inlined in JSON and a message of its own here.
    Message {
        /// Its number.
        number: u32,
        /// Its entries; places are those of the outer struct.
        wire: Box<[Wire]>,
    },
}

impl Wire {
    /// The number of the entry.
    #[must_use]
    pub fn number(&self) -> u32 {
        match self {
            Wire::Field { number, .. } | Wire::Message { number, .. } => *number,
        }
    }
}

/// One field of an object.
#[derive(Debug)]
pub struct Field {
    /// The JSON name.
    pub name: Name,
    /// What it holds.
    pub node: Node,
    /// A pointer in Go: absence differs from the zero value.
    pub pointer: bool,
    /// When output leaves it out.
    pub omit: Omit,
    /// Listed as required in OpenAPI.
    pub required: bool,
    /// How a strategic merge patch treats it.
    pub patch: Patch,
    /// How apply merges the list.
    pub list: crate::facts::ListKind,
    /// How apply merges the map or object.
    pub map: crate::facts::MapKind,
    /// The value when the client gave none.
    pub default: Option<Tree>,
    /// The values that are listed.
    pub enums: &'static [&'static str],
    /// Names of the inlined structs that it came through, outermost first; Go shows them in messages.
    pub through: Box<[&'static str]>,
}

impl Struct {
    /// The field of a name, and its place.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.fields.binary_search_by(|f| f.name.as_str().cmp(name)).ok()
    }

    /// The field of a name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.find(name).map(|i| &self.fields[i])
    }

    /// Go's name of the type without its package, such as `DeploymentSpec`.
    #[must_use]
    pub fn go_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }
}

impl Node {
    /// The object below, through lists and maps of it.
    #[must_use]
    pub fn object(&self) -> Option<&Struct> {
        match self {
            Node::Object(object) => Some(object.fields()),
            _ => None,
        }
    }

    /// Go's name of the type, for messages.
    #[must_use]
    pub fn go_type(&self) -> String {
        match self {
            Node::Bool => "bool".to_owned(),
            Node::Int(bits) => bits.go().to_owned(),
            Node::Float => "float64".to_owned(),
            Node::Text | Node::Time | Node::MicroTime | Node::Duration => "string".to_owned(),
            Node::Bytes => "[]uint8".to_owned(),
            Node::Quantity => "resource.Quantity".to_owned(),
            Node::IntOrString => "intstr.IntOrString".to_owned(),
            Node::Raw(Raw::Extension) => "runtime.RawExtension".to_owned(),
            Node::Raw(Raw::Json) => "v1.JSON".to_owned(),
            Node::Raw(Raw::Fields) => "v1.FieldsV1".to_owned(),
            Node::Any => "interface {}".to_owned(),
            Node::List(list) => format!("[]{}", list.item.go_type()),
            Node::Map(value) => format!("map[string]{}", value.go_type()),
            Node::Object(object) | Node::Either(object) => {
                let name = &object.fields().name;
                let from = name.rmatch_indices('.').nth(1).map_or(0, |(i, _)| i + 1);
                name[from..].to_owned()
            }
        }
    }

    /// Whether Go holds it in a struct, which `omitempty` never leaves out.
    #[must_use]
    pub fn is_struct(&self) -> bool {
        matches!(
            self,
            Node::Object(_)
                | Node::Either(_)
                | Node::Time
                | Node::MicroTime
                | Node::Duration
                | Node::Quantity
                | Node::IntOrString
                | Node::Raw(_)
        )
    }

    /// The zero value as Go writes it, before normalization.
    #[must_use]
    pub fn zero(&self) -> Tree {
        match self {
            Node::Bool => Tree::Bool(false),
            Node::Int(_) | Node::IntOrString => Tree::Int(0),
            Node::Float => Tree::Int(0),
            Node::Text => Tree::text(""),
            Node::Duration => Tree::text("0s"),
            Node::Quantity => Tree::text("0"),
            Node::Object(_) => Tree::map(),
            Node::Bytes | Node::Time | Node::MicroTime | Node::Raw(_) | Node::Any => Tree::Null,
            Node::List(_) | Node::Map(_) | Node::Either(_) => Tree::Null,
        }
    }
}

impl Schema {
    /// A schema of a value.
    #[must_use]
    pub fn new(root: Node) -> Schema {
        Schema { root }
    }

    /// The value.
    #[must_use]
    pub fn root(&self) -> &Node {
        &self.root
    }
}
