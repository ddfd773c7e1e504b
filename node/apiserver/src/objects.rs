//! Stored objects and what is looked up in them: labels and the fields that selectors may ask for. Decoding and
//! encoding between a store entry and a tree happens here only.

use crate::catalog::{Catalog, Resource};
use crate::encode::{Encoded, encode, splice, splice_item};
use api::selector::{FieldSelector, LabelSelector};
use api::{Map, Status, Tree};
use arc_swap::ArcSwap;
use bytes::Bytes;
use resources::Rules;
use std::sync::Arc;
use store::{Entry, Extra, Extract, Key, Value};

/// What selectors look at in an object.
#[derive(Debug, Default)]
pub struct Indexed {
    /// `metadata.name`
    pub name: String,
    /// `metadata.namespace`; empty for cluster-scoped objects.
    pub namespace: String,
    /// `metadata.labels`
    pub labels: Option<Map>,
    /// The kind's own selectable fields with their values.
    pub fields: Vec<(&'static str, String)>,
}

impl Indexed {
    /// Looks an object over.
    #[must_use]
    pub fn of(object: &Tree, rules: &Rules) -> Indexed {
        let value = |field: &resources::SelectableField| match object.at(field.path) {
            Some(Tree::Text(text)) if !text.is_empty() => text.clone(),
            Some(value @ (Tree::Bool(_) | Tree::Int(_))) => value.to_json_text(),
            _ => field.absent.to_owned(),
        };
        Indexed {
            name: api::meta::name(object).to_owned(),
            namespace: api::meta::namespace(object).to_owned(),
            labels: api::meta::labels(object).cloned(),
            fields: (rules.computed)(object)
                .into_iter()
                .chain(rules.fields.iter().map(|f| (f.label, value(f))))
                .collect(),
        }
    }

    /// A selectable field's value.
    #[must_use]
    pub fn field(&self, label: &str) -> Option<&str> {
        match label {
            "metadata.name" => Some(&self.name),
            "metadata.namespace" => Some(&self.namespace),
            _ => self.fields.iter().find(|(known, _)| *known == label).map(|(_, value)| value.as_str()),
        }
    }
}

/// What a list or watch narrows down to.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// By labels.
    pub labels: LabelSelector,
    /// By fields.
    pub fields: FieldSelector,
}

impl Selection {
    /// Whether every object is wanted.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// Whether an object is wanted.
    #[must_use]
    pub fn wants(&self, entry: &Entry) -> bool {
        if self.is_everything() {
            return true;
        }
        entry.extra_as::<Indexed>().is_some_and(|indexed| self.wants_indexed(indexed))
    }

    fn wants_indexed(&self, indexed: &Indexed) -> bool {
        self.labels.matches(indexed.labels.as_ref()) && self.fields.matches(|label| indexed.field(label))
    }

    /// The selection in the labels of the stored kind.
    ///
    /// # Errors
    /// 400 naming the field that objects of this kind cannot be selected by.
    pub fn resolve(self, resource: &Resource) -> Result<Selection, Status> {
        let stored = |label: &str| resource.field_labels.iter().find(|(own, _)| own == label).map(|(_, stored)| stored);
        for term in self.fields.terms() {
            let plain = matches!(term.field.as_str(), "metadata.name" | "metadata.namespace");
            let kept = stored(&term.field).is_some_and(|label| resource.rules.fields.iter().any(|f| f.label == label));
            if !plain && !kept {
                // Kinds with fields of their own say less, as upstream's conversions do.
                return Err(Status::bad_request(if resource.rules.fields.is_empty() {
                    let field = &term.field;
                    format!("\"{field}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
                } else {
                    let field = &term.field;
                    match resource.kind.as_str() {
                        "Job" => format!("field label \"{field}\" not supported for Job"),
                        "ResourceSlice" => {
                            format!(
                                "field label not supported for {}, Kind=ResourceSlice: {field}",
                                resource.api_version()
                            )
                        }
                        _ => format!("field label not supported: {field}"),
                    }
                }));
            }
        }
        let fields = self.fields.renamed(|label| stored(label).map_or(label, String::as_str).to_owned());
        Ok(Selection { fields, ..self })
    }
}

/// The store's function that looks an entry over. Entries under keys of no known resource have nothing to select by.
#[must_use]
pub fn extract(catalog: Arc<ArcSwap<Catalog>>) -> Extract {
    Arc::new(move |key: &Key, value: &Value| -> Extra {
        let catalog = catalog.load();
        let Some(resource) = catalog.by_key(key) else { return Arc::new(Indexed::default()) };
        match Tree::from_json(&value.bytes) {
            Ok(decoded) => Arc::new(Indexed::of(&decoded.tree, resource.rules)),
            Err(error) => {
                tracing::error!(key = key.as_str(), %error, "a stored object cannot be read");
                Arc::new(Indexed::default())
            }
        }
    })
}

/// The object of an entry in the form in which it is stored, with its resourceVersion.
///
/// # Errors
/// 500 when the stored bytes are damaged.
pub fn stored_tree(entry: &Entry) -> Result<Tree, Status> {
    let decoded = Tree::from_json(&entry.value.bytes)
        .map_err(|e| Status::internal(format!("the stored object {} cannot be read: {e}", entry.key)))?;
    let mut object = decoded.tree;
    object.set_at(&["metadata", "resourceVersion"], entry.mod_revision.to_string());
    Ok(object)
}

/// The object of an entry as one version of its kind, with its resourceVersion.
///
/// # Errors
/// As [`stored_tree`].
pub fn tree(resource: &Resource, entry: &Entry) -> Result<Tree, Status> {
    let mut object = stored_tree(entry)?;
    if let Some(conversion) = resource.conversion {
        (conversion.from_stored)(&mut object);
    }
    Ok(object)
}

/// What goes into the store for an object of one version of its kind.
#[must_use]
pub fn value(resource: &Resource, object: &Tree) -> (Value, Extra) {
    let converted = resource.conversion.map(|conversion| {
        let mut stored = object.clone();
        (conversion.to_stored)(&mut stored);
        stored
    });
    let stored = converted.as_ref().unwrap_or(object);
    let Encoded { bytes, splice } = encode(stored);
    (Value { bytes, splice }, Arc::new(Indexed::of(stored, resource.rules)))
}

/// Where an object's JSON goes: alone, in a list, or in a watch event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Alone or in an event: with kind and apiVersion.
    Alone,
    /// In a list: without them, unless it is a custom resource.
    Item,
}

/// Appends the object's JSON as one version of its kind.
///
/// # Errors
/// As [`stored_tree`].
pub fn put_json(out: &mut Vec<u8>, resource: &Resource, entry: &Entry, place: Place) -> Result<(), Status> {
    let converted;
    let (bytes, at): (&Bytes, u32) = match resource.conversion {
        None => (&entry.value.bytes, entry.value.splice),
        Some(_) => {
            converted = encode(&tree(resource, entry)?);
            (&converted.bytes, converted.splice)
        }
    };
    if place == Place::Item && !resource.custom {
        splice_item(out, bytes, at, entry.mod_revision);
    } else {
        splice(out, bytes, at, entry.mod_revision);
    }
    Ok(())
}
