//! Checks of the host itself. What is decided is pure where the host's answer can be told as a value.

use super::{Arguments, Found, fail, failed, ok, warn};
use crate::cli;
use crate::cluster::accelerator::{self, Choice, Emulator};
use crate::cluster::emulator::Accelerator;
use crate::cluster::images::Image;
use crate::cluster::ports::{self, Protocol};
use crate::cluster::{outward, place, preferences, settings};
use crate::commands::Context;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Below this a state disk cannot even take its first images, bytes.
const DISK_LEAST: u64 = 2 << 30;
/// Below this a cluster with a few images becomes tight, bytes.
const DISK_ENOUGH: u64 = 10 << 30;
/// How long an emulated machine may take to its first program on a slow host.
const BOOT_WAIT: Duration = Duration::from_secs(60);
/// The minor version of the cluster's API; clients may differ by one.
const MINOR: u32 = 36;

pub fn emulator() -> Found {
    match Emulator::find() {
        Ok(found) => ok(format!("QEMU {} ({})", found.version, found.program.display())),
        Err(error) => failed(error),
    }
}

pub fn image(arguments: &Arguments) -> Found {
    match Image::find(arguments.image.as_deref()) {
        Ok(image) => ok(format!("{} of version {}", image.folder.display(), image.manifest.version)),
        Err(error) => failed(error),
    }
}

/// By booting: a device file says little.
pub async fn acceleration(arguments: &Arguments, context: &Context) -> Vec<Found> {
    let (Ok(emulator), Ok(image)) = (Emulator::find(), Image::find(arguments.image.as_deref())) else {
        // Told above.
        return Vec::new();
    };
    if arguments.quick {
        return Vec::new();
    }
    match accelerator::choose(Choice::Auto, &emulator, &image, &context.interrupt).await {
        Ok(Accelerator::Kvm) => return vec![ok("KVM works: a machine has booted with it")],
        Ok(Accelerator::Tcg) => {}
        Err(error) => return vec![failed(error)],
    }
    let remedy = "enable virtualisation in the firmware (or nested in the hypervisor around), and join the group kvm";
    let slow = warn("KVM does not work here, so machines are emulated: several times slower", remedy);
    let boots = tokio::select! {
        boots = accelerator::boots(Accelerator::Tcg, &emulator, &image, BOOT_WAIT) => boots,
        () = context.interrupt.wait() => return vec![slow],
    };
    match boots {
        Ok(true) => vec![slow, ok("an emulated machine has booted")],
        Ok(false) => {
            let wait = BOOT_WAIT.as_secs();
            let message = format!("an emulated machine did not reach its first program in {wait} s");
            vec![slow, fail(message, "look whether the host is busy; build or download the image again")]
        }
        Err(error) => vec![slow, failed(error)],
    }
}

pub fn processors() -> Found {
    match std::thread::available_parallelism() {
        Ok(count) if count.get() >= 2 => ok(format!("{count} processors")),
        Ok(_) => warn("one processor", "skerry start --cpus 1 saves some; give the host a second one"),
        Err(error) => warn(format!("the number of processors is unknown: {error}"), "look at /proc/cpuinfo"),
    }
}

pub fn memory() -> Found {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let free = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    match free {
        Some(kib) => judge_memory(kib / 1024),
        None => warn("/proc/meminfo does not say how much memory is free", "look at it with free -m"),
    }
}

fn judge_memory(free_mb: u64) -> Found {
    let (usual, least) = (u64::from(settings::MEMORY_MB), u64::from(settings::MEMORY_MB_MIN));
    if free_mb >= usual {
        ok(format!("{free_mb} MiB free"))
    } else if free_mb >= 2 * least {
        warn(format!("{free_mb} MiB free, and a machine may take {usual}"), "skerry start --memory 512M, or free some")
    } else {
        fail(format!("{free_mb} MiB free; a machine that serves takes {} at least", 2 * least), "close other programs")
    }
}

pub fn disk() -> Found {
    let folder = match place::clusters() {
        Ok(folder) => folder,
        Err(error) => return failed(error),
    };
    // The folder is made with the first cluster; what is above it is there.
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    match nix::sys::statvfs::statvfs(there) {
        Ok(found) => judge_disk(found.blocks_available() * found.fragment_size(), &folder),
        Err(error) => fail(format!("{}: {error}", there.display()), "set XDG_DATA_HOME to a folder that you can write"),
    }
}

