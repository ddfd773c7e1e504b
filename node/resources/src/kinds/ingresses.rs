//! Ingresses: HTTP from outside to Services. Rules of `k8s.io/kubernetes/pkg/registry/networking/ingress`.

use super::place::Place;
use super::{address, labels_text};
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{FieldError, Tree, meta, names};

const CLASS: &str = "kubernetes.io/ingress.class";
/// How many hosts a table shows.
const HOSTS_MAX: usize = 3;
const NO_ADDRESS: &str = "must be a DNS name, not an IP address";

/// What is special about Ingresses.
pub const RULES: Rules = Rules { generation: true, validate, validate_status, cells: row, ..PLAIN };

fn wildcard(host: &str) -> Vec<String> {
    let rest = host.strip_prefix("*.").unwrap_or_default();
    if names::dns1123_subdomain(rest).is_empty() {
        return Vec::new();
    }
    let why = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
    let form = "\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
    vec![format!("{why} (e.g. '*.example.com', regex used for validation is '{form}')")]
}

fn host(place: &Place, faults: &mut Faults) {
    let check = if place.text().contains('*') { wildcard } else { names::dns1123_subdomain };
    place.invalid_for(faults, check(place.text()));
}

fn validate(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    let (rules, backend, class) = (spec.at("rules"), spec.at("defaultBackend"), spec.at("ingressClassName"));
    if rules.len() == 0 && !backend.given() {
        let why = "either `defaultBackend` or `rules` must be specified";
        faults.push(FieldError::invalid(spec.path.clone(), rules.value.clone(), why));
    }
    if backend.given() {
        of_backend(&backend, faults);
    }
    for rule in rules.items() {
        if address::parse_sloppy(rule.at("host").text()).is_some() {
            rule.at("host").invalid(faults, NO_ADDRESS);
        }
        if !rule.at("host").text().is_empty() {
            host(&rule.at("host"), faults);
        }
        let http = rule.at("http");
        if http.given() {
            http.at("paths").must(faults, "");
            http.at("paths").items().for_each(|path| of_path(&path, faults));
        }
    }
    for tls in spec.at("tls").items() {
        tls.at("hosts").items().for_each(|name| host(&name, faults));
        tls.at("secretName").may_pass(faults, names::dns1123_subdomain);
    }
    if class.given() {
        class.invalid_for(faults, names::dns1123_subdomain(class.text()));
    }
    // Upstream demands this of new objects only; an old annotation beside another class is refused here too.
    if let Some(annotation) = meta::annotation(object, CLASS).filter(|a| class.given() && *a != class.text()) {
        let path = Place::root(object).at("annotations").path.field(CLASS);
        faults.push(FieldError::invalid(path, annotation, "must match `ingressClassName` when both are specified"));
    }
}

fn of_path(path: &Place, faults: &mut Faults) {
    let (kind, text) = (path.at("pathType"), path.at("path"));
    let exact = match kind.text() {
        _ if !kind.given() => return kind.required(faults, "pathType must be specified"),
        "Exact" | "Prefix" => true,
        "ImplementationSpecific" => false,
        _ => {
            kind.one_of(faults, &["Exact", "ImplementationSpecific", "Prefix"]);
            return of_backend(&path.at("backend"), faults);
        }
    };
    if !text.text().starts_with('/') && (exact || !text.text().is_empty()) {
        text.invalid(faults, "must be an absolute path");
    }
    for part in ["//", "/./", "/../", "%2f", "%2F"].into_iter().filter(|part| exact && text.text().contains(part)) {
        text.invalid(faults, format!("must not contain '{part}'"));
    }
    for end in ["/..", "/."].into_iter().filter(|end| exact && text.text().ends_with(end)) {
        text.invalid(faults, format!("cannot end with '{end}'"));
    }
    of_backend(&path.at("backend"), faults);
}

