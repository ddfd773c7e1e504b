//! Kinds that are answered and forgotten: is this token good, may this user do that, who am I. One line each in one
//! table. Rules of `k8s.io/kubernetes/pkg/registry/{authentication,authorization}`.

use crate::authn::Refusal;
use crate::authz::Action;
use crate::call::Call;
use crate::caller::Caller;
use crate::codec;
use crate::reply::{self, Body};
use crate::server::Server;
use crate::verbs::refuse;
use api::{FieldError, FieldPath, Status, Tree, tree};

type Answer = fn(&Server, &Call, &Tree) -> Result<Tree, Status>;

/// Plural, and what fills in the status.
const TABLE: &[(&str, Answer)] = &[
    ("tokenreviews", token_review),
    ("selfsubjectreviews", self_review),
    ("subjectaccessreviews", access_review),
    ("localsubjectaccessreviews", local_access_review),
    ("selfsubjectaccessreviews", self_access_review),
    ("selfsubjectrulesreviews", rules_review),
];

/// Answers a POST of a review, or of a binding in its old form.
///
/// # Errors
/// 400 and 422 for a review that makes no sense.
pub async fn run(server: &Server, call: &Call) -> Result<http::Response<Body>, Status> {
    let Some((_, answer)) = TABLE.iter().find(|(plural, _)| *plural == call.resource.plural) else {
        return Err(refuse());
    };
    call.accepted(false)?;
    let mut review = codec::decode(call)?;
    if call.resource.namespaced {
        crate::metadata::place(&mut review, &call.info.namespace)?;
    }
    let status = answer(server, call, &review)?;
    review.set("status", status);
    if call.resource.plural == "selfsubjectreviews" {
        review.set_at(&["metadata", "creationTimestamp"], crate::clock::rfc3339(call.received));
    }
    codec::normalize(&call.resource, &mut review);
    reply::tree(call, &review, 201)
}

fn user_tree(caller: &Caller) -> Tree {
    let mut user = tree!({"username": (caller.name()), "groups": (caller.groups().to_vec())});
    if !caller.uid().is_empty() {
        user.set("uid", caller.uid());
    }
    if !caller.extra().is_empty() {
        user.set("extra", caller.extra().iter().map(|(k, v)| (k.as_str(), v.clone())).collect::<api::Map>());
    }
    user
}

fn token_review(server: &Server, call: &Call, review: &Tree) -> Result<Tree, Status> {
    let token = review.str_at(&["spec", "token"]).unwrap_or_default();
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences: Vec<String> =
        review.list_at(&["spec", "audiences"]).iter().filter_map(Tree::as_str).map(str::to_owned).collect();
    match server.authenticator.token(token, &audiences, call.received.into()) {
        Ok(found) => {
            let mut status = tree!({"authenticated": true, "user": (user_tree(&found.caller))});
            status.set("audiences", found.audiences);
            Ok(status)
        }
        Err(Refusal::Foreign) => Ok(tree!({"user": {}, "error": "invalid bearer token"})),
        Err(Refusal::Stale(why)) => Ok(tree!({"user": {}, "error": (format!("[invalid bearer token, {why}]"))})),
    }
}

fn self_review(_: &Server, call: &Call, _: &Tree) -> Result<Tree, Status> {
    Ok(tree!({"userInfo": (user_tree(&call.caller))}))
}

/// What a review asks about.
fn action(review: &Tree) -> Action {
    let text = |path: &[&str]| review.str_at(path).unwrap_or_default().to_owned();
    if review.at(&["spec", "resourceAttributes"]).is_some() {
        let field = |name: &str| text(&["spec", "resourceAttributes", name]);
        return Action {
            verb: field("verb"),
            group: field("group"),
            version: field("version"),
            resource: field("resource"),
            subresource: field("subresource"),
            namespace: field("namespace"),
            name: field("name"),
            path: String::new(),
            is_resource: true,
            fields: reviewed_fields(review),
        };
    }
    let field = |name: &str| text(&["spec", "nonResourceAttributes", name]);
    Action { verb: field("verb"), path: field("path"), ..Action::default() }
}

/// The requirements of a reviewed field selector that name one value.
fn reviewed_fields(review: &Tree) -> Vec<(String, String)> {
    let selector = ["spec", "resourceAttributes", "fieldSelector"];
    let raw = review.str_at(&[selector[0], selector[1], selector[2], "rawSelector"]).unwrap_or_default();
    let mut fields = crate::request::exact_fields(raw);
    for wanted in review.list_at(&[selector[0], selector[1], selector[2], "requirements"]) {
        let values = wanted.list_at(&["values"]);
        if let (Some(key), Some("In"), [Tree::Text(value)]) =
            (wanted.str_at(&["key"]), wanted.str_at(&["operator"]), values)
        {
            fields.push((key.to_owned(), value.clone()));
        }
    }
    fields
}

