//! The statuses of containers: what they do now, how they ended before, whether they are ready. As upstream's
//! `convertToAPIContainerStatuses`, and `UpdatePodStatus` of its probe manager.

use super::Input;
use crate::memory::Probed;
use crate::observed::{Container as Seen, State};
use crate::pod::{self, Sort};
use crate::restart;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    ContainerUser, LinuxContainerUser, PodStatus, VolumeMountStatus,
};

/// The exit code of a container whose end nobody saw, as upstream.
const LOST: i32 = 137;

type Statuses = Option<Vec<ContainerStatus>>;

/// Writes the three lists.
pub(super) fn write(input: &Input<'_>, status: &mut PodStatus) {
    let inits = pod::init_containers(input.pod);
    let mains = &pod::spec(input.pod).containers;
    let ephemeral = pod::ephemeral_containers(input.pod);
    let list = |containers: &[Container], sort: Sort, old: &Statuses| -> Statuses {
        let old = old.as_deref().unwrap_or_default();
        Some(containers.iter().map(|c| one(input, c, sort, old.iter().find(|o| o.name == c.name))).collect())
            .filter(|all: &Vec<_>| !all.is_empty())
    };
    status.init_container_statuses = list(inits, Sort::Init, &input.old.init_container_statuses);
    status.container_statuses = list(mains, Sort::Main, &input.old.container_statuses);
    status.ephemeral_container_statuses = list(&ephemeral, Sort::Ephemeral, &input.old.ephemeral_container_statuses);
    if let Some(all) = status.container_statuses.as_mut() {
        all.sort_by(|a, b| a.name.cmp(&b.name));
    }
}

/// Once a pod is over, what has no end gets one, as upstream's `TerminatePod`.
pub(super) fn end(input: &Input<'_>, status: &mut PodStatus) {
    if !crate::plan::has_begun(input.pod, input.observed) && !was_initialized(input) {
        return;
    }
    for status in status.container_statuses.iter_mut().flatten() {
        let state = status.state.get_or_insert_default();
        if state.terminated.is_none() {
            let message = "The container could not be located when the pod was terminated";
            *state = ended(lost(message));
            status.ready = false;
            status.started = Some(false);
        }
    }
}

fn was_initialized(input: &Input<'_>) -> bool {
    input.old.conditions.iter().flatten().any(|c| c.type_ == "Initialized" && c.status == "True")
}

fn lost(message: &str) -> ContainerStateTerminated {
    ContainerStateTerminated {
        exit_code: LOST,
        reason: Some("ContainerStatusUnknown".to_owned()),
        message: Some(message.to_owned()),
        ..ContainerStateTerminated::default()
    }
}

