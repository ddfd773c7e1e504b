//! Who is asked about requests: webhooks, admission policies and their bindings. Rules of
//! `k8s.io/kubernetes/pkg/registry/admissionregistration` and `pkg/apis/admissionregistration`. Expressions are
//! compiled by the API server; this file must not know CEL.

use super::place::Place;
use super::storage;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{Tree, meta, names};

const VERSIONED: Rules = Rules { generation: true, unconditional_update: false, ..PLAIN };
const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

/// What is special about ValidatingWebhookConfigurations.
pub const VALIDATING_HOOKS: Rules =
    Rules { default: |object| hook_defaults(object, false), validate: hooks, cells: hook_row, ..VERSIONED };
/// What is special about MutatingWebhookConfigurations.
pub const MUTATING_HOOKS: Rules = Rules { default: |object| hook_defaults(object, true), ..VALIDATING_HOOKS };
/// What is special about ValidatingAdmissionPolicies.
pub const VALIDATING: Rules = Rules {
    default: policy_defaults,
    validate: |object, faults| policy(object, false, faults),
    cells: |object, now| policy_row(object, "validations", now),
    ..VERSIONED
};
/// What is special about MutatingAdmissionPolicies.
pub const MUTATING: Rules = Rules {
    validate: |object, faults| policy(object, true, faults),
    cells: |object, now| policy_row(object, "mutations", now),
    ..VALIDATING
};
/// What is special about the bindings of both kinds of policies.
pub const BINDINGS: Rules = Rules {
    default: |o| match_defaults(o.at_mut(&["spec", "matchResources"])),
    validate: binding,
    cells: binding_row,
    ..VERSIONED
};

fn fill(object: &mut Tree, field: &'static str, value: impl Into<Tree>) {
    if object.get(field).is_none_or(Tree::is_null) {
        object.set(field, value);
    }
}

fn each(object: Option<&mut Tree>) -> impl Iterator<Item = &mut Tree> {
    object.and_then(Tree::as_list_mut).into_iter().flatten()
}

fn hook_defaults(object: &mut Tree, mutating: bool) {
    for hook in each(object.get_mut("webhooks")) {
        fill(hook, "failurePolicy", "Fail");
        fill(hook, "matchPolicy", "Equivalent");
        fill(hook, "namespaceSelector", Tree::map());
        fill(hook, "objectSelector", Tree::map());
        fill(hook, "timeoutSeconds", 10);
        if mutating {
            fill(hook, "reinvocationPolicy", "Never");
        }
        each(hook.get_mut("rules")).for_each(|rule| fill(rule, "scope", "*"));
        if let Some(service) = hook.at_mut(&["clientConfig", "service"]).filter(|s| s.as_map().is_some()) {
            fill(service, "port", 443);
        }
    }
}

fn match_defaults(resources: Option<&mut Tree>) {
    let Some(resources) = resources.filter(|r| r.as_map().is_some()) else { return };
    fill(resources, "matchPolicy", "Equivalent");
    fill(resources, "namespaceSelector", Tree::map());
    fill(resources, "objectSelector", Tree::map());
    for list in ["resourceRules", "excludeResourceRules"] {
        each(resources.get_mut(list)).for_each(|rule| fill(rule, "scope", "*"));
    }
}

fn policy_defaults(object: &mut Tree) {
    if let Some(spec) = object.get_mut("spec").filter(|s| s.as_map().is_some()) {
        fill(spec, "failurePolicy", "Fail");
        match_defaults(spec.get_mut("matchConstraints"));
    }
}

fn rule(rule: &Place, operations: &[&str], faults: &mut Faults) {
    for (field, others) in [("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions")]
    {
        let list = rule.at(field);
        list.must(faults, "");
        if list.len() > 1 && list.items().any(|item| item.text() == "*") {
            list.invalid(faults, format!("if '*' is present, must not specify other {others}"));
        }
    }
    rule.at("operations").items().for_each(|operation| operation.one_of(faults, operations));
    rule.at("apiVersions").items().for_each(|version| _ = version.must(faults, ""));
    rule.at("resources").must(faults, "");
    if rule.at("scope").given() {
        rule.at("scope").one_of(faults, &["*", "Cluster", "Namespaced"]);
    }
}

