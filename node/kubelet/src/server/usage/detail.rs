//! What only Prometheus asks of a cgroup: caches, throttling, limits, disks, and the network of its pod. From the
//! kernel's files (Documentation/admin-guide/cgroup-v2.rst and `/proc/PID/net/dev`).

use super::cgroup::{Used, field, of_cgroup};
use std::fs;
use std::path::{Path, PathBuf};

/// Interfaces that count twice what others count, or nothing of interest; cAdvisor leaves the same out.
const PASSED_OVER: [&str; 4] = ["lo", "veth", "docker", "nerdctl"];
/// Fields of `/proc/net/dev` per direction.
const DIRECTION: usize = 8;

/// A cgroup in detail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// CPU and memory.
    pub used: Used,
    /// Bytes of files in memory.
    pub cache: u64,
    /// Bytes that were swapped out.
    pub swap: u64,
    /// Processes that the kernel killed for want of memory, so far.
    pub oom_kills: u64,
    /// Periods of enforcement so far, those that were cut short, and nanoseconds that were cut off.
    pub throttling: [u64; 3],
    /// Microseconds of CPU per period, if limited, and the period's microseconds.
    pub quota: (Option<u64>, u64),
    /// The most bytes of memory, if limited.
    pub memory_max: Option<u64>,
    /// By disk.
    pub disks: Vec<Disk>,
}

/// What went to a disk and came from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Such as `/dev/vdb`; the numbers when it has no name.
    pub device: String,
    /// Bytes and number of reads.
    pub read: [u64; 2],
    /// Bytes and number of writes.
    pub written: [u64; 2],
}

/// What went over an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Such as `eth0`.
    pub name: String,
    /// Bytes, packets, errors and dropped packets received.
    pub received: [u64; 4],
    /// The same sent.
    pub sent: [u64; 4],
}

impl Detail {
    /// Reads the files of a cgroup; `None` when it is gone.
    pub fn of_cgroup(folder: &Path) -> Option<Detail> {
        // A controller that is off has no file; then there is nothing to tell.
        let file = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let (cpu, memory, max) = (file("cpu.stat"), file("memory.stat"), file("memory.max"));
        let of = |text: &str, name: &str| field(text, name).unwrap_or_default();
        Some(Detail {
            used: of_cgroup(&cpu, &file("memory.current"), &memory, &max)?,
            cache: of(&memory, "file"),
            swap: file("memory.swap.current").trim().parse().unwrap_or_default(),
            oom_kills: of(&file("memory.events"), "oom_kill"),
            throttling: [of(&cpu, "nr_periods"), of(&cpu, "nr_throttled"), of(&cpu, "throttled_usec") * 1000],
            quota: quota(&file("cpu.max")),
            memory_max: max.trim().parse().ok(),
            disks: disks(&file("io.stat"), device),
        })
    }
}

fn quota(text: &str) -> (Option<u64>, u64) {
    let mut words = text.split_whitespace().map(|word| word.parse().ok());
    (words.next().flatten(), words.next().flatten().unwrap_or_default())
}

fn device(numbers: &str) -> String {
    let about = fs::read_to_string(format!("/sys/dev/block/{numbers}/uevent")).unwrap_or_default();
    let name = about.lines().find_map(|line| line.strip_prefix("DEVNAME="));
    name.map_or_else(|| numbers.to_owned(), |name| format!("/dev/{name}"))
}

fn disks(text: &str, named: impl Fn(&str) -> String) -> Vec<Disk> {
    let disk = |line: &str| {
        let (numbers, rest) = line.split_once(' ')?;
        let of = |name: &str| {
            let word = rest.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            word.and_then(|word| word.parse().ok()).unwrap_or_default()
        };
        let (read, written) = ([of("rbytes"), of("rios")], [of("wbytes"), of("wios")]);
        Some(Disk { device: named(numbers), read, written })
    };
    text.lines().filter_map(disk).collect()
}

/// The interfaces of the network that a pod's processes are in; none when nothing runs in it.
pub fn of_pod(folder: &Path) -> Vec<Interface> {
    let Some(process) = process(folder) else { return Vec::new() };
    fs::read_to_string(format!("/proc/{process}/net/dev")).map(|text| interfaces(&text)).unwrap_or_default()
}

/// The interfaces of the machine.
pub fn of_machine() -> Vec<Interface> {
    fs::read_to_string("/proc/self/net/dev").map(|text| interfaces(&text)).unwrap_or_default()
}

/// Some process in the containers of a pod: all of them share its network.
fn process(folder: &Path) -> Option<u32> {
    let below = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    let first = |path: PathBuf| fs::read_to_string(path.join("cgroup.procs")).ok()?.lines().next()?.parse().ok();
    below.filter_map(first).find(|process| *process > 0)
}

fn interfaces(text: &str) -> Vec<Interface> {
    let one = |line: &str| {
        let (name, counts) = line.split_once(':')?;
        let name = name.trim();
        if PASSED_OVER.iter().any(|prefix| name.starts_with(prefix)) {
            return None;
        }
        let counts: Vec<u64> = counts.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let way = |at: usize| counts.get(at..at + 4)?.try_into().ok();
        Some(Interface { name: name.to_owned(), received: way(0)?, sent: way(DIRECTION)? })
    };
    text.lines().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read_and_the_doubled_ones_passed_over() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
            lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0\n  \
            eth0:    5000      40    1    2    0     0          0         0     6000      50    3    4    0     0       0          0\n\
            veth12ab: 1 1 1 1 0 0 0 0 1 1 1 1 0 0 0 0\n cut: 1 2\n";
        let eth0 = Interface { name: "eth0".to_owned(), received: [5000, 40, 1, 2], sent: [6000, 50, 3, 4] };
        assert_eq!(interfaces(text), [eth0]);
    }

    #[test]
    fn disks_and_limits_are_read() {
        let text = "254:16 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n7:0\n";
        let disk = Disk { device: "disk 254:16".to_owned(), read: [10, 1], written: [20, 2] };
        assert_eq!(disks(text, |numbers| format!("disk {numbers}")), [disk]);
        assert_eq!(
            (quota("50000 100000\n"), quota("max 100000\n"), quota("")),
            ((Some(50_000), 100_000), (None, 100_000), (None, 0))
        );
        assert_eq!(Detail::of_cgroup(Path::new("/nonexistent")), None);
    }
}
