//! What this process uses, from `/proc/self`, under the names of Prometheus' client libraries.

use crate::{Metric, Text};
use std::fs;

static CPU: Metric = Metric::counter("process_cpu_seconds_total", &[], "CPU time of this process in seconds.");
static RESIDENT: Metric = Metric::gauge("process_resident_memory_bytes", &[], "Memory of this process that is in RAM.");
static VIRTUAL: Metric = Metric::gauge("process_virtual_memory_bytes", &[], "Address space of this process.");
static START: Metric = Metric::gauge("process_start_time_seconds", &[], "When this process began, since 1970.");
static OPEN: Metric = Metric::gauge("process_open_fds", &[], "Files that this process has open.");
static OPEN_MAX: Metric = Metric::gauge("process_max_fds", &[], "Files that this process may have open.");

/// Clock ticks of a second in `/proc`: fixed in Linux' interface with programs.
const TICKS: f64 = 100.0;
/// Bytes of a page on every architecture that the image is built for.
const PAGE_BYTES: f64 = 4096.0;

/// What `/proc/self/stat` says: CPU in ticks, start in ticks after boot, virtual bytes, resident pages.
fn of_stat(stat: &str) -> Option<[f64; 4]> {
    // The name in parentheses may contain anything.
    let words: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| words.get(at)?.parse::<f64>().ok();
    Some([number(11)? + number(12)?, number(19)?, number(20)?, number(21)?])
}

fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(word))?.split_whitespace().next()
}

/// Writes what this process uses now. What cannot be read is left out.
pub fn process(text: &mut Text) {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    if let Some([cpu, start, virtual_bytes, resident]) = of_stat(&file("/proc/self/stat")) {
        text.only(&CPU, cpu / TICKS);
        text.only(&RESIDENT, resident * PAGE_BYTES);
        text.only(&VIRTUAL, virtual_bytes);
        if let Some(boot) = after(&file("/proc/stat"), "btime ").and_then(|t| t.parse::<f64>().ok()) {
            text.only(&START, boot + start / TICKS);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The folder itself is open while it is read.
        #[allow(clippy::cast_precision_loss, reason = "metrics are floating point")]
        text.only(&OPEN, open.count().saturating_sub(1) as f64);
    }
    if let Some(most) = after(&file("/proc/self/limits"), "Max open files").and_then(|t| t.parse().ok()) {
        text.only(&OPEN_MAX, most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_process_is_read() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 30 12 0 0 20 0 5 0 900 8192 3 1844 1 1";
        assert_eq!(of_stat(stat), Some([42.0, 900.0, 8192.0, 3.0]));
        assert_eq!(of_stat("7 (a"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let mut text = Text::default();
        process(&mut text);
        let text = text.into_string();
        for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
            assert!(text.contains(&format!("\n{name} ")), "{name} is missing in {text}");
        }
        assert!(!text.contains("process_resident_memory_bytes 0\n"), "{text}");
    }
}
