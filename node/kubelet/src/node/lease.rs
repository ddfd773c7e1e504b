//! The lease by which the cluster sees that the node lives.

use crate::context::Context;
use anyhow::{Result, anyhow};
use client::Patch;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use serde_json::json;

/// The namespace of the nodes' leases.
pub const NAMESPACE: &str = "kube-node-lease";
/// How long a lease holds, seconds, upstream's `nodeLeaseDurationSeconds`.
pub const SECONDS: i32 = 40;

fn micros(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Renews the lease, or makes it.
///
/// # Errors
/// What the server answers.
pub async fn renew(ctx: &Context, node_uid: &str) -> Result<()> {
    let leases = ctx.client.of::<Lease>();
    let name = ctx.config.node_name.as_str();
    let spec = json!({"holderIdentity": name, "leaseDurationSeconds": SECONDS, "renewTime": micros(ctx.now())});
    match leases.patch(NAMESPACE, name, "", &Patch::Merge(json!({"spec": spec}))).await {
        Err(status) if status.is_not_found() => (),
        done => return done.map(drop).map_err(|status| anyhow!("{status}")),
    }
    let owner = json!({"apiVersion": "v1", "kind": "Node", "name": name, "uid": node_uid});
    let metadata = json!({"name": name, "namespace": NAMESPACE, "ownerReferences": [owner]});
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec});
    leases.create(NAMESPACE, &lease).await.map(drop).map_err(|status| anyhow!("{status}"))
}
