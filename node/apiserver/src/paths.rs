//! Paths that are no resources: health, version, keys of service-account tokens, OpenAPI, the list of paths.

use crate::chain::Incoming;
use crate::openapi;
use crate::reply::{self, Body};
use crate::server::Server;
use api::{Status, tree};

/// Answers a path that is no resource and no discovery.
///
/// # Errors
/// 404 for an unknown path, 405 for a method other than GET.
pub fn answer(server: &Server, incoming: &Incoming) -> Result<http::Response<Body>, Status> {
    let path = incoming.info.path.as_str();
    let read = matches!(incoming.parts.method, http::Method::GET | http::Method::HEAD);
    if !read {
        let known = find(server, path, incoming).is_some();
        return Err(if known { crate::verbs::refuse() } else { Status::no_such_path() });
    }
    find(server, path, incoming).unwrap_or_else(|| Err(Status::no_such_path()))
}

fn find(server: &Server, path: &str, incoming: &Incoming) -> Option<Result<http::Response<Body>, Status>> {
    let trimmed = path.trim_end_matches('/');
    let answer = match trimmed {
        "/healthz" | "/livez" | "/readyz" => health(incoming),
        "/metrics" => reply::with_type(200, metrics::MEDIA_TYPE, reply::full(crate::monitor::page(server))),
        "/version" => reply::object(200, &server.config.version.to_tree()),
        "/openid/v1/jwks" => {
            reply::with_type(200, "application/jwk-set+json", reply::full(server.authenticator.keys().key_set()))
        }
        "/.well-known/openid-configuration" => {
            let issuer = &server.config.issuer;
            let keys = format!("{}/openid/v1/jwks", server.config.external_url);
            reply::json(200, server.authenticator.keys().configuration(issuer, &keys))
        }
        "" => reply::object(200, &tree!({"paths": (known(server))})),
        _ if ["/healthz/", "/livez/", "/readyz/"].iter().any(|p| trimmed.starts_with(p)) => one_check(trimmed)?,
        _ => return openapi::answer(server, trimmed, incoming),
    };
    Some(Ok(answer))
}

/// What health looks at. A server that answers has loaded its store, and a store that broke refuses writes itself.
const CHECKS: &[&str] = &["ping", "log", "etcd"];

fn health(incoming: &Incoming) -> http::Response<Body> {
    if !incoming.query.flag("verbose") {
        return reply::text(200, "ok");
    }
    let lines: String = CHECKS.iter().map(|check| format!("[+]{check} ok\n")).collect();
    reply::text(200, format!("{lines}{} check passed\n", incoming.info.path.trim_matches('/')))
}

fn one_check(path: &str) -> Option<http::Response<Body>> {
    let (_, check) = path.rsplit_once('/')?;
    CHECKS.contains(&check).then(|| reply::text(200, "ok"))
}

fn known(server: &Server) -> Vec<String> {
    let catalog = server.catalog.load();
    let mut paths: Vec<String> =
        ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/apis/", "/healthz"]
            .iter()
            .chain(&["/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"])
            .map(|p| (*p).to_owned())
            .collect();
    for group in catalog.groups().into_iter().filter(|g| !g.is_empty()) {
        paths.push(format!("/apis/{group}"));
        paths.extend(catalog.versions(&group).iter().map(|version| format!("/apis/{group}/{version}")));
    }
    paths.sort();
    paths
}
