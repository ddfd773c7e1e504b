//! `pods/proxy`, `services/proxy` and `nodes/proxy`: HTTP through the server to what a name in the path stands for. Rules
//! of `ResourceLocation` in `k8s.io/kubernetes/pkg/registry/core/{pod,service,node}` and of
//! `k8s.io/apimachinery/pkg/util/proxy`.

use super::rewrite::{self, Place};
use super::{html, kubelet, pass, pod};
use crate::chain::Incoming;
use crate::outgoing::{Security, Target};
use crate::reply::{Body, full};
use crate::server::Server;
use api::status::GroupName;
use api::{Status, Tree};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use std::net::IpAddr;

const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// Scheme, name and port of `name`, `name:port` or `scheme:name:port`; the last two may be empty.
fn split(id: &str) -> Option<(&str, &str, &str)> {
    let (scheme, name, port) = match id.split(':').collect::<Vec<_>>().as_slice() {
        [name] => ("", *name, ""),
        [name, port] => ("", *name, *port),
        [scheme, name, port] => (*scheme, *name, *port),
        _ => return None,
    };
    (!name.is_empty() && matches!(scheme, "" | "http" | "https")).then_some((scheme, name, port))
}

fn security(scheme: &str) -> Security {
    if scheme == "https" { Security::Unchecked } else { Security::Plain }
}

/// Refuses addresses that lead back into this machine or to many: upstream's guard against being used to reach what only
/// the server can reach.
fn allowed(address: &str) -> bool {
    match address.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => {
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_link_local() || ip.is_broadcast())
        }
        Ok(IpAddr::V6(ip)) => {
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_unicast_link_local())
        }
        Err(_) => false,
    }
}

fn port(scheme: &str, text: &str, kind: &str, id: &str) -> Result<u16, Status> {
    match text {
        "" if scheme == "https" => Ok(443),
        "" => Ok(80),
        text => text.parse().map_err(|_| Status::bad_request(format!("invalid {kind} request {id:?}"))),
    }
}

/// Proxies to a pod.
///
/// # Errors
/// 404 and 400 about the pod, 503 when it cannot be reached.
pub async fn pod(server: &Server, incoming: Incoming) -> Result<http::Response<Body>, Status> {
    let id = incoming.info.name.clone();
    let (scheme, name, wanted) =
        split(&id).ok_or_else(|| Status::bad_request(format!("invalid pod request {id:?}")))?;
    let found = pod::find(server, &incoming.info.namespace, name)?;
    let first = || {
        let ports = found.list_at(&["spec", "containers"]).iter().flat_map(|c| c.list_at(&["ports"]).first());
        ports.filter_map(|port| port.int_at(&["containerPort"])).next().map(|port| port.to_string())
    };
    let wanted = if wanted.is_empty() { first().unwrap_or_default() } else { wanted.to_owned() };
    let host = pod::address(&found);
    if !allowed(host) {
        return Err(Status::bad_request("address not allowed"));
    }
    let port = port(scheme, &wanted, "pod", &id)?;
    serve(server, incoming, Target { host: host.to_owned(), port, security: security(scheme) }).await
}

/// Proxies to a node: its kubelet, or another port.
///
/// # Errors
/// 404 and 400 about the node, 503 when it cannot be reached.
pub async fn node(server: &Server, incoming: Incoming) -> Result<http::Response<Body>, Status> {
    let id = incoming.info.name.clone();
    let (scheme, name, wanted) =
        split(&id).ok_or_else(|| Status::bad_request(format!("invalid node request {id:?}")))?;
    let mut target = kubelet::of(server, name)?;
    if target.host.parse::<IpAddr>().is_ok() && !allowed(&target.host) {
        return Err(Status::bad_request("address not allowed"));
    }
    if !wanted.is_empty() && wanted != target.port.to_string() {
        target = Target { port: port(scheme, wanted, "node", &id)?, security: security(scheme), ..target };
    }
    serve(server, incoming, target).await
}

