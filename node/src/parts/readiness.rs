//! Tells PID 1 when the node is Ready, and when the whole cluster is: node Ready, names answered, the default account
//! there. Each is said once a start. Then what waited for that begins.

use super::Around;
use client::{Client, Informers, Selection};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, ServiceAccount};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The user that looks.
pub const USER: &str = "system:serviceaccount:kube-system:skerry-readiness";

/// What waits for the machine to be up begins after this long all the same: a machine that does not come up, as for want
/// of an engine, has garbage too.
const UP_AFTER: Duration = Duration::from_secs(30);

/// Whether a Node has said since `started` that it is Ready. What it said before the machine went down is history.
fn is_ready(node: &Node, started: Timestamp) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let fresh = |c: &NodeCondition| c.last_heartbeat_time.as_ref().is_some_and(|at| at.0 >= started);
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True" && fresh(c)))
}

/// Watches until both milestones were said.
pub fn start(around: &Around<'_>, client: Client, mut dns_answers: watch::Receiver<bool>) -> JoinHandle<()> {
    let (pid1, name) = (around.pid1.clone(), around.settings.name.clone());
    let (stop, up) = (around.server.stopping.child_token(), around.up.clone());
    // The API keeps whole seconds.
    let started = controllers::context::seconds(around.server.world.clock.now()).0;
    tokio::spawn(async move {
        let waits = async {
            let informers_stop = CancellationToken::new();
            let _ends = informers_stop.clone().drop_guard();
            let informers = Informers::new(client, informers_stop);
            let own = Selection { fields: format!("metadata.name={name}"), ..Selection::default() };
            let nodes = informers.selected::<Node>(own);
            let account = Selection { fields: "metadata.name=default".to_owned(), ..Selection::default() };
            let accounts = informers.selected::<ServiceAccount>(account);
            let changed = Arc::new(Notify::new());
            let (of_nodes, of_accounts) = (changed.clone(), changed.clone());
            nodes.on_change(move |_| of_nodes.notify_one());
            accounts.on_change(move |_| of_accounts.notify_one());
            while !nodes.all().iter().any(|node| is_ready(node, started)) {
                changed.notified().await;
            }
            pid1.milestone("node", json!({"name": name}));
            // The sender lives as long as the process.
            let _ = dns_answers.wait_for(|answers| *answers).await;
            while accounts.in_namespace("default").is_empty() {
                changed.notified().await;
            }
            pid1.milestone("ready", json!({}));
            up.open();
        };
        let at_the_latest = async {
            tokio::time::sleep(UP_AFTER).await;
            up.open();
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = async { tokio::join!(waits, at_the_latest); } => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::NodeStatus;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    #[test]
    fn a_node_that_was_ready_before_the_start_is_not_ready_yet() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let node = |status: &str, second| {
            let condition = NodeCondition {
                type_: "Ready".to_owned(),
                status: status.to_owned(),
                last_heartbeat_time: Some(Time(at(second))),
                ..NodeCondition::default()
            };
            let status = NodeStatus { conditions: Some(vec![condition]), ..NodeStatus::default() };
            Node { status: Some(status), ..Node::default() }
        };
        assert!(is_ready(&node("True", 100), at(100)));
        assert!(!is_ready(&node("True", 99), at(100)));
        assert!(!is_ready(&node("False", 101), at(100)));
        assert!(!is_ready(&Node::default(), at(0)));
    }
}
