//! Carries out the steps of a plan, in a task of its own so that the worker goes on telling what it sees.
//!
//! It must not decide anything.

use crate::context::Context;
use crate::cri::v1;
use crate::env::Facts;
use crate::memory::{Memory, Waiting};
use crate::observed::Observed;
use crate::plan::Action;
use crate::spec::{self, dns, sandbox};
use crate::{cgroups, pod, restart, start, stop};
use client::Meta;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::node::v1::RuntimeClass;
use std::sync::Arc;

/// What came of it, to be remembered.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Containers that were started, and when the attempt before had ended.
    pub started: Vec<(String, Option<Timestamp>)>,
    /// Containers that were not, and why.
    pub waiting: Vec<(String, Waiting)>,
    /// Containers that were ended, by the engine's id.
    pub killed: Vec<String>,
    /// Whether sandbox or volumes failed, so that the pod as a whole waits.
    pub held: bool,
    /// When files of volumes want to be refreshed.
    pub refresh_at: Option<Timestamp>,
}

/// One run of steps.
pub struct Steps {
    /// What all share.
    pub ctx: Arc<Context>,
    /// The pod.
    pub pod: Arc<Pod>,
    /// What runs of it.
    pub observed: Arc<Observed>,
    /// What was remembered when the plan was made.
    pub memory: Memory,
    /// The steps.
    pub actions: Vec<Action>,
}

impl Steps {
    /// Carries them out one after the other; a pod that is held does no more of them.
    pub async fn run(self) -> Outcome {
        let mut outcome = Outcome::default();
        let makes = |action: &Action| matches!(action, Action::CreateSandbox { .. } | Action::Start { .. });
        if self.actions.iter().any(makes) && !self.ready(&mut outcome).await {
            outcome.held = true;
            return outcome;
        }
        for action in &self.actions {
            let done = match action {
                Action::StopAll => {
                    self.said("stop the pod", stop::all(&self.ctx, &self.pod, &self.observed, None).await)
                }
                Action::Remove(ids) => self.remove(ids).await,
                Action::CreateSandbox { attempt } => self.sandbox(*attempt).await,
                Action::Kill { id, message, why, .. } => {
                    let done = self.kill(id, message, *why).await;
                    if done {
                        outcome.killed.push(id.clone());
                    }
                    done
                }
                Action::Start { name, ended } => self.start(name, *ended, &mut outcome).await,
                Action::Wait { .. } | Action::Hold { .. } => true,
            };
            if !done {
                outcome.held = true;
                return outcome;
            }
        }
        outcome
    }

    fn said<T>(&self, what: &'static str, result: crate::cri::Result<T>) -> bool {
        if let Err(error) = &result {
            tracing::warn!(pod = pod::full_name(&self.pod), what, %error, "a step failed");
        }
        result.is_ok()
    }

    fn facts(&self) -> Facts {
        facts(&self.ctx, &self.pod, &self.observed)
    }

    /// Sees to cgroup, folders and volumes.
    async fn ready(&self, outcome: &mut Outcome) -> bool {
        if let Err(error) = cgroups::ensure(&self.ctx.config.cgroups, &self.pod) {
            self.ctx.recorder.warning(
                &*self.pod,
                "FailedCreatePodContainer",
                format!("unable to ensure pod container exists: {error}"),
            );
            return false;
        }
        match self.ctx.volumes.set_up(&self.pod, &self.facts()).await {
            Ok(next) => {
                outcome.refresh_at = next;
                true
            }
            Err(failures) => {
                for failure in failures {
                    self.ctx.recorder.warning(&*self.pod, "FailedMount", failure.to_string());
                }
                false
            }
        }
    }

    async fn remove(&self, ids: &[String]) -> bool {
        for id in ids {
            let asked = v1::RemoveContainerRequest { container_id: id.clone() };
            if !self.said("remove a container", self.ctx.cri.remove_container(asked).await) {
                return false;
            }
        }
        true
    }

