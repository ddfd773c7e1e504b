//! `pods/eviction`: deletes a pod if its disruption budget allows it. Rules of
//! `k8s.io/kubernetes/pkg/registry/core/pod/storage/eviction.go`.

use crate::call::Call;
use crate::codec;
use crate::delete::{DeleteOptions, delete_object};
use crate::objects;
use crate::reply::{self, Body};
use crate::server::Server;
use crate::write::failed;
use api::selector::LabelSelector;
use api::status::GroupName;
use api::{Status, Tree, meta};
use store::{CommitError, Op};

/// How often the budget is taken anew when it changes at the same time.
const BUDGET_TRIES_MAX: usize = 20;
/// Pods that may be on their way out of one budget; upstream's limit.
const DISRUPTED_PODS_MAX: usize = 2000;

/// Answers a POST.
///
/// # Errors
/// 429 while the budget does not allow it, 404 for a pod that is gone.
pub async fn run(server: &Server, call: &Call) -> Result<http::Response<Body>, Status> {
    let schema = resources::schema_named("io.k8s.api.policy.v1.Eviction");
    let eviction = codec::decode_as(call, &schema, "policy/v1", "Eviction")?;
    let wish = eviction.get("deleteOptions");
    let text = |path: &[&str]| wish.and_then(|w| w.str_at(path)).map(str::to_owned);
    let options = DeleteOptions {
        grace_seconds: wish.and_then(|w| w.int_at(&["gracePeriodSeconds"])),
        uid: text(&["preconditions", "uid"]),
        resource_version: text(&["preconditions", "resourceVersion"]),
        policy: text(&["propagationPolicy"]),
        orphan: None,
        dry_run: call.dry_run()? || wish.is_some_and(|w| !w.list_at(&["dryRun"]).is_empty()),
    };
    let (namespace, name) = (call.info.namespace.as_str(), call.info.name.as_str());
    if meta::name(&eviction) != name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let pod = server.object(&call.resource, namespace, name)?;
    let pod = pod.ok_or_else(|| Status::not_found(&call.resource.named(), name))?;
    if !outside_budget(&pod) {
        take(server, &pod, options.dry_run).await?;
    }
    delete_object(server, call, (namespace, name), &options).await?;
    let mut done = Status::new(201, "", "").to_tree();
    done.set("status", "Success");
    reply::other(call, 201, &done, reply::STATUS)
}

/// Pods that are over, going, or never ran count in no budget.
fn outside_budget(pod: &Tree) -> bool {
    let phase = pod.str_at(&["status", "phase"]).unwrap_or_default();
    matches!(phase, "Succeeded" | "Failed" | "Pending") || meta::deletion_timestamp(pod).is_some()
}

/// Takes one disruption from the pod's budget.
async fn take(server: &Server, pod: &Tree, dry_run: bool) -> Result<(), Status> {
    let resource = server.resource("policy", "v1", "poddisruptionbudgets")?;
    for _ in 0..BUDGET_TRIES_MAX {
        let snapshot = server.store.snapshot();
        let mut matching = Vec::new();
        for entry in snapshot.iter(&resource.prefix(meta::namespace(pod)), None) {
            let budget = objects::tree(&resource, entry)?;
            let selector =
                LabelSelector::from_tree(budget.at(&["spec", "selector"])).unwrap_or(LabelSelector::nothing());
            if selector.matches(meta::labels(pod)) {
                matching.push((entry.clone(), budget));
            }
        }
        if matching.len() > 1 {
            return Err(Status::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
        let Some((entry, mut budget)) = matching.pop() else { return Ok(()) };
        if !ready(pod) && budget_is_met(&budget) {
            return Ok(());
        }
        count(&mut budget, pod, &server.world.stamp())?;
        if dry_run {
            return Ok(());
        }
        let (value, extra) = objects::value(&resource, &budget);
        let op =
            Op::Update { key: entry.key.clone(), value, extra: Some(extra), expect_mod_revision: entry.mod_revision };
        match server.store.commit(vec![op]).await {
            Ok(_) => return Ok(()),
            Err(CommitError::Conflict { .. } | CommitError::NotFound { .. }) => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Err(Status::too_many_requests("the disruption budget is changing too often; try again", 10))
}

fn ready(pod: &Tree) -> bool {
    let conditions = pod.list_at(&["status", "conditions"]);
    conditions.iter().any(|c| c.str_at(&["type"]) == Some("Ready") && c.str_at(&["status"]) == Some("True"))
}

/// A pod that is not ready may go while enough others are healthy, or always when the policy says so.
fn budget_is_met(budget: &Tree) -> bool {
    let number = |field: &str| budget.int_at(&["status", field]).unwrap_or(0);
    let always = budget.str_at(&["spec", "unhealthyPodEvictionPolicy"]) == Some("AlwaysAllow");
    always || (number("currentHealthy") >= number("desiredHealthy") && number("desiredHealthy") > 0)
}

fn count(budget: &mut Tree, pod: &Tree, stamp: &str) -> Result<(), Status> {
    let name = meta::name(budget).to_owned();
    let resource = GroupName::new("policy", "poddisruptionbudgets");
    let observed = budget.int_at(&["status", "observedGeneration"]).unwrap_or(0);
    let refused = |why: String| {
        Status::too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", 10).because(
            "DisruptionBudget",
            why,
            "",
        )
    };
    if observed < meta::generation(budget) {
        return Err(refused(format!("The disruption budget {name} is still being processed by the server.")));
    }
    let allowed = budget.int_at(&["status", "disruptionsAllowed"]).unwrap_or(0);
    if allowed < 0 {
        return Err(Status::forbidden(&resource, &name, "pdb disruptions allowed is negative"));
    }
    if budget.map_at(&["status", "disruptedPods"]).is_some_and(|pods| pods.len() > DISRUPTED_PODS_MAX) {
        return Err(Status::forbidden(
            &resource,
            &name,
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        ));
    }
    if allowed == 0 {
        let number = |field: &str| budget.int_at(&["status", field]).unwrap_or(0);
        let (needed, healthy) = (number("desiredHealthy"), number("currentHealthy"));
        return Err(refused(format!(
            "The disruption budget {name} needs {needed} healthy pods and has {healthy} currently"
        )));
    }
    budget.set_at(&["status", "disruptionsAllowed"], allowed - 1);
    budget.set_at(&["status", "disruptedPods", meta::name(pod)], stamp);
    Ok(())
}
