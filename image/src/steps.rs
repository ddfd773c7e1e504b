//! Steps with their elapsed time: a moving line on a terminal, plain lines elsewhere.

use crate::output::Output;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// How often a bar moves. Faster costs processor time and shows nothing more.
const TICK: Duration = Duration::from_millis(120);

/// One step that is under way. Dropped without `done`, it leaves no line: the error speaks instead.
pub struct Step {
    output: Output,
    title: String,
    since: Instant,
    bar: Option<ProgressBar>,
}

impl Step {
    /// Begins a step and shows it on a terminal.
    pub fn begin(output: &Output, title: impl Into<String>) -> Step {
        let title = title.into();
        let bar = output.terminal.then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(ProgressStyle::with_template("  {spinner} {wide_msg}").expect("a constant template"));
            bar.set_message(title.clone());
            bar.enable_steady_tick(TICK);
            bar
        });
        Step { output: output.clone(), title, since: Instant::now(), bar }
    }

    /// What the step is at, shown beside its title on a terminal.
    pub fn at(&self, detail: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {detail}", self.title));
        }
    }

    /// How far a transfer is.
    pub fn bytes(&self, done: u64, total: u64) {
        self.at(&format!("{} of {}", HumanBytes(done), HumanBytes(total)));
    }

    /// Ends the step and leaves its line, with `detail` when there is something to tell.
    pub fn done(mut self, detail: &str) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let (green, off) = if self.output.colour { ("\x1b[32m", "\x1b[0m") } else { ("", "") };
        let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
        self.output.say(&format!("{green}✓{off} {:>6.1}s  {}{detail}", self.since.elapsed().as_secs_f64(), self.title));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
