//! The story of a kubelet: find the engine, register the node, follow its pods, keep both until told to stop.

use crate::config::Config;
use crate::context::{Clock, Context, Machine};
use crate::cri::{self, Cri, v1};
use crate::inbox::Verdict;
use crate::objects::{Cached, Objects};
use crate::pods::Pods;
use crate::probe::{Exec, ExecAnswer, ExecFailure, Prober, Told};
use crate::registry::Registry;
use crate::relist::Relist;
use crate::view::Seen;
use crate::volumes::Volumes;
use crate::{cgroups, node, pod};
use anyhow::{Context as _, Result};
use client::Boxed;
use client::backoff::Backoff;
use client::events::Face;
use client::{Client, Informers, Meta, Recorder, Selection};
use k8s_openapi::api::core::v1::{Node, Pod};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Waits until the engine answers; it starts beside us.
const ENGINE: Backoff = Backoff { first: Duration::from_millis(50), cap: Duration::from_secs(5) };

/// How long the node waits with being Ready for the first word on its pods. They are looked at together; one whose look
/// fails is tried again after a second.
const FIRST_LOOK_MAX: Duration = Duration::from_secs(10);

/// A kubelet that does not run yet. What others need of it can be had before.
pub struct Kubelet {
    config: Config,
    client: Client,
    clock: Clock,
    cri: Cri,
    registry: Arc<Registry>,
}

/// Runs a kubelet until told to stop; containers go on.
///
/// # Errors
/// When the settings cannot be used on this machine.
pub async fn run(config: Config, client: Client, clock: Clock, stop: CancellationToken) -> Result<()> {
    Kubelet::new(config, client, clock)?.run(stop).await
}

impl Kubelet {
    /// A kubelet with these settings that speaks to the API server as this client's user.
    ///
    /// # Errors
    /// When the engine's socket has no usable path.
    pub fn new(config: Config, client: Client, clock: Clock) -> Result<Kubelet> {
        let cri = Cri::new(&config.cri_socket)?;
        Ok(Kubelet { config, client, clock, cri, registry: Arc::default() })
    }

    /// The engine.
    #[must_use]
    pub fn cri(&self) -> &Cri {
        &self.cri
    }

    /// The pods as their workers see them.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.clone()
    }

    /// What the kubelet's own API shows of the pods.
    #[must_use]
    pub fn view(&self) -> Seen {
        Seen::new(self.registry.clone(), self.config.cgroups.clone())
    }

    /// Runs until told to stop; containers go on.
    ///
    /// # Errors
    /// When folders or cgroups cannot be made.
    pub fn run(self, stop: CancellationToken) -> Boxed<'static, Result<()>> {
        Box::pin(self.live(stop))
    }

    async fn live(self, stop: CancellationToken) -> Result<()> {
        for folder in [&self.config.root, &self.config.pod_logs, &self.config.container_logs] {
            std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        // These fill while the engine starts.
        let informers = Informers::new(self.client.clone(), stop.clone());
        let named =
            |field: &str| Selection { fields: format!("{field}={}", self.config.node_name), ..Selection::default() };
        let nodes = informers.selected::<Node>(named("metadata.name"));
        let watched = informers.selected::<Pod>(named("spec.nodeName"));
        let Some(machine) = engine(&self.config, &self.cri, &stop).await else { return Ok(()) };
        let (milli, memory) =
            (machine.cpus * 1000 - self.config.reserved_milli_cpu, machine.memory_bytes - self.config.reserved_memory);
        cgroups::prepare(&self.config.cgroups, milli, memory).context("prepare the pods' cgroups")?;
        // Whoever wakes workers is made before them, so it finds them here.
        let pods: Arc<OnceLock<Arc<Pods>>> = Arc::default();
        let (told, says) = mpsc::unbounded_channel();
        let ctx = Arc::new(self.context(machine, told, &pods, &stop));
        let node = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            node = node::register(&ctx) => node,
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = async { tokio::join!(nodes.synced(), watched.synced()); } => (),
        }
        let all = Pods::new(ctx.clone(), self.registry.clone(), nodes, stop.clone());
        pods.get_or_init(|| all.clone());
        let follow = all.clone();
        watched.on_change(move |change| follow.change(change));
        tracing::info!(node = ctx.config.node_name, engine = ctx.machine.runtime, "the kubelet runs");
        // After a restart of the machine the API server still has what was: pods that run and are Ready. The node is
        // Ready when it has had word of each; whoever waits for that finds Services as they are.
        let begun = |pod: &Pod| !pod::is_terminal(pod::phase(pod));
        let before: Vec<String> =
            watched.all().iter().filter(|pod| begun(pod)).map(|pod| pod.uid().to_owned()).collect();
        let registry = self.registry.clone();
        let first_look = async move {
            if tokio::time::timeout(FIRST_LOOK_MAX, registry.all_told(&before)).await.is_err() {
                tracing::warn!(pods = before.len(), "not every pod could be looked at in time");
            }
        };
        let relist = Relist { ctx: ctx.clone(), pods: all.clone(), registry: self.registry.clone() };
        tokio::join!(
            relist.run(stop.clone()),
            node::keep(ctx.clone(), node, first_look, stop.clone()),
            listen(says, all, ctx.recorder.clone(), stop.clone()),
        );
        Ok(())
    }

    fn context(
        &self,
        machine: Machine,
        told: mpsc::UnboundedSender<Told>,
        pods: &Arc<OnceLock<Arc<Pods>>>,
        stop: &CancellationToken,
    ) -> Context {
        let wakes = pods.clone();
        let wake = Arc::new(move |uid: &str| {
            if let Some(pods) = wakes.get() {
                pods.objects(uid);
            }
        });
        let objects: Arc<dyn Objects> = Arc::new(Cached::new(self.client.clone(), stop.clone(), wake));
        let recorder =
            Recorder::new(self.client.clone(), "kubelet", &self.config.node_name, Face::Core, self.clock.clone());
        Context {
            volumes: Volumes::new(&self.config.root, objects.clone(), self.clock.clone()),
            prober: Prober::new(exec(self.cri.clone()), told).counting(self.config.probes.clone()),
            recorder,
            objects,
            machine,
            since: (self.clock)(),
            clock: self.clock.clone(),
            cri: self.cri.clone(),
            client: self.client.clone(),
            config: self.config.clone(),
        }
    }
}

