//! Writes the parsed facts as Rust statics of `schema::facts`. Used by the build script only.
//!
//! It must not decide anything: every value comes from the text.

use crate::parse::{Column, Facts, Field, Resource, Subresource, Type};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The position of each type by name; types are sorted, so that the table can be searched.
pub struct Index(BTreeMap<String, usize>);

impl Index {
    fn of(&self, name: &str) -> Result<usize, String> {
        self.0.get(name).copied().ok_or_else(|| format!("no type {name} in the table"))
    }
}

/// The source text of `TYPES` and `RESOURCES`.
pub fn source(facts: &mut Facts) -> Result<String, String> {
    facts.types.sort_by(|a, b| a.name.cmp(&b.name));
    facts.resources.sort_by(|a, b| (&a.group_version, &a.plural).cmp(&(&b.group_version, &b.plural)));
    let mut index = Index(BTreeMap::new());
    for (at, this) in facts.types.iter().enumerate() {
        if index.0.insert(this.name.clone(), at).is_some() {
            return Err(format!("{} stands twice in the table", this.name));
        }
    }
    let mut out = String::new();
    out += "/// Every type, sorted by name.\npub static TYPES: &[TypeFact] = &[\n";
    for this in &facts.types {
        out += &type_source(this, &index).map_err(|why| format!("{}: {why}", this.name))?;
    }
    out += "];\n/// Every resource, sorted by group version and name.\npub static RESOURCES: &[ResourceFact] = &[\n";
    for this in &facts.resources {
        out += &resource_source(this, &index).map_err(|why| format!("{}: {why}", this.plural))?;
    }
    out += "];\n";
    Ok(out)
}

fn type_source(this: &Type, index: &Index) -> Result<String, String> {
    let form = match this.form.as_str() {
        "type" => "Form::Struct".to_owned(),
        "either" => "Form::Either".to_owned(),
        _ => format!("Form::Alias({})", shape(&this.alias, index)?),
    };
    let kind = this.name.rsplit('.').next().unwrap_or_default();
    let kind = this.kind.as_ref().map_or("None".to_owned(), |version| format!("Some({})", gvk(version, kind)));
    let mut out = format!("TypeFact {{ name: {:?}, form: {form}, gvk: {kind}, ", this.name);
    write!(out, "map_atomic: {}, unions: &[", this.map_atomic).expect("a String takes every write");
    for union in &this.unions {
        out += &union_source(union)?;
    }
    out += "], fields: &[\n";
    for field in &this.fields {
        out += &field_source(field, index).map_err(|why| format!("{}: {why}", field.json))?;
    }
    Ok(out + "] },\n")
}

fn union_source(words: &[String]) -> Result<String, String> {
    let (first, members) = words.split_first().ok_or("an empty union")?;
    let discriminator = if first == "-" { "None".to_owned() } else { format!("Some({first:?})") };
    let mut out = format!("UnionFact {{ discriminator: {discriminator}, members: &[");
    for member in members {
        let (field, value) = member.split_once('=').ok_or_else(|| format!("{member}: no value"))?;
        write!(out, "({field:?}, {value:?}),").expect("a String takes every write");
    }
    Ok(out + "] },")
}

fn field_source(this: &Field, index: &Index) -> Result<String, String> {
    let omit = match (this.omit, this.omit_zero) {
        (_, true) => "Zero",
        (true, false) => "Empty",
        (false, false) => "Never",
    };
    let list = match this.list.as_str() {
        "" => "None".to_owned(),
        "atomic" => "Atomic".to_owned(),
        "set" => "Set".to_owned(),
        other => {
            let keys = other.strip_prefix("map(").and_then(|k| k.strip_suffix(')'));
            let keys: Vec<&str> = keys.ok_or_else(|| format!("list type {other}"))?.split(',').collect();
            format!("Map(&{keys:?})")
        }
    };
    let map = match this.map.as_str() {
        "" => "None",
        "atomic" => "Atomic",
        "granular" => "Granular",
        other => return Err(format!("map type {other}")),
    };
    let patch = match (this.patch.as_str(), this.merge_by.as_str()) {
        ("", "") => "None".to_owned(),
        ("merge", "") => "Merge".to_owned(),
        ("merge", key) => format!("MergeBy({key:?})"),
        ("replace", "") => "Replace".to_owned(),
        ("retainKeys", "") => "RetainKeys".to_owned(),
        ("merge+retainKeys", key) if !key.is_empty() => format!("MergeRetainKeys({key:?})"),
        other => return Err(format!("patch strategy {other:?}")),
    };
    Ok(format!(
        "FieldFact {{ json: {:?}, proto: {}, shape: {}, pointer: {}, omit: Omit::{omit}, inline: {}, required: {}, \
         list: ListKind::{list}, map: MapKind::{map}, patch: Patch::{patch}, default: {:?}, enums: &{:?} }},\n",
        this.json,
        this.proto,
        shape(&this.shape, index)?,
        this.pointer,
        this.json.is_empty(),
        this.required,
        this.default,
        this.enums,
    ))
}

fn shape(text: &str, index: &Index) -> Result<String, String> {
    if let Some(item) = text.strip_prefix("[]") {
        return Ok(format!("Shape::List(&{})", shape(item, index)?));
    }
    if let Some(value) = text.strip_prefix("{}") {
        return Ok(format!("Shape::Map(&{})", shape(value, index)?));
    }
    let name = match text {
        "bool" => "Bool",
        "i32" => "Int32",
        "i64" => "Int64",
        "u32" => "Uint32",
        "u64" => "Uint64",
        "f64" => "Float64",
        "str" => "String",
        "bytes" => "Bytes",
        "time" => "Time",
        "microtime" => "MicroTime",
        "duration" => "Duration",
        "quantity" => "Quantity",
        "intorstring" => "IntOrString",
        "raw" => "RawExtension",
        "json" => "Json",
        "any" => "Any",
        "fieldsv1" => "FieldsV1",
        name => return Ok(format!("Shape::Ref(TypeId({}))", index.of(name)?)),
    };
    Ok(format!("Shape::{name}"))
}

fn gvk(group_version: &str, kind: &str) -> String {
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    format!("Gvk {{ group: {group:?}, version: {version:?}, kind: {kind:?} }}")
}

fn resource_source(this: &Resource, index: &Index) -> Result<String, String> {
    let stored = this.stored.as_ref().map(|s| s.split_once('/').unwrap_or(("", s)));
    let columns: String = this.columns.iter().map(column_source).collect();
    let subresources: String = this.subresources.iter().map(subresource_source).collect();
    Ok(format!(
        "ResourceFact {{ gvk: {}, object: TypeId({}), plural: {:?}, singular: {:?}, short_names: &{:?}, \
         categories: &{:?}, namespaced: {}, verbs: &{:?}, stored: {stored:?}, selectable: &{:?}, \
         columns: &[{columns}], subresources: &[{subresources}] }},\n",
        gvk(&this.group_version, &this.kind),
        index.of(&this.object)?,
        this.plural,
        this.singular,
        this.short_names,
        this.categories,
        this.namespaced,
        this.verbs,
        this.selectable,
    ))
}

fn column_source(this: &Column) -> String {
    format!(
        "ColumnFact {{ name: {:?}, kind: {:?}, format: {:?}, priority: {}, doc: {:?} }},",
        this.name, this.kind, this.format, this.priority, this.doc
    )
}

fn subresource_source(this: &Subresource) -> String {
    let kind = gvk(&this.group_version, &this.kind);
    format!("SubresourceFact {{ name: {:?}, gvk: {kind}, verbs: &{:?} }},", this.name, this.verbs)
}
