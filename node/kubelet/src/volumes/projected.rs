//! `projected`: several sources in one folder, in memory because tokens and Secrets may be among them.

use super::atomic::{File, Payload};
use super::keyed::{self, MODE, NO_CONFIG_KEY, NO_SECRET_KEY, Wanted, bits};
use super::plugin::{Job, Work};
use super::{downward, files};
use k8s_openapi::api::core::v1::{Pod, VolumeProjection};

/// Permissions of a token that has an owner or a group of its own; the group gets its part with the volume.
const OWNED: u32 = 0o600;

/// See [`super::Plugin::set_up`].
pub fn set_up(job: Job<'_>) -> Work<'_> {
    Box::pin(async move {
        let source = job.volume.projected.clone().unwrap_or_default();
        let mode = source.default_mode.unwrap_or(MODE);
        let (mut payload, mut wrong) = (Payload::new(), Vec::new());
        for part in source.sources.iter().flatten() {
            match one(&job, part, mode).await {
                Ok(files) => payload.extend(files),
                Err(why) => wrong.push(why),
            }
        }
        if wrong.is_empty() {
            return files::bring(&job, "projected", true, payload).await;
        }
        Err(if wrong.len() == 1 { wrong.remove(0) } else { format!("[{}]", wrong.join(", ")) })
    })
}

async fn one(job: &Job<'_>, part: &VolumeProjection, mode: i32) -> Result<Payload, String> {
    if let Some(source) = &part.secret {
        let optional = source.optional == Some(true);
        let values = keyed::secret(job, &source.name, optional).await?;
        let items = source.items.as_deref().unwrap_or_default();
        return keyed::payload(&values, &Wanted { items, mode, optional, complaint: NO_SECRET_KEY });
    }
    if let Some(source) = &part.config_map {
        let optional = source.optional == Some(true);
        let values = keyed::config_map(job, &source.name, optional).await?;
        let items = source.items.as_deref().unwrap_or_default();
        return keyed::payload(&values, &Wanted { items, mode, optional, complaint: NO_CONFIG_KEY });
    }
    if let Some(source) = &part.downward_api {
        return downward::payload(job.pod, source.items.as_deref().unwrap_or_default(), mode, job.facts);
    }
    if let Some(source) = &part.service_account_token {
        let owner = user_of(job.pod);
        let owned = owner.is_some() || job.fs_group().is_some();
        let data = job.tokens.get(job, source).await?.into_bytes();
        let file = File { data, mode: if owned { OWNED } else { bits(mode) }, owner };
        return Ok(Payload::from([(source.path.clone(), file)]));
    }
    let kind = if part.cluster_trust_bundle.is_some() { "clusterTrustBundle" } else { "podCertificate" };
    Err(format!("{kind} is not supported on this node: mount the bytes by a ConfigMap or Secret instead"))
}

/// The user of the pod's containers if they all have the same; tokens belong to it then, as upstream's `FsUserFrom`.
fn user_of(pod: &Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let of_pod = spec.security_context.as_ref().and_then(|s| s.run_as_user);
    let mut users = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
        .map(|c| c.security_context.as_ref().and_then(|s| s.run_as_user).or(of_pod));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_token_belongs_to_the_one_user_of_all_containers() {
        let user = |pod: Value, a: Value, b: Value| {
            let pod: Pod = serde_json::from_value(json!({"spec": {"securityContext": pod, "containers": [
                {"name": "a", "securityContext": a}, {"name": "b", "securityContext": b}]}}))
            .unwrap();
            user_of(&pod)
        };
        let (none, seven) = (json!({}), json!({"runAsUser": 7}));
        assert_eq!(user(seven.clone(), none.clone(), none.clone()), Some(7));
        assert_eq!(user(none.clone(), seven.clone(), seven.clone()), Some(7));
        assert_eq!(user(none.clone(), seven.clone(), none.clone()), None);
        assert_eq!(user(json!({"runAsUser": 8}), seven, none), None);
    }
}