fn decide(server: &Server, caller: &Caller, review: &Tree) -> Tree {
    let decision = server.authorizer.decide(caller, &action(review));
    let mut status = tree!({"allowed": (decision.allowed)});
    if !decision.reason.is_empty() {
        status.set("reason", decision.reason);
    }
    status
}

/// The group alone: upstream's refusals of reviews leave the kind out.
fn nameless(call: &Call) -> api::status::GroupName {
    api::status::GroupName::new(call.resource.group.as_str(), "")
}

fn check_spec(call: &Call, review: &Tree, subject: bool) -> Result<(), Status> {
    let mut faults = Vec::new();
    let path = FieldPath::of(&["spec"]);
    let resource = review.at(&["spec", "resourceAttributes"]).is_some();
    let other = review.at(&["spec", "nonResourceAttributes"]).is_some();
    if resource && other {
        let why = "cannot be specified in combination with resourceAttributes";
        // Upstream shows its internal form, whose fields have other names.
        let text = |field: &str| review.str_at(&["spec", "nonResourceAttributes", field]).unwrap_or_default();
        let value = tree!({"Path": (text("path")), "Verb": (text("verb"))});
        faults.push(FieldError::invalid(path.field("nonResourceAttributes"), value, why));
    }
    if !resource && !other {
        let value = Tree::Null;
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        faults.push(FieldError::invalid(path.field("resourceAttributes"), value, why));
    }
    let nobody = review.str_at(&["spec", "user"]).unwrap_or_default().is_empty()
        && review.list_at(&["spec", "groups"]).is_empty();
    if subject && nobody {
        faults.push(FieldError::invalid(path.field("user"), "", "at least one of user or group must be specified"));
    }
    if faults.is_empty() { Ok(()) } else { Err(Status::invalid(&nameless(call), "", &faults)) }
}

fn subject(review: &Tree) -> Caller {
    let texts = |list: &[Tree]| list.iter().filter_map(Tree::as_str).map(str::to_owned).collect::<Vec<_>>();
    let text = |field: &str| review.str_at(&["spec", field]).unwrap_or_default().to_owned();
    let extra = review.map_at(&["spec", "extra"]).into_iter().flatten();
    let extra = extra.map(|(key, values)| (key.to_string(), texts(values.as_list().unwrap_or_default()))).collect();
    Caller::impersonated(text("user"), text("uid"), texts(review.list_at(&["spec", "groups"])), extra)
}

fn access_review(server: &Server, call: &Call, review: &Tree) -> Result<Tree, Status> {
    check_spec(call, review, true)?;
    Ok(decide(server, &subject(review), review))
}

fn local_access_review(server: &Server, call: &Call, review: &Tree) -> Result<Tree, Status> {
    check_spec(call, review, true)?;
    let own = review.str_at(&["spec", "resourceAttributes", "namespace"]).unwrap_or_default();
    if own != call.info.namespace {
        let path = FieldPath::of(&["spec", "resourceAttributes", "namespace"]);
        let fault = FieldError::invalid(path, own, "must match metadata.namespace");
        return Err(Status::invalid(&nameless(call), "", &[fault]));
    }
    Ok(decide(server, &subject(review), review))
}

fn self_access_review(server: &Server, call: &Call, review: &Tree) -> Result<Tree, Status> {
    check_spec(call, review, false)?;
    Ok(decide(server, &call.caller, review))
}

fn rules_review(server: &Server, call: &Call, review: &Tree) -> Result<Tree, Status> {
    let namespace = review.str_at(&["spec", "namespace"]).unwrap_or_default();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let reviewed = server.authorizer.rules(&call.caller, namespace);
    let (resources, paths): (Vec<_>, Vec<_>) = reviewed.rules.iter().partition(|rule| rule.paths.is_empty());
    let trees = |rules: Vec<&crate::authz::PolicyRule>| {
        rules.into_iter().map(crate::authz::PolicyRule::to_tree).collect::<Vec<_>>()
    };
    let mut status = tree!({
        "resourceRules": (trees(resources)),
        "nonResourceRules": (trees(paths)),
        "incomplete": (!reviewed.missing.is_empty())
    });
    if !reviewed.missing.is_empty() {
        status.set("evaluationError", format!("roles are missing: {}", reviewed.missing.join(", ")));
    }
    Ok(status)
}
