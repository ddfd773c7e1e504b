//! A Node object that no kubelet stands behind. Some tests of plain API kinds need the name of a ready node and nothing
//! else of it. It offers no resources, so the scheduler places no pod there, which nobody would run or ever end.

use super::https::{Client, Request};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinHandle;

/// The name of the node.
const NAME: &str = "stand-in";

/// Time between two signs of life. The node lifecycle controller gives a node up after 50 s without one
/// (cmd/kube-controller-manager, `--node-monitor-grace-period`).
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(10);

/// Keeps the node ready until it is dropped.
pub struct StandIn(JoinHandle<()>);

impl Drop for StandIn {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Makes the node and keeps it ready.
///
/// # Errors
/// When the server does not take the node.
pub async fn start(client: Client) -> anyhow::Result<StandIn> {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NAME}, "status": status()});
    send(&client, "POST", "/api/v1/nodes", "application/json", &node).await.context("make the stand-in node")?;
    Ok(StandIn(tokio::spawn(async move {
        loop {
            if let Err(error) = sign_of_life(&client).await {
                eprintln!("the stand-in node: {error:#}");
            }
            tokio::time::sleep(SIGN_OF_LIFE_EVERY).await;
        }
    })))
}

async fn sign_of_life(client: &Client) -> anyhow::Result<()> {
    let path = format!("/api/v1/nodes/{NAME}/status");
    send(client, "PATCH", &path, "application/strategic-merge-patch+json", &json!({"status": status()})).await
}

/// Ready as of now, with nothing to give.
fn status() -> Value {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let nothing = json!({"cpu": "0", "memory": "0", "pods": "0"});
    let ready = json!({"type": "Ready", "status": "True", "reason": "StandIn", "lastHeartbeatTime": now});
    json!({"capacity": nothing, "allocatable": nothing, "conditions": [ready]})
}

async fn send(client: &Client, method: &str, path: &str, media_type: &str, body: &Value) -> anyhow::Result<()> {
    let request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: vec![("Content-Type".to_owned(), media_type.to_owned())],
        body: body.to_string().into_bytes(),
    };
    let answer = client.send(&request).await?;
    match answer.status {
        200 | 201 => Ok(()),
        status => bail!("{method} {path}: {status} {}", answer.text()),
    }
}
