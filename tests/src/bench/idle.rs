//! What the idle machine costs the host's processors.

use super::{Bench, QUIET};
use anyhow::{Context, Result};
use std::time::Duration;

/// How long is measured.
const WINDOW: Duration = Duration::from_secs(60);
/// What the kernel counts processor time in: 100 a second on every PC (proc(5), `_SC_CLK_TCK`).
const TICKS_A_SECOND: f64 = 100.0;

pub fn measure(bench: &mut Bench) -> Result<()> {
    let status = bench.machine().status();
    let pid = |field: &str| status[field].as_u64().with_context(|| format!("no {field} in the status"));
    let (emulator, supervisor) = (pid("pid")?, pid("supervisor")?);
    bench.quieten();
    let before = (ticks_of(emulator)?, ticks_of(supervisor)?);
    std::thread::sleep(WINDOW);
    let after = (ticks_of(emulator)?, ticks_of(supervisor)?);
    let (quiet, window) = (QUIET.as_secs(), WINDOW.as_secs());
    for (who, ticks) in [("QEMU", after.0 - before.0), ("the supervisor", after.1 - before.1)] {
        bench.note(format!("host CPU of {who} in {window} s, after {quiet} s of quiet"), share(ticks));
    }
    Ok(())
}

/// Processor time, and how much of one processor that is.
fn share(ticks: u64) -> String {
    let used = ticks as f64 / TICKS_A_SECOND;
    format!("{used:.2} s ({:.1} % of one core)", 100.0 * used / WINDOW.as_secs_f64())
}

fn ticks_of(pid: u64) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    ticks(&text).with_context(|| format!("no times in {path}: {text}"))
}

/// `utime` and `stime` of `/proc/PID/stat` (proc_pid_stat(5)); the program's name before them may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_whitespace().skip(11);
    Some(words.next()?.parse::<u64>().ok()? + words.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_whatever_the_program_is_called() {
        let stat = "12 (a ) b) S 1 2 3 0 -1 4194304 10 0 0 0 250 50 7 8 20 0 4 0 99 1 2";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(share(300), "3.00 s (5.0 % of one core)");
        assert_eq!(ticks("12 (short) S 1"), None);
    }
}
