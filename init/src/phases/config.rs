//! Reads the settings from their sources and hands `node` its part.

use crate::boot::{BROKEN_IMAGE, Boot, Failure, Phase};
use crate::config::{Complaint, Config, KEYS_MAX, Source, VALUE_BYTES_MAX, sources};
use crate::disk::find;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use sys::mount::Options;

/// The phase.
pub const PHASE: Phase = Phase { name: "config", run: |boot| Box::pin(async { run(boot) }) };

/// The label of a volume with settings.
const LABEL: &str = "SKERRY";
/// Where it is mounted; `node` reads `manifests/` below it.
pub const MOUNT_POINT: &str = "/run/skerry/config";
/// What QEMU hands over, a folder for each file.
pub const FW_CFG: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/skerry";
/// What `node` reads.
pub const NODE_TOML: &str = "/run/skerry/node.toml";
/// The longest `skerry.toml`: each key at its longest would not fit, but nobody has that.
const FILE_BYTES_MAX: u64 = 256 * 1024;

type Pairs = Vec<(String, String)>;

fn run(boot: &mut Boot) -> Result<(), Failure> {
    let mut complaints = Vec::new();
    let mut given = Vec::new();
    for (source, read) in [
        (Source::ConfigDisk, config_disk as fn(&mut Vec<Complaint>) -> Result<Pairs, String>),
        (Source::FwCfg, fw_cfg),
        (Source::CommandLine, command_line),
    ] {
        match read(&mut complaints) {
            Ok(pairs) => given.push((source, pairs)),
            Err(problem) => complaints.push(Complaint { subject: source.to_string(), problem, stops: false }),
        }
    }
    let (config, more) = Config::merge(given);
    complaints.extend(more);
    for complaint in &complaints {
        boot.console.say(&format!("init: config: {complaint}"));
    }
    // A failure below already follows the settings, `skerry.boot.on_failure` among them.
    boot.config = config;
    crate::verdict::watch(boot);
    if let Some(stop) = complaints.iter().find(|complaint| complaint.stops) {
        return Err(Failure::new(stop.to_string(), format!("correct or remove {}", stop.subject)));
    }
    // Who waits for a verdict must not get one on something else than was on the disk.
    let unread = complaints.iter().find(|complaint| complaint.subject == Source::ConfigDisk.to_string());
    if let Some(unread) = unread.filter(|_| crate::verdict::is_asked_for(&boot.config)) {
        return Err(Failure::new(unread.to_string(), "correct what is on the volume labelled SKERRY"));
    }
    write_private(Path::new(NODE_TOML), &boot.config.node_toml())
        .map_err(|e| Failure::new(format!("write {NODE_TOML}: {e}"), BROKEN_IMAGE))
}

fn command_line(_: &mut Vec<Complaint>) -> Result<Pairs, String> {
    let line = std::fs::read_to_string("/proc/cmdline").map_err(|e| format!("read /proc/cmdline: {e}"))?;
    Ok(sources::command_line(&line))
}

fn fw_cfg(complaints: &mut Vec<Complaint>) -> Result<Pairs, String> {
    let mut pairs = Vec::new();
    let Ok(entries) = std::fs::read_dir(FW_CFG) else { return Ok(pairs) };
    for entry in entries.take(KEYS_MAX) {
        let entry = entry.map_err(|e| format!("list {FW_CFG}: {e}"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == super::trust::FILE {
            continue;
        }
        let mut raw = Vec::new();
        let limit = VALUE_BYTES_MAX as u64 + 1;
        let read = File::open(entry.path().join("raw")).and_then(|f| f.take(limit).read_to_end(&mut raw));
        let pair = read.map_err(|e| e.to_string()).and_then(|_| sources::fw_cfg(&name, &raw));
        match pair {
            Ok(pair) => pairs.push(pair),
            Err(problem) => complaints.push(Complaint { subject: name, problem, stops: false }),
        }
    }
    Ok(pairs)
}

fn config_disk(_: &mut Vec<Complaint>) -> Result<Pairs, String> {
    let Some(volume) = find::volume_labelled(LABEL).map_err(|e| e.to_string())? else { return Ok(Vec::new()) };
    let point = Path::new(MOUNT_POINT);
    std::fs::create_dir_all(point).map_err(|e| format!("make {MOUNT_POINT}: {e}"))?;
    let options = Options { read_only: true, no_suid: true, no_dev: true, no_exec: true, no_atime: true };
    sys::mount::mount(&volume.device, point, volume.kind, options, None).map_err(|e| e.to_string())?;
    let path = point.join("skerry.toml");
    let mut text = String::new();
    match File::open(&path) {
        Ok(file) => {
            let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
            read.map_err(|e| format!("read {}: {e}", path.display()))?;
        }
        // A disk with manifests only.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(format!("open {}: {e}", path.display())),
    }
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("skerry.toml is longer than {FILE_BYTES_MAX} bytes; ignored"));
    }
    sources::toml_text(&text).map_err(|problem| format!("skerry.toml: {problem}"))
}

/// A file that only root reads: it may hold the login code.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
