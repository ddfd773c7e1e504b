//! What makes pods, claims and namespaces: why there are too few pods, no volume, no end.

use super::{Chain, Finding, Level, condition, name_of, warning};
use api::{Tree, meta};

/// Why a Deployment, ReplicaSet, StatefulSet, DaemonSet or Job has not what it should have. `below` are the chains of
/// what it made: of its ReplicaSet, or of its worst pod.
#[must_use]
pub fn of_workload(kind: &str, object: &Tree, events: &[Tree], below: Chain) -> Chain {
    let about = name_of(kind, object);
    let mut chain = Chain::default();
    if meta::deletion_timestamp(object).is_some() {
        let held: Vec<String> = meta::finalizers(object).map(str::to_owned).collect();
        let text = format!(
            "It is being deleted{}",
            if held.is_empty() { String::new() } else { format!(" and held by {}", super::listed(&held)) }
        );
        chain.push(Finding::new(Level::Warn, about, text));
        return chain;
    }
    let status = |field: &str| object.int_at(&["status", field]).unwrap_or(0);
    let refusal = warning(events, &["FailedCreate", "ReplicaSetCreateError"]).map(str::to_owned).or_else(|| {
        let failure = condition(object, "ReplicaFailure").filter(|found| found.str_at(&["status"]) == Some("True"))?;
        failure.str_at(&["message"]).map(str::to_owned)
    });
    if kind == "Job" {
        if let Some(failed) = condition(object, "Failed").filter(|found| found.str_at(&["status"]) == Some("True")) {
            let text = format!("It has failed: {}", failed.str_at(&["reason"]).unwrap_or("no reason is given"));
            chain.push(Finding::new(Level::Bad, about, text).detail(failed.str_at(&["message"]).unwrap_or_default()));
        } else if condition(object, "Complete").is_none()
            && (status("failed") > 0 || !below.is_well() || refusal.is_some())
        {
            let text = format!(
                "It is not done: {} succeeded, {} failed, {} active",
                status("succeeded"),
                status("failed"),
                status("active")
            );
            chain.push(Finding::new(Level::Warn, about, text));
        } else {
            return chain;
        }
    } else {
        let (wanted, ready) = match kind {
            "DaemonSet" => (status("desiredNumberScheduled"), status("numberReady")),
            _ => (object.int_at(&["spec", "replicas"]).unwrap_or(1), status("readyReplicas")),
        };
        if ready >= wanted && refusal.is_none() {
            return chain;
        }
        let level = if refusal.is_some() || !below.is_well() { Level::Bad } else { Level::Warn };
        chain.push(Finding::new(level, about, format!("{ready} of {wanted} pods are ready")));
    }
    if let Some(message) = refusal {
        let at = name_of(kind, object);
        chain.push(refused(&at, &message));
    }
    chain.findings.extend(below.findings);
    chain
}

/// A pod that the API server did not take.
fn refused(about: &str, message: &str) -> Finding {
    let (text, advice) = if message.contains("exceeded quota") {
        (
            "Its pods are refused: the namespace's quota is used up",
            "Raise the ResourceQuota, ask for less, or remove other pods.",
        )
    } else if message.contains("violates PodSecurity") {
        (
            "Its pods are refused: the namespace's pod security level forbids what they ask for",
            "Change the pod's securityContext, or the namespace's label pod-security.kubernetes.io/enforce.",
        )
    } else if message.contains("serviceaccount") {
        (
            "Its pods are refused: their service account is not there",
            "Create the ServiceAccount, or correct serviceAccountName.",
        )
    } else {
        ("Its pods are refused by the API server", "")
    };
    Finding::new(Level::Bad, about, text).detail(message).advice(advice)
}

/// Why a claim has no volume.
#[must_use]
pub fn of_claim(claim: &Tree, events: &[Tree]) -> Chain {
    let about = format!("PersistentVolumeClaim {}", meta::name(claim));
    let mut chain = Chain::default();
    let own: Vec<Tree> = events
        .iter()
        .filter(|event| event.str_at(&["involvedObject", "name"]) == Some(meta::name(claim)))
        .cloned()
        .collect();
    let message = warning(
        &own,
        &["ProvisioningFailed", "FailedBinding", "WaitForFirstConsumer", "ExternalProvisioning", "WaitForPodScheduled"],
    );
    match claim.str_at(&["status", "phase"]) {
        Some("Bound") => {}
        Some("Lost") => {
            let volume = claim.str_at(&["spec", "volumeName"]).unwrap_or_default();
            chain.push(Finding::new(
                Level::Bad,
                about,
                format!("Its volume {volume} is gone, and what was on it, too"),
            ));
        }
        _ => {
            let finding = match claim.str_at(&["spec", "storageClassName"]) {
                Some("") | None => Finding::new(
                    Level::Bad,
                    about,
                    "It waits for a volume that fits it, and names no storage class that would make one",
                )
                .advice(
                    "Create a PersistentVolume, or set storageClassName (standard makes folders on the state disk).",
                ),
                Some(class) => {
                    Finding::new(Level::Bad, about, format!("It has no volume yet; the storage class is {class}"))
                        .advice("kubectl get storageclass shows whether the class is there and when it makes volumes.")
                }
            };
            chain.push(finding.detail(message.unwrap_or_default()));
        }
    }
    chain
}

/// Why a namespace does not go away.
#[must_use]
pub fn of_namespace(namespace: &Tree) -> Chain {
    let about = format!("Namespace {}", meta::name(namespace));
    let mut chain = Chain::default();
    if namespace.str_at(&["status", "phase"]) != Some("Terminating") {
        return chain;
    }
    chain.push(Finding::new(Level::Warn, about.clone(), "It is being deleted, with everything in it"));
    for condition in namespace.list_at(&["status", "conditions"]) {
        if condition.str_at(&["status"]) == Some("True") {
            let text = condition.str_at(&["reason"]).unwrap_or("something remains");
            let detail = condition.str_at(&["message"]).unwrap_or_default();
            chain.push(Finding::new(Level::Bad, about.clone(), format!("It is held up: {text}")).detail(detail));
        }
    }
    chain
}
