//! The smallest memory with which the machine becomes ready. A plain command line, because `skerry start` refuses what
//! it knows not to do.

use super::Bench;
use super::figures::seconds;
use super::plain::{Clock, boot};
use anyhow::{Result, bail};
use std::time::Duration;

/// Tried in this order until one will do, MiB.
const TRIED_MB: &[u32] = &[256, 384, 512];
/// Until a machine counts as one that does not become ready.
const LIMIT: Duration = Duration::from_secs(180);

pub fn measure(bench: &mut Bench) -> Result<()> {
    for &memory_mb in TRIED_MB {
        let said = boot(&bench.built, memory_mb, Clock::Host, "ready", LIMIT)?;
        let what = format!("ready with {memory_mb} MiB (TCG, 2 CPUs)");
        if let Some(ready) = said.milestone("ready") {
            bench.note(what, format!("yes, {} after power-on", seconds(Duration::from_millis(ready.host_ms))));
            return Ok(());
        }
        let reached = said.milestones.last().map_or("nothing", |milestone| milestone.name.as_str());
        bench.note(what, format!("no: it reached {reached}; the console ends with: {}", said.last));
    }
    bail!("no machine became ready, up to {} MiB", TRIED_MB.last().expect("a table with lines"))
}