fn hooks(object: &Tree, faults: &mut Faults) {
    let mut seen = Vec::new();
    for hook in Place::root(object).at("webhooks").items() {
        let (name, config, timeout) = (hook.at("name"), hook.at("clientConfig"), hook.at("timeoutSeconds"));
        if name.must(faults, "") {
            name.invalid_for(faults, names::dns1123_subdomain(name.text()));
            if name.text().split('.').count() < 3 {
                name.invalid(faults, "should be a domain with at least three segments separated by dots");
            }
            if seen.contains(&name.text()) {
                name.duplicate(faults);
            }
            seen.push(name.text());
        }
        hook.at("rules").items().for_each(|of| rule(&of, OPERATIONS, faults));
        hook.at("failurePolicy").one_of(faults, &["Fail", "Ignore"]);
        hook.at("matchPolicy").one_of(faults, &["Equivalent", "Exact"]);
        if hook.at("sideEffects").given() {
            hook.at("sideEffects").one_of(faults, &["None", "NoneOnDryRun"]);
        } else {
            hook.at("sideEffects").required(faults, "must specify one of None, NoneOnDryRun");
        }
        if timeout.int().is_some_and(|seconds| !(1..=30).contains(&seconds)) {
            timeout.invalid(faults, "the timeout value must be between 1 and 30 seconds");
        }
        hook.at("namespaceSelector").label_selector(faults);
        hook.at("objectSelector").label_selector(faults);
        if config.at("url").given() == config.at("service").given() {
            config.required(faults, "exactly one of url or service is required");
        }
        let versions = hook.at("admissionReviewVersions");
        if versions.must(faults, "must specify one of v1, v1beta1")
            && !versions.items().any(|version| matches!(version.text(), "v1" | "v1beta1"))
        {
            versions.invalid(faults, "must include at least one of v1, v1beta1");
        }
    }
}

fn policy(object: &Tree, mutating: bool, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    spec.at("failurePolicy").must_be_one_of(faults, &["Fail", "Ignore"]);
    let (param, constraints) = (spec.at("paramKind"), spec.at("matchConstraints"));
    if param.given() {
        param.at("apiVersion").must(faults, "");
        param.at("kind").must(faults, "");
    }
    if constraints.given() {
        resources(&constraints, if mutating { &["*", "CREATE", "UPDATE"] } else { OPERATIONS }, faults);
        constraints.at("resourceRules").must(faults, "");
    } else {
        constraints.required(faults, "");
    }
    let mut seen = Vec::new();
    for name in spec.at("matchConditions").items().map(|condition| condition.at("name")) {
        name.must_pass(faults, names::label_key);
        if seen.contains(&name.text()) {
            name.duplicate(faults);
        }
        seen.push(name.text());
    }
    if mutating {
        spec.at("mutations").must(faults, "mutations must contain at least one item");
        spec.at("reinvocationPolicy").must_be_one_of(faults, &["IfNeeded", "Never"]);
    } else if spec.at("validations").len() == 0 && spec.at("auditAnnotations").len() == 0 {
        for field in ["validations", "auditAnnotations"] {
            spec.at(field).required(faults, "validations or auditAnnotations must contain at least one item");
        }
    }
    spec.at("validations").items().for_each(|validation| _ = validation.at("expression").must(faults, ""));
}

fn resources(place: &Place, operations: &[&str], faults: &mut Faults) {
    place.at("namespaceSelector").label_selector(faults);
    place.at("objectSelector").label_selector(faults);
    for list in ["resourceRules", "excludeResourceRules"] {
        place.at(list).items().for_each(|of| rule(&of, operations, faults));
    }
    if place.at("matchPolicy").given() {
        place.at("matchPolicy").one_of(faults, &["Equivalent", "Exact"]);
    }
}