fn judge_disk(free: u64, folder: &Path) -> Found {
    let message = format!("{:.1} GiB free for {}", free as f64 / f64::from(1 << 30), folder.display());
    let remedy = "free some space, or set XDG_DATA_HOME to another place; state disks take space as they are written";
    match free {
        free if free >= DISK_ENOUGH => ok(message),
        free if free >= DISK_LEAST => warn(message, remedy),
        _ => fail(message, remedy),
    }
}

pub fn ports() -> Found {
    let free = |port| ports::is_free(Protocol::Tcp, port);
    match ports::choose(None, ports::API, &[], free) {
        Ok(port) if port == ports::API => ok(format!("127.0.0.1:{port} is free for the next API")),
        Ok(port) => ok(format!("127.0.0.1:{} is in use; the next new cluster would take {port}", ports::API)),
        Err(error) => failed(error),
    }
}

pub fn preferences() -> Found {
    let read = preferences::read().and_then(|known| {
        cli::preferring(&known)?;
        Ok(known)
    });
    match read {
        Ok(known) if known.is_empty() => ok("none"),
        Ok(known) => ok(known.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ")),
        Err(error) => failed(error),
    }
}

/// What the next machine would be told of the world outside.
pub fn proxy() -> Vec<Found> {
    let nowhere = crate::cluster::Cluster { name: String::new(), folder: std::path::PathBuf::from("/nonexistent") };
    let known = Image::find(None).map(|image| image.manifest.authorities).unwrap_or_default();
    match outward::Outward::of_host(&nowhere, &[], &[], &known) {
        Ok((found, warnings)) => {
            let shown = found.describe();
            let shown = if shown.is_empty() { "none; images are fetched directly".to_owned() } else { shown };
            let remedy = "correct the variable or the file; the next skerry start takes it over";
            std::iter::once(ok(shown)).chain(warnings.into_iter().map(|warning| warn(warning, remedy))).collect()
        }
        Err(error) => vec![failed(error)],
    }
}

pub fn kubectl(arguments: &Arguments) -> Found {
    let output = Command::new("kubectl").args(["version", "--client", "-o", "json"]).stdin(Stdio::null()).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let ours = Image::find(arguments.image.as_deref()).ok().map(|image| image.folder.join("tools/kubectl"));
    let ours = ours.filter(|path| path.is_file());
    judge_kubectl(text.as_deref(), ours.as_deref())
}

fn judge_kubectl(answer: Option<&[u8]>, ours: Option<&Path>) -> Found {
    let remedy = match ours {
        Some(path) => format!("a fitting one is {}: put it into your PATH", path.display()),
        None => format!("install kubectl 1.{MINOR}"),
    };
    let Some(answer) = answer else { return warn("kubectl is not in PATH", remedy) };
    let said: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    let version = said["clientVersion"]["gitVersion"].as_str().unwrap_or("unknown").to_owned();
    let minor = said["clientVersion"]["minor"].as_str().and_then(|text| text.trim_end_matches('+').parse::<u32>().ok());
    match minor {
        Some(minor) if minor.abs_diff(MINOR) <= 1 => ok(format!("kubectl {version}")),
        _ => warn(format!("kubectl {version} is more than one minor version from the cluster's 1.{MINOR}"), remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::*;

    #[test]
    fn space_and_memory_are_judged_by_what_a_machine_takes() {
        for (mb, health) in [(4096, Health::Ok), (1024, Health::Warn), (100, Health::Fail)] {
            assert_eq!(judge_memory(mb).0, health, "{mb}");
        }
        for (gib, health) in [(50, Health::Ok), (5, Health::Warn), (1, Health::Fail)] {
            assert_eq!(judge_disk(gib << 30, Path::new("/data")).0, health, "{gib}");
        }
    }

    #[test]
    fn a_client_may_differ_by_one_minor_version() {
        let answer =
            |minor: u32| format!("{{\"clientVersion\":{{\"gitVersion\":\"v1.{minor}.0\",\"minor\":\"{minor}\"}}}}");
        for (minor, health) in
            [(35, Health::Ok), (36, Health::Ok), (37, Health::Ok), (34, Health::Warn), (20, Health::Warn)]
        {
            assert_eq!(judge_kubectl(Some(answer(minor).as_bytes()), None).0, health, "{minor}");
        }
        let (health, _, remedy) = judge_kubectl(None, Some(Path::new("/i/tools/kubectl")));
        assert_eq!(health, Health::Warn);
        assert!(remedy.unwrap().contains("/i/tools/kubectl"));
    }
}
