//! Which other objects of its namespace a pod uses. Rules of `k8s.io/kubernetes/pkg/api/v1/pod` (`VisitPodSecretNames`,
//! `VisitPodConfigmapNames`) and of the ephemeral-volume helpers.

use api::{Tree, meta};

/// Where the sources of volumes name secrets.
const VOLUME_SECRETS: &[&[&str]] = &[
    &["azureFile", "secretName"],
    &["cephfs", "secretRef", "name"],
    &["cinder", "secretRef", "name"],
    &["csi", "nodePublishSecretRef", "name"],
    &["flexVolume", "secretRef", "name"],
    &["iscsi", "secretRef", "name"],
    &["rbd", "secretRef", "name"],
    &["scaleIO", "secretRef", "name"],
    &["secret", "secretName"],
    &["storageos", "secretRef", "name"],
];

/// Every container of a pod, of all three lists.
fn containers(pod: &Tree) -> impl Iterator<Item = &Tree> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|list| pod.list_at(&["spec", list]))
}

fn volumes(pod: &Tree) -> &[Tree] {
    pod.list_at(&["spec", "volumes"])
}

/// The names in the environment of all containers, by `envFrom` and by `valueFrom`.
fn environment<'a>(pod: &'a Tree, whole: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    containers(pod).flat_map(move |container| {
        let all = container.list_at(&["envFrom"]).iter().filter_map(move |from| from.str_at(&[whole, "name"]));
        let one = container.list_at(&["env"]).iter().filter_map(move |var| var.str_at(&["valueFrom", key, "name"]));
        all.chain(one)
    })
}

/// The names in the sources of projected volumes.
fn projected<'a>(pod: &'a Tree, source: &'a str) -> impl Iterator<Item = &'a str> {
    volumes(pod)
        .iter()
        .flat_map(|volume| volume.list_at(&["projected", "sources"]))
        .filter_map(move |part| part.str_at(&[source, "name"]))
}

/// Whether a pod uses the secret.
#[must_use]
pub fn uses_secret(pod: &Tree, name: &str) -> bool {
    let pull = pod.list_at(&["spec", "imagePullSecrets"]).iter().filter_map(|secret| secret.str_at(&["name"]));
    let mounted = volumes(pod).iter().flat_map(|v| VOLUME_SECRETS.iter().filter_map(move |path| v.str_at(path)));
    pull.chain(mounted)
        .chain(projected(pod, "secret"))
        .chain(environment(pod, "secretRef", "secretKeyRef"))
        .any(|used| used == name)
}

/// Whether a pod uses the config map.
#[must_use]
pub fn uses_config_map(pod: &Tree, name: &str) -> bool {
    let mounted = volumes(pod).iter().filter_map(|volume| volume.str_at(&["configMap", "name"]));
    mounted
        .chain(projected(pod, "configMap"))
        .chain(environment(pod, "configMapRef", "configMapKeyRef"))
        .any(|used| used == name)
}

/// The claims that a pod uses: those it names, and those made for its ephemeral volumes.
#[must_use]
pub fn claims(pod: &Tree) -> Vec<String> {
    let claim = |volume: &Tree| match volume.str_at(&["persistentVolumeClaim", "claimName"]) {
        Some(name) => Some(name.to_owned()),
        None => {
            volume.get("ephemeral")?;
            Some(format!("{}-{}", meta::name(pod), volume.str_at(&["name"])?))
        }
    };
    volumes(pod).iter().filter_map(claim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Tree {
        crate::tree(serde_json::json!({
            "metadata": {"name": "web"},
            "spec": {
                "imagePullSecrets": [{"name": "pull"}],
                "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "all"}}]}],
                "containers": [{
                    "name": "c",
                    "env": [
                        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "one", "key": "k"}}},
                        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "k"}}},
                    ],
                }],
                "volumes": [
                    {"name": "s", "secret": {"secretName": "mounted"}},
                    {"name": "m", "configMap": {"name": "files"}},
                    {"name": "p", "projected": {"sources": [
                        {"secret": {"name": "part"}}, {"configMap": {"name": "kube-root-ca.crt"}},
                    ]}},
                    {"name": "d", "persistentVolumeClaim": {"claimName": "data"}},
                    {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
                ],
            },
        }))
    }

    #[test]
    fn secrets_are_found_in_all_their_places() {
        for name in ["pull", "all", "one", "mounted", "part"] {
            assert!(uses_secret(&pod(), name), "{name}");
        }
        assert!(!uses_secret(&pod(), "conf"));
    }

    #[test]
    fn config_maps_are_found_in_all_their_places() {
        for name in ["conf", "files", "kube-root-ca.crt"] {
            assert!(uses_config_map(&pod(), name), "{name}");
        }
        assert!(!uses_config_map(&pod(), "mounted"));
    }

    #[test]
    fn an_ephemeral_volume_has_a_claim_named_after_pod_and_volume() {
        assert_eq!(claims(&pod()), ["data", "web-scratch"]);
    }
}
