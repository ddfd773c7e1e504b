//! Memory of the idle machine, seen from inside by a pod that may look at every process, and from the host.

use super::Bench;
use super::figures::mebibytes;
use super::watch::IMAGE;
use crate::images::catalog;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::time::Duration;

/// The pod that looks.
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/machine/wrench.yaml");
/// Until it runs.
const START: Duration = Duration::from_secs(180);
/// What it says. Kernel threads have no memory of their own, and a process may end while it is looked at.
const SCRIPT: &str = "echo self $$; grep -E '^Mem(Total|Available):' /proc/meminfo; \
    grep -s ^Name: /proc/[0-9]*/status; grep -s ^Pss: /proc/[0-9]*/smaps_rollup; true";

pub fn measure(bench: &mut Bench) -> Result<()> {
    let tools = *catalog::image(IMAGE).context("the tools image is in the catalogue")?;
    let machine = bench.machine();
    machine.load(&[tools]);
    machine.kubectl(&["apply", "-f", MANIFEST]);
    let wait = ["wait", "-n", "kube-system", "--for=condition=Ready", "pod/wrench", "--timeout=170s"];
    machine.kubectl_within(START, &wait);
    bench.touch();
    bench.quieten();
    let text = bench.machine().kubectl(&["exec", "-n", "kube-system", "wrench", "--", "sh", "-c", SCRIPT]);
    let resident = bench.machine().status()["memory_used_mb"].as_u64().context("no memory in the status")?;
    let seen = Seen::read(&text).with_context(|| format!("no account of memory: {text}"))?;
    bench.note(
        "guest memory in use when idle, one idle pod included (MemTotal - MemAvailable)",
        mebibytes(seen.used_kib),
    );
    bench.note("guest memory in all (MemTotal)", mebibytes(seen.total_kib));
    bench.note("QEMU's memory on the host (RSS), then", mebibytes(resident * 1024));
    for (name, (count, pss_kib)) in &seen.processes {
        let times = if *count > 1 { format!(", {count} processes") } else { String::new() };
        bench.note(format!("PSS of `{name}`{times}"), mebibytes(*pss_kib));
    }
    bench.machine().kubectl(&["delete", "-f", MANIFEST]);
    bench.touch();
    Ok(())
}

/// What the pod saw.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    total_kib: u64,
    used_kib: u64,
    /// Processes of a name: how many, and their proportional set sizes together, KiB.
    processes: BTreeMap<String, (usize, u64)>,
}

impl Seen {
    /// Reads what `SCRIPT` printed, without the script's own processes: its shell is named in the first line, and of the
    /// programs that the shell ran either the name or the size is missing.
    fn read(text: &str) -> Option<Seen> {
        let number = |words: &str| words.split_whitespace().next()?.parse::<u64>().ok();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).and_then(number);
        let own = text.lines().find_map(|line| line.strip_prefix("self "))?.trim();
        let (mut names, mut processes) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines().filter_map(|line| line.strip_prefix("/proc/")) {
            let (pid, rest) = line.split_once('/')?;
            if let Some(name) = rest.strip_prefix("status:Name:") {
                names.insert(pid, name.trim());
            } else if let (Some(size), Some(name)) = (rest.strip_prefix("smaps_rollup:Pss:"), names.get(pid))
                && pid != own
            {
                let sum: &mut (usize, u64) = processes.entry((*name).to_owned()).or_default();
                *sum = (sum.0 + 1, sum.1 + number(size)?);
            }
        }
        let (total_kib, available) = (field("MemTotal:")?, field("MemAvailable:")?);
        Some(Seen { total_kib, used_kib: total_kib.checked_sub(available)?, processes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_summed_by_name_without_those_that_look() {
        let text = "self 40\nMemTotal:        2000 kB\nMemAvailable:    1500 kB\n\
            /proc/1/status:Name:\tinit\n/proc/2/status:Name:\tkthreadd\n/proc/8/status:Name:\tpause\n\
            /proc/9/status:Name:\tpause\n/proc/40/status:Name:\tsh\n/proc/41/status:Name:\tgrep\n\
            /proc/1/smaps_rollup:Pss:      700 kB\n/proc/8/smaps_rollup:Pss:  10 kB\n\
            /proc/9/smaps_rollup:Pss:  20 kB\n/proc/40/smaps_rollup:Pss:  90 kB\n/proc/42/smaps_rollup:Pss: 95 kB\n";
        let seen = Seen::read(text).unwrap();
        assert_eq!((seen.total_kib, seen.used_kib), (2000, 500));
        let wanted = [("init".to_owned(), (1, 700)), ("pause".to_owned(), (2, 30))];
        assert_eq!(seen.processes, BTreeMap::from(wanted));
        assert_eq!(Seen::read("self 1\nMemTotal: 1 kB\n"), None);
    }
}
