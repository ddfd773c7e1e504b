//! One OpenAPI v3 document: the paths of a group and version, and the schemas of what they take and give.

use crate::catalog::{Catalog, Resource};
use api::{Tree, tree};
use descriptions::Descriptions;

/// The document at `api/v1` or `apis/apps/v1`; `None` when nothing is served there.
pub fn of(catalog: &Catalog, path: &str, texts: &Descriptions) -> Option<Tree> {
    let (group, version) = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => (String::new(), (*version).to_owned()),
        ["apis", group, version] => ((*group).to_owned(), (*version).to_owned()),
        _ => return None,
    };
    let resources: Vec<_> = catalog.iter().filter(|r| r.group == group && r.version == version).collect();
    if resources.is_empty() {
        return None;
    }
    let mut paths = Tree::map();
    for resource in &resources {
        add_paths(&mut paths, path, resource);
    }
    let types = resources::types();
    let list = |r: &Resource| types.named(&format!("{}List", types.fact(r.type_id?).name));
    let roots: Vec<_> = resources.iter().flat_map(|r| [r.type_id, list(r)]).flatten().collect();
    let describe = |name: &str, field: Option<&str>| {
        let mut found = texts.of(name)?;
        match field {
            None => Some(found.text).filter(|text| !text.is_empty()),
            Some(field) => found.fields.remove(field),
        }
    };
    let schemas = schema::openapi(types, &roots, schema::OpenApi::V3, &describe);
    Some(tree!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36"},
        "paths": paths,
        "components": {"schemas": schemas}
    }))
}

fn add_paths(paths: &mut Tree, root: &str, resource: &Resource) {
    let namespace = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("/{root}{namespace}/{}", resource.plural);
    let mut operations = Tree::map();
    for (verb, method, action) in
        [("list", "get", "list"), ("create", "post", "post"), ("deletecollection", "delete", "deletecollection")]
    {
        if resource.allows(verb) {
            operations.set(method, operation(resource, action, verb == "create"));
        }
    }
    if !operations.is_empty() {
        paths.set(collection.as_str(), operations);
    }
    let mut operations = Tree::map();
    for (verb, method, action) in
        [("get", "get", "get"), ("update", "put", "put"), ("patch", "patch", "patch"), ("delete", "delete", "delete")]
    {
        if resource.allows(verb) {
            operations.set(method, operation(resource, action, matches!(verb, "update" | "patch")));
        }
    }
    if !operations.is_empty() {
        paths.set(format!("{collection}/{{name}}"), operations);
    }
    if resource.namespaced && resource.allows("list") {
        let everywhere = tree!({"get": (operation(resource, "list", false))});
        paths.set(format!("/{root}/{}", resource.plural), everywhere);
    }
}

fn operation(resource: &Resource, action: &str, writes: bool) -> Tree {
    let mut names = vec!["pretty"];
    if writes {
        names.extend(["dryRun", "fieldManager", "fieldValidation"]);
    }
    if action == "patch" {
        names.push("force");
    }
    if action == "list" {
        names.extend(["allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit"]);
        names.extend(["resourceVersion", "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch"]);
    }
    let parameter = |name: &&str| {
        let kind = match *name {
            "force" | "allowWatchBookmarks" | "sendInitialEvents" | "watch" => "boolean",
            "limit" | "timeoutSeconds" => "integer",
            _ => "string",
        };
        tree!({"name": (*name), "in": "query", "schema": {"type": kind, "uniqueItems": true}})
    };
    let parameters: Vec<Tree> = names.iter().map(parameter).collect();
    tree!({
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}, "401": {"description": "Unauthorized"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {
            "group": (resource.group.as_str()),
            "kind": (resource.kind.as_str()),
            "version": (resource.version.as_str())
        }
    })
}
