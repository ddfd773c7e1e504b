//! Tables and bare metadata: the forms in which `kubectl get` and the garbage collector take objects.

use crate::call::Call;
use crate::catalog::Resource;
use crate::list::{Page, metadata};
use crate::objects;
use crate::server::Server;
use api::{FieldError, FieldPath, Status, Tree, tree};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// The type of bare metadata.
pub const PARTIAL: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata";
/// The type of its list.
pub const PARTIAL_LIST: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadataList";

/// `PartialObjectMetadata` of an object.
#[must_use]
pub fn partial(object: &Tree) -> Tree {
    let metadata = object.get("metadata").cloned().unwrap_or_else(Tree::map);
    tree!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
}

/// `PartialObjectMetadataList` of a page.
///
/// # Errors
/// 500 when a stored object is damaged.
pub fn partial_list(resource: &Resource, page: &Page) -> Result<Tree, Status> {
    let item = |entry: &std::sync::Arc<store::Entry>| objects::tree(resource, entry).map(|object| partial(&object));
    let items = page.entries.iter().map(item).collect::<Result<Vec<_>, _>>()?;
    Ok(partials(metadata(page), items))
}

/// `PartialObjectMetadataList` of objects.
#[must_use]
pub fn partial_of<'a>(metadata: Tree, objects: impl Iterator<Item = &'a Tree>) -> Tree {
    partials(metadata, objects.map(partial).collect())
}

fn partials(metadata: Tree, items: Vec<Tree>) -> Tree {
    tree!({
        "kind": "PartialObjectMetadataList",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "items": items
    })
}

/// What a row carries of its object.
#[derive(Clone, Copy)]
pub enum Include {
    /// Nothing.
    None,
    /// Its metadata.
    Metadata,
    /// All of it.
    Object,
}

impl Include {
    /// What the client wants; metadata when it says nothing.
    ///
    /// # Errors
    /// 400 for an unknown `includeObject`.
    pub fn of(call: &Call) -> Result<Include, Status> {
        match call.query.get("includeObject").unwrap_or_default() {
            "None" => Ok(Include::None),
            "" | "Metadata" => Ok(Include::Metadata),
            "Object" => Ok(Include::Object),
            other => {
                let why = "must be 'Metadata', 'Object', 'None', or empty";
                let fault = FieldError::invalid(FieldPath::of(&["includeObject"]), other, why);
                Err(Status::bad_request(format!("Unable to convert to Table as requested: {fault}")))
            }
        }
    }
}

/// What the fields are that columns show, unpacked when the first table is asked for and cut down to those fields.
static FIELDS: LazyLock<BTreeMap<&'static str, String>> = LazyLock::new(|| {
    let all = descriptions::Descriptions::unpack();
    let text = |doc: &'static str| {
        let (type_name, field) = doc.split_once('#')?;
        let text = all.of(type_name)?.fields.get(field)?.replace('\n', " ");
        Some((doc, text))
    };
    let columns = resources::facts::RESOURCES.iter().flat_map(|resource| resource.columns);
    columns.map(|column| column.doc).collect::<BTreeSet<_>>().into_iter().filter_map(text).collect()
});

fn columns(resource: &Resource) -> Tree {
    let column = |c: &resources::Column| {
        tree!({
            "name": (c.name.as_str()),
            "type": (c.kind.as_str()),
            "format": (c.format.as_str()),
            "description": (FIELDS.get(c.doc).map_or(c.description.as_str(), String::as_str)),
            "priority": (c.priority)
        })
    };
    Tree::List(resource.columns.iter().map(column).collect())
}

fn row(resource: &Resource, object: &Tree, now: i64, include: Include) -> Tree {
    with_object(tree!({"cells": ((resource.rules.cells)(object, now))}), object, include)
}

