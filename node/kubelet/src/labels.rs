//! What is written at sandboxes and containers so that the engine remembers it for us. Names as upstream's
//! `pkg/kubelet/kuberuntime/labels.go`, so that tools that read them find them; ours are below `skerry.dev`.
//!
//! It must not know what is done with it.

use crate::pod;
use client::Meta;
use k8s_openapi::api::core::v1::{Container, Pod};
use std::collections::BTreeMap;

/// The pod's name.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// The pod's namespace.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// The pod's uid.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// The container's name.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// [`pod::hash`] of the container.
pub const HASH: &str = "io.kubernetes.container.hash";
/// Attempts before this one.
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// The file in the container that may hold a last message.
pub const MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// Whether logs stand in for it.
pub const MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// The hook before its end, as JSON.
pub const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
/// Its ports, as JSON.
pub const PORTS: &str = "io.kubernetes.container.ports";
/// The grace of a pod that is deleted, seconds.
pub const DELETION_GRACE: &str = "io.kubernetes.pod.deletionGracePeriod";
/// The pod's usual grace, seconds.
pub const TERMINATION_GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";
/// How long the restart before this attempt had to wait, seconds: where the doubling goes on after our restart.
pub const BACKOFF_SECONDS: &str = "skerry.dev/restart-backoff-seconds";

/// Labels and annotations.
pub type Notes = BTreeMap<String, String>;

fn identity(pod: &Pod) -> Notes {
    Notes::from([
        (POD_NAME.to_owned(), pod.name().to_owned()),
        (POD_NAMESPACE.to_owned(), pod.namespace().to_owned()),
        (POD_UID.to_owned(), pod.uid().to_owned()),
    ])
}

/// The labels of a sandbox: the pod's own and who it is.
#[must_use]
pub fn of_sandbox(pod: &Pod) -> Notes {
    let mut all = pod.metadata.labels.clone().unwrap_or_default();
    all.extend(identity(pod));
    all
}

/// The labels of a container.
#[must_use]
pub fn of_container(pod: &Pod, container: &Container) -> Notes {
    let mut all = identity(pod);
    all.insert(CONTAINER_NAME.to_owned(), container.name.clone());
    all
}

/// The annotations of a container.
#[must_use]
pub fn annotations(pod: &Pod, container: &Container, restarts: u32, backoff_seconds: i64) -> Notes {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let mut all = Notes::from([
        (HASH.to_owned(), pod::hash(container)),
        (RESTART_COUNT.to_owned(), restarts.to_string()),
        (MESSAGE_PATH.to_owned(), text(&container.termination_message_path)),
        (MESSAGE_POLICY.to_owned(), text(&container.termination_message_policy)),
        (BACKOFF_SECONDS.to_owned(), backoff_seconds.to_string()),
    ]);
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            all.insert(name.to_owned(), value);
        }
    };
    put(DELETION_GRACE, pod.metadata.deletion_grace_period_seconds.map(|s| s.to_string()));
    put(TERMINATION_GRACE, pod::spec(pod).termination_grace_period_seconds.map(|s| s.to_string()));
    let hook = container.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref());
    put(PRE_STOP, hook.and_then(|hook| serde_json::to_string(hook).ok()));
    put(PORTS, container.ports.as_ref().and_then(|ports| serde_json::to_string(ports).ok()));
    all
}
