//! The phase of a pod from the states of its containers, as upstream's `getPhase`.

use super::Input;
use crate::pod;
use crate::restart;
use k8s_openapi::api::core::v1::{Container, ContainerStateTerminated, ContainerStatus, PodStatus};

/// What one container status comes down to.
enum Standing<'a> {
    Unknown,
    Running,
    Waiting,
    /// Ended, or ended and waiting for its restart.
    Ended(&'a ContainerStateTerminated),
}

fn standing<'a>(list: &'a Option<Vec<ContainerStatus>>, name: &str) -> (Standing<'a>, bool) {
    let Some(status) = list.iter().flatten().find(|s| s.name == name) else { return (Standing::Unknown, false) };
    let started = status.started == Some(true);
    let Some(state) = status.state.as_ref() else { return (Standing::Unknown, started) };
    let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    let standing = match (&state.running, &state.terminated, &state.waiting, last) {
        (Some(_), ..) => Standing::Running,
        (_, Some(ended), ..) => Standing::Ended(ended),
        (_, _, Some(_), Some(ended)) => Standing::Ended(ended),
        (_, _, Some(_), None) => Standing::Waiting,
        _ => Standing::Unknown,
    };
    (standing, started)
}

#[derive(Default)]
struct Count {
    unknown: usize,
    running: usize,
    waiting: usize,
    stopped: usize,
    finished: usize,
    succeeded: usize,
}

impl Count {
    fn main(&mut self, input: &Input<'_>, container: &Container, standing: &Standing<'_>) {
        match standing {
            Standing::Unknown => self.unknown += 1,
            Standing::Running => self.running += 1,
            Standing::Waiting => self.waiting += 1,
            Standing::Ended(ended) => {
                self.stopped += 1;
                self.succeeded += usize::from(ended.exit_code == 0);
                self.finished += usize::from(!restart::after(input.pod, container, ended.exit_code));
            }
        }
    }
}

/// The phase, as the containers have it.
pub(super) fn phase(input: &Input<'_>, status: &PodStatus) -> &'static str {
    let begun = crate::plan::has_begun(input.pod, input.observed);
    let (mut pending, mut pending_sidecars, mut count) = (0, 0, Count::default());
    for container in pod::init_containers(input.pod) {
        let (standing, started) = standing(&status.init_container_statuses, &container.name);
        match (pod::is_sidecar(container), standing) {
            (false, Standing::Ended(ended)) => {
                if ended.exit_code != 0 && !restart::after(input.pod, container, ended.exit_code) {
                    return "Failed";
                }
            }
            (false, _) => pending += 1,
            (true, Standing::Running) => {
                pending_sidecars += usize::from(!started);
                count.running += 1;
            }
            (true, Standing::Ended(_)) => (),
            (true, Standing::Waiting) => {
                pending_sidecars += 1;
                count.waiting += 1;
            }
            (true, Standing::Unknown) => {
                pending_sidecars += 1;
                count.unknown += 1;
            }
        }
    }
    for container in &pod::spec(input.pod).containers {
        let (standing, _) = standing(&status.container_statuses, &container.name);
        count.main(input, container, &standing);
    }
    if pending > 0 || (pending_sidecars > 0 && !begun) || count.waiting > 0 {
        return "Pending";
    }
    if count.running > 0 && count.unknown == 0 {
        return "Running";
    }
    if count.running > 0 || count.stopped == 0 || count.unknown > 0 {
        return "Pending";
    }
    if !input.over && count.stopped != count.finished {
        return "Running";
    }
    if count.stopped == count.succeeded { "Succeeded" } else { "Failed" }
}
