//! The state disk at `/var`: found, formatted when blank, checked, grown, and its folders shown where users expect
//! writable places. Then the milestone `disk`.

use crate::boot::{Boot, Failure, Phase};
use crate::config::keys::{DISK, DISK_NAME, DISK_REPAIR};
use crate::disk::find::{self, Device};
use crate::disk::plan::{Ended, Repair, Step, judge, plan};
use crate::disk::{events, format, grow, template};
use serde_json::{Map, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use sys::mount::Options;
use sys::process::End;

/// The phase.
pub const PHASE: Phase = Phase { name: "disk", run: |boot| Box::pin(run(boot)) };

const VAR: &str = "/var";
/// How long a disk may take to appear: a slow controller probes after init has started.
const APPEAR_WAIT: Duration = Duration::from_secs(5);
/// The same where the machine can do without: disks are there before the CD that it was booted from.
const AUTO_WAIT: Duration = Duration::from_secs(2);
const OPTIONS: Options = Options { read_only: false, no_suid: false, no_dev: false, no_exec: false, no_atime: true };

/// Folders on the state disk: path below `/var`, mode.
const FOLDERS: &[(&str, u32)] = &[
    ("lib/skerry", 0o700),
    ("lib/containerd", 0o711),
    ("lib/kubelet", 0o711),
    ("log/skerry", 0o755),
    ("log/pods", 0o755),
    ("log/containers", 0o755),
    ("cache", 0o755),
    ("tmp", 0o1777),
    ("host", 0o755),
];
/// Top folders of the read-only root that are shown from the state disk.
const SHOWN: &[&str] = &["mnt", "opt", "srv", "home", "data"];
/// Links from `/var` to places in memory, as Linux programs expect them.
const LINKS: &[(&str, &str)] = &[("run", "/run"), ("lock", "/run/lock")];

async fn run(boot: &mut Boot) -> Result<(), Failure> {
    let mut fields = Map::new();
    let found = match boot.config.text(&DISK) {
        "memory" => None,
        "auto" => wait_for_device(boot, AUTO_WAIT).await?,
        _ => Some(wait_for_device(boot, APPEAR_WAIT).await?.ok_or_else(|| absent(boot))?),
    };
    if let Some(device) = found {
        let device = grow::partition(device, |text| boot.console.say(text));
        let repair = if boot.config.text(&DISK_REPAIR) == "all" { Repair::All } else { Repair::Safe };
        let mut did = Vec::new();
        for step in plan(&device, boot.config.text(&DISK_NAME), repair)? {
            perform(boot, step, &device).await?;
            did.push(format!("{step:?}").to_lowercase());
        }
        fields.insert("device".into(), json!(device.path));
        fields.insert("size_mib".into(), json!(device.size_bytes >> 20));
        fields.insert("steps".into(), json!(did.join(" ")));
    } else {
        let advice = "give the machine more memory";
        sys::mount::mount("tmpfs", Path::new(VAR), "tmpfs", OPTIONS, Some("mode=0755"))
            .map_err(|e| Failure::new(e.to_string(), advice))?;
        boot.console.say("init: there is no state disk: NOTHING of this cluster is kept when the machine is off");
        fields.insert("kind".into(), json!("memory"));
    }
    format::bring_up(Path::new(VAR))?;
    furnish(Path::new(VAR)).map_err(|e| {
        Failure::new(format!("set up the state disk: {e}"), "look at its free space; restore it from a copy")
    })?;
    boot.readiness.set("disk");
    boot.console.milestone("disk", fields);
    Ok(())
}

/// The state disk, waiting for it to appear; none when it does not.
async fn wait_for_device(boot: &Boot, wait: Duration) -> Result<Option<Device>, Failure> {
    let name = boot.config.text(&DISK_NAME).to_owned();
    let search = async {
        // Listening comes before looking, so that a disk that appears in between is not missed.
        let mut events = events::Events::listen()?;
        loop {
            let devices = find::scan()?;
            if let Some(found) = find::choose_state(&devices, &name).map_err(std::io::Error::other)? {
                return Ok(found.clone());
            }
            events.next().await?;
        }
    };
    let clear = "attach one state disk only, or name it by skerry.disk.name";
    match tokio::time::timeout(wait, search).await {
        Ok(Ok(device)) => Ok(Some(device)),
        Ok(Err(e)) => Err(Failure::new(std::io::Error::to_string(&e), clear)),
        Err(_) => Ok(None),
    }
}

fn absent(boot: &Boot) -> Failure {
    let name = boot.config.text(&DISK_NAME);
    let advice = "boot with skerry.disk.kind=memory";
    Failure::new(
        format!("no disk named {name} appeared within {} s", APPEAR_WAIT.as_secs()),
        format!("attach a blank disk (QEMU: -device virtio-blk-pci,serial={name}), or {advice}"),
    )
}

async fn perform(boot: &Boot, step: Step, device: &Device) -> Result<(), Failure> {
    let path = device.path.as_str();
    let label = boot.config.text(&DISK_NAME);
    if step == Step::Format
        && let Some(template) = template::find(device.size_bytes, label)
    {
        return template::apply(&template, Path::new(path), device.size_bytes);
    }
    let Some((program, arguments)) = step.tool(label, device.size_bytes) else {
        return sys::mount::mount(path, Path::new(VAR), "ext4", OPTIONS, None)
            .map_err(|e| Failure::new(e.to_string(), "boot once with skerry.disk.repair=all, or restore the disk"));
    };
    let mut command = Command::new(program);
    command.args(arguments).arg(path).env_clear().env("PATH", crate::services::PATH);
    let (end, output) = boot
        .children
        .run(command)
        .await
        .map_err(|e| Failure::new(format!("run {program} on {path}: {e}"), crate::boot::BROKEN_IMAGE))?;
    let code = match end {
        End::Exited(code) => Some(code),
        End::Killed(_) => None,
    };
    judge(step, path, &Ended { code, output })
}

/// Makes the folders and shows those that belong elsewhere.
fn furnish(var: &Path) -> std::io::Result<()> {
    for (name, mode) in FOLDERS {
        let folder = var.join(name);
        std::fs::create_dir_all(&folder)?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(*mode))?;
    }
    for (name, target) in LINKS {
        match std::os::unix::fs::symlink(target, var.join(name)) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
    }
    for name in SHOWN {
        let source = var.join("host").join(name);
        std::fs::create_dir_all(&source)?;
        sys::mount::bind(&source, &Path::new("/").join(name))?;
    }
    Ok(())
}
