//! Subresources: one file each for what they do, one line each in one table. `status` is the same for all kinds; most
//! others write a part of their object and no more.

mod binding;
pub mod connect;
mod eviction;
mod overlay;
mod scale;
mod token;

use crate::call::Call;
use crate::reply::Body;
use crate::server::Server;
use crate::verbs::{check_options, refuse};
use crate::write::{self, Part};
use crate::{patch, read};
use api::Status;
use resources::{EPHEMERAL_CONTAINERS, PLAIN, RESIZE, Rules};

/// How a subresource is answered.
enum Handler {
    /// Reads and writes the object; a write changes what `overlay` takes over.
    Overlay(overlay::Overlay),
    /// `Scale` over a kind with replicas.
    Scale,
    /// Puts a pod on a node.
    Binding,
    /// Deletes a pod if its disruption budget allows it.
    Eviction,
    /// Gives out a service account's token.
    Token,
}

/// Group, plural, subresource, handler. `status` and `scale` are found by name alone.
const TABLE: &[(&str, &str, &str, Handler)] = &[
    ("", "namespaces", "finalize", Handler::Overlay(overlay::finalizers)),
    ("", "pods", "ephemeralcontainers", Handler::Overlay(overlay::ephemeral_containers)),
    ("", "pods", "resize", Handler::Overlay(overlay::resize)),
    ("", "pods", "binding", Handler::Binding),
    ("", "pods", "eviction", Handler::Eviction),
    ("", "serviceaccounts", "token", Handler::Token),
    ("certificates.k8s.io", "certificatesigningrequests", "approval", Handler::Overlay(overlay::approval)),
];

/// Group, plural, subresource, and the rules that its changes are judged by, where they are not the object's own.
const RULES: &[(&str, &str, &str, &Rules)] = &[
    // The scheduler sets a field that nobody else may change; upstream judges nothing but the target.
    ("", "pods", "binding", &PLAIN),
    ("", "pods", "ephemeralcontainers", &EPHEMERAL_CONTAINERS),
    ("", "pods", "resize", &RESIZE),
];

/// The rules of a change through this call's subresource.
pub fn rules(call: &Call) -> &'static Rules {
    let (group, plural, name) = (&call.resource.group, &call.resource.plural, &call.info.subresource);
    let own = RULES.iter().find(|(g, p, s, _)| g == group && p == plural && s == name);
    own.map_or(call.resource.rules, |(.., rules)| rules)
}

fn handler(call: &Call) -> Option<&'static Handler> {
    let (group, plural, name) = (&call.resource.group, &call.resource.plural, &call.info.subresource);
    let line = TABLE.iter().find(|(g, p, s, _)| g == group && p == plural && s == name);
    line.map(|(.., handler)| handler).or_else(|| (name == "scale").then_some(&Handler::Scale))
}

/// Answers a request for a subresource.
///
/// # Errors
/// 404 for an unknown subresource, 405 for a verb that is not served, and what the handler says.
pub async fn run(server: &Server, call: &Call) -> Result<http::Response<Body>, Status> {
    let sub = call.resource.subresource(&call.info.subresource).ok_or_else(Status::no_such_path)?;
    if !sub.verbs.contains(&call.info.verb) {
        return Err(refuse());
    }
    check_options(call)?;
    if call.info.subresource == "status" {
        return match call.info.verb.as_str() {
            "get" => read::get(server, call).await,
            "update" => write::update(server, call, Part::Status).await,
            _ => patch::patch(server, call, Part::Status).await,
        };
    }
    match handler(call) {
        Some(Handler::Overlay(overlay)) => overlay::run(server, call, *overlay).await,
        Some(Handler::Scale) => scale::run(server, call).await,
        Some(Handler::Binding) => binding::run(server, call).await,
        Some(Handler::Eviction) => eviction::run(server, call).await,
        Some(Handler::Token) => token::run(server, call).await,
        None => Err(Status::new(
            501,
            "NotImplemented",
            format!("{}/{} is not served by this machine", call.resource.plural, sub.name),
        )),
    }
}
