//! Which ConfigMaps and Secrets a pod's spec names. Pure. References as upstream's `pkg/api/v1/pod` visitors find them.
//!
//! It must not fetch anything.

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, Pod, PodSpec, Volume};
use std::collections::BTreeSet;

/// Names in the pod's own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Of ConfigMaps.
    pub config_maps: BTreeSet<String>,
    /// Of Secrets.
    pub secrets: BTreeSet<String>,
}

/// Everything the pod names, optional or not.
#[must_use]
pub fn names_of(pod: &Pod) -> Names {
    let mut names = Names::default();
    let Some(spec) = &pod.spec else { return names };
    for volume in spec.volumes.iter().flatten() {
        names.add_volume(volume);
    }
    names.secrets.extend(spec.image_pull_secrets.iter().flatten().map(|s| s.name.clone()));
    names.add_containers(spec);
    names.config_maps.remove("");
    names.secrets.remove("");
    names
}

impl Names {
    /// What the environment of one container names.
    #[must_use]
    pub fn of_container(container: &Container) -> Names {
        let mut names = Names::default();
        names.add_environment(container.env.as_deref(), container.env_from.as_deref());
        names
    }

    fn add_containers(&mut self, spec: &PodSpec) {
        for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
            self.add_environment(container.env.as_deref(), container.env_from.as_deref());
        }
        for container in spec.ephemeral_containers.iter().flatten() {
            self.add_environment(container.env.as_deref(), container.env_from.as_deref());
        }
    }

    fn add_environment(&mut self, env: Option<&[EnvVar]>, from: Option<&[EnvFromSource]>) {
        for source in from.into_iter().flatten() {
            self.config_maps.extend(source.config_map_ref.iter().map(|r| r.name.clone()));
            self.secrets.extend(source.secret_ref.iter().map(|r| r.name.clone()));
        }
        for source in env.into_iter().flatten().filter_map(|v| v.value_from.as_ref()) {
            self.config_maps.extend(source.config_map_key_ref.iter().map(|r| r.name.clone()));
            self.secrets.extend(source.secret_key_ref.iter().map(|r| r.name.clone()));
        }
    }

    fn add_volume(&mut self, volume: &Volume) {
        self.config_maps.extend(volume.config_map.iter().map(|v| v.name.clone()));
        self.secrets.extend(volume.secret.iter().filter_map(|v| v.secret_name.clone()));
        for source in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()) {
            self.config_maps.extend(source.config_map.iter().map(|v| v.name.clone()));
            self.secrets.extend(source.secret.iter().map(|v| v.name.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_reference_of_a_pod_is_found() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": {
            "imagePullSecrets": [{"name": "pull"}],
            "volumes": [{"name": "a", "configMap": {"name": "vol"}}, {"name": "b", "secret": {"secretName": "vols"}},
                {"name": "c", "projected": {"sources": [{"configMap": {"name": "pro"}}, {"secret": {"name": "pros"}}]}}],
            "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "from"}}]}],
            "containers": [{"name": "c", "env": [{"name": "A",
                "valueFrom": {"configMapKeyRef": {"name": "key", "key": "k"}}}]}]}}))
        .unwrap();
        let names = names_of(&pod);
        assert_eq!(names.config_maps.into_iter().collect::<Vec<_>>(), ["key", "pro", "vol"]);
        assert_eq!(names.secrets.into_iter().collect::<Vec<_>>(), ["from", "pros", "pull", "vols"]);
    }
}
