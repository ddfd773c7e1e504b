//! `serviceaccounts/token`: gives out a token bound to an object and a time. Rules of
//! `k8s.io/kubernetes/pkg/registry/core/serviceaccount/storage/token.go`.

use crate::call::Call;
use crate::clock::{rfc3339, uid};
use crate::codec;
use crate::reply::{self, Body};
use crate::server::Server;
use api::status::GroupName;
use api::{FieldError, FieldPath, Status, Tree, meta};
use jiff::SignedDuration;
use pki::token::{Bound, Claims, Reference, Wanted};

/// Shortest life of a token, seconds; upstream's.
const SECONDS_MIN: i64 = 600;
/// Longest that can be asked for, seconds; upstream's.
const SECONDS_MAX: i64 = 1 << 32;
/// Life of a token that asks for nothing, seconds.
const SECONDS_DEFAULT: i64 = 3600;
/// A projected token asks for this many seconds and lives a year, so that old clients that never reread it go on;
/// it warns after what it asked for. Upstream's numbers.
const EXTENDED_FOR: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

/// Answers a POST.
///
/// # Errors
/// 404 for an account or object that is gone, 422 for a life that is too short or too long, 409 for another uid.
pub async fn run(server: &Server, call: &Call) -> Result<http::Response<Body>, Status> {
    let schema = resources::schema_named("io.k8s.api.authentication.v1.TokenRequest");
    let mut request = codec::decode_as(call, &schema, "authentication.k8s.io/v1", "TokenRequest")?;
    let (namespace, name) = (call.info.namespace.as_str(), call.info.name.as_str());
    let account = server.object(&call.resource, namespace, name)?;
    let account = account.ok_or_else(|| Status::not_found(&call.resource.named(), name))?;
    let wanted = request.str_at(&["metadata", "name"]).unwrap_or(name).to_owned();
    if wanted != name && !wanted.is_empty() {
        return Err(Status::bad_request(format!(
            "name on the URL ({name}) does not match the name in the request ({wanted})"
        )));
    }
    let seconds = request.int_at(&["spec", "expirationSeconds"]).unwrap_or(SECONDS_DEFAULT);
    check_seconds(seconds)?;
    let mut audiences: Vec<String> =
        request.list_at(&["spec", "audiences"]).iter().filter_map(Tree::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences.clone_from(&server.config.audiences);
        request.set_at(&["spec", "audiences"], audiences.clone());
    }
    let bound = bound(server, namespace, &request)?;
    let extend = seconds == EXTENDED_FOR && matches!(bound, Bound::Pod(..)) && audiences == server.config.audiences;
    let (life, warn_after) = if extend { (EXTENDED_SECONDS, seconds) } else { (seconds, 0) };
    let now = server.world.clock.now();
    let claims = Claims::new(
        Wanted {
            issuer: &server.config.issuer,
            namespace,
            account: Reference { name: name.to_owned(), uid: meta::uid(&account).to_owned() },
            bound,
            audiences,
            seconds: life,
            warn_after,
            id: uid(&*server.world.random),
        },
        now.into(),
    );
    let token = server.authenticator.keys().sign(&claims).map_err(Status::internal)?;
    let expires = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(now);
    request.set_at(&["metadata", "name"], name);
    request.set_at(&["metadata", "namespace"], namespace);
    request.set_at(&["metadata", "uid"], uid(&*server.world.random));
    request.set_at(&["metadata", "creationTimestamp"], server.world.stamp());
    request.set_at(&["spec", "expirationSeconds"], seconds);
    request.set_at(&["status", "token"], token);
    request.set_at(&["status", "expirationTimestamp"], rfc3339(expires));
    schema::normalize(&schema, &mut request);
    reply::in_encoding(201, &request, call.accepted(false)?.encoding, Some(&schema))
}

fn check_seconds(seconds: i64) -> Result<(), Status> {
    let why = match seconds {
        s if s < SECONDS_MIN => "may not specify a duration less than 10 minutes",
        s if s > SECONDS_MAX => "may not specify a duration larger than 2^32 seconds",
        _ => return Ok(()),
    };
    let fault = FieldError::invalid(FieldPath::of(&["spec", "expirationSeconds"]), seconds, why);
    Err(Status::invalid(&GroupName::new("authentication.k8s.io", "TokenRequest"), "", &[fault]))
}

/// The object that the token shall be bound to.
fn bound(server: &Server, namespace: &str, request: &Tree) -> Result<Bound, Status> {
    let Some(wanted) = request.at(&["spec", "boundObjectRef"]) else { return Ok(Bound::Nothing) };
    let text = |field: &str| wanted.str_at(&[field]).unwrap_or_default().to_owned();
    let (kind, name, uid) = (text("kind"), text("name"), text("uid"));
    let find = |plural: &str, namespace: &str| -> Result<(Tree, Reference), Status> {
        let resource = server.resource("", "v1", plural)?;
        let object = server.object(&resource, namespace, &name)?;
        let object = object.ok_or_else(|| Status::not_found(&GroupName::new("", plural), &name))?;
        if !uid.is_empty() && uid != meta::uid(&object) {
            let why = format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            );
            return Err(Status::conflict(&GroupName::new("", plural), &name, why));
        }
        let reference = Reference { name: name.clone(), uid: meta::uid(&object).to_owned() };
        Ok((object, reference))
    };
    match kind.as_str() {
        "Pod" => {
            let (pod, reference) = find("pods", namespace)?;
            let node = pod.str_at(&["spec", "nodeName"]).filter(|n| !n.is_empty()).map(|node| {
                let resource = server.resource("", "v1", "nodes")?;
                let uid = server.object(&resource, "", node)?.map(|n| meta::uid(&n).to_owned()).unwrap_or_default();
                Ok::<_, Status>(Reference { name: node.to_owned(), uid })
            });
            Ok(Bound::Pod(reference, node.transpose()?))
        }
        "Secret" => find("secrets", namespace).map(|(_, reference)| Bound::Secret(reference)),
        "Node" => find("nodes", "").map(|(_, reference)| Bound::Node(reference)),
        other => Err(Status::bad_request(format!("cannot bind token for serviceaccount to object of type {other}"))),
    }
}
