//! Time to init in the guest's instructions: one a nanosecond, one processor, idle time skipped. What the processor does
//! takes the same time on every host; but while the host reads the root file system, the clock of a guest that is idle
//! leaps from timer to timer, so the least of several boots is the one to compare changes by.
//!
//! Later milestones have no such figure: they wait for the state disk as well (measured: `disk` after 200 s).

use super::Bench;
use super::figures::spread;
use super::plain::{Clock, boot};
use anyhow::{Context, Result};
use std::path::Path;
use std::time::Duration;

/// In the host's time; a second of instructions takes several.
const LIMIT: Duration = Duration::from_secs(120);
/// Memory of a machine that nobody chose, as `skerry start` gives it, MiB.
const MEMORY_MB: u32 = image::cluster::settings::MEMORY_MB;

pub fn measure(bench: &mut Bench) -> Result<()> {
    let (boots, memory_mb) = (bench.wish.boots, bench.wish.memory_mb.unwrap_or(MEMORY_MB));
    let mut times = Vec::new();
    for number in 1..=boots {
        times.extend(bench.attempt(&format!("boot {number} of {boots}"), |bench| {
            have_at_hand(&bench.built.root())?;
            let said = boot(&bench.built, memory_mb, Clock::Instructions, "init", LIMIT)?;
            let init = said.milestone("init");
            let init = init.with_context(|| format!("init did not come; the console ends with: {}", said.last))?;
            Ok(Duration::from_millis(init.t_ms))
        }));
    }
    if let Some(text) = spread(&times) {
        let what = "kernel start to `init`, virtual time (`-icount shift=0,sleep=off`, one CPU)";
        bench.note(format!("{what}, min / median / max of {} boots", times.len()), text);
    }
    Ok(())
}

/// Reads a file, so that the host has it in memory.
fn have_at_hand(file: &Path) -> Result<()> {
    let read = || std::io::copy(&mut std::fs::File::open(file)?, &mut std::io::sink());
    read().with_context(|| format!("reading {}", file.display()))?;
    Ok(())
}
