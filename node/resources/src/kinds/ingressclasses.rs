//! IngressClasses: who serves an Ingress. Rules of `k8s.io/kubernetes/pkg/registry/networking/ingressclass`.

use super::place::Place;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{FieldError, Tree, meta, names};

const DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
/// Longest name of a controller, bytes.
const CONTROLLER_MAX: usize = 250;

/// What is special about IngressClasses.
pub const RULES: Rules = Rules { generation: true, default, validate, validate_update, cells: row, ..PLAIN };

fn default(object: &mut Tree) {
    if let Some(parameters) = object.at_mut(&["spec", "parameters"]).filter(|p| p.as_map().is_some())
        && parameters.get("scope").is_none()
    {
        parameters.set("scope", "Cluster");
    }
}

fn validate(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    let controller = spec.at("controller");
    if controller.text().len() > CONTROLLER_MAX {
        faults.push(FieldError::too_long(controller.path.clone(), CONTROLLER_MAX));
    }
    if controller.must(faults, "") {
        match controller.text().split_once('/').filter(|(host, path)| !host.is_empty() && !path.is_empty()) {
            None => controller.invalid(faults, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
            Some((host, _)) => {
                let wrong = names::dns1123_subdomain(host).into_iter();
                faults.extend(wrong.map(|why| FieldError::invalid(controller.path.clone(), host, why)));
            }
        }
    }
    let parameters = spec.at("parameters");
    if parameters.given() {
        of_parameters(&parameters, faults);
    }
}

fn of_parameters(parameters: &Place, faults: &mut Faults) {
    let (group, scope, namespace) = (parameters.at("apiGroup"), parameters.at("scope"), parameters.at("namespace"));
    if group.given() {
        group.invalid_for(faults, names::dns1123_subdomain(group.text()));
    }
    parameters.at("kind").must_pass(faults, names::path_segment);
    parameters.at("name").must_pass(faults, names::path_segment);
    match (scope.text(), namespace.given()) {
        ("Namespace", false) => namespace.required(faults, "`parameters.scope` is set to 'Namespace'"),
        ("Namespace", true) => namespace.invalid_for(faults, names::dns1123_label(namespace.text())),
        ("Cluster", true) => namespace.forbidden(faults, "`parameters.scope` is set to 'Cluster'"),
        ("Cluster", false) => {}
        _ => scope.must_be_one_of(faults, &["Cluster", "Namespace"]),
    }
}

fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    let controller = Place::root(object).down(&["spec", "controller"]);
    controller.unchanged(faults, old.at(&["spec", "controller"]).unwrap_or(&Tree::Null));
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let default = if meta::annotation(object, DEFAULT) == Some("true") { " (default)" } else { "" };
    let parameters = object.at(&["spec", "parameters"]).filter(|p| p.as_map().is_some()).map(|parameters| {
        let text = |field: &str| parameters.str_at(&[field]).unwrap_or_default();
        let group = parameters.str_at(&["apiGroup"]).map(|group| format!(".{group}")).unwrap_or_default();
        format!("{}{group}/{}", text("kind"), text("name"))
    });
    vec![
        Tree::text(format!("{}{default}", meta::name(object))),
        Tree::text(object.str_at(&["spec", "controller"]).unwrap_or_default()),
        cells::or_none(parameters.as_deref()),
        cells::age(object, now),
    ]
}
