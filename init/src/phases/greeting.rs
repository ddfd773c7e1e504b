//! The first line on the console: what runs here; and the milestone `init`.

use crate::boot::{Boot, Phase};
use serde_json::Map;

/// The phase.
pub const PHASE: Phase = Phase {
    name: "greeting",
    run: |boot| {
        Box::pin(async {
            let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
            boot.console.milestone_at("init", boot.started, Map::new());
            boot.console.say(&format!("Skerry {} on Linux {}", env!("CARGO_PKG_VERSION"), kernel.trim()));
            settle(boot);
            Ok(())
        })
    },
};

/// Settings of this process and the kernel that hold for everything that follows.
fn settle(boot: &Boot) {
    let results = [
        quieten_kernel(),
        sys::power::ctrl_alt_del_to_init(),
        sys::launch::close_on_exec_from(3),
        sys::process::raise_file_limit(FILES_SOFT, FILES_HARD),
    ];
    for e in results.into_iter().filter_map(Result::err) {
        boot.console.say(&format!("init: {e}"));
    }
}

/// From here on the kernel shows only errors on the consoles: it writes to the serial line past the terminal's queue,
/// so its lines could land in the middle of a milestone. Whoever chose a level on the command line keeps it.
fn quieten_kernel() -> std::io::Result<()> {
    let line = std::fs::read_to_string("/proc/cmdline")?;
    let chosen = |word: &str| word.starts_with("loglevel=") || matches!(word, "debug" | "ignore_loglevel");
    if line.split_whitespace().any(chosen) {
        return Ok(());
    }
    std::fs::write("/proc/sys/kernel/printk", ERRORS_ONLY)
}

/// The console shows what is more urgent than this level (kernel.org, core-api/printk-basics).
const ERRORS_ONLY: &str = "4";

/// Open files a service starts with: enough for programs that never ask, small enough for those that close each.
const FILES_SOFT: u64 = 65_536;
/// Open files a service may raise itself to, as Docker's and containerd's own service files have it.
const FILES_HARD: u64 = 1_048_576;
