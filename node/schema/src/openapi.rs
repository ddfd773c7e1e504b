//! OpenAPI documents of types: the `components.schemas` of v3, the `definitions` of v2. Descriptions come from the
//! caller; the protobuf form of v2 (gnostic) is made from the same tree, by whoever serves it.

use crate::facts::{ListKind, MapKind, Omit, Patch, TypeId, UnionFact};
use crate::node::{Bits, Field, Node, Object, Raw, Struct};
use crate::types::Types;
use api::{Map, Tree, tree};

/// Which form of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenApi {
    /// Without defaults; a reference stands beside its description.
    V2,
    /// With defaults; a reference with anything beside it stands in `allOf`.
    V3,
}

/// The description of a type, or of one of its fields; type names are those of OpenAPI.
pub type Describe<'a> = &'a dyn Fn(&str, Option<&str>) -> Option<String>;

/// Types that are not objects, by their names in OpenAPI.
const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
const DURATION: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Duration";
const FIELDS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";
const JSON: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON";

/// The schemas of types and of all they refer to, by name.
#[must_use]
pub fn openapi(types: &'static Types, roots: &[TypeId], form: OpenApi, describe: Describe<'_>) -> Tree {
    let mut writer = Writer { form, describe, found: Map::new() };
    for id in roots {
        writer.refer(&types.schema(*id).root);
    }
    // What a type is registered as is not part of its structure.
    let mut found = writer.found;
    for (name, schema) in found.iter_mut() {
        if let Some(id) = types.named(name) {
            let fact = types.fact(id);
            if let Some(gvk) = fact.gvk {
                let gvk = tree!({"group": (gvk.group), "version": (gvk.version), "kind": (gvk.kind)});
                schema.set("x-kubernetes-group-version-kind", Tree::List(vec![gvk]));
            }
            if !fact.unions.is_empty() {
                schema.set("x-kubernetes-unions", Tree::List(fact.unions.iter().map(union).collect()));
            }
        }
    }
    Tree::Map(found)
}

/// The schema of one value, with everything inside it: for custom resources, whose types have no names.
#[must_use]
pub fn openapi_inline(node: &Node, form: OpenApi, describe: Describe<'_>) -> Tree {
    Writer { form, describe, found: Map::new() }.value(node)
}

fn union(fact: &UnionFact) -> Tree {
    let mut written = Tree::map();
    if let Some(discriminator) = fact.discriminator {
        written.set("discriminator", discriminator);
    }
    let members = fact.members.iter().map(|(member, value)| (*member, Tree::text(*value)));
    written.set("fields-to-discriminateBy", Tree::Map(members.collect()));
    written
}

struct Writer<'a> {
    form: OpenApi,
    describe: Describe<'a>,
    found: Map,
}

