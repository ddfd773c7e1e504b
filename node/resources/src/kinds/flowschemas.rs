//! FlowSchemas: which requests share a queue. Rules of `k8s.io/kubernetes/pkg/registry/flowcontrol/flowschema`. The
//! fixed values of the mandatory objects are the business of whoever makes them.

use super::place::Place;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{FieldError, Tree, meta, names};

const PRECEDENCE: i64 = 1000;
const PRECEDENCE_MAX: i64 = 10000;
const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

/// What is special about FlowSchemas.
pub const RULES: Rules =
    Rules { generation: true, default, validate, validate_status: conditions, cells: row, ..PLAIN };

fn default(object: &mut Tree) {
    if object.int_at(&["spec", "matchingPrecedence"]).unwrap_or_default() == 0 {
        object.set_at(&["spec", "matchingPrecedence"], PRECEDENCE);
    }
}

/// Conditions have a type, each its own.
pub fn conditions(object: &Tree, _old: &Tree, faults: &mut Faults) {
    let mut seen = Vec::new();
    for of in Place::root(object).down(&["status", "conditions"]).items().map(|c| c.at("type")) {
        if seen.contains(&of.text()) {
            of.duplicate(faults);
        }
        seen.push(of.text());
        of.must(faults, "");
    }
}

fn validate(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    let (precedence, method) = (spec.at("matchingPrecedence"), spec.at("distinguisherMethod"));
    match precedence.int().unwrap_or_default() {
        ..=0 => precedence.invalid(faults, "must be a positive value"),
        1 if meta::name(object) != "exempt" => {
            precedence.invalid(faults, "only the schema named 'exempt' may have matchingPrecedence 1");
        }
        value if value > PRECEDENCE_MAX => {
            precedence.invalid(faults, format!("must not be greater than {PRECEDENCE_MAX}"));
        }
        _ => {}
    }
    if method.given() {
        method.at("type").one_of(faults, &["ByNamespace", "ByUser"]);
    }
    let level = spec.at("priorityLevelConfiguration").at("name");
    if level.must(faults, "must reference a priority level") {
        level.invalid_for(faults, names::dns1123_subdomain(level.text()));
    }
    for rule in spec.at("rules").items() {
        let (resources, others) = (rule.at("resourceRules"), rule.at("nonResourceRules"));
        rule.at("subjects").must(faults, "subjects must contain at least one value");
        rule.at("subjects").items().for_each(|of| subject(&of, faults));
        if resources.len() == 0 && others.len() == 0 {
            rule.required(faults, "at least one of resourceRules and nonResourceRules has to be non-empty");
        }
        resources.items().for_each(|of| resource_rule(&of, faults));
        others.items().for_each(|of| other_rule(&of, faults));
    }
}

fn subject(subject: &Place, faults: &mut Faults) {
    let forms = [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let kind = subject.at("kind").text();
    if !forms.iter().any(|(of, _)| *of == kind) {
        return subject.at("kind").one_of(faults, &["Group", "ServiceAccount", "User"]);
    }
    for (of, field) in forms {
        let form = subject.at(field);
        if of != kind && form.given() {
            form.forbidden(faults, format!("{field} is forbidden when subject kind is not '{of}'"));
        } else if of == kind && !form.given() {
            form.required(faults, &format!("{field} is required when subject kind is '{of}'"));
        } else if of == kind {
            form.at("name").must(faults, "");
            if of == "ServiceAccount" && form.at("namespace").must(faults, "must specify namespace for service account")
            {
                form.at("namespace").invalid_for(faults, names::dns1123_label(form.at("namespace").text()));
            }
            if of == "ServiceAccount" && form.at("name").text() != "*" {
                form.at("name").may_pass(faults, names::dns1123_subdomain);
            }
        }
    }
}

/// A list that is not empty, in which `*` stands alone. Says whether it is that `*`.
fn list(place: &Place, none: &str, others: &str, faults: &mut Faults) -> bool {
    place.must(faults, none);
    let all = place.items().any(|item| item.text() == "*");
    if all && place.len() > 1 {
        place.invalid(faults, format!("if '*' is present, must not specify other {others}"));
    }
    all
}

fn verbs(place: &Place, faults: &mut Faults) {
    let all = list(place, "verbs must contain at least one value", "verbs", faults);
    if !all && place.items().any(|verb| !VERBS.contains(&verb.text())) {
        faults.push(FieldError::not_supported(place.path.clone(), place.value.clone(), VERBS));
    }
}

fn resource_rule(rule: &Place, faults: &mut Faults) {
    verbs(&rule.at("verbs"), faults);
    list(&rule.at("apiGroups"), "resource rules must supply at least one api group", "api groups", faults);
    list(&rule.at("resources"), "resource rules must supply at least one resource", "resources", faults);
    let namespaces = rule.at("namespaces");
    if namespaces.len() == 0 && rule.at("clusterScope").yes() {
        return;
    }
    let none = "resource rules that are not cluster scoped must supply at least one namespace";
    if !list(&namespaces, none, "namespaces", faults) {
        let intro = "each member of this list must be '*' or a DNS-1123 label; ";
        for name in namespaces.items() {
            let wrong = names::dns1123_label(name.text()).into_iter().map(|why| format!("{intro}{why}"));
            name.invalid_for(faults, wrong.collect());
        }
    }
}

fn other_rule(rule: &Place, faults: &mut Faults) {
    verbs(&rule.at("verbs"), faults);
    let urls = rule.at("nonResourceURLs");
    if list(&urls, "nonResourceURLs must contain at least one value", "non-resource URLs", faults) {
        return;
    }
    for url in urls.items() {
        let text = url.text();
        let stars = text.matches('*').count();
        let why = match text {
            "/" => continue,
            "" => "must not be empty",
            _ if !text.starts_with('/') => "must start with slash",
            _ if text.contains(' ') => "must not contain white-space",
            _ if text.contains("//") => "must not contain double slash",
            _ if stars > 1 || (stars == 1 && !text.ends_with("/*")) => "wildcard can only do suffix matching",
            _ => continue,
        };
        url.invalid(faults, why);
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let dangling = object.list_at(&["status", "conditions"]).iter().find(|c| c.str_at(&["type"]) == Some("Dangling"));
    let text = |path: &[&str], absent: &str| Tree::text(object.str_at(path).unwrap_or(absent));
    vec![
        Tree::text(meta::name(object)),
        text(&["spec", "priorityLevelConfiguration", "name"], ""),
        Tree::Int(object.int_at(&["spec", "matchingPrecedence"]).unwrap_or_default()),
        text(&["spec", "distinguisherMethod", "type"], "<none>"),
        cells::age(object, now),
        Tree::text(dangling.and_then(|c| c.str_at(&["status"])).unwrap_or("?")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_schema_names_a_level_and_precedence_one_is_taken() {
        let faults = |precedence: i64| {
            let mut faults = Faults::new();
            let level = tree!({"name": "l"});
            let mut object = tree!({"spec": {"matchingPrecedence": precedence, "priorityLevelConfiguration": level}});
            default(&mut object);
            validate(&object, &mut faults);
            faults.into_iter().map(|fault| fault.path.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(faults(0), [""; 0]);
        assert_eq!(faults(1), ["spec.matchingPrecedence"]);
    }
}
