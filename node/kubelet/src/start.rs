//! Makes and starts one container: image, environment, mounts, configuration, hook. Reasons as upstream's
//! `startContainer`.

use crate::config::Cgroups;
use crate::context::Context;
use crate::cri::v1;
use crate::env::{self, Facts};
use crate::memory::Waiting;
use crate::observed::Observed;
use crate::pod::{self, Sort};
use crate::spec::{self, hosts, sandbox};
use crate::volumes::{Mount, Propagation};
use crate::{hooks, pull, stop};
use client::Meta;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Container, Pod};
use std::io;
use std::path::Path;

/// How long until a container that could not be made is tried again, as upstream's workers come back.
pub const RETRY: SignedDuration = SignedDuration::from_secs(10);

/// One start.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// What runs of it.
    pub observed: &'a Observed,
    /// The configuration of its sandbox.
    pub sandbox: &'a v1::PodSandboxConfig,
    /// The engine's id of its sandbox.
    pub sandbox_id: &'a str,
    /// What its containers may be told.
    pub facts: &'a Facts,
}

/// Why it did not start.
struct Refused {
    reason: &'static str,
    message: String,
}

fn refused(reason: &'static str, message: impl Into<String>) -> Refused {
    Refused { reason, message: message.into() }
}

/// Makes and starts the container of this name. `pull_wait` is how long a failed pull waits, `backoff_seconds` what the
/// attempt had to wait.
///
/// # Errors
/// What its status says while it waits.
pub async fn start(
    ctx: &Context,
    job: Job<'_>,
    name: &str,
    pull_wait: SignedDuration,
    backoff_seconds: i64,
) -> Result<(), Waiting> {
    let Some((sort, container)) = pod::container(job.pod, name) else { return Ok(()) };
    match go(ctx, job, sort, &container, backoff_seconds).await {
        Ok(()) => Ok(()),
        Err(failed) => {
            let now = ctx.now();
            let word = if failed.reason == "ErrImagePull" { "ErrImagePull" } else { failed.message.as_str() };
            ctx.recorder.warning(job.pod, "Failed", format!("Error: {word}"));
            let wait = if failed.reason == "ErrImagePull" { pull_wait } else { RETRY };
            let until = now.saturating_add(wait).unwrap_or(now);
            Err(Waiting { reason: failed.reason.to_owned(), message: failed.message, until })
        }
    }
}

async fn go(ctx: &Context, job: Job<'_>, sort: Sort, container: &Container, backoff: i64) -> Result<(), Refused> {
    let policy = container.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
    let name = container.image.as_deref().unwrap_or_default();
    let image = pull::ensure(ctx, job.pod, name, policy, job.sandbox).await;
    let image = image.map_err(|failed| refused(failed.reason, failed.message))?;
    let config = configure(ctx, job, sort, container, &image, backoff).await;
    let config = config.map_err(|message| refused("CreateContainerConfigError", message))?;
    let log = Path::new(&job.sandbox.log_directory).join(&config.log_path);
    let made = ctx
        .cri
        .create_container(v1::CreateContainerRequest {
            pod_sandbox_id: job.sandbox_id.to_owned(),
            config: Some(config),
            sandbox_config: Some(job.sandbox.clone()),
        })
        .await;
    let id = made.map_err(|error| refused("CreateContainerError", error.message))?.container_id;
    ctx.recorder.normal(job.pod, "Created", "Container created");
    let started = ctx.cri.start_container(v1::StartContainerRequest { container_id: id.clone() }).await;
    started.map_err(|error| refused("RunContainerError", error.message))?;
    ctx.recorder.normal(job.pod, "Started", "Container started");
    link(ctx, job.pod, &container.name, &id, &log);
    let Some(hook) = container.lifecycle.as_ref().and_then(|l| l.post_start.as_ref()) else { return Ok(()) };
    let ip = job.facts.pod_ips.first().map(String::as_str).unwrap_or_default();
    let ran = hooks::run(ctx, job.pod, container, &id, ip, hook, hooks::POST_START_WAIT).await;
    let Err(why) = ran else { return Ok(()) };
    ctx.recorder.warning(job.pod, "FailedPostStartHook", "PostStartHook failed");
    let timeout = stop::grace(job.pod, Some(container), None).max(stop::GRACE_MIN);
    ctx.recorder.normal(job.pod, "Killing", "FailedPostStartHook");
    if let Err(error) = ctx.cri.stop_container(v1::StopContainerRequest { container_id: id, timeout }).await {
        tracing::warn!(pod = pod::full_name(job.pod), %error, "a container whose hook failed could not be ended");
    }
    Err(refused("PostStartHookError", why))
}

/// Attempts before this one: by what the engine has, else by the log files.
fn restarts(ctx: &Context, job: Job<'_>, name: &str) -> u32 {
    if let Some(seen) = job.observed.latest(name) {
        return seen.restarts + 1;
    }
    let folder = sandbox::log_folder(&ctx.config.pod_logs, job.pod).join(name);
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.split('.').next()?.parse::<u32>().ok();
    files.filter_map(number).max().map_or(0, |newest| newest + 1)
}

