//! The node itself: its object, its lease, its conditions.
//!
//! It must not know pods.

mod lease;
pub mod machine;
mod object;

use crate::context::Context;
use crate::cri::v1;
use anyhow::{Result, anyhow};
use client::backoff::Backoff;
use client::{Meta, Patch};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use object::{Health, labels, registration, status};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the lease is renewed, upstream's quarter of 40 s.
pub const BEAT: Duration = Duration::from_secs(10);
/// How often the status is written although nothing changed, upstream's `nodeStatusReportFrequency`.
pub const REPORT: SignedDuration = SignedDuration::from_secs(300);
/// How often the images are listed: their names are for people and for the scheduler's taste, and the question costs the
/// engine more than any other of an idle machine.
pub const IMAGES: SignedDuration = SignedDuration::from_secs(60);
/// Waits while the node cannot be registered.
const RETRY: Backoff = Backoff { first: Duration::from_millis(200), cap: Duration::from_secs(7) };

/// Registers the node; again until the server takes it.
pub async fn register(ctx: &Context) -> Node {
    let mut failures = 0;
    loop {
        match try_register(ctx).await {
            Ok(node) => return node,
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, failures, "the node could not be registered");
                tokio::time::sleep(RETRY.after(failures)).await;
            }
        }
    }
}

async fn try_register(ctx: &Context) -> Result<Node> {
    let nodes = ctx.client.of::<Node>();
    let failed = |what: &'static str| move |status: api::Status| anyhow!("{what}: {status}");
    let name = ctx.config.node_name.as_str();
    if let Some(there) = nodes.find("", name).await.map_err(failed("read the node"))? {
        let wanted = labels(&ctx.config);
        let has = there.metadata.labels.clone().unwrap_or_default();
        if wanted.iter().all(|(key, value)| has.get(key) == Some(value)) {
            return Ok(there);
        }
        let change = Patch::Merge(json!({"metadata": {"labels": wanted}}));
        return nodes.patch("", name, "", &change).await.map_err(failed("label the node"));
    }
    let health = look(ctx, false).await;
    let new = registration(&ctx.config, &ctx.machine, &health, ctx.now());
    nodes.create("", &new).await.map_err(failed("create the node"))
}

/// Keeps lease and status until told to stop, from when `first_look` is over.
pub async fn keep(ctx: Arc<Context>, mut node: Node, first_look: impl Future<Output = ()>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => return,
        () = first_look => (),
    }
    let mut told = node.status.clone().unwrap_or_default();
    let mut written = None::<Timestamp>;
    let mut listed = None::<Timestamp>;
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = beats.tick() => (),
        }
        let now = ctx.now();
        let is_due =
            |last: Option<Timestamp>, every: SignedDuration| last.is_none_or(|at| now.duration_since(at) >= every);
        // Side by side, and without the images: the first beat is what a booting machine waits for.
        let with_images = written.is_some() && is_due(listed, IMAGES);
        let (renewed, health) = tokio::join!(lease::renew(&ctx, node.uid()), look(&ctx, with_images));
        if let Err(error) = renewed {
            tracing::warn!(%error, "the node's lease could not be renewed");
        }
        if with_images && health.images.is_some() {
            listed = Some(now);
        }
        let new = status(&ctx.config, &ctx.machine, &health, &told, now);
        let due = is_due(written, REPORT);
        if !due && object::says_the_same(&told, &new) {
            continue;
        }
        let mut body = json!({"status": &new});
        // Lists without a key that tells their items apart are replaced as a whole.
        if let Some(addresses) = body["status"]["addresses"].as_array_mut() {
            addresses.insert(0, json!({"$patch": "replace"}));
        }
        match ctx.client.of::<Node>().patch("", &ctx.config.node_name, "status", &Patch::Strategic(body)).await {
            Ok(there) => {
                told = there.status.unwrap_or_default();
                if written.replace(now).is_none() {
                    beats.reset_immediately();
                }
            }
            Err(status) if status.is_not_found() => {
                // Somebody deleted it: a node that runs is a node that is registered.
                node = tokio::select! {
                    () = stop.cancelled() => return,
                    node = register(&ctx) => node,
                };
                told = node.status.clone().unwrap_or_default();
                written = None;
            }
            Err(status) => tracing::warn!(%status, "the node's status could not be written"),
        }
    }
}

/// How machine and engine are now.
async fn look(ctx: &Context, with_images: bool) -> Health {
    let listed = async { if with_images { images(ctx).await } else { None } };
    let (images, engine) = tokio::join!(listed, ctx.cri.status(v1::StatusRequest::default()));
    let engine = match engine {
        Ok(answer) => answer.status.unwrap_or_default().conditions,
        Err(error) => {
            let (r#type, message) = ("RuntimeReady".to_owned(), error.to_string());
            vec![v1::RuntimeCondition { r#type, status: false, reason: "NoAnswer".to_owned(), message }]
        }
    };
    // What cannot be measured is not called short.
    let memory = machine::memory().inspect_err(|error| tracing::warn!(%error, "memory cannot be measured"));
    let disk =
        machine::disk(&ctx.config.root).inspect_err(|error| tracing::warn!(%error, "the disk cannot be measured"));
    Health {
        images,
        engine,
        memory_available: memory.map_or(i64::MAX, |memory| memory.available),
        disk: disk.unwrap_or_default(),
    }
}

async fn images(ctx: &Context) -> Option<Vec<v1::Image>> {
    match ctx.cri.list_images(v1::ListImagesRequest::default()).await {
        Ok(answer) => Some(answer.images),
        Err(error) => {
            tracing::warn!(%error, "the images could not be listed");
            None
        }
    }
}
