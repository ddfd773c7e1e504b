//! Carries the plan of `garbage` out: one collector for the images of the pods and of Docker. It looks when an image or
//! a container has come or gone, and sleeps in between.

use super::fault::at;
use super::garbage::{Plan, Policy, plan};
use super::present::{Found, Memory, disk};
use super::{Fault, Images, call};
use containerd_client::services::v1::SubscribeRequest;
use futures_util::StreamExt;
use jiff::Timestamp;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The shortest time between two looks. A pull or a rollout sends events by the hundred, and one look answers them all;
/// upstream looks every five minutes.
const LOOK_PAUSE: Duration = Duration::from_secs(60);
/// How long to wait before listening again when containerd has gone away.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// After what events the disk may be fuller, or an image may have come into use.
const EVENTS: [&str; 3] =
    [r#"topic=="/images/create""#, r#"topic=="/containers/create""#, r#"topic=="/containers/delete""#];

/// Removes images when the disk fills.
#[derive(Debug)]
pub struct Collector {
    images: Images,
    folder: PathBuf,
    policy: Policy,
    memory: Memory,
}

impl Collector {
    /// For images that are stored below `folder`.
    #[must_use]
    pub fn new(images: Images, folder: &Path, policy: Policy) -> Collector {
        Collector { images, folder: folder.to_owned(), policy, memory: Memory::default() }
    }

    /// Looks whenever it may matter, for ever. `report` is told of every plan that removes something or falls short.
    pub async fn run(mut self, report: impl Fn(&Plan)) {
        loop {
            if let Err(error) = self.follow(&report).await {
                tracing::warn!(%error, "image garbage collection waits for the container engine");
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn follow(&mut self, report: &impl Fn(&Plan)) -> Result<(), Fault> {
        let mut request = call(SubscribeRequest { filters: EVENTS.map(str::to_owned).to_vec() });
        // The stream has no end, and the first event may be days away.
        request.metadata_mut().remove("grpc-timeout");
        let mut client = self.images.client().events();
        // containerd answers with its first event and not before, so the first look does not wait for that.
        let (looked, answer) = tokio::join!(self.look_and_tell(report), client.subscribe(request));
        looked?;
        let mut events = answer.map_err(at("events.Subscribe"))?.into_inner();
        let mut due = false;
        loop {
            if !due {
                let Some(event) = events.next().await else { return Ok(()) };
                event.map_err(at("events.Subscribe"))?;
            }
            let calm = Instant::now() + LOOK_PAUSE;
            self.look_and_tell(report).await?;
            due = false;
            while let Ok(event) = timeout_at(calm, events.next()).await {
                let Some(event) = event else { return Ok(()) };
                event.map_err(at("events.Subscribe"))?;
                due = true;
            }
        }
    }

    async fn look_and_tell(&mut self, report: &impl Fn(&Plan)) -> Result<(), Fault> {
        let plan = self.look(Timestamp::now()).await?;
        if !plan.remove.is_empty() || plan.falls_short() {
            report(&plan);
        }
        Ok(())
    }

    /// One look, and what it removed.
    ///
    /// # Errors
    /// What containerd or the disk says; what was removed before stays removed.
    pub async fn look(&mut self, now: Timestamp) -> Result<Plan, Fault> {
        let known = self.images.inventory().await?;
        let chains: HashSet<String> =
            known.iter().filter_map(|image| Some(image.chain.as_ref()?.to_string())).collect();
        let used = self.images.in_use(&chains).await?;
        let found = known.iter().map(|image| {
            let in_use = image.chain.as_ref().is_some_and(|chain| used.contains(chain.as_str()));
            Found { id: image.id.clone(), size: image.size, in_use, pinned: image.pinned }
        });
        let images = self.memory.of(&found.collect::<Vec<_>>(), now);
        let plan = plan(disk(&self.folder)?, &images, &self.policy, now);
        for id in &plan.remove {
            let image = known.iter().find(|image| image.id == *id).expect("the plan chooses among the known");
            let records: Vec<&str> = image.records.iter().map(String::as_str).collect();
            self.images.delete(&records).await?;
            tracing::info!(image = %id, names = ?image.records, bytes = image.size, "removed an image, for the disk fills");
        }
        Ok(plan)
    }
}