fn of_backend(backend: &Place, faults: &mut Faults) {
    let (resource, service) = (backend.at("resource"), backend.at("service"));
    let mut fault = |why: &str| faults.push(FieldError::invalid(backend.path.clone(), "", why));
    match (resource.given(), service.given()) {
        (true, true) => return fault("cannot set both resource and service backends"),
        (false, false) => return fault("resource or service backend is required"),
        (true, false) => {
            if resource.at("apiGroup").given() {
                let group = resource.at("apiGroup");
                group.invalid_for(faults, names::dns1123_subdomain(group.text()));
            }
            resource.at("kind").must_pass(faults, names::path_segment);
            return resource.at("name").must_pass(faults, names::path_segment);
        }
        (false, true) => {}
    }
    service.at("name").must_pass(faults, names::dns1123_label);
    let (name, number) = (service.at("port").at("name"), service.at("port").at("number"));
    match (!name.text().is_empty(), number.int().unwrap_or_default() != 0) {
        (true, true) => {
            faults.push(FieldError::invalid(backend.path.clone(), "", "cannot set both port name & port number"));
        }
        (true, false) => name.invalid_for(faults, address::port_name(name.text())),
        (false, true) => address::port(&number, faults),
        (false, false) => backend.required(faults, "port name or number is required"),
    }
}

fn validate_status(object: &Tree, _old: &Tree, faults: &mut Faults) {
    for item in Place::root(object).down(&["status", "loadBalancer", "ingress"]).items() {
        if !item.at("ip").text().is_empty() {
            address::ip(&item.at("ip"), faults);
        }
        item.at("hostname").may_pass(faults, names::dns1123_subdomain);
        if address::parse_sloppy(item.at("hostname").text()).is_some() {
            item.at("hostname").invalid(faults, NO_ADDRESS);
        }
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let rules = object.list_at(&["spec", "rules"]);
    let hosts = rules.iter().filter_map(|rule| rule.str_at(&["host"])).filter(|host| !host.is_empty());
    let hosts: Vec<String> = hosts.map(str::to_owned).collect();
    let shown = if hosts.is_empty() { "*".to_owned() } else { labels_text::some_of(&hosts, HOSTS_MAX, rules.len()) };
    let place = |item: &Tree| {
        let text = |field: &str| item.str_at(&[field]).filter(|t| !t.is_empty()).map(str::to_owned);
        text("ip").or_else(|| text("hostname"))
    };
    let mut places: Vec<String> =
        object.list_at(&["status", "loadBalancer", "ingress"]).iter().filter_map(place).collect();
    places.sort();
    places.dedup();
    let secure = !object.list_at(&["spec", "tls"]).is_empty();
    vec![
        Tree::text(meta::name(object)),
        Tree::text(object.str_at(&["spec", "ingressClassName"]).unwrap_or("<none>")),
        Tree::text(shown),
        Tree::text(places.join(",")),
        Tree::text(if secure { "80, 443" } else { "80" }),
        cells::age(object, now),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn faults(rule: Tree) -> Vec<String> {
        let mut faults = Faults::new();
        validate(&tree!({"spec": {"rules": [rule]}}), &mut faults);
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn paths_have_a_type_and_a_backend() {
        let backend = tree!({"service": {"name": "a", "port": {"number": 80}}});
        let rule = |path: Tree| tree!({"host": "*.example.com", "http": {"paths": [path]}});
        assert_eq!(faults(rule(tree!({"path": "/", "pathType": "Prefix", "backend": (backend.clone())}))), [""; 0]);
        assert_eq!(
            faults(rule(tree!({"path": "/a//b", "pathType": "Exact", "backend": (backend.clone())}))),
            ["spec.rules[0].http.paths[0].path: Invalid value: \"/a//b\": must not contain '//'"]
        );
        assert_eq!(
            faults(rule(tree!({"path": "/", "backend": backend}))),
            ["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"]
        );
    }
}
