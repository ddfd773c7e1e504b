//! Time to init, and as far as it comes, in the guest's instructions: one a nanosecond, one processor, idle time
//! skipped. It repeats to a thousandth on any host, which makes it the figure to compare changes by.

use super::Bench;
use super::plain::{Clock, boot};
use anyhow::{Context, Result};
use std::time::Duration;

/// In the host's time; a second of instructions takes several. Whatever has not come by then is left out.
const LIMIT: Duration = Duration::from_secs(300);
/// Memory of a machine that nobody chose, as `skerry start` gives it, MiB.
const MEMORY_MB: u32 = image::cluster::settings::MEMORY_MB;

pub fn measure(bench: &mut Bench) -> Result<()> {
    let said = boot(&bench.built, bench.wish.memory_mb.unwrap_or(MEMORY_MB), Clock::Instructions, "ready", LIMIT)?;
    said.milestone("init").with_context(|| format!("init did not come; the console ends with: {}", said.last))?;
    for milestone in &said.milestones {
        let (name, time) = (&milestone.name, Duration::from_millis(milestone.t_ms));
        let what = format!("kernel start to `{name}`, virtual time (`-icount shift=0,sleep=off`, one CPU)");
        bench.note(what, format!("{:.3} s", time.as_secs_f64()));
    }
    Ok(())
}
