//! Init containers: one after the other, sidecars staying. As upstream's `computeInitContainerActions`.

use super::{Planner, Why};
use crate::memory::Probed;
use crate::observed::{Container as Seen, State};
use crate::pod::{self, Sort};
use crate::restart;
use k8s_openapi::api::core::v1::Container;

/// What one init container says about the pod.
enum Turn {
    /// It is done, or runs beside the rest: the next one may start.
    Next,
    /// It is under way: nothing more starts.
    Stay,
    /// It failed for good: so did the pod.
    Over,
}

impl Planner<'_> {
    /// Plans the init containers; whether the main ones may run. When it is over for the pod, all is stopped.
    pub(super) fn init(&mut self) -> bool {
        let begun = pod::spec(self.pod).containers.iter().any(|c| {
            let seen = self.observed.latest(&c.name);
            seen.is_some_and(|seen| matches!(seen.state, State::Created | State::Running))
        });
        let inits = pod::init_containers(self.pod).to_vec();
        if begun {
            for sidecar in inits.iter().filter(|c| pod::is_sidecar(c)) {
                self.sidecar(sidecar);
            }
            return true;
        }
        // The last one that was ever made tells how far the pod is; sidecars before it are kept alive.
        let Some(reached) = inits.iter().rposition(|c| self.observed.latest(&c.name).is_some()) else {
            let Some(first) = inits.first() else { return true };
            self.start(first, Sort::Init);
            return false;
        };
        for sidecar in inits[..reached].iter().filter(|c| pod::is_sidecar(c)) {
            self.sidecar(sidecar);
        }
        let turn =
            if pod::is_sidecar(&inits[reached]) { self.sidecar(&inits[reached]) } else { self.once(&inits[reached]) };
        match (turn, inits.get(reached + 1)) {
            (Turn::Next, None) => true,
            (Turn::Next, Some(next)) => {
                self.start(next, Sort::Init);
                false
            }
            (Turn::Stay, _) => false,
            (Turn::Over, _) => {
                self.actions = vec![super::Action::StopAll];
                false
            }
        }
    }

    fn once(&mut self, container: &Container) -> Turn {
        let Some(seen) = self.observed.latest(&container.name) else { return Turn::Stay };
        match seen.state {
            State::Running => Turn::Stay,
            State::Exited if seen.exit_code == 0 => Turn::Next,
            State::Exited if !restart::after(self.pod, container, seen.exit_code) => Turn::Over,
            State::Exited | State::Created => {
                self.start(container, Sort::Init);
                Turn::Stay
            }
            State::Unknown if !restart::after_failure(self.pod, container) => Turn::Over,
            State::Unknown => {
                self.lost(seen);
                Turn::Stay
            }
        }
    }

    fn lost(&mut self, seen: &Seen) {
        let message = "Init container is in \"unknown\" state, try killing it before restart".to_owned();
        self.kill(seen, message, Why::Unknown);
    }

    /// Keeps a sidecar running; whether what comes after it may start.
    fn sidecar(&mut self, container: &Container) -> Turn {
        let Some(seen) = self.observed.latest(&container.name) else {
            self.start(container, Sort::Init);
            return Turn::Stay;
        };
        match seen.state {
            State::Running => self.running_sidecar(container, seen),
            State::Unknown => {
                self.lost(seen);
                Turn::Stay
            }
            State::Exited | State::Created => {
                self.start(container, Sort::Init);
                Turn::Stay
            }
        }
    }

    fn running_sidecar(&mut self, container: &Container, seen: &Seen) -> Turn {
        let probed: Probed = self.memory.probed.get(&seen.id).copied().unwrap_or_default();
        let name = &container.name;
        if container.startup_probe.is_some() && probed.startup != Some(true) {
            if probed.startup == Some(false) {
                self.kill(seen, format!("Init container {name} failed startup probe"), Why::Startup);
            }
            return Turn::Stay;
        }
        if seen.hash != pod::hash(container) {
            self.kill(seen, format!("Init container {name} definition changed"), Why::Changed);
        } else if probed.liveness == Some(false) {
            self.kill(seen, format!("Init container {name} failed liveness probe"), Why::Liveness);
        }
        Turn::Next
    }
}