fn with_object(mut row: Tree, object: &Tree, include: Include) -> Tree {
    match include {
        Include::None => row.set("object", Tree::Null),
        Include::Metadata => row.set("object", partial(object)),
        Include::Object => row.set("object", object.clone()),
    }
    row
}

fn table(metadata: Tree, columns: Tree, rows: Vec<Tree>) -> Tree {
    tree!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": rows
    })
}

/// The table of a list.
///
/// # Errors
/// 400 for an unknown `includeObject`, 500 when a stored object is damaged.
pub fn of_page(server: &Server, call: &Call, page: &Page) -> Result<Tree, Status> {
    let include = Include::of(call)?;
    let now = server.world.clock.now().as_second();
    let resource = &call.resource;
    let one = |entry: &std::sync::Arc<store::Entry>| {
        objects::tree(resource, entry).map(|object| row(resource, &object, now, include))
    };
    let rows = page.entries.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(table(metadata(page), columns(resource), rows))
}

/// The table of objects that are in no store.
///
/// # Errors
/// 400 for an unknown `includeObject`.
pub fn of_objects(server: &Server, call: &Call, metadata: Tree, objects: &[Tree]) -> Result<Tree, Status> {
    let include = Include::of(call)?;
    let now = server.world.clock.now().as_second();
    let rows = objects.iter().map(|object| row(&call.resource, object, now, include)).collect();
    Ok(table(metadata, columns(&call.resource), rows))
}

/// The table of one object.
///
/// # Errors
/// 400 for an unknown `includeObject`.
pub fn of_object(call: &Call, object: &Tree) -> Result<Tree, Status> {
    let now = call.received.as_second();
    let include = Include::of(call)?;
    let version = object.at(&["metadata", "resourceVersion"]).cloned().unwrap_or_default();
    let rows = vec![row(&call.resource, object, now, include)];
    Ok(table(tree!({"resourceVersion": version}), columns(&call.resource), rows))
}

/// The table of a Scale, which is no resource of its own.
///
/// # Errors
/// 400 for an unknown `includeObject`.
pub fn of_scale(call: &Call, scale: &Tree) -> Result<Tree, Status> {
    let column = |name: &str, kind: &str, text: &str| tree!({"name": name, "type": kind, "format": "", "description": text, "priority": 0});
    let columns = tree!([
        (column("Name", "string", "The object that is scaled.")),
        (column("Desired", "integer", "How many replicas there shall be.")),
        (column("Available", "integer", "How many replicas there are.")),
        (column("Age", "string", "How long the object has been there."))
    ]);
    let count = |part: &str| Tree::Int(scale.int_at(&[part, "replicas"]).unwrap_or(0));
    let age = resources::cells::age(scale, call.received.as_second());
    let cells = vec![Tree::text(api::meta::name(scale)), count("spec"), count("status"), age];
    let version = scale.at(&["metadata", "resourceVersion"]).cloned().unwrap_or_default();
    let rows = vec![with_object(tree!({"cells": cells}), scale, Include::of(call)?)];
    Ok(table(tree!({"resourceVersion": version}), columns, rows))
}

/// The table of one watch event; the columns are told once a watch.
#[must_use]
pub fn of_event(resource: &Resource, object: &Tree, now: i64, include: Include, with_columns: bool) -> Tree {
    let version = object.at(&["metadata", "resourceVersion"]).cloned().unwrap_or_default();
    let columns = if with_columns { columns(resource) } else { Tree::Null };
    table(tree!({"resourceVersion": version}), columns, vec![row(resource, object, now, include)])
}

/// The table of a bookmark: one row, of an object that is nothing but its revision. The one that ends the initial
/// events carries the mark of that, whatever the client wants of objects.
#[must_use]
pub fn of_bookmark(resource: &Resource, object: &Tree, now: i64, include: Include, with_columns: bool) -> Tree {
    let include = if matches!(include, Include::None) { Include::Metadata } else { include };
    of_event(resource, object, now, include, with_columns)
}
