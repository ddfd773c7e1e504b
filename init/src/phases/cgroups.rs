//! The tree of cgroups: `/init` for PID 1, `/system/<service>` for services; others make `/kubepods` beside them.

use crate::boot::{BROKEN_IMAGE, Boot, Failure, Phase};
use std::path::Path;

/// The phase.
pub const PHASE: Phase = Phase { name: "cgroups", run: |boot| Box::pin(async { run(boot, Path::new(ROOT)) }) };

/// Where the unified hierarchy is mounted.
pub const ROOT: &str = "/sys/fs/cgroup";
/// The cgroup with one child for each service.
pub const SYSTEM: &str = "/sys/fs/cgroup/system";

/// Without these the kubelet cannot work.
const NEEDED: &[&str] = &["cpu", "memory", "pids"];

fn run(boot: &mut Boot, root: &Path) -> Result<(), Failure> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|e| Failure::new(format!("read {}: {e}", path.display()), BROKEN_IMAGE))
    };
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text)
            .map_err(|e| Failure::new(format!("write {text:?} to {}: {e}", path.display()), BROKEN_IMAGE))
    };
    let available = read(&root.join("cgroup.controllers"))?;
    let missing: Vec<&str> =
        NEEDED.iter().copied().filter(|n| !available.split_whitespace().any(|a| a == *n)).collect();
    if !missing.is_empty() {
        let reason = format!("the kernel offers no cgroup controllers {}", missing.join(", "));
        return Err(Failure::new(reason, "remove cgroup_disable and cgroup v1 words from the kernel command line"));
    }
    for name in ["init", "system"] {
        let folder = root.join(name);
        if !folder.is_dir() {
            std::fs::create_dir(&folder)
                .map_err(|e| Failure::new(format!("make the cgroup {}: {e}", folder.display()), BROKEN_IMAGE))?;
        }
    }
    write(&root.join("init/cgroup.procs"), "0")?;
    for folder in [root.to_owned(), root.join("system")] {
        for controller in available.split_whitespace() {
            // One at a time: a controller that cannot be handed down must not take the others with it.
            let result = write(&folder.join("cgroup.subtree_control"), &format!("+{controller}"));
            match result {
                Err(failure) if NEEDED.contains(&controller) => return Err(failure),
                Err(failure) => boot.console.say(&format!("init: {}", failure.reason)),
                Ok(()) => {}
            }
        }
    }
    Ok(())
}
