//! Takes away what is left of pods: old attempts of living ones, and everything of those that are gone.
//!
//! It must not decide which pods are gone.

use crate::context::Context;
use crate::cri::{self, Cri, v1};
use crate::observe::{Known, observe};
use crate::observed::{Container, Observed, State};
use crate::{cgroups, labels, stop};
use std::collections::BTreeMap;
use std::path::Path;

/// Ended attempts that are kept of each container besides the newest, for its last state and logs, as upstream's
/// `maximum-dead-containers-per-container`.
pub const KEPT: usize = 1;
/// The grace of containers whose pod nobody knows any more, seconds, as upstream.
pub const ORPHAN_GRACE: i64 = 1;

async fn remove_container(cri: &Cri, id: &str) -> cri::Result<()> {
    match cri.remove_container(v1::RemoveContainerRequest { container_id: id.to_owned() }).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

async fn remove_sandbox(cri: &Cri, id: &str) -> cri::Result<()> {
    match cri.remove_pod_sandbox(v1::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() }).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

fn unlink(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a file could not be removed");
        }
        _ => (),
    }
}

/// The ended attempts that nobody needs: those older than the newest attempt, but for [`KEPT`] of them.
#[must_use]
pub fn superfluous(observed: &Observed) -> Vec<&Container> {
    let is_newest = |c: &Container| observed.latest(&c.name).is_some_and(|newest| newest.id == c.id);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for container in observed.containers.iter().filter(|c| !is_newest(c)) {
        match container.state {
            State::Exited => {
                let count = counts.entry(&container.name).or_default();
                *count += 1;
                if *count > KEPT {
                    found.push(container);
                }
            }
            // Made and never started, and there is a newer one.
            State::Created => found.push(container),
            State::Running | State::Unknown => (),
        }
    }
    found
}

/// Removes old attempts with their logs, and old sandboxes that are empty.
pub async fn tidy(ctx: &Context, observed: &Observed) {
    let old = superfluous(observed);
    for container in &old {
        match remove_container(&ctx.cri, &container.id).await {
            Ok(()) => remove_log(ctx, container),
            Err(error) => tracing::warn!(container = container.id, %error, "an old container could not be removed"),
        }
    }
    let empty = |id: &str| !observed.containers.iter().any(|c| c.sandbox == id && !old.iter().any(|o| o.id == c.id));
    for sandbox in observed.sandboxes.iter().skip(1).filter(|s| !s.ready && empty(&s.id)) {
        if let Err(error) = remove_sandbox(&ctx.cri, &sandbox.id).await {
            tracing::warn!(sandbox = sandbox.id, %error, "an old sandbox could not be removed");
        }
    }
}

/// Removes a container's log with its older parts, and the link to it.
fn remove_log(ctx: &Context, container: &Container) {
    let path = Path::new(&container.log);
    unlink(path);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let older = |entry: &std::fs::DirEntry| {
        entry.file_name().to_str().and_then(|other| other.strip_prefix(name)).is_some_and(|rest| rest.starts_with('.'))
    };
    entries.filter(older).for_each(|entry| unlink(&entry.path()));
    remove_links(ctx, |target| target == path);
}

fn remove_links(ctx: &Context, wanted: impl Fn(&Path) -> bool) {
    let entries = std::fs::read_dir(&ctx.config.container_logs).into_iter().flatten().flatten();
    for entry in entries {
        if std::fs::read_link(entry.path()).is_ok_and(|target| wanted(&target)) {
            unlink(&entry.path());
        }
    }
}

/// Removes everything of a pod that is gone, ending what still runs.
///
/// # Errors
/// What could not be taken away; try again.
pub async fn pod(ctx: &Context, uid: &str) -> anyhow::Result<()> {
    let observed = observe(&ctx.cri, uid, &mut Known::default()).await?;
    for container in observed.running() {
        let timeout = ORPHAN_GRACE.max(stop::GRACE_MIN);
        let asked = v1::StopContainerRequest { container_id: container.id.clone(), timeout };
        match ctx.cri.stop_container(asked).await {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => (),
        }
    }
    for container in &observed.containers {
        remove_container(&ctx.cri, &container.id).await?;
    }
    for sandbox in &observed.sandboxes {
        let asked = v1::StopPodSandboxRequest { pod_sandbox_id: sandbox.id.clone() };
        match ctx.cri.stop_pod_sandbox(asked).await {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => (),
        }
        remove_sandbox(&ctx.cri, &sandbox.id).await?;
    }
    ctx.volumes.tear_down(uid).await?;
    cgroups::tear_down(&ctx.config.cgroups, uid)?;
    ctx.objects.release(uid);
    remove_logs(ctx, uid)?;
    Ok(())
}

/// Removes the log folder of a pod and the links into it.
fn remove_logs(ctx: &Context, uid: &str) -> std::io::Result<()> {
    let suffix = format!("_{uid}");
    let entries = match std::fs::read_dir(&ctx.config.pod_logs) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.ends_with(&suffix)) {
            remove_links(ctx, |target| target.starts_with(entry.path()));
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// The uids of all pods of which the engine, the disk or the kernel has something.
///
/// # Errors
/// What cannot be read.
pub async fn traces(ctx: &Context) -> anyhow::Result<std::collections::BTreeSet<String>> {
    let mut uids: std::collections::BTreeSet<String> = ctx.volumes.on_disk()?.into_iter().collect();
    uids.extend(cgroups::uids(&ctx.config.cgroups)?);
    let sandboxes = ctx.cri.list_pod_sandbox(v1::ListPodSandboxRequest::default()).await?.items;
    let containers = ctx.cri.list_containers(v1::ListContainersRequest::default()).await?.containers;
    let all = sandboxes.into_iter().map(|s| s.labels).chain(containers.into_iter().map(|c| c.labels));
    uids.extend(all.filter_map(|mut labels| labels.remove(labels::POD_UID)));
    Ok(uids)
}
