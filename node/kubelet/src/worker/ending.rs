//! The end of a pod: everything stops, the last status is told, volumes and cgroup go, and a deleted pod leaves the API
//! server.

use super::{Busy, Next, Worker};
use crate::{cgroups, pod, purge, stop};
use anyhow::Context as _;
use client::{DeleteOptions, Meta};
use k8s_openapi::api::core::v1::Pod;

impl Worker {
    /// Breaks off whatever is under way.
    pub(super) fn abandon(&mut self) {
        match self.busy.take() {
            Some(Busy::Steps(task)) => task.abort(),
            Some(Busy::Ending(task, _)) => task.abort(),
            None => (),
        }
        self.probes.clear();
    }

    /// One round of a pod that is to end.
    pub(super) async fn end(&mut self) -> anyhow::Result<Next> {
        if !self.observed.is_still() {
            self.tell(false).await?;
            return Ok(Next::Sleep(self.stop()));
        }
        match &self.busy {
            // The engine may still be busy with what the steps began; its events tell.
            Some(Busy::Steps(_)) => self.abandon(),
            Some(Busy::Ending(..)) => return Ok(Next::Sleep(None)),
            None => (),
        }
        self.probes.clear();
        self.tell(true).await?;
        purge::tidy(&self.ctx, &self.observed).await;
        if !self.torn {
            let uid = self.pod.uid();
            self.ctx.volumes.tear_down(uid).await.context("tear down the volumes")?;
            cgroups::tear_down(&self.ctx.config.cgroups, uid).context("remove the cgroup")?;
            self.torn = true;
        }
        if self.pod.is_deleting() && pod::is_terminal(self.told.phase.as_deref().unwrap_or_default()) {
            let only = DeleteOptions::only(self.pod.uid()).grace(0);
            let pods = self.ctx.client.of::<Pod>();
            match pods.delete_if_there(self.pod.namespace(), self.pod.name(), &only).await {
                // Another pod of this name is there already.
                Err(status) if status.code == 409 => (),
                deleted => deleted.map_err(|status| anyhow::anyhow!("delete the pod: {status}"))?,
            }
        }
        Ok(Next::Sleep(None))
    }

    /// Sets the end off, or sets it off anew when the grace became shorter. When to look again.
    fn stop(&mut self) -> Option<jiff::Timestamp> {
        let grace = self.pod.metadata.deletion_grace_period_seconds;
        let running = match &self.busy {
            Some(Busy::Ending(_, began)) => grace.is_none_or(|grace| began.is_some_and(|began| began <= grace)),
            _ => false,
        };
        if running {
            return None;
        }
        let held = self.memory.held_until.filter(|until| *until > self.ctx.now());
        if self.busy.is_none() && held.is_some() {
            return held;
        }
        for probe in self.probes.values() {
            probe.terminating();
        }
        match self.busy.take() {
            Some(Busy::Steps(task)) => task.abort(),
            Some(Busy::Ending(task, _)) => task.abort(),
            None => (),
        }
        let (ctx, pod, observed) = (self.ctx.clone(), self.pod.clone(), self.observed.clone());
        let task = tokio::spawn(async move { stop::all(&ctx, &pod, &observed, None).await });
        self.busy = Some(Busy::Ending(task, grace));
        None
    }
}
