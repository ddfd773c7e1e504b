//! A machine by a plain command line of the emulator, without the `skerry` command: kernel, root, an empty state disk, a
//! user network. Its serial line is read until a milestone comes.

use crate::harness::{Built, Stream};
use anyhow::{Context, Result};
use image::cluster::emulator::{Accelerator, probe};
use image::cluster::milestones::{Milestone, read};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The state disk, bytes; sparse, and enough for an empty cluster.
const DISK_BYTES: u64 = 4 << 30;
/// Last lines of the console that tell of an end.
const LAST_LINES: usize = 3;

/// What moves the guest's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The host's, as always; two processors.
    Host,
    /// Instructions, one a nanosecond; one processor. Idle time is skipped.
    Instructions,
}

/// What a machine has said.
#[derive(Debug)]
pub struct Said {
    /// Its milestones, those of the host in the host's time since the emulator was started.
    pub milestones: Vec<Milestone>,
    /// The end of its console.
    pub last: String,
}

impl Said {
    /// A milestone.
    pub fn milestone(&self, name: &str) -> Option<&Milestone> {
        self.milestones.iter().find(|milestone| milestone.name == name)
    }
}

/// Boots a machine and listens until a milestone has come, it has failed or ended, or the limit is over.
///
/// # Errors
/// When the state disk cannot be made.
pub fn boot(built: &Built, memory_mb: u32, clock: Clock, until: &str, limit: Duration) -> Result<Said> {
    let folder = built.target.join("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let disk = folder.join("plain.raw");
    // What was there goes: each boot is the first.
    let file = std::fs::File::create(&disk).with_context(|| format!("making {}", disk.display()))?;
    file.set_len(DISK_BYTES).context("making the state disk")?;
    let disk = disk.to_str().context("a path of letters")?;
    let line = arguments(probe(Accelerator::Tcg, &built.kernel(), &built.root()), memory_mb, clock, disk);
    let (began, machine) = (Instant::now(), Stream::start(&mut built.emulate(&line)));
    let (mut milestones, mut last) = (Vec::new(), VecDeque::new());
    while let Some(line) = machine.line(limit.saturating_sub(began.elapsed())) {
        let host_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let found = read(&line, host_ms);
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line.trim().to_owned());
        let is_last = found.as_ref().is_some_and(|milestone| milestone.name == until || milestone.name == "failed");
        milestones.extend(found);
        if is_last {
            break;
        }
    }
    Ok(Said { milestones, last: Vec::from(last).join(" ") })
}

/// The product's line for a machine that shows that it boots, made into one that becomes ready.
fn arguments(mut line: Vec<String>, memory_mb: u32, clock: Clock, disk: &str) -> Vec<String> {
    let mut set = |option: &str, value: String| match line.iter().position(|word| word == option) {
        Some(at) => line[at + 1] = value,
        None => line.extend([option.to_owned(), value]),
    };
    set("-m", memory_mb.to_string());
    match clock {
        Clock::Host => set("-smp", "2".to_owned()),
        Clock::Instructions => {
            set("-smp", "1".to_owned());
            set("-accel", "tcg,thread=single".to_owned());
            set("-icount", "shift=0,sleep=off".to_owned());
        }
    }
    let disk = disk.replace(',', ",,");
    let more = [
        ("-drive", format!("if=none,id=state,format=raw,discard=unmap,file={disk}")),
        ("-device", "virtio-blk-pci,drive=state,serial=skerry-state".to_owned()),
        ("-netdev", "user,id=net0".to_owned()),
        ("-device", "virtio-net-pci,netdev=net0".to_owned()),
    ];
    line.extend(more.into_iter().flat_map(|(option, value)| [option.to_owned(), value]));
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn line(clock: Clock) -> String {
        let product = probe(Accelerator::Tcg, Path::new("/k"), Path::new("/r"));
        arguments(product, 384, clock, "/a,b/state").join(" ")
    }

    #[test]
    fn the_line_has_each_setting_once() {
        for (clock, wanted) in [
            (Clock::Host, &["-smp 2", "-accel tcg,thread=multi"][..]),
            (Clock::Instructions, &["-smp 1", "-accel tcg,thread=single", "-icount shift=0,sleep=off"]),
        ] {
            let line = line(clock);
            for part in wanted.iter().chain(&["-m 384", "file=/a,,b/state", "-kernel /k"]) {
                assert!(line.contains(part), "no {part} in {line}");
            }
            for option in ["-m ", "-smp ", "-accel "] {
                assert_eq!(line.matches(&format!(" {option}")).count(), 1, "{option} in {line}");
            }
        }
    }

    #[test]
    fn the_root_stays_the_first_disk() {
        let line = line(Clock::Host);
        assert!(line.find("drive=root").unwrap() < line.find("drive=state").unwrap());
    }
}