async fn configure(
    ctx: &Context,
    job: Job<'_>,
    sort: Sort,
    container: &Container,
    image: &pull::Image,
    backoff_seconds: i64,
) -> Result<v1::ContainerConfig, String> {
    let restarts = restarts(ctx, job, &container.name);
    let folder = |volume: &str| ctx.volumes.folder(job.pod.uid(), volume);
    let fetched = env::fetch(ctx.objects.as_ref(), job.pod, container, &folder).await.map_err(|s| s.to_string())?;
    let environment = env::environment(job.pod, container, &fetched, job.facts).map_err(|failed| failed.to_string())?;
    let volumes = ctx.volumes.mounts(job.pod, container, &environment, ctx.machine.recursive_read_only)?;
    let mut mounts = Vec::with_capacity(volumes.len() + 2);
    for mount in volumes {
        mounts.push(volume_mount(ctx, job, mount).await?);
    }
    own_files(ctx, job, container, restarts, &mut mounts).map_err(|error| error.to_string())?;
    let log_folder = Path::new(&job.sandbox.log_directory).join(&container.name);
    std::fs::create_dir_all(&log_folder).map_err(|error| format!("make {}: {error}", log_folder.display()))?;
    spec::container::config(spec::container::Made {
        pod: job.pod,
        container,
        restarts,
        backoff_seconds,
        image: &image.id,
        image_user: &image.user,
        target: target(job, sort, &container.name)?.as_deref(),
        process: env::process(container, &environment),
        environment: &environment,
        mounts,
        memory_bytes: ctx.machine.memory_bytes,
        unified: ctx.config.cgroups != Cgroups::Off,
        seccomp_folder: &ctx.config.root.join("seccomp"),
    })
}

/// The container that an ephemeral one wants to look at.
fn target(job: Job<'_>, sort: Sort, name: &str) -> Result<Option<String>, String> {
    let all = pod::spec(job.pod).ephemeral_containers.iter().flatten();
    let asked = all.into_iter().find(|c| sort == Sort::Ephemeral && c.name == name);
    let Some(target) = asked.and_then(|c| c.target_container_name.as_deref()).filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let running = job.observed.running().find(|seen| seen.name == target);
    running.map(|seen| Some(seen.id.clone())).ok_or_else(|| format!("unable to find target container {target}"))
}

async fn volume_mount(ctx: &Context, job: Job<'_>, mount: Mount) -> Result<v1::Mount, String> {
    let image = match &mount.image {
        None => None,
        Some(reference) => {
            let volumes = pod::spec(job.pod).volumes.iter().flatten();
            let source = volumes.into_iter().find(|v| v.name == mount.volume).and_then(|v| v.image.as_ref());
            let policy = source.and_then(|image| image.pull_policy.as_deref()).unwrap_or("IfNotPresent");
            let found = pull::ensure(ctx, job.pod, reference, policy, job.sandbox).await;
            let found = found.map_err(|failed| failed.message)?;
            let user_specified_image = reference.clone();
            Some(v1::ImageSpec { image: found.id, user_specified_image, ..v1::ImageSpec::default() })
        }
    };
    let propagation = match mount.propagation {
        Propagation::Private => v1::MountPropagation::PropagationPrivate,
        Propagation::HostToContainer => v1::MountPropagation::PropagationHostToContainer,
        Propagation::Bidirectional => v1::MountPropagation::PropagationBidirectional,
    };
    Ok(v1::Mount {
        container_path: mount.container_path,
        host_path: mount.host_path.to_string_lossy().into_owned(),
        readonly: mount.read_only,
        recursive_read_only: mount.recursive_read_only,
        propagation: propagation as i32,
        image,
        image_sub_path: mount.image_sub_path,
        ..v1::Mount::default()
    })
}

/// The files that the kubelet itself gives to a container: `/etc/hosts` and the one for its last words.
fn own_files(
    ctx: &Context,
    job: Job<'_>,
    container: &Container,
    restarts: u32,
    mounts: &mut Vec<v1::Mount>,
) -> io::Result<()> {
    let folder = ctx.volumes.pod_folder(job.pod.uid());
    let mut give = |path: &Path, container_path: &str| {
        mounts.push(v1::Mount {
            container_path: container_path.to_owned(),
            host_path: path.to_string_lossy().into_owned(),
            ..v1::Mount::default()
        });
    };
    let taken = container.volume_mounts.iter().flatten().any(|mount| mount.mount_path == "/etc/hosts");
    if !taken {
        let node_file =
            if pod::on_host_network(job.pod) { std::fs::read_to_string("/etc/hosts")? } else { String::new() };
        let path = folder.join("etc-hosts");
        std::fs::create_dir_all(&folder)?;
        let text = hosts::file(job.pod, &job.facts.pod_ips, &ctx.config.cluster_domain, &node_file);
        std::fs::write(&path, text)?;
        give(&path, "/etc/hosts");
    }
    if let Some(wanted) = container.termination_message_path.as_deref().filter(|path| !path.is_empty()) {
        let folder = folder.join("containers").join(&container.name);
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{restarts}.message"));
        let file = std::fs::File::create(&path)?;
        // Whoever the container runs as may write it.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
        give(&path, wanted);
    }
    Ok(())
}

/// The link by which log collectors find the log, `POD_NAMESPACE_CONTAINER-ID.log`.
fn link(ctx: &Context, pod: &Pod, container: &str, id: &str, log: &Path) {
    let name = format!("{}_{}_{container}-{id}.log", pod.name(), pod.namespace());
    let link = ctx.config.container_logs.join(name);
    let made =
        std::fs::create_dir_all(&ctx.config.container_logs).and_then(|()| std::os::unix::fs::symlink(log, &link));
    if let Err(error) = made {
        tracing::warn!(link = %link.display(), %error, "the link to a log could not be made");
    }
}
