//! `emptyDir`: an empty folder that lives as long as the pod, on the disk or in memory.

use super::beneath;
use super::files::{on_disk, said};
use super::ownership::{self, Policy};
use super::plugin::{Job, Place, Work};
use api::{Quantity, Tree};
use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Everybody may write: who the container runs as is its own affair.
const MODE: u32 = 0o777;

/// Where the folder's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// On the disk of the pods.
    Disk,
    /// In memory, so many bytes at most; 0 for the kernel's own limit.
    Memory {
        /// The limit.
        bytes: u64,
    },
}

/// See [`super::Plugin::set_up`].
pub fn set_up(job: Job<'_>) -> Work<'_> {
    Box::pin(async move {
        let source = job.volume.empty_dir.clone().unwrap_or_default();
        let allocatable = job.facts.allocatable.get("memory").map(|text| text.0.as_str());
        let medium = medium(&source, job.pod, allocatable)?;
        let folder = job.folder("empty-dir", &job.volume.name);
        let (path, group) = (folder.clone(), job.fs_group());
        let ready = job.pod_folder.join("plugins/kubernetes.io~empty-dir").join(&job.volume.name);
        on_disk(move || {
            // The mark says that the volume was made whole; what containers wrote since then is theirs.
            let mark = ready.join("ready");
            let mounted = is_mounted(&path)?;
            if mark.exists() && path.is_dir() && (medium == Medium::Disk || mounted) {
                return Ok(());
            }
            make(&path, medium, group)?;
            fs::create_dir_all(&ready).map_err(said("making", &ready))?;
            fs::write(&mark, "").map_err(said("writing", &mark))
        })
        .await?;
        Ok(Place::Path { path: folder, read_only: false })
    })
}

/// The medium and its size: what the volume, the pod's limits and the node allow. Pure.
fn medium(source: &EmptyDirVolumeSource, pod: &Pod, allocatable: Option<&str>) -> Result<Medium, String> {
    match source.medium.as_deref().unwrap_or_default() {
        "" => return Ok(Medium::Disk),
        "Memory" => (),
        other => return Err(format!("storage medium {other:?} is not supported on this node; use \"\" or \"Memory\"")),
    }
    let bytes = |text: &str| Quantity::parse(text).ok().and_then(|q| u64::try_from(q.value()).ok()).filter(|b| *b > 0);
    let wanted = source.size_limit.as_ref().and_then(|limit| bytes(&limit.0));
    let limits = [wanted, memory_limit(pod), allocatable.and_then(bytes)];
    Ok(Medium::Memory { bytes: limits.into_iter().flatten().min().unwrap_or(0) })
}

/// What the pod's containers may use together; none when one of them has no limit.
fn memory_limit(pod: &Pod) -> Option<u64> {
    let json = serde_json::to_vec(pod).ok()?;
    let tree = Tree::from_json(&json).ok()?.tree;
    let containers = pod.spec.as_ref()?.containers.iter();
    let limited = |c: &k8s_openapi::api::core::v1::Container| {
        c.resources.as_ref().and_then(|r| r.limits.as_ref()).is_some_and(|l| l.contains_key("memory"))
    };
    let of_pod = pod.spec.as_ref().and_then(|s| s.resources.as_ref()?.limits.as_ref()?.get("memory"));
    if of_pod.is_none() && !containers.clone().all(limited) {
        return None;
    }
    let limits = pods::pod_limits(&tree, &pods::Options::default()).ok()?;
    u64::try_from(limits.get("memory")?.value()).ok().filter(|b| *b > 0)
}

fn is_mounted(folder: &Path) -> Result<bool, String> {
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else { return Ok(false) };
    beneath::is_mount_point(parent, &name.to_string_lossy()).map_err(said("looking at", folder))
}

/// Makes an empty folder, or leaves it as it is there; a memory folder is mounted if it is not.
///
/// # Errors
/// What could not be made.
pub fn make(folder: &Path, medium: Medium, group: Option<u32>) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(said("making", folder))?;
    if let Medium::Memory { bytes } = medium
        && !is_mounted(folder)?
    {
        mount(folder, bytes).map_err(said("mounting", folder))?;
    }
    let mode = fs::metadata(folder).map_err(said("looking at", folder))?.permissions().mode();
    if mode & MODE != MODE {
        fs::set_permissions(folder, Permissions::from_mode(mode & 0o7000 | MODE)).map_err(said("opening", folder))?;
    }
    match group {
        Some(group) => ownership::give(folder, group, Policy::Always, false).map_err(said("giving away", folder)),
        None => Ok(()),
    }
}

/// Mounts memory, never to be swapped out where the kernel can promise that (Linux 6.4).
fn mount(folder: &Path, bytes: u64) -> io::Result<()> {
    let size = if bytes > 0 { format!("size={bytes},mode=0777") } else { "mode=0777".to_owned() };
    let options = sys::mount::Options::default();
    let promised = sys::mount::mount("tmpfs", folder, "tmpfs", options, Some(&format!("{size},noswap")));
    promised.or_else(|why| match why.kind() {
        io::ErrorKind::InvalidInput => sys::mount::mount("tmpfs", folder, "tmpfs", options, Some(&size)),
        _ => Err(why),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(source: Value, limits: Value, wanted: Result<Medium, &str>) {
        let source: EmptyDirVolumeSource = serde_json::from_value(source).unwrap();
        let pod: Pod =
            serde_json::from_value(json!({"spec": {"containers": [{"name": "c", "resources": {"limits": limits}}]}}))
                .unwrap();
        let got = medium(&source, &pod, Some("1Gi"));
        assert_eq!(got.as_ref().map_err(String::as_str).copied(), wanted);
    }

    #[test]
    fn memory_is_as_much_as_volume_pod_and_node_allow() {
        let memory = |bytes| Ok(Medium::Memory { bytes });
        check(json!({}), json!({}), Ok(Medium::Disk));
        check(json!({"medium": "Memory"}), json!({}), memory(1 << 30));
        check(json!({"medium": "Memory"}), json!({"memory": "64Mi"}), memory(64 << 20));
        check(json!({"medium": "Memory", "sizeLimit": "1Mi"}), json!({"memory": "64Mi"}), memory(1 << 20));
        check(json!({"medium": "Memory", "sizeLimit": "2Gi"}), json!({}), memory(1 << 30));
        let refused = "storage medium \"HugePages\" is not supported on this node; use \"\" or \"Memory\"";
        check(json!({"medium": "HugePages"}), json!({}), Err(refused));
    }
}