fn binding(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    spec.at("policyName").must_pass(faults, names::dns1123_subdomain);
    let param = spec.at("paramRef");
    if param.given() {
        let (name, selector) = (param.at("name"), param.at("selector"));
        name.may_pass(faults, names::path_segment);
        selector.label_selector(faults);
        match (!name.text().is_empty(), selector.given()) {
            (true, true) => {
                name.forbidden(faults, "name and selector are mutually exclusive");
                selector.forbidden(faults, "name and selector are mutually exclusive");
            }
            (false, false) => param.required(faults, "one of name or selector must be specified"),
            _ => {}
        }
        param.at("parameterNotFoundAction").must_be_one_of(faults, &["Deny", "Allow"]);
    }
    resources(&spec.at("matchResources"), OPERATIONS, faults);
    if meta::kind(object) == "ValidatingAdmissionPolicyBinding" {
        let actions = spec.at("validationActions");
        actions.must(faults, "");
        actions.items().for_each(|action| action.one_of(faults, &["Audit", "Deny", "Warn"]));
    }
}

fn hook_row(object: &Tree, now: i64) -> Vec<Tree> {
    let hooks = object.list_at(&["webhooks"]).len() as i64;
    vec![Tree::text(meta::name(object)), Tree::Int(hooks), cells::age(object, now)]
}

fn policy_row(object: &Tree, list: &str, now: i64) -> Vec<Tree> {
    let text = |field: &str| object.str_at(&["spec", "paramKind", field]).unwrap_or_default();
    let given = object.map_at(&["spec", "paramKind"]).is_some();
    let param = if given { format!("{}/{}", text("apiVersion"), text("kind")) } else { "<unset>".to_owned() };
    let count = object.list_at(&["spec", list]).len() as i64;
    vec![Tree::text(meta::name(object)), Tree::Int(count), Tree::text(param), cells::age(object, now)]
}

fn binding_row(object: &Tree, now: i64) -> Vec<Tree> {
    let text = |field: &str| object.str_at(&["spec", "paramRef", field]).filter(|t| !t.is_empty());
    let param = match (text("name"), object.at(&["spec", "paramRef", "selector"])) {
        (Some(name), _) => Tree::text(format!("{}/{name}", text("namespace").unwrap_or("*"))),
        (None, Some(selector)) => super::labels_text::selector(Some(selector)),
        (None, None) => Tree::text("<unset>"),
    };
    vec![Tree::text(meta::name(object)), storage::unset_or(object, "policyName"), param, cells::age(object, now)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_webhook_fails_closed_within_ten_seconds() {
        let config = tree!({"service": {"name": "s", "namespace": "n"}});
        let hook = tree!({"name": "a.example.com", "clientConfig": config, "sideEffects": "None", "admissionReviewVersions": ["v1"]});
        let mut object = tree!({"webhooks": [hook]});
        hook_defaults(&mut object, true);
        let mut faults = Faults::new();
        hooks(&object, &mut faults);
        assert_eq!(faults, []);
        let hook = &object.list_at(&["webhooks"])[0];
        assert_eq!((hook.str_at(&["failurePolicy"]), hook.int_at(&["timeoutSeconds"])), (Some("Fail"), Some(10)));
        assert_eq!(hook.int_at(&["clientConfig", "service", "port"]), Some(443));
    }

    #[test]
    fn a_policy_checks_something() {
        let mut faults = Faults::new();
        let mut object = tree!({"spec": {"matchConstraints": {}}});
        policy_defaults(&mut object);
        policy(&object, false, &mut faults);
        let paths: Vec<String> = faults.iter().map(|fault| fault.path.to_string()).collect();
        assert_eq!(paths, ["spec.matchConstraints.resourceRules", "spec.validations", "spec.auditAnnotations"]);
    }
}
