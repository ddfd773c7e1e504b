//! Makes the claims of pods' own volumes (`ephemeral`): `POD-VOLUME`, owned by the pod, so that it goes with the pod.
//! Behaviour as upstream's `pkg/controller/volume/ephemeral`.
//!
//! It must not bind claims.

use crate::context::{Context, Keys, Life, feed};
use crate::pod::is_finished;
use api::Status;
use client::{After, Meta, ObjectKey};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use serde_json::{Value, json};

/// What a volume of a pod needs.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Its claim is there.
    Keep,
    /// Make this claim.
    Create(Value),
    /// Somebody else's claim has the name: why the pod waits.
    Refuse(String),
}

/// Decides about every own volume of a pod. `there` finds claims of the pod's namespace.
#[must_use]
pub fn plan(pod: &Pod, there: impl Fn(&str) -> Option<std::sync::Arc<PersistentVolumeClaim>>) -> Vec<Step> {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    let own = volumes.filter_map(|v| Some((v.name.as_str(), v.ephemeral.as_ref()?.volume_claim_template.as_ref()?)));
    own.map(|(volume, template)| {
        let name = format!("{}-{volume}", pod.name());
        match there(&name) {
            Some(claim) if claim.controller().is_some_and(|owner| owner.uid == pod.uid()) => Step::Keep,
            Some(_) => {
                let (namespace, pod) = (pod.namespace(), pod.name());
                let whose = format!("PVC {namespace}/{name} was not created for pod {namespace}/{pod}");
                Step::Refuse(format!("{whose} (pod is not owner)"))
            }
            None => {
                let labels = template.metadata.as_ref().and_then(|m| m.labels.clone());
                let annotations = template.metadata.as_ref().and_then(|m| m.annotations.clone());
                Step::Create(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {
                    "name": name, "labels": labels, "annotations": annotations, "ownerReferences": [{
                        "apiVersion": "v1", "kind": "Pod", "name": pod.name(), "uid": pod.uid(), "controller": true,
                        "blockOwnerDeletion": true}]},
                    "spec": template.spec}))
            }
        }
    })
    .collect()
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let keys: Keys = Default::default();
        let pods = context.informers.of::<Pod>();
        let claims = context.informers.of::<PersistentVolumeClaim>();
        feed(&pods, &keys);
        let fed = keys.clone();
        claims.on_change(move |change| {
            // A claim that went is made again while its pod is there.
            let gone = change.old.as_ref().filter(|_| change.new.is_none());
            if let Some(owner) = gone.and_then(|claim| claim.controller()).filter(|owner| owner.kind == "Pod") {
                fed.add(ObjectKey::new(change.latest().namespace(), &owner.name));
            }
        });
        pods.synced().await;
        claims.synced().await;
        let look = |key: ObjectKey| {
            let pod = pods.get(&key).filter(|pod| !pod.is_deleting() && !is_finished(pod));
            let (context, claims) = (&context, &claims);
            async move {
                let Some(pod) = pod else { return Ok(After::Done) };
                for step in plan(&pod, |name| claims.find(&key.namespace, name)) {
                    act(context, &pod, step).await?;
                }
                Ok(After::Done)
            }
        };
        context.work("ephemeral-volume", &keys, look).await;
    })
}

async fn act(context: &Context, pod: &Pod, step: Step) -> Result<(), Status> {
    let why = match step {
        Step::Keep => return Ok(()),
        Step::Refuse(why) => why,
        Step::Create(claim) => {
            match context.client.of::<PersistentVolumeClaim>().create(pod.namespace(), &claim).await {
                Ok(_) => return Ok(()),
                // The cache lags behind: it is looked at again when the claim is seen.
                Err(status) if status.is_already_exists() => return Err(status),
                Err(status) => {
                    let text = format!("ephemeral volume: {status}");
                    context.events.warning(pod, "FailedBinding", text);
                    return Err(status);
                }
            }
        }
    };
    context.events.warning(pod, "FailedBinding", format!("ephemeral volume: {why}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn pod() -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "a", "uid": "u"}, "spec": {
            "containers": [], "volumes": [{"name": "plain", "emptyDir": {}}, {"name": "v", "ephemeral": {
                "volumeClaimTemplate": {"metadata": {"labels": {"l": "1"}}, "spec": {"storageClassName": "s"}}}}]}}))
        .unwrap()
    }

    fn claim(owner: &str) -> Option<Arc<PersistentVolumeClaim>> {
        let claim = json!({"metadata": {"name": "p-v", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod",
            "name": "p", "uid": owner, "controller": true}]}});
        Some(Arc::new(serde_json::from_value(claim).unwrap()))
    }

    #[test]
    fn a_pods_own_volume_gets_a_claim_that_the_pod_owns() {
        let steps = plan(&pod(), |_| None);
        let [Step::Create(made)] = steps.as_slice() else { panic!("{steps:?}") };
        assert_eq!(made["metadata"]["name"], "p-v");
        assert_eq!(made["metadata"]["labels"], json!({"l": "1"}));
        assert_eq!(made["metadata"]["ownerReferences"][0]["uid"], "u");
        assert_eq!(made["spec"]["storageClassName"], "s");
    }

    #[test]
    fn a_claim_of_the_pod_is_kept_and_anybody_elses_refused() {
        assert_eq!(plan(&pod(), |_| claim("u")), [Step::Keep]);
        let why = "PVC a/p-v was not created for pod a/p (pod is not owner)";
        assert_eq!(plan(&pod(), |_| claim("x")), [Step::Refuse(why.to_owned())]);
    }
}