/// Proxies to one of the pods behind a service.
///
/// # Errors
/// 404 and 400 about the service, 503 when it has no pod or it cannot be reached.
pub async fn service(server: &Server, incoming: Incoming) -> Result<http::Response<Body>, Status> {
    let (id, namespace) = (incoming.info.name.clone(), incoming.info.namespace.clone());
    let (scheme, name, wanted) =
        split(&id).ok_or_else(|| Status::bad_request(format!("invalid service request {id:?}")))?;
    let mut wanted = wanted.to_owned();
    if let Ok(number) = wanted.parse::<i64>() {
        let services = server.resource("", "v1", "services")?;
        let found = server.object(&services, &namespace, name)?;
        let found = found.ok_or_else(|| Status::not_found(&GroupName::new("", "services"), name))?;
        let port = found.list_at(&["spec", "ports"]).iter().find(|p| p.int_at(&["port"]) == Some(number));
        let missing = || Status::unavailable(format!("no service port {number} found for service {name:?}"));
        wanted = port.ok_or_else(missing)?.str_at(&["name"]).unwrap_or_default().to_owned();
    }
    let endpoints = server.resource("", "v1", "endpoints")?;
    let found = server.object(&endpoints, &namespace, name)?;
    let found = found.ok_or_else(|| Status::not_found(&GroupName::new("", "endpoints"), name))?;
    let subsets = found.list_at(&["subsets"]);
    if subsets.is_empty() {
        return Err(Status::unavailable(format!("no endpoints available for service {name:?}")));
    }
    let pods = server.resource("", "v1", "pods")?;
    let of_pod = |address: &Tree| -> Result<bool, Status> {
        if address.str_at(&["targetRef", "kind"]) != Some("Pod") {
            return Ok(false);
        }
        let pod = address.str_at(&["targetRef", "name"]).unwrap_or_default();
        let Some(pod) = server.object(&pods, &namespace, pod)? else { return Ok(false) };
        let ip = address.str_at(&["ip"]);
        Ok(pod.list_at(&["status", "podIPs"]).iter().any(|entry| entry.str_at(&["ip"]) == ip))
    };
    let mut choices: Vec<(String, u16)> = Vec::new();
    for (address, port) in candidates(subsets, &wanted) {
        if of_pod(address)? {
            choices.push((address.str_at(&["ip"]).unwrap_or_default().to_owned(), port));
        }
    }
    if choices.is_empty() {
        return Err(Status::unavailable(format!("no endpoints available for service {id:?}")));
    }
    let mut chance = [0u8; 2];
    server.world.random.fill(&mut chance);
    let (host, port) = choices.swap_remove(usize::from(u16::from_le_bytes(chance)) % choices.len());
    if !allowed(&host) {
        return Err(Status::bad_request("address not allowed"));
    }
    serve(server, incoming, Target { host, port, security: security(scheme) }).await
}

/// The addresses that have a port of that name, with its number.
fn candidates<'a>(subsets: &'a [Tree], port: &'a str) -> impl Iterator<Item = (&'a Tree, u16)> {
    subsets.iter().flat_map(move |subset| {
        let found = subset.list_at(&["ports"]).iter().find(|p| p.str_at(&["name"]).unwrap_or_default() == port);
        let number = found.and_then(|p| p.int_at(&["port"])).and_then(|p| u16::try_from(p).ok());
        let addresses = subset.list_at(&["addresses"]).iter().filter(move |_| number.is_some());
        addresses.map(move |address| (address, number.unwrap_or_default()))
    })
}

