//! Which attempt of a container is meant, by what the pod's status says: `validateContainerLogStatus` of
//! `k8s.io/kubernetes/pkg/kubelet/kubelet_pods.go`.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// Whether the pod has a container of that name, of any kind.
#[must_use]
pub fn declared(pod: &Pod, name: &str) -> bool {
    let Some(spec) = &pod.spec else { return false };
    spec.containers.iter().any(|c| c.name == name)
        || spec.init_containers.iter().flatten().any(|c| c.name == name)
        || spec.ephemeral_containers.iter().flatten().any(|c| c.name == name)
}

fn status<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let lists = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten().find(|status| status.name == name)
}

/// The runtime's name of the container whose log is meant.
///
/// # Errors
/// Says why there is none, in upstream's words.
pub fn container(pod: &Pod, name: &str, previous: bool) -> Result<String, String> {
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = status(pod, name).ok_or_else(|| format!("container {name:?} in pod {pod_name:?} is not available"))?;
    let state = status.state.clone().unwrap_or_default();
    let given = |id: &Option<String>| id.clone().filter(|id| !id.is_empty());
    let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let last_id = last.and_then(|terminated| given(&terminated.container_id));
    let ended = || format!("container {name:?} in pod {pod_name:?} is terminated");
    let id = if previous {
        last_id.ok_or_else(|| format!("previous terminated container {name:?} in pod {pod_name:?} not found"))?
    } else if state.running.is_some() {
        status.container_id.clone().unwrap_or_default()
    } else if let Some(terminated) = &state.terminated {
        given(&terminated.container_id).or(last_id).ok_or_else(ended)?
    } else if last.is_some() {
        last_id.ok_or_else(ended)?
    } else {
        return Err(waiting(pod_name, name, state.waiting.as_ref().map(|w| w.reason.as_deref().unwrap_or_default())));
    };
    Ok(id.split_once("://").map_or(id.as_str(), |(_, id)| id).to_owned())
}

fn waiting(pod: &str, name: &str, reason: Option<&str>) -> String {
    let why = match reason {
        Some("ErrImagePull") => ": image can't be pulled".to_owned(),
        Some("ImagePullBackOff") => ": trying and failing to pull image".to_owned(),
        Some(reason) => format!(": {reason}"),
        None => " - no logs yet".to_owned(),
    };
    format!("container {name:?} in pod {pod:?} is waiting to start{why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(status: Value, previous: bool) -> String {
        let mut status = status;
        for (field, value) in
            [("name", json!("c")), ("image", json!("")), ("imageID", json!("")), ("ready", json!(true))]
        {
            status[field] = value;
        }
        status["restartCount"] = json!(0);
        let pod = json!({"metadata": {"name": "p"}, "status": {"containerStatuses": [status]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        container(&pod, "c", previous).unwrap_or_else(|why| why)
    }

    #[test]
    fn the_attempt_is_chosen_by_the_state() {
        let ended = |id: &str| json!({"terminated": {"exitCode": 1, "containerID": id}});
        let running =
            json!({"containerID": "containerd://b", "state": {"running": {}}, "lastState": ended("containerd://a")});
        assert_eq!(check(running.clone(), false), "b");
        assert_eq!(check(running, true), "a");
        assert_eq!(check(json!({"state": ended("containerd://c")}), false), "c");
        assert_eq!(check(json!({"state": ended(""), "lastState": ended("d")}), false), "d");
        assert_eq!(
            check(json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended("e")}), false),
            "e"
        );
    }

    #[test]
    fn a_missing_log_is_explained() {
        let head = "container \"c\" in pod \"p\" is";
        let waits = |reason: &str| check(json!({"state": {"waiting": {"reason": reason}}}), false);
        assert_eq!(waits("ErrImagePull"), format!("{head} waiting to start: image can't be pulled"));
        assert_eq!(waits("ImagePullBackOff"), format!("{head} waiting to start: trying and failing to pull image"));
        assert_eq!(waits("ContainerCreating"), format!("{head} waiting to start: ContainerCreating"));
        assert_eq!(check(json!({}), false), format!("{head} waiting to start - no logs yet"));
        assert_eq!(check(json!({"state": {"terminated": {"exitCode": 0}}}), false), format!("{head} terminated"));
        let none = check(json!({"state": {"running": {}}}), true);
        assert_eq!(none, "previous terminated container \"c\" in pod \"p\" not found");
    }
}