fn ended(terminated: ContainerStateTerminated) -> ContainerState {
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

fn waiting(reason: Option<&str>, message: Option<&str>) -> ContainerState {
    let waiting = ContainerStateWaiting { reason: reason.map(str::to_owned), message: message.map(str::to_owned) };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn one(input: &Input<'_>, container: &Container, sort: Sort, old: Option<&ContainerStatus>) -> ContainerStatus {
    let mut attempts = input.observed.attempts(&container.name);
    let (latest, before) = (attempts.next(), attempts.next());
    let mut status = match latest {
        Some(seen) => of_seen(input, container, seen, before, old),
        None => of_none(input, container, sort, old),
    };
    if let Some(why) = input.memory.waiting.get(&container.name)
        && !input.over
        && starts_again(input, container, latest)
    {
        if status.state.as_ref().is_some_and(|state| state.terminated.is_some()) {
            status.last_state = status.state.take();
        }
        status.state = Some(waiting(Some(&why.reason), text(&why.message).as_deref()));
    }
    if sort != Sort::Ephemeral {
        readiness(input, container, sort, old, latest, &mut status);
    }
    status
}

fn starts_again(input: &Input<'_>, container: &Container, latest: Option<&Seen>) -> bool {
    match latest.map(|seen| (seen.state, seen.exit_code)) {
        None | Some((State::Created | State::Unknown, _)) => true,
        Some((State::Running, _)) => false,
        Some((State::Exited, code)) => restart::after(input.pod, container, code),
    }
}

fn of_none(input: &Input<'_>, container: &Container, sort: Sort, old: Option<&ContainerStatus>) -> ContainerStatus {
    if let Some(old) = old.filter(|old| old.state.as_ref().is_some_and(|state| state.terminated.is_some())) {
        return old.clone();
    }
    let begun = crate::plan::has_begun(input.pod, input.observed);
    let reason = if pod::init_containers(input.pod).is_empty() { "ContainerCreating" } else { "PodInitializing" };
    let mut status = blank(container);
    status.state = Some(waiting(Some(reason), None));
    if sort == Sort::Init && begun && !pod::is_sidecar(container) {
        let message = "Unable to get init container status from container runtime and pod has been initialized, \
                       treat it as exited normally";
        status.state = Some(ended(ContainerStateTerminated {
            reason: Some("Completed".to_owned()),
            message: Some(message.to_owned()),
            ..ContainerStateTerminated::default()
        }));
    }
    let Some(old) = old else { return status };
    status.restart_count = old.restart_count;
    status.last_state.clone_from(&old.last_state);
    let ran = old.state.as_ref().is_some_and(|state| state.running.is_some());
    let told = old.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
    if ran && !told {
        let message = "The container could not be located when the pod was deleted.  The container used to be Running";
        status.last_state = Some(ended(lost(message)));
        status.restart_count += i32::from(input.pod.metadata.deletion_timestamp.is_none());
    }
    status
}

fn blank(container: &Container) -> ContainerStatus {
    let mounts = container.volume_mounts.iter().flatten().map(|mount| VolumeMountStatus {
        mount_path: mount.mount_path.clone(),
        name: mount.name.clone(),
        read_only: mount.read_only,
        recursive_read_only: (mount.read_only == Some(true)).then(|| "Disabled".to_owned()),
        ..VolumeMountStatus::default()
    });
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        volume_mounts: Some(mounts.collect::<Vec<_>>()).filter(|all| !all.is_empty()),
        ..ContainerStatus::default()
    }
}

fn state(input: &Input<'_>, seen: &Seen) -> ContainerState {
    match seen.state {
        State::Running => {
            let running = ContainerStateRunning { started_at: seen.started.map(super::seconds) };
            ContainerState { running: Some(running), ..ContainerState::default() }
        }
        State::Created | State::Unknown => waiting(None, None),
        State::Exited => ended(ContainerStateTerminated {
            container_id: Some(format!("{}://{}", input.runtime, seen.id)),
            exit_code: seen.exit_code,
            finished_at: seen.finished.map(super::seconds),
            message: text(&seen.message),
            reason: text(&seen.reason),
            signal: None,
            started_at: seen.started.map(super::seconds),
        }),
    }
}

fn of_seen(
    input: &Input<'_>,
    container: &Container,
    seen: &Seen,
    before: Option<&Seen>,
    old: Option<&ContainerStatus>,
) -> ContainerStatus {
    let id = format!("{}://{}", input.runtime, seen.id);
    let resources = container.resources.clone().unwrap_or_default();
    let mut status = blank(container);
    status.image.clone_from(&seen.image);
    status.image_id.clone_from(&seen.image_id);
    status.restart_count = i32::try_from(seen.restarts).unwrap_or(i32::MAX);
    status.state = Some(state(input, seen));
    status.stop_signal.clone_from(&seen.stop_signal);
    status.allocated_resources.clone_from(&resources.requests);
    status.resources = Some(resources);
    status.user = seen.user.as_ref().map(|user| ContainerUser {
        linux: Some(LinuxContainerUser {
            uid: user.uid,
            gid: user.gid,
            supplemental_groups: Some(user.supplemental_groups.clone()),
        }),
    });
    // The one before may be collected already; then what was told of it stands.
    status.last_state = match (before, old) {
        (Some(before), _) => Some(state(input, before)),
        (None, Some(old)) if old.container_id.as_deref() != Some(id.as_str()) => {
            old.state.clone().filter(|state| state.terminated.is_some()).or_else(|| old.last_state.clone())
        }
        (None, Some(old)) => old.last_state.clone().filter(|_| seen.state != State::Exited),
        (None, None) => None,
    };
    status.container_id = Some(id);
    status
}

fn readiness(
    input: &Input<'_>,
    container: &Container,
    sort: Sort,
    old: Option<&ContainerStatus>,
    latest: Option<&Seen>,
    status: &mut ContainerStatus,
) {
    let running = status.state.as_ref().is_some_and(|state| state.running.is_some());
    let code = status.state.as_ref().and_then(|s| s.terminated.as_ref()).map(|t| t.exit_code);
    if sort == Sort::Init && !pod::is_sidecar(container) {
        status.ready = code == Some(0);
        status.started = Some(running);
        return;
    }
    let probed = latest.and_then(|seen| input.memory.probed.get(&seen.id)).copied().unwrap_or_default();
    let Probed { startup, readiness, .. } = probed;
    // After our restart the old word stands until the probes have spoken again.
    let same = old.filter(|old| old.container_id == status.container_id);
    let started = match container.startup_probe {
        Some(_) => startup.unwrap_or_else(|| same.is_some_and(|old| old.started == Some(true))),
        None => true,
    };
    let ready = match container.readiness_probe {
        Some(_) => readiness.unwrap_or_else(|| same.is_some_and(|old| old.ready)),
        None => true,
    };
    status.started = Some(running && started);
    status.ready = running && started && ready;
}
