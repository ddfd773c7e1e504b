//! `pods/binding`: puts a pod on a node. Rules of `k8s.io/kubernetes/pkg/registry/core/pod/storage`.

use crate::admission::Operation;
use crate::call::Call;
use crate::codec;
use crate::reply::{self, Body};
use crate::server::Server;
use crate::write::{Part, change};
use api::{FieldError, FieldPath, Status, Tree, meta, tree};

/// Answers a POST.
///
/// # Errors
/// 409 when the pod is bound or going, 500 for a target that is no node.
pub async fn run(server: &Server, call: &Call) -> Result<http::Response<Body>, Status> {
    let schema = resources::schema_named("io.k8s.api.core.v1.Binding");
    let binding = codec::decode_as(call, &schema, "v1", "Binding")?;
    check(&binding)?;
    let stamp = server.world.stamp();
    change(server, call, Part::Whole, Operation::Update, |pod| bound(call, pod, &binding, &stamp)).await?;
    let mut done = Status::new(201, "", "").to_tree();
    done.set("status", "Success");
    reply::other(call, 201, &done, reply::STATUS)
}

fn check(binding: &Tree) -> Result<(), Status> {
    let kind = binding.str_at(&["target", "kind"]).unwrap_or_default();
    let mut faults = Vec::new();
    if !matches!(kind, "" | "Node") {
        faults.push(FieldError::not_supported(FieldPath::of(&["target", "kind"]), kind, &["Node", "<empty>"]));
    }
    if binding.str_at(&["target", "name"]).unwrap_or_default().is_empty() {
        faults.push(FieldError::required(FieldPath::of(&["target", "name"]), ""));
    }
    match faults.as_slice() {
        [] => Ok(()),
        // Upstream lets these faults through to the client as they are, as a fault of the server.
        [one] => Err(Status::new(500, "", one.to_string())),
        many => {
            let all: Vec<String> = many.iter().map(ToString::to_string).collect();
            Err(Status::new(500, "", format!("[{}]", all.join(", "))))
        }
    }
}

fn bound(call: &Call, pod: &Tree, binding: &Tree, stamp: &str) -> Result<Tree, Status> {
    let target = api::status::GroupName::new("", "pods/binding");
    let conflict = |why: String| Status::conflict(&target, &call.info.name, why);
    let uid = meta::uid(binding);
    if !uid.is_empty() && uid != meta::uid(pod) {
        let why = crate::write::other_uid(call, uid, meta::uid(pod));
        return Err(conflict(why));
    }
    if meta::deletion_timestamp(pod).is_some() {
        return Err(conflict(format!("pod {} is being deleted, cannot be assigned to a host", call.info.name)));
    }
    if let Some(node) = pod.str_at(&["spec", "nodeName"]).filter(|n| !n.is_empty()) {
        return Err(conflict(format!("pod {} is already assigned to node \"{node}\"", call.info.name)));
    }
    if !pod.list_at(&["spec", "schedulingGates"]).is_empty() {
        return Err(conflict(format!("pod {} has non-empty .spec.schedulingGates", call.info.name)));
    }
    let mut pod = pod.clone();
    pod.set_at(&["spec", "nodeName"], binding.str_at(&["target", "name"]).unwrap_or_default());
    for (key, value) in binding.map_at(&["metadata", "annotations"]).into_iter().flatten() {
        pod.set_at(&["metadata", "annotations", key], value.clone());
    }
    schedule_condition(&mut pod, stamp);
    Ok(pod)
}

fn schedule_condition(pod: &mut Tree, stamp: &str) {
    let mut conditions = pod.list_at(&["status", "conditions"]).to_vec();
    let generation = pod.int_at(&["metadata", "generation"]);
    let mut fresh =
        tree!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": stamp});
    if let Some(generation) = generation {
        fresh.set("observedGeneration", generation);
    }
    match conditions.iter_mut().find(|c| c.str_at(&["type"]) == Some("PodScheduled")) {
        Some(present) => *present = fresh,
        None => conditions.push(fresh),
    }
    pod.set_at(&["status", "conditions"], conditions);
}
