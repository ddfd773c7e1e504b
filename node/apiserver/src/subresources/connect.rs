//! Subresources that connect: logs, remote commands, port forwarding, proxies. The server stands between the client and a
//! kubelet or a pod, and passes on what it does not read. Rules of `k8s.io/kubernetes/pkg/registry/core/pod/rest`,
//! `…/node/rest` and `…/service`.

mod html;
pub mod kubelet;
mod log;
mod pass;
mod pod;
mod proxy;
mod rewrite;
mod stream;

use crate::caller::Caller;
use crate::catalog::Resource;
use crate::chain::Incoming;
use crate::reply::Body;
use crate::request::RequestInfo;
use crate::server::Server;
use crate::verbs::refuse;
use api::Status;
use http::Method;

/// What is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connect {
    /// A container's log.
    Log,
    /// A new command in a container.
    Exec,
    /// A container's first process.
    Attach,
    /// Ports of a pod.
    PortForward,
    /// HTTP in a pod.
    Pod,
    /// HTTP behind a service.
    Service,
    /// HTTP on a node, its kubelet by default.
    Node,
}

/// Plural (of the core group), subresource, what it connects to.
const TABLE: &[(&str, &str, Connect)] = &[
    ("pods", "log", Connect::Log),
    ("pods", "exec", Connect::Exec),
    ("pods", "attach", Connect::Attach),
    ("pods", "portforward", Connect::PortForward),
    ("pods", "proxy", Connect::Pod),
    ("services", "proxy", Connect::Service),
    ("nodes", "proxy", Connect::Node),
];

/// What a request connects to, if it does.
#[must_use]
pub fn find(resource: &Resource, info: &RequestInfo) -> Option<Connect> {
    let of = |(plural, sub, _): &&(&str, &str, Connect)| *plural == resource.plural && *sub == info.subresource;
    TABLE.iter().filter(|_| resource.group.is_empty()).find(of).map(|(.., connect)| *connect)
}

impl Connect {
    fn takes(self, method: &Method) -> bool {
        match self {
            Connect::Log => *method == Method::GET,
            // A browser opens its WebSocket by GET.
            Connect::Exec | Connect::Attach | Connect::PortForward => matches!(*method, Method::GET | Method::POST),
            Connect::Pod | Connect::Service | Connect::Node => matches!(
                *method,
                Method::GET
                    | Method::POST
                    | Method::PUT
                    | Method::PATCH
                    | Method::DELETE
                    | Method::HEAD
                    | Method::OPTIONS
            ),
        }
    }
}

/// Answers a request, whose body is still on its way.
///
/// # Errors
/// 405 for another method, 403, 404 and 400 as upstream, 500 and 503 when what is behind cannot be reached.
pub async fn run(
    server: &Server,
    caller: &Caller,
    connect: Connect,
    incoming: Incoming,
) -> Result<http::Response<Body>, Status> {
    if !connect.takes(&incoming.parts.method) {
        return Err(refuse());
    }
    match connect {
        Connect::Log => log::run(server, incoming).await,
        Connect::Exec | Connect::Attach | Connect::PortForward => stream::run(server, caller, connect, incoming).await,
        Connect::Pod => proxy::pod(server, incoming).await,
        Connect::Service => proxy::service(server, incoming).await,
        Connect::Node => proxy::node(server, incoming).await,
    }
}
