//! Asks the kubelets what is used: one round over all nodes whose kubelets are not known to be silent.

use super::samples::Sample;
use crate::outgoing::Target;
use crate::reply::full;
use crate::server::Server;
use crate::subresources::connect::kubelet;
use api::{Status, Tree, meta};
use futures_util::future::join_all;
use http_body_util::{BodyExt, Limited};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a kubelet may take; metrics-server's default.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Bytes of one answer: some hundred for each of a thousand containers, and room.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What every node said that answered, by its name.
///
/// # Errors
/// 500 when stored nodes cannot be read.
pub async fn all(server: &Server) -> Result<BTreeMap<String, Sample>, Status> {
    let nodes = server.objects(&*server.resource("", "v1", "nodes")?, "")?;
    let asked = nodes.iter().filter(|node| !is_silent(node)).map(|node| async move {
        let name = meta::name(node);
        let answer = match kubelet::target(node) {
            Ok(target) => ask(server, &target).await,
            Err(status) => Err(status.message),
        };
        match answer {
            Ok(text) => Some((name.to_owned(), Sample::read(&text, server.world.clock.now()))),
            Err(error) => {
                tracing::warn!(node = name, error, "a kubelet does not tell what is used");
                None
            }
        }
    });
    Ok(join_all(asked).await.into_iter().flatten().collect())
}

/// Whether the control plane has given up hearing from the node's kubelet: it would be waited for in vain.
fn is_silent(node: &Tree) -> bool {
    let conditions = node.list_at(&["status", "conditions"]);
    conditions.iter().any(|c| c.str_at(&["type"]) == Some("Ready") && c.str_at(&["status"]) == Some("Unknown"))
}

async fn ask(server: &Server, target: &Target) -> Result<String, String> {
    let mut request = http::Request::new(full(""));
    *request.uri_mut() = http::Uri::from_static("/metrics/resource");
    let host = http::HeaderValue::from_str(&target.authority()).map_err(|error| error.to_string())?;
    request.headers_mut().insert(http::header::HOST, host);
    let work = async {
        let answer = server.outgoing.send(target, request).await?;
        let code = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let bytes = body.map_err(|error| format!("the answer broke off: {error}"))?.to_bytes();
        let text = String::from_utf8(bytes.into()).map_err(|error| error.to_string())?;
        if code == 200 { Ok(text) } else { Err(format!("code {code}: {text}")) }
    };
    tokio::time::timeout(ANSWER_MAX, work).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}
