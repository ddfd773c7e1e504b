//! What nodes and pods use, as `metrics.k8s.io` tells it. The rules are those of `sigs.k8s.io/metrics-server`: CPU is a
//! rate between two samples, memory the newest sample's working set.
//!
//! Nothing is sampled unless somebody asks: a sample that is young enough answers, an older one becomes the beginning of
//! a new window, and when there is none that would do, a second one is taken a little later. An idle machine does
//! nothing. Kubelets are asked at `/metrics/resource`, those of other nodes the same as our own.

mod objects;
mod samples;
mod scrape;
mod text;

use crate::clock::rfc3339;
use crate::computed::{Made, Wish};
use crate::objects::Indexed;
use crate::server::Server;
use api::status::GroupName;
use api::{Status, Tree};
use samples::Samples;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// How long after a first sample a second one follows. Short enough for somebody who waits for `kubectl top`, long
/// enough that a rate is more than noise.
const SECOND_AFTER: Duration = Duration::from_secs(2);

/// The last two samples of every node. Whoever asks holds the lock while samples are taken, so that many who ask at
/// once make one round.
#[derive(Default)]
pub struct Usage(Mutex<Samples>);

impl Usage {
    /// Samples that are fresh.
    async fn look(&self, server: &Server) -> Result<MutexGuard<'_, Samples>, Status> {
        let mut samples = self.0.lock().await;
        if samples.is_fresh(server.world.clock.now()) {
            return Ok(samples);
        }
        let round = scrape::all(server).await?;
        samples.add(round, server.world.clock.now());
        if samples.lack_a_window() {
            tokio::time::sleep(SECOND_AFTER).await;
            let round = scrape::all(server).await?;
            samples.add(round, server.world.clock.now());
        }
        Ok(samples)
    }
}

/// `nodes.metrics.k8s.io`
pub fn nodes<'a>(server: &'a Server, wish: Wish<'a>) -> Made<'a> {
    Box::pin(async move {
        let found = stored(server, "nodes", &wish)?;
        let samples = server.usage.look(server).await?;
        let now = rfc3339(server.world.clock.now());
        let made: Vec<Tree> = found
            .iter()
            .filter_map(|entry| {
                let indexed = entry.extra_as::<Indexed>()?;
                Some(objects::node(indexed, &samples.node(&indexed.name)?, &now))
            })
            .collect();
        refuse_none(&wish, "nodemetrics", made)
    })
}

/// `pods.metrics.k8s.io`
pub fn pods<'a>(server: &'a Server, wish: Wish<'a>) -> Made<'a> {
    Box::pin(async move {
        let found = stored(server, "pods", &wish)?;
        let samples = server.usage.look(server).await?;
        let now = rfc3339(server.world.clock.now());
        let made: Vec<Tree> = found
            .iter()
            .filter_map(|entry| {
                let indexed = entry.extra_as::<Indexed>()?;
                objects::pod(indexed, &samples.pod(&indexed.namespace, &indexed.name)?, &now)
            })
            .collect();
        refuse_none(&wish, "podmetrics", made)
    })
}

/// The stored nodes or pods that a wish is about.
fn stored(server: &Server, plural: &str, wish: &Wish) -> Result<Vec<std::sync::Arc<store::Entry>>, Status> {
    let resource = server.resource("", "v1", plural)?;
    if !wish.name.is_empty() {
        let entry = server.store.get(&resource.key(wish.namespace, wish.name));
        return entry.map(|entry| vec![entry]).ok_or_else(|| Status::not_found(&resource.named(), wish.name));
    }
    let prefix = resource.prefix(wish.namespace);
    let snapshot = server.store.snapshot();
    Ok(snapshot.iter(&prefix, None).filter(|entry| wish.selection.wants(entry)).cloned().collect())
}

/// A wish for one object that has not been measured yet is refused in metrics-server's words.
fn refuse_none(wish: &Wish, plural: &str, made: Vec<Tree>) -> Result<Vec<Tree>, Status> {
    if wish.name.is_empty() || !made.is_empty() {
        return Ok(made);
    }
    let name =
        if wish.namespace.is_empty() { wish.name.to_owned() } else { format!("{}/{}", wish.namespace, wish.name) };
    Err(Status::not_found(&GroupName::new("metrics.k8s.io", plural), &name))
}