async fn serve(server: &Server, incoming: Incoming, target: Target) -> Result<http::Response<Body>, Status> {
    let Incoming { info, parts, body, .. } = incoming;
    let whole = parts.uri.path();
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let prefix = whole[..whole.len() - info.rest.len()].trim_end_matches('/').to_owned();
    let path = rewrite::clean(&info.rest, whole.ends_with('/'));
    if pass::wants_upgrade(&parts.headers) {
        let uri = format!("{}{query}", if path.is_empty() { "/" } else { &path });
        return pass::upgrade(server, &target, &uri, parts, body).await;
    }
    if path.is_empty() && matches!(parts.method, Method::GET | Method::HEAD) {
        let mut moved = http::Response::new(full(""));
        *moved.status_mut() = StatusCode::MOVED_PERMANENTLY;
        let to = HeaderValue::from_str(&format!("{whole}/{query}")).map_err(Status::internal)?;
        moved.headers_mut().insert(header::LOCATION, to);
        return Ok(moved);
    }
    let mut headers = pass::headers(&parts);
    pass::end_to_end(&mut headers);
    // Pages are rewritten below, so they must come as they are.
    headers.remove(header::ACCEPT_ENCODING);
    if let Ok(uri) = HeaderValue::from_str(&format!("{prefix}{path}")) {
        headers.insert(FORWARDED_URI, uri);
    }
    let host = headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let uri = format!("{}{query}", if path.is_empty() { "/" } else { &path });
    let mut request = http::Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = uri.parse().map_err(|_| Status::bad_request(format!("{uri:?} is no path")))?;
    *request.headers_mut() = headers;
    let answer = server.outgoing.send(&target, request).await;
    let answer = answer.map_err(|why| Status::unavailable(format!("error trying to reach service: {why}")))?;
    Ok(returned(answer, Place { prefix, backend: target.authority(), host }))
}

/// The answer as the client gets it: redirects and the links of pages lead through the proxy again.
fn returned(answer: http::Response<hyper::body::Incoming>, place: Place) -> http::Response<Body> {
    let (mut parts, body) = answer.into_parts();
    pass::end_to_end(&mut parts.headers);
    let text = |name: HeaderName| parts.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    if let Some(location) = text(header::LOCATION) {
        if let Ok(value) = HeaderValue::from_str(&place.rewrite(&location)) {
            parts.headers.insert(header::LOCATION, value);
        }
        return http::Response::from_parts(parts, pass::body(body));
    }
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    let page = kind.split(';').next().is_some_and(|kind| kind.trim() == "text/html");
    if !page || parts.headers.contains_key(header::CONTENT_ENCODING) {
        return http::Response::from_parts(parts, pass::body(body));
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    http::Response::from_parts(parts, html::rewritten(pass::body(body), place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn names_may_carry_a_scheme_and_a_port() {
        assert_eq!(split("web"), Some(("", "web", "")));
        assert_eq!(split("web:http"), Some(("", "web", "http")));
        assert_eq!(split("https:web:"), Some(("https", "web", "")));
        assert_eq!(split("https:web:443"), Some(("https", "web", "443")));
        for bad in ["", ":80", "ftp:web:21", "a:b:c:d"] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_of_this_machine_are_not_proxied_to() {
        for good in ["10.244.0.7", "fd00::7", "192.168.1.1"] {
            assert!(allowed(good), "{good}");
        }
        for bad in ["127.0.0.1", "::1", "0.0.0.0", "169.254.1.1", "224.0.0.1", "fe80::1", "::ffff:127.0.0.1", "", "web"]
        {
            assert!(!allowed(bad), "{bad}");
        }
    }

    #[test]
    fn a_port_of_a_service_is_found_by_its_name_in_every_subset() {
        let endpoints = tree!({"subsets": [
            {"addresses": [{"ip": "10.0.0.1"}], "ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]},
            {"addresses": [{"ip": "10.0.0.2"}, {"ip": "10.0.0.3"}], "ports": [{"name": "b", "port": 3}]},
            {"notReadyAddresses": [{"ip": "10.0.0.4"}], "ports": [{"name": "b", "port": 4}]},
            {"addresses": [{"ip": "10.0.0.5"}], "ports": [{"port": 5}]}
        ]});
        let check = |port: &str| -> Vec<String> {
            let found = candidates(endpoints.list_at(&["subsets"]), port);
            found.map(|(a, port)| format!("{}:{port}", a.str_at(&["ip"]).unwrap())).collect()
        };
        assert_eq!(check("b"), ["10.0.0.1:2", "10.0.0.2:3", "10.0.0.3:3"]);
        assert_eq!(check(""), ["10.0.0.5:5"]);
        assert!(check("c").is_empty());
    }
}
