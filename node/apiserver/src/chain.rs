//! How a request flows: one list, from the connection to the answer. Skipping a stage does not compile: a `Caller`
//! comes out of authentication only, and the verbs take a `Call`, which is made here after authorization.

use crate::authz::Action;
use crate::call::Call;
use crate::caller::Caller;
use crate::catalog::Resource;
use crate::reply::{self, Body};
use crate::request::{Query, RequestInfo};
use crate::server::Server;
use crate::socket::Socket;
use crate::subresources::connect;
use crate::{browser, discovery, impersonate, machine, monitor, paths, verbs};
use api::Status;
use bytes::Bytes;
use http_body_util::BodyExt;
use pki::Identity;
use std::sync::Arc;

/// Bytes that a body may have; upstream's limit.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Answers a request from outside. `certificate` is whom the client's certificate names, if it showed one that holds.
pub async fn answer(
    server: &Arc<Server>,
    certificate: Option<&Identity>,
    request: http::Request<Body>,
) -> http::Response<Body> {
    let now = std::time::SystemTime::from(server.world.clock.now());
    match server.authenticator.caller(certificate, request.headers(), request.uri(), now) {
        Ok(caller) => answer_as(server, caller, request).await,
        Err(status) => reply::failure(&status, accept(request.headers())),
    }
}

/// Answers a request of a known user: what components of this process call, too.
pub async fn answer_as(server: &Arc<Server>, caller: Caller, request: http::Request<Body>) -> http::Response<Body> {
    let (parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let info = RequestInfo::parse(&parts.method, parts.uri.path(), &query);
    let (headers, path) = (parts.headers.clone(), info.path.clone());
    tracing::trace!(verb = info.verb, path = info.path, user = caller.name(), "request");
    let incoming = Incoming { info, query, parts, body };
    let asked = monitor::Asked::begin(server, &incoming);
    let answered = route(server, caller, incoming).await;
    asked.answered(answered.unwrap_or_else(|status| {
        if status == Status::no_such_path() && !discovery::knows_root(server, &path) {
            return reply::text(404, "404 page not found\n");
        }
        if status.code >= 500 {
            tracing::warn!(code = status.code, message = status.message, "a request failed");
        }
        reply::failure(&status, accept(&headers))
    }))
}

fn accept(headers: &http::HeaderMap) -> Option<&str> {
    headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok())
}

/// A request that was read but for its body.
pub struct Incoming {
    /// What it asks for.
    pub info: RequestInfo,
    /// The query.
    pub query: Query,
    /// Method, headers, and the connection to take over for a stream.
    pub parts: http::request::Parts,
    /// The body, still on its way.
    pub body: Body,
}

async fn route(server: &Arc<Server>, caller: Caller, mut incoming: Incoming) -> Result<http::Response<Body>, Status> {
    let caller = impersonate::apply(server, caller, &incoming.parts.headers)?;
    if !machine::is_open(server, &incoming.parts.method, &incoming.info) {
        server.authorizer.check(&caller, &Action::from(&incoming.info))?;
    }
    if incoming.info.is_resource {
        let resource = find(server, &incoming.info)?;
        if let Some(connect) = connect::find(&resource, &incoming.info) {
            return connect::run(server, &caller, connect, incoming).await;
        }
        let socket = socket(&mut incoming)?;
        let call = read(server, caller, resource, incoming).await?;
        let mut response = verbs::run(server, &call).await?;
        reply::warn(&mut response, &call.warnings());
        return Ok(match socket {
            Some(socket) => socket.carry(response.into_body().into_data_stream()),
            None => response,
        });
    }
    let (method, path) = (&incoming.parts.method, &incoming.info.path);
    if let Some(answer) = discovery::answer(server, method, path, accept(&incoming.parts.headers)) {
        return answer;
    }
    if machine::is_below(&incoming.info.path) {
        return machine::answer(server, caller, incoming).await;
    }
    paths::answer(server, &incoming)
}

/// The connection of a watch that wants a WebSocket for bytes. Its client could set no `Accept`.
fn socket(incoming: &mut Incoming) -> Result<Option<Socket>, Status> {
    let parts = &mut incoming.parts;
    if incoming.info.verb != "watch" || !crate::socket::carries_bytes(&parts.headers) {
        return Ok(None);
    }
    if let Some(accept) = browser::accept(&parts.headers) {
        let value = http::HeaderValue::from_str(&accept).map_err(|error| Status::bad_request(error.to_string()))?;
        parts.headers.insert(http::header::ACCEPT, value);
    }
    Socket::take(parts)
}

/// The resource of a request, in the scope that its path has: a mismatch is no such path, before the store is touched.
/// Over all namespaces objects are listed and watched, and nothing else.
fn find(server: &Server, info: &RequestInfo) -> Result<Arc<Resource>, Status> {
    let catalog = server.catalog.load();
    let resource = catalog.find(&info.group, &info.version, &info.resource).ok_or_else(Status::no_such_path)?;
    let is_namespaces = info.group.is_empty() && info.resource == "namespaces";
    let scoped = !info.namespace.is_empty();
    let reads = matches!(info.verb.as_str(), "list" | "watch");
    let over_all = resource.namespaced && !scoped && (info.name.is_empty() || reads) && resource.allows("list");
    match is_namespaces || resource.namespaced == scoped || (over_all && reads) {
        true => Ok(resource.clone()),
        false if over_all => Err(verbs::refuse()),
        false => Err(Status::no_such_path()),
    }
}

async fn read(server: &Server, caller: Caller, resource: Arc<Resource>, incoming: Incoming) -> Result<Call, Status> {
    let Incoming { mut info, query, parts, body } = incoming;
    if info.group.is_empty() && info.resource == "namespaces" {
        info.namespace.clear();
    }
    let body = match parts.method {
        http::Method::GET | http::Method::HEAD => Bytes::new(),
        _ => whole(body, BODY_BYTES_MAX).await?,
    };
    Ok(Call::new(info, query, parts.headers, body, caller, resource, server.world.clock.now()))
}

/// The whole body, up to a limit in bytes.
pub(crate) async fn whole(mut body: Body, bytes_max: usize) -> Result<Bytes, Status> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::bad_request(format!("the body broke off: {error}")))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > bytes_max {
                return Err(Status::too_large(format!("limit is {bytes_max}")));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.into())
}
