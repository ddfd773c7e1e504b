//! The proxy's life: caches of Services, EndpointSlices and the own Node; any change leads to one look at the whole,
//! and the difference goes to the kernel.

use super::Network;
use super::conntrack::{self, Expected};
use super::endpoint::{Endpoints, endpoints};
use super::health::{self, Answers};
use super::rules::{Known, MEMORY, desired, forgotten};
use super::service::{ServicePort, ports};
use super::topology::Place;
use crate::metrics::{SYNC_FAILURES, SYNC_SECONDS, SYNCED_AT};
use crate::nft::{Family, Kernel, Plan, Ruleset, Tables, plan, sweep};
use ::metrics::Values;
use client::Boxed;
use client::backoff::Backoff;
use client::{Client, Informers, Object, Selection, Store};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long changes are gathered before they go to the kernel together: long enough for a rollout's burst, too short
/// to be noticed.
pub const COALESCE: Duration = Duration::from_millis(10);
/// How long an emptied chain stays. The kernel frees the last element that led to it somewhat later; upstream waits a
/// second, too.
pub const SWEEP_AFTER: Duration = Duration::from_secs(1);
/// Waits after a transaction that the kernel refused; the next one makes the table anew.
pub const RETRY: Backoff = Backoff { first: Duration::from_millis(200), cap: Duration::from_secs(30) };

const ZONE: &str = "topology.kubernetes.io/zone";

/// What the proxy is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of the own Node object.
    pub node: String,
    /// The cluster's ranges. There is a table for each family that has a range of Services.
    pub network: Network,
    /// Where the proxy counts.
    pub metrics: Arc<Values>,
}

/// Runs until told to stop. The rules stay, so that pods go on reaching each other.
///
/// # Errors
/// The kernel's nftables cannot be reached at all.
pub fn run(config: Config, client: Client, stop: CancellationToken) -> Boxed<'static, Result<(), String>> {
    Box::pin(keep(config, client, stop))
}

async fn keep(config: Config, client: Client, stop: CancellationToken) -> Result<(), String> {
    let life = stop.child_token();
    let _ends_the_informers = life.clone().drop_guard();
    let informers = Informers::new(client, life);
    let caches = Caches {
        services: informers.of::<Service>(),
        slices: informers.of::<EndpointSlice>(),
        nodes: informers
            .selected::<Node>(Selection { fields: format!("metadata.name={}", config.node), ..Selection::default() }),
    };
    let changed = Arc::new(Notify::new());
    wake(&caches.services, &changed);
    wake(&caches.slices, &changed);
    wake(&caches.nodes, &changed);
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        () = caches.synced() => (),
    }
    let mut proxy = Proxy::new(config, Kernel::open()?);
    let mut failures = 0;
    loop {
        let wait = match proxy.look(&caches).await {
            Ok(()) => {
                failures = 0;
                proxy.sweep_at
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, failures, "the service rules could not be changed");
                Some(Instant::now() + RETRY.after(failures))
            }
        };
        let timer = async {
            match wait {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = timer => if failures == 0 { proxy.sweep().await },
            () = changed.notified() => tokio::time::sleep(COALESCE).await,
        }
    }
}

struct Caches {
    services: Arc<Store<Service>>,
    slices: Arc<Store<EndpointSlice>>,
    nodes: Arc<Store<Node>>,
}

impl Caches {
    async fn synced(&self) {
        self.services.synced().await;
        self.slices.synced().await;
        self.nodes.synced().await;
    }
}

fn wake<T: Object>(store: &Store<T>, changed: &Arc<Notify>) {
    let changed = changed.clone();
    store.on_change(move |_| changed.notify_one());
}

/// Everything of one look at the caches.
struct Seen {
    services: Vec<ServicePort>,
    endpoints: Endpoints,
}

fn see(of: Family, caches: &Caches) -> Seen {
    let mut services: Vec<ServicePort> = caches.services.all().iter().flat_map(|service| ports(of, service)).collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    let slices = caches.slices.all();
    Seen { services, endpoints: endpoints(of, slices.iter().map(Arc::as_ref)) }
}

