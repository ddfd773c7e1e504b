//! Time to init in the guest's instructions: one a nanosecond, one processor, idle time skipped. It repeats to a
//! thousandth on any host, which makes it the figure to compare changes by.
//!
//! Later milestones have no such figure: they wait for the disk, and while the host reads, the clock of a guest that is
//! idle leaps from timer to timer (measured: `disk` after 200 s of it).

use super::Bench;
use super::plain::{Clock, boot};
use anyhow::{Context, Result};
use std::time::Duration;

/// In the host's time; a second of instructions takes several.
const LIMIT: Duration = Duration::from_secs(120);
/// Memory of a machine that nobody chose, as `skerry start` gives it, MiB.
const MEMORY_MB: u32 = image::cluster::settings::MEMORY_MB;

pub fn measure(bench: &mut Bench) -> Result<()> {
    let (boots, memory_mb) = (bench.wish.boots, bench.wish.memory_mb.unwrap_or(MEMORY_MB));
    let mut times_ms = Vec::new();
    for number in 1..=boots {
        times_ms.extend(bench.attempt(&format!("boot {number} of {boots}"), |bench| {
            let said = boot(&bench.built, memory_mb, Clock::Instructions, "init", LIMIT)?;
            let init = said.milestone("init");
            let init = init.with_context(|| format!("init did not come; the console ends with: {}", said.last))?;
            Ok(init.t_ms)
        }));
    }
    if let (Some(min_ms), Some(max_ms)) = (times_ms.iter().min(), times_ms.iter().max()) {
        let what = "kernel start to `init`, virtual time (`-icount shift=0,sleep=off`, one CPU)";
        bench.note(format!("{what}, min / max of {}", times_ms.len()), format!("{min_ms} / {max_ms} ms"));
    }
    Ok(())
}
