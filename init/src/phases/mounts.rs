//! The kernel's file systems and the writable places in memory.

use crate::boot::{BROKEN_IMAGE, Boot, Failure, Phase};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use sys::mount::Options;

/// The phase.
pub const PHASE: Phase = Phase { name: "mounts", run: |boot| Box::pin(async { run(boot) }) };

/// One file system to mount.
struct Entry {
    kind: &'static str,
    target: &'static str,
    options: Options,
    data: Option<&'static str>,
    /// Whether the machine can do without: a kernel may be built without it.
    optional: bool,
}

const PLAIN: Options = Options { read_only: false, no_suid: true, no_dev: true, no_exec: true, no_atime: false };
const DEVICES: Options = Options { no_dev: false, no_exec: false, ..PLAIN };
const PROGRAMS: Options = Options { no_exec: false, ..PLAIN };

const fn entry(kind: &'static str, target: &'static str, options: Options, data: Option<&'static str>) -> Entry {
    Entry { kind, target, options, data, optional: false }
}

const fn optional(kind: &'static str, target: &'static str) -> Entry {
    Entry { kind, target, options: PLAIN, data: None, optional: true }
}

/// In order: what lies inside another comes after it. A percentage is of the machine's memory. `/run` allows
/// programs because containerd keeps runtime bundles there.
const TABLE: &[Entry] = &[
    entry("proc", "/proc", PLAIN, None),
    entry("sysfs", "/sys", PLAIN, None),
    entry("devtmpfs", "/dev", DEVICES, Some("mode=0755")),
    entry("devpts", "/dev/pts", Options { no_dev: false, ..PLAIN }, Some("gid=5,mode=0620,ptmxmode=0666")),
    entry("tmpfs", "/dev/shm", PLAIN, Some("mode=1777,size=50%")),
    entry("mqueue", "/dev/mqueue", PLAIN, None),
    entry("tmpfs", "/run", PROGRAMS, Some("mode=0755,size=25%")),
    entry("tmpfs", "/tmp", PROGRAMS, Some("mode=1777,size=50%")),
    entry("cgroup2", "/sys/fs/cgroup", PLAIN, Some("nsdelegate,memory_recursiveprot")),
    optional("hugetlbfs", "/dev/hugepages"),
    optional("bpf", "/sys/fs/bpf"),
    optional("securityfs", "/sys/kernel/security"),
    optional("binfmt_misc", "/proc/sys/fs/binfmt_misc"),
];

/// Folders that others expect in `/run`.
const FOLDERS: &[(&str, u32)] = &[("/run/skerry", 0o755), ("/run/lock", 0o1777), ("/run/containerd", 0o711)];

fn run(boot: &mut Boot) -> Result<(), Failure> {
    let broken = |e: std::io::Error| Failure::new(e.to_string(), BROKEN_IMAGE);
    let mut missing = Vec::new();
    for entry in TABLE {
        let target = Path::new(entry.target);
        if is_mounted(target) {
            continue;
        }
        if entry.target.starts_with("/dev/") {
            std::fs::create_dir_all(target).map_err(broken)?;
        }
        match sys::mount::mount(entry.kind, target, entry.kind, entry.options, entry.data) {
            Ok(()) => {}
            Err(_) if entry.optional => missing.push(entry.target),
            Err(e) => return Err(broken(e)),
        }
    }
    // Pods with mount propagation need a shared tree; the kernel starts with a private one.
    sys::mount::share(Path::new("/")).map_err(broken)?;
    for (path, mode) in FOLDERS {
        std::fs::create_dir_all(path).map_err(broken)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(*mode)).map_err(broken)?;
    }
    boot.console.connect();
    if !missing.is_empty() {
        boot.console.say(&format!("init: not mounted, as the kernel has none: {}", missing.join(" ")));
    }
    Ok(())
}

/// Whether `target` is a mount point already: the kernel mounts /dev itself. Told by the device number differing
/// from the parent's, as /proc may not be there yet.
fn is_mounted(target: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| std::fs::metadata(path).map(|about| about.dev()).ok();
    match (device(target), target.parent().and_then(device)) {
        (Some(own), Some(parent)) => own != parent,
        _ => false,
    }
}
