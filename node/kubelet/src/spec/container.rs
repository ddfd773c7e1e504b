//! The configuration of a container, as upstream's `generateContainerConfig`.

use super::{resources, security};
use crate::cri::v1;
use crate::{labels, pod};
use k8s_openapi::api::core::v1::{Container, Pod};
use std::collections::BTreeMap;
use std::path::Path;

/// What is known when a container is made.
#[derive(Clone, Debug)]
pub struct Made<'a> {
    /// Its pod.
    pub pod: &'a Pod,
    /// The container.
    pub container: &'a Container,
    /// Attempts before this one.
    pub restarts: u32,
    /// How long this one had to wait, seconds.
    pub backoff_seconds: i64,
    /// The image as the engine has it.
    pub image: &'a str,
    /// Who the image runs as.
    pub image_user: &'a security::ImageUser,
    /// The container whose processes it wants to see.
    pub target: Option<&'a str>,
    /// Its environment.
    pub environment: &'a BTreeMap<String, String>,
    /// Its command and arguments.
    pub process: (Vec<String>, Vec<String>),
    /// Its mounts.
    pub mounts: Vec<v1::Mount>,
    /// The node's memory, bytes.
    pub memory_bytes: i64,
    /// Whether the node has cgroup v2; runtimes refuse its settings elsewhere.
    pub unified: bool,
    /// Where profiles of system-call filters are.
    pub seccomp_folder: &'a Path,
}

/// The log file's path below the pod's log folder.
#[must_use]
pub fn log_path(container: &str, restarts: u32) -> String {
    format!("{container}/{restarts}.log")
}

/// The configuration.
///
/// # Errors
/// What of the container cannot be had, in upstream's words.
pub fn config(made: Made<'_>) -> Result<v1::ContainerConfig, String> {
    let (pod, container) = (made.pod, made.container);
    security::check_non_root(pod, container, made.image_user)?;
    let security = security::of_container(pod, container, made.image_user, made.target, made.seccomp_folder)?;
    let envs = made.environment.iter();
    let envs = envs.map(|(key, value)| v1::KeyValue { key: key.clone(), value: value.clone().into_bytes() }).collect();
    let mut resources = resources::of_container(pod, container, made.memory_bytes);
    if !made.unified {
        resources.unified.clear();
    }
    let signal = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.as_deref());
    let signal = signal.and_then(v1::Signal::from_str_name).unwrap_or(v1::Signal::RuntimeDefault);
    let (command, args) = made.process;
    Ok(v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: container.name.clone(), attempt: made.restarts }),
        image: Some(v1::ImageSpec {
            image: made.image.to_owned(),
            user_specified_image: container.image.clone().unwrap_or_default(),
            ..v1::ImageSpec::default()
        }),
        command,
        args,
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs,
        mounts: made.mounts,
        labels: labels::of_container(pod, container),
        annotations: labels::annotations(pod, container, made.restarts, made.backoff_seconds),
        log_path: log_path(&container.name, made.restarts),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        tty: container.tty == Some(true),
        linux: Some(v1::LinuxContainerConfig { resources: Some(resources), security_context: Some(security) }),
        stop_signal: signal as i32,
    })
}

/// Whether the pod asks for its own user namespace.
#[must_use]
pub fn wants_own_users(pod: &Pod) -> bool {
    pod::spec(pod).host_users == Some(false)
}
