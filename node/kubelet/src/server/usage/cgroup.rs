//! What a cgroup (version 2) and the machine use, from the kernel's files.

use jiff::Timestamp;
use std::fs;
use std::path::Path;

/// Where the unified hierarchy is.
const ROOT: &str = "/sys/fs/cgroup";

/// CPU and memory that are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Nanoseconds of CPU so far.
    pub cpu_ns: u64,
    /// Bytes of memory, caches among them.
    pub memory: u64,
    /// Bytes that cannot be given back easily.
    pub working_set: u64,
    /// Bytes that no file backs.
    pub anonymous: u64,
    /// Page faults so far.
    pub faults: u64,
    /// Page faults that had to read, so far.
    pub major_faults: u64,
    /// Bytes that may still be used; `None` without a limit.
    pub available: Option<u64>,
}

/// The number after a word that begins a line.
pub(super) fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(|c: char| c == ' ' || c == ':'));
    line?.split_whitespace().next()?.parse().ok()
}

/// The path of a cgroup below the root of all.
pub fn path(folder: &Path) -> Option<String> {
    folder.strip_prefix(ROOT).ok().map(|path| format!("/{}", path.display()))
}

/// Reads the files of a cgroup; `None` when it is gone.
pub fn read(folder: &Path) -> Option<Used> {
    let file = |name: &str| fs::read_to_string(folder.join(name)).ok();
    of_cgroup(&file("cpu.stat")?, &file("memory.current")?, &file("memory.stat")?, &file("memory.max")?)
}

pub(super) fn of_cgroup(cpu: &str, current: &str, stat: &str, max: &str) -> Option<Used> {
    let memory: u64 = current.trim().parse().ok()?;
    let of = |name: &str| field(stat, name).unwrap_or_default();
    let working_set = memory.saturating_sub(of("inactive_file"));
    Some(Used {
        cpu_ns: field(cpu, "usage_usec")? * 1000,
        memory,
        working_set,
        anonymous: of("anon"),
        faults: of("pgfault"),
        major_faults: of("pgmajfault"),
        available: max.trim().parse::<u64>().ok().map(|max| max.saturating_sub(working_set)),
    })
}

/// What the whole machine uses. What cannot be read counts as nothing.
pub fn node() -> Used {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    of_machine(&file(&format!("{ROOT}/cpu.stat")), &file("/proc/meminfo"), &file("/proc/vmstat"))
}

fn of_machine(cpu: &str, memory: &str, faults: &str) -> Used {
    let bytes = |name: &str| field(memory, name).unwrap_or_default() * 1024;
    let (total, available) = (bytes("MemTotal"), bytes("MemAvailable"));
    Used {
        cpu_ns: field(cpu, "usage_usec").unwrap_or_default() * 1000,
        memory: total.saturating_sub(bytes("MemFree")),
        working_set: total.saturating_sub(available),
        anonymous: bytes("AnonPages"),
        faults: field(faults, "pgfault").unwrap_or_default(),
        major_faults: field(faults, "pgmajfault").unwrap_or_default(),
        available: Some(available),
    }
}

/// When the machine was started.
pub fn booted() -> Option<Timestamp> {
    let seconds = field(&fs::read_to_string("/proc/stat").ok()?, "btime")?;
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_cgroup_are_read() {
        let stat = "anon 100\nfile 900\ninactive_file 300\npgfault 7\npgmajfault 2\n";
        let wants = Used {
            cpu_ns: 5_000,
            memory: 1000,
            working_set: 700,
            anonymous: 100,
            faults: 7,
            major_faults: 2,
            available: Some(1300),
        };
        assert_eq!(of_cgroup("usage_usec 5\nuser_usec 4\n", "1000\n", stat, "2000\n"), Some(wants));
        let unlimited = of_cgroup("usage_usec 5\n", "1000\n", stat, "max\n").unwrap();
        assert_eq!(unlimited.available, None);
        assert_eq!(of_cgroup("", "1000\n", stat, "max\n"), None);
        assert_eq!(read(Path::new("/nonexistent")), None);
    }

    #[test]
    fn files_of_the_machine_are_read() {
        let memory = "MemTotal:       100 kB\nMemFree:    20 kB\nMemAvailable:   60 kB\nAnonPages:   8 kB\n";
        let used = of_machine("usage_usec 3\n", memory, "pgfault 5\npgmajfault 1\n");
        assert_eq!((used.cpu_ns, used.memory, used.working_set), (3000, 80 * 1024, 40 * 1024));
        assert_eq!((used.available, used.faults, used.major_faults), (Some(60 * 1024), 5, 1));
    }
}