/// Waits for the engine; `None` when told to stop before it answered.
async fn engine(config: &Config, cri: &Cri, stop: &CancellationToken) -> Option<Machine> {
    // At boot it starts beside us; asking again at intervals would find it late.
    tokio::select! {
        () = stop.cancelled() => return None,
        watched = sys::listening::accepts(&config.cri_socket) => if let Err(error) = watched {
            tracing::info!(%error, "the container engine's socket cannot be watched");
        }
    }
    let mut failures = 0;
    loop {
        let found = tokio::select! {
            () = stop.cancelled() => return None,
            found = node::machine::find(config, cri) => found,
        };
        match found {
            Ok(machine) => return Some(machine),
            Err(error) => {
                failures += 1;
                tracing::info!(%error, failures, "the container engine does not answer yet");
                tokio::select! {
                    () = stop.cancelled() => return None,
                    () = tokio::time::sleep(ENGINE.after(failures)) => (),
                }
            }
        }
    }
}

/// Runs a probe's command through the engine.
fn exec(cri: Cri) -> Exec {
    Arc::new(move |container_id, cmd, limit| {
        let cri = cri.clone();
        Box::pin(async move {
            let timeout = i64::try_from(limit.as_secs().max(1)).unwrap_or(i64::MAX);
            match cri.exec_sync(v1::ExecSyncRequest { container_id, cmd, timeout }).await {
                Ok(answer) => {
                    Ok(ExecAnswer { code: answer.exit_code, output: [answer.stdout, answer.stderr].concat() })
                }
                Err(error) if error.kind == cri::Kind::TimedOut => Err(ExecFailure::TimedOut(error.message)),
                Err(error) => Err(ExecFailure::Other(error.message)),
            }
        })
    })
}

/// Hands what the probes say to the workers and to the users.
async fn listen(mut says: mpsc::UnboundedReceiver<Told>, pods: Arc<Pods>, recorder: Recorder, stop: CancellationToken) {
    loop {
        let told = tokio::select! {
            () = stop.cancelled() => return,
            told = says.recv() => told,
        };
        match told {
            Some(Told::Result { uid, container_id, kind, ok, .. }) => {
                pods.probed(&uid, Verdict { container_id, kind, ok });
            }
            Some(Told::Event { pod, reason, message, .. }) => recorder.warning(&*pod, reason, message),
            None => return,
        }
    }
}