struct Proxy<T> {
    config: Config,
    tables: T,
    /// What the kernel has, as far as we know.
    there: BTreeMap<Family, Ruleset>,
    /// What it is to have.
    wanted: BTreeMap<Family, Ruleset>,
    udp: Expected,
    answers: Answers,
    sweep_at: Option<Instant>,
}

impl<T: Tables> Proxy<T> {
    fn new(config: Config, tables: T) -> Proxy<T> {
        Proxy {
            config,
            tables,
            there: BTreeMap::new(),
            wanted: BTreeMap::new(),
            udp: Expected::default(),
            answers: Answers::default(),
            sweep_at: None,
        }
    }

    /// Brings the kernel in step with the caches.
    async fn look(&mut self, caches: &Caches) -> Result<(), String> {
        let place = self.place(caches);
        let mut udp = Expected::default();
        let mut health = BTreeMap::new();
        for of in [Family::V4, Family::V6] {
            if !self.config.network.services.iter().any(|range| Family::of(range.address) == of) {
                continue;
            }
            let seen = see(of, caches);
            let known = Known {
                services: &seen.services,
                endpoints: &seen.endpoints,
                place: &place,
                network: &self.config.network,
            };
            self.commit(desired(of, &known)).await?;
            udp.add(&seen.services, &seen.endpoints);
            for (port, one) in health::wanted(&seen.services, &seen.endpoints, &place) {
                let there: &mut health::Health = health.entry(port).or_default();
                *there = health::Health { local: one.local.max(there.local), ..one };
            }
        }
        self.answers.apply(health).await;
        if udp != self.udp {
            let gone = conntrack::clean(&udp).await?;
            tracing::debug!(gone, "forgot UDP connections to backends that are gone");
            self.udp = udp;
        }
        Ok(())
    }

    fn place(&self, caches: &Caches) -> Place {
        let node = caches.nodes.find("", &self.config.node);
        let zone = node.and_then(|node| node.metadata.labels.as_ref()?.get(ZONE).cloned());
        Place { node: self.config.node.clone(), zone: zone.unwrap_or_default() }
    }

    /// One transaction for one family. After a refusal nothing is taken as known.
    async fn commit(&mut self, wanted: Ruleset) -> Result<(), String> {
        let of = wanted.family;
        let plan = plan(self.there.get(&of), &wanted);
        if !plan.ops.is_empty() {
            let began = Instant::now();
            let metrics = self.config.metrics.clone();
            if let Err(why) = self.change(&plan).await {
                self.there.remove(&of);
                metrics.count(&SYNC_FAILURES, &[family(of)]);
                return Err(why);
            }
            metrics.observe(&SYNC_SECONDS, &[family(of)], began.elapsed().as_secs_f64());
            let (operations, took_us) = (plan.ops.len(), began.elapsed().as_micros());
            tracing::debug!(family = ?of, operations, took_us, "changed the service rules");
        }
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        self.config.metrics.set(&SYNCED_AT, &[family(of)], since_1970.map_or(0.0, |since| since.as_secs_f64()));
        if plan.after.chains.len() > wanted.chains.len() {
            // Not put off by later changes, or a busy cluster would never be swept.
            self.sweep_at.get_or_insert(Instant::now() + SWEEP_AFTER);
        }
        self.there.insert(of, plan.after);
        self.wanted.insert(of, wanted);
        Ok(())
    }

    async fn change(&mut self, plan: &Plan) -> Result<(), String> {
        self.tables.commit(&plan.after, &plan.ops).await?;
        let gone = forgotten(&plan.ops);
        if gone.is_empty() { Ok(()) } else { self.tables.forget(&plan.after, MEMORY, &gone).await }
    }

    /// Removes chains that have been empty for a while. What the kernel still holds on to goes after the next change.
    async fn sweep(&mut self) {
        self.sweep_at = None;
        for (of, wanted) in &self.wanted {
            let Some(there) = self.there.get(of) else { continue };
            let ops = sweep(there, wanted);
            if ops.is_empty() {
                continue;
            }
            match self.tables.commit(wanted, &ops).await {
                Ok(()) => {
                    self.there.insert(*of, wanted.clone());
                }
                Err(error) => tracing::info!(%error, "emptied chains stay for now"),
            }
        }
    }
}

/// Upstream's word for a family.
fn family(of: Family) -> &'static str {
    match of {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

#[cfg(test)]
mod tests;