impl Writer<'_> {
    fn v3(&self) -> bool {
        self.form == OpenApi::V3
    }

    fn reference(&self, name: &str) -> Tree {
        let place = if self.v3() { "components/schemas" } else { "definitions" };
        tree!({"$ref": (format!("#/{place}/{name}"))})
    }

    /// Makes sure that the schema of a named type is there, and gives its name.
    fn refer(&mut self, node: &Node) -> Option<String> {
        let name = match node {
            Node::Object(Object::Named(..)) | Node::Either(_) => node_name(node),
            Node::Time => TIME.to_owned(),
            Node::MicroTime => MICRO_TIME.to_owned(),
            Node::Duration => DURATION.to_owned(),
            Node::Quantity => QUANTITY.to_owned(),
            Node::IntOrString => INT_OR_STRING.to_owned(),
            Node::Raw(Raw::Extension) => EXTENSION.to_owned(),
            Node::Raw(Raw::Fields) => FIELDS.to_owned(),
            Node::Raw(Raw::Json) => JSON.to_owned(),
            _ => return None,
        };
        if !self.found.contains(&name) {
            // The place is taken before the fields are looked at: types refer to themselves.
            self.found.insert(name.as_str(), Tree::map());
            let mut schema = match node {
                Node::Object(object) => self.object(object.fields()),
                other => self.leaf(other),
            };
            self.add_description(&mut schema, &name, None);
            self.found.insert(name.as_str(), schema);
        }
        Some(name)
    }

    fn add_description(&self, schema: &mut Tree, name: &str, field: Option<&str>) {
        if let Some(text) = (self.describe)(name, field) {
            schema.set("description", text);
        }
    }

    /// The schema of a type that is no object.
    fn leaf(&self, node: &Node) -> Tree {
        match node {
            Node::Time | Node::MicroTime => tree!({"type": "string", "format": "date-time"}),
            Node::Duration => tree!({"type": "string"}),
            Node::Quantity if self.v3() => tree!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            Node::Quantity => tree!({"type": "string"}),
            Node::IntOrString if self.v3() => {
                tree!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
            }
            Node::IntOrString => tree!({"type": "string", "format": "int-or-string"}),
            Node::Raw(Raw::Extension | Raw::Fields) => tree!({"type": "object"}),
            _ => Tree::map(),
        }
    }

    fn object(&mut self, fields: &Struct) -> Tree {
        let mut properties = Map::new();
        for field in &fields.fields {
            let mut schema = self.field(field);
            self.describe_field(&mut schema, fields, field);
            properties.insert(&field.name, schema);
        }
        let mut schema = tree!({"type": "object"});
        let required: Vec<&str> = fields.fields.iter().filter(|f| f.required).map(|f| f.name.as_str()).collect();
        if !required.is_empty() {
            schema.set("required", required);
        }
        if !properties.is_empty() {
            schema.set("properties", properties);
        }
        if fields.map_atomic {
            schema.set("x-kubernetes-map-type", "atomic");
        }
        schema
    }

    fn describe_field(&self, schema: &mut Tree, fields: &Struct, field: &Field) {
        self.add_description(schema, &fields.name, Some(&field.name));
        // In v3 nothing may stand beside a reference.
        let beside = schema.as_map().is_some_and(|m| m.contains("$ref") && m.len() > 1);
        if self.v3()
            && beside
            && let Some(reference) = schema.remove("$ref")
        {
            schema.set("allOf", Tree::List(vec![tree!({"$ref": reference})]));
        }
    }

    fn field(&mut self, field: &Field) -> Tree {
        let mut schema = self.value(&field.node);
        if !field.enums.is_empty() {
            let values: Vec<&str> = field.enums.to_vec();
            let place = match &field.node {
                Node::List(_) => schema.get_mut("items"),
                Node::Map(_) => schema.get_mut("additionalProperties"),
                _ => Some(&mut schema),
            };
            if let Some(place) = place {
                place.set("enum", values);
            }
        }
        if self.v3() {
            let zero = (!field.pointer && (matches!(field.node, Node::Object(_)) || field.omit == Omit::Never))
                .then(|| implied(&field.node))
                .flatten();
            if let Some(default) = field.default.clone().or(zero) {
                schema.set("default", default);
            }
        }
        extensions(&mut schema, field);
        schema
    }

    fn value(&mut self, node: &Node) -> Tree {
        if let Some(name) = self.refer(node) {
            return self.reference(&name);
        }
        match node {
            Node::Bool => tree!({"type": "boolean"}),
            Node::Int(Bits::Signed32) => tree!({"type": "integer", "format": "int32"}),
            Node::Int(Bits::Signed64) => tree!({"type": "integer", "format": "int64"}),
            Node::Int(Bits::Unsigned32 | Bits::Unsigned64) => tree!({"type": "integer", "format": "int64"}),
            Node::Float => tree!({"type": "number", "format": "double"}),
            Node::Text => tree!({"type": "string"}),
            Node::Bytes => tree!({"type": "string", "format": "byte"}),
            Node::List(list) => tree!({"type": "array", "items": (self.inner(&list.item))}),
            Node::Map(inner) => tree!({"type": "object", "additionalProperties": (self.inner(inner))}),
            Node::Object(object) => self.object(object.fields()),
            _ => Tree::map(),
        }
    }

    /// The schema of an item of a list or map, with the default that it has by its type.
    fn inner(&mut self, node: &Node) -> Tree {
        let mut schema = self.value(node);
        if let Some(default) = implied(node).filter(|_| self.v3()) {
            if let Some(reference) = schema.remove("$ref") {
                schema.set("allOf", Tree::List(vec![tree!({"$ref": reference})]));
            }
            schema.set("default", default);
        }
        schema
    }
}

fn node_name(node: &Node) -> String {
    match node {
        Node::Object(object) | Node::Either(object) => object.fields().name.clone(),
        _ => String::new(),
    }
}

/// The default that v3 shows only because the type in Go has a zero value.
fn implied(node: &Node) -> Option<Tree> {
    match node {
        Node::Object(_) => Some(Tree::map()),
        Node::Text => Some(Tree::text("")),
        Node::Bool => Some(Tree::Bool(false)),
        Node::Int(_) | Node::Float => Some(Tree::Int(0)),
        _ => None,
    }
}

fn extensions(schema: &mut Tree, field: &Field) {
    match field.list {
        ListKind::None => {}
        ListKind::Atomic => schema.set("x-kubernetes-list-type", "atomic"),
        ListKind::Set => schema.set("x-kubernetes-list-type", "set"),
        ListKind::Map(keys) => {
            schema.set("x-kubernetes-list-type", "map");
            schema.set("x-kubernetes-list-map-keys", keys.to_vec());
        }
    }
    match field.map {
        MapKind::None => {}
        MapKind::Atomic => schema.set("x-kubernetes-map-type", "atomic"),
        MapKind::Granular => schema.set("x-kubernetes-map-type", "granular"),
    }
    let (strategy, key) = match field.patch {
        Patch::None => return,
        Patch::Merge => ("merge", None),
        Patch::MergeBy(key) => ("merge", Some(key)),
        Patch::Replace => ("replace", None),
        Patch::RetainKeys => ("retainKeys", None),
        Patch::MergeRetainKeys(key) => ("merge,retainKeys", Some(key)),
    };
    schema.set("x-kubernetes-patch-strategy", strategy);
    if let Some(key) = key {
        schema.set("x-kubernetes-patch-merge-key", key);
    }
}

#[cfg(test)]
mod tests;
