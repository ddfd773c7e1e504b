//! What extends the API: CustomResourceDefinitions and APIServices, as far as storing them goes. Rules of
//! `k8s.io/apiextensions-apiserver` and `k8s.io/kube-aggregator`. Schemas and serving are the API server's business.

use super::place::Place;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{Tree, meta, names, tree};

/// What is special about CustomResourceDefinitions.
pub const DEFINITIONS: Rules = Rules {
    generation: true,
    unconditional_update: false,
    default: definition,
    on_create: stored_versions,
    on_update: |object, _| stored_versions(object),
    ..PLAIN
};
/// What is special about APIServices.
pub const SERVICES: Rules = Rules {
    name: names::path_segment,
    unconditional_update: false,
    default: |object| port(object.at_mut(&["spec", "service"])),
    on_create: local,
    validate: service,
    cells: row,
    ..PLAIN
};

fn port(service: Option<&mut Tree>) {
    if let Some(service) = service.filter(|s| s.as_map().is_some() && s.int_at(&["port"]).is_none()) {
        service.set("port", 443);
    }
}

fn definition(object: &mut Tree) {
    let kind = object.str_at(&["spec", "names", "kind"]).unwrap_or_default().to_owned();
    for (field, value) in [("singular", kind.to_lowercase()), ("listKind", format!("{kind}List"))] {
        let path = ["spec", "names", field];
        if !kind.is_empty() && object.str_at(&path).unwrap_or_default().is_empty() {
            object.set_at(&path, value);
        }
    }
    if object.at(&["spec", "conversion"]).is_none_or(Tree::is_null) {
        object.set_at(&["spec", "conversion"], tree!({"strategy": "None"}));
    }
    port(object.at_mut(&["spec", "conversion", "webhook", "clientConfig", "service"]));
}

/// A version in which objects may be stored is never forgotten.
fn stored_versions(object: &mut Tree) {
    let stored = object.list_at(&["spec", "versions"]).iter().find(|v| v.bool_at(&["storage"]) == Some(true));
    let Some(name) = stored.and_then(|v| v.get("name")).cloned() else { return };
    let mut versions = object.list_at(&["status", "storedVersions"]).to_vec();
    if !versions.contains(&name) {
        versions.push(name);
        object.set_at(&["status", "storedVersions"], versions);
    }
}

/// What this server serves itself is there.
fn local(object: &mut Tree) {
    if object.at(&["spec", "service"]).is_none_or(Tree::is_null) {
        let now = object.at(&["metadata", "creationTimestamp"]).cloned().unwrap_or_default();
        let condition = tree!({"type": "Available", "status": "True", "lastTransitionTime": now, "reason": "Local",
            "message": "Local APIServices are always available"});
        object.set_at(&["status", "conditions"], vec![condition]);
    }
}

fn service(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    let (group, version, service) = (spec.at("group"), spec.at("version"), spec.at("service"));
    let name = format!("{}.{}", version.text(), group.text());
    if meta::name(object) != name {
        let why = format!("must be `spec.version+\".\"+spec.group`: \"{name}\"");
        Place::root(object).down(&["metadata", "name"]).invalid(faults, why);
    }
    if group.text().is_empty() && version.text() != "v1" {
        group.required(faults, "only v1 may have an empty group and it better be legacy kube");
    }
    group.may_pass(faults, names::dns1123_subdomain);
    version.invalid_for(faults, names::dns1035_label(version.text()));
    for (field, most) in [("groupPriorityMinimum", 20000), ("versionPriority", 1000)] {
        if !(1..=most).contains(&spec.at(field).int().unwrap_or_default()) {
            spec.at(field).invalid(faults, format!("must be positive and less than {most}"));
        }
    }
    let (bundle, skip) = (spec.at("caBundle"), spec.at("insecureSkipTLSVerify"));
    if !service.given() {
        if !bundle.text().is_empty() {
            bundle.invalid(faults, "local APIServices may not have a caBundle");
        }
        if skip.yes() {
            skip.invalid(faults, "local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    }
    service.at("namespace").must(faults, "");
    service.at("name").must(faults, "");
    super::address::port(&service.at("port"), faults);
    if skip.yes() && !bundle.text().is_empty() {
        skip.invalid(faults, "may not be true if caBundle is present");
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let text = |field: &str| object.str_at(&["spec", "service", field]).unwrap_or_default();
    let given = object.map_at(&["spec", "service"]).is_some();
    let service = if given { format!("{}/{}", text("namespace"), text("name")) } else { "Local".to_owned() };
    let conditions = object.list_at(&["status", "conditions"]);
    let available = conditions.iter().find(|c| c.str_at(&["type"]) == Some("Available"));
    let shown = available.map_or("Unknown".to_owned(), |c| {
        let status = c.str_at(&["status"]).unwrap_or_default();
        let reason = c.str_at(&["reason"]).unwrap_or_default();
        if status == "True" { status.to_owned() } else { format!("{status} ({reason})") }
    });
    vec![Tree::text(meta::name(object)), Tree::text(service), Tree::text(shown), cells::age(object, now)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_names_its_list_and_remembers_stored_versions() {
        let version = tree!({"name": "v1", "storage": true});
        let mut object = tree!({"spec": {"names": {"kind": "Foo"}, "versions": [version]}});
        definition(&mut object);
        stored_versions(&mut object);
        stored_versions(&mut object);
        assert_eq!(
            object.at(&["spec", "names"]),
            Some(&tree!({"kind": "Foo", "singular": "foo", "listKind": "FooList"}))
        );
        assert_eq!(object.at(&["status", "storedVersions"]), Some(&tree!(["v1"])));
    }
}
