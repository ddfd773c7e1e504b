//! What the machine is, from /proc, /sys and /etc. Each function reads and parses one thing.

use crate::config::Config;
use crate::context::Machine;
use crate::cri::{self, Cri, v1};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Memory, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All.
    pub total: i64,
    /// What could be had without swapping.
    pub available: i64,
}

/// A file system, bytes and inodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Bytes.
    pub total: u64,
    /// Bytes that are free for everyone.
    pub available: u64,
    /// Inodes.
    pub inodes: u64,
    /// Free inodes.
    pub inodes_free: u64,
}

fn parse_memory(text: &str) -> Memory {
    let kib = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next()?.parse::<i64>().ok()).unwrap_or(0)
    };
    Memory { total: kib("MemTotal") * 1024, available: kib("MemAvailable") * 1024 }
}

/// Memory of the machine.
///
/// # Errors
/// When /proc is not there.
pub fn memory() -> io::Result<Memory> {
    Ok(parse_memory(&std::fs::read_to_string("/proc/meminfo")?))
}

/// The file system that holds a folder.
///
/// # Errors
/// When the folder is not there.
pub fn disk(folder: &Path) -> io::Result<Disk> {
    let found = nix::sys::statvfs::statvfs(folder)?;
    let size = found.fragment_size();
    Ok(Disk {
        total: found.blocks() * size,
        available: found.blocks_available() * size,
        inodes: found.files(),
        inodes_free: found.files_free(),
    })
}

/// A file's text without the white space around it; empty when there is none.
#[must_use]
pub fn text(path: &str) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// What the system calls itself.
#[must_use]
pub fn os_name() -> String {
    let release = text("/etc/os-release");
    let line = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.map_or_else(|| "Skerry".to_owned(), |name| name.trim_matches('"').to_owned())
}

fn quantities(milli_cpu: i64, memory: i64, disk: u64, pods: usize) -> BTreeMap<String, Quantity> {
    let cpu = if milli_cpu % 1000 == 0 { (milli_cpu / 1000).to_string() } else { format!("{milli_cpu}m") };
    let all = [
        ("cpu", cpu),
        ("memory", format!("{}Ki", memory / 1024)),
        ("ephemeral-storage", format!("{}Ki", disk / 1024)),
        ("hugepages-1Gi", "0".to_owned()),
        ("hugepages-2Mi", "0".to_owned()),
        ("pods", pods.to_string()),
    ];
    all.into_iter().map(|(name, amount)| (name.to_owned(), Quantity(amount))).collect()
}

/// Finds out what machine and engine are.
///
/// # Errors
/// When the engine does not answer.
pub async fn find(config: &Config, cri: &Cri) -> cri::Result<Machine> {
    let version = cri.version(v1::VersionRequest { version: "v1".to_owned() }).await?;
    let status = cri.status(v1::StatusRequest::default()).await?;
    let memory = memory().unwrap_or_default().total;
    let cpus = std::thread::available_parallelism().map_or(1, |count| i64::try_from(count.get()).unwrap_or(1));
    let disk = disk(&config.root).unwrap_or_default().total;
    let free_cpu = (cpus * 1000 - config.reserved_milli_cpu).max(0);
    let free_memory = (memory - config.reserved_memory).max(0);
    let default = status.runtime_handlers.iter().find(|handler| handler.name.is_empty());
    let features = default.and_then(|handler| handler.features).unwrap_or_default();
    Ok(Machine {
        memory_bytes: memory,
        cpus,
        runtime: version.runtime_name,
        runtime_version: version.runtime_version,
        recursive_read_only: features.recursive_read_only_mounts,
        handlers: status.runtime_handlers,
        capacity: quantities(cpus * 1000, memory, disk, config.max_pods),
        allocatable: quantities(free_cpu, free_memory, disk, config.max_pods),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_words() {
        let text = "MemTotal:        2048 kB\nMemFree:  1 kB\nMemAvailable:    1024 kB\n";
        assert_eq!(parse_memory(text), Memory { total: 2 << 20, available: 1 << 20 });
    }
}