    /// The handler of the pod's RuntimeClass; empty for the default.
    async fn handler(&self) -> Result<String, String> {
        let Some(name) = pod::spec(&self.pod).runtime_class_name.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(String::new());
        };
        match self.ctx.client.of::<RuntimeClass>().find("", name).await {
            Ok(Some(class)) => Ok(class.handler),
            Ok(None) => Err(format!("RuntimeClass {name:?} not found")),
            Err(status) => Err(format!("reading RuntimeClass {name:?}: {status}")),
        }
    }

    fn config(&self, attempt: u32) -> Result<v1::PodSandboxConfig, String> {
        let config = &self.ctx.config;
        let text = match std::fs::read_to_string(&config.resolv_conf) {
            // A machine without a resolver has none to hand on.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.map_err(|error| format!("read {}: {error}", config.resolv_conf.display()))?,
        };
        let cgroup = cgroups::path(&config.cgroups, &self.pod);
        sandbox::config(config, &self.pod, attempt, &cgroup, &dns::parse(&text))
    }

    async fn sandbox(&self, attempt: u32) -> bool {
        if attempt > 0 {
            self.ctx.recorder.normal(
                &*self.pod,
                "SandboxChanged",
                "Pod sandbox changed, it will be killed and re-created.",
            );
        }
        let made = self.make_sandbox(attempt).await;
        if let Err(why) = &made {
            tracing::warn!(pod = pod::full_name(&self.pod), why, "a sandbox could not be made");
            self.ctx.recorder.warning(
                &*self.pod,
                "FailedCreatePodSandBox",
                format!("Failed to create pod sandbox: {why}"),
            );
        }
        made.is_ok()
    }

    async fn make_sandbox(&self, attempt: u32) -> Result<(), String> {
        if spec::container::wants_own_users(&self.pod) {
            return Err("spec.hostUsers: false is not supported on this node; leave it out".to_owned());
        }
        let config = self.config(attempt)?;
        let logs = config.log_directory.clone();
        std::fs::create_dir_all(&logs).map_err(|error| format!("make {logs}: {error}"))?;
        let asked = v1::RunPodSandboxRequest { config: Some(config), runtime_handler: self.handler().await? };
        self.ctx.cri.run_pod_sandbox(asked).await.map(drop).map_err(|error| error.message)
    }

    async fn kill(&self, id: &str, message: &str, why: crate::plan::Why) -> bool {
        let Some(seen) = self.observed.containers.iter().find(|c| c.id == id) else { return true };
        let container = pod::container(&self.pod, &seen.name).map(|(_, container)| container);
        let ip = self.facts().pod_ips.first().cloned().unwrap_or_default();
        let grace = stop::grace(&self.pod, container.as_ref(), Some(why));
        let order = stop::Order { pod: &self.pod, ip: &ip, grace, message: message.to_owned(), after: None };
        self.said("end a container", stop::container(&self.ctx, seen, order).await)
    }

    async fn start(&self, name: &str, ended: Option<Timestamp>, outcome: &mut Outcome) -> bool {
        let Some(sandbox) = self.observed.sandbox() else { return true };
        let config = match self.config(sandbox.attempt) {
            Ok(config) => config,
            Err(why) => {
                tracing::warn!(pod = pod::full_name(&self.pod), why, "a sandbox's configuration could not be made");
                return false;
            }
        };
        let mut backoffs = self.memory.backoffs.clone();
        if let Some(ended) = ended {
            backoffs.next(name, ended, self.ctx.now());
        }
        let pull_wait = SignedDuration::from_secs(self.memory.pulls.seconds(name) * 2);
        let pull_wait = pull_wait.clamp(restart::FIRST, restart::LONGEST);
        let facts = self.facts();
        let job = start::Job {
            pod: &self.pod,
            observed: &self.observed,
            sandbox: &config,
            sandbox_id: &sandbox.id,
            facts: &facts,
        };
        match start::start(&self.ctx, job, name, pull_wait, backoffs.seconds(name)).await {
            Ok(()) => outcome.started.push((name.to_owned(), ended)),
            Err(waiting) => outcome.waiting.push((name.to_owned(), waiting)),
        }
        true
    }
}

/// What a pod may be told of node and sandbox.
#[must_use]
pub fn facts(ctx: &Context, pod: &Pod, observed: &Observed) -> Facts {
    let host_ips = ctx.config.node_ips.clone();
    let own = observed.sandbox().map(|sandbox| sandbox.ips.clone()).unwrap_or_default();
    Facts {
        pod_ips: if pod::on_host_network(pod) { host_ips.clone() } else { own },
        host_ips,
        allocatable: ctx.machine.allocatable.clone(),
    }
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steps").field("uid", &self.pod.uid()).field("actions", &self.actions).finish_non_exhaustive()
    }
}
