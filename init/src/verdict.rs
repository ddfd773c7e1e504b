//! Continuous integration: a machine that was given Jobs ends with their verdict, which the emulator's exit code tells
//! (QEMU's `isa-debug-exit` makes `2 * value + 1` of a value; a clean power-off is 0).
//!
//! What a Job is only `node` knows. Here is the limit on all of it, so that a machine whose `node` hangs ends, too.

use crate::boot::Boot;
use crate::config::Config;
use crate::config::keys::{CI_JOB, CI_TIMEOUT};
use crate::console::Console;
use crate::power::{Ending, Kind};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc;

/// What `node` is left for telling of a timeout itself: it knows which Job it was, and its last words.
const NODE_GRACE: Duration = Duration::from_secs(15);

/// How it ended for those who wait outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every Job completed: exit code 0.
    Passed,
    /// A Job failed: exit code 3.
    Failed,
    /// A Job did not end in time: exit code 5.
    Timeout,
    /// A manifest or an image was refused, or a Job is not there: exit code 7.
    Invalid,
    /// The machine did not come up: exit code 9.
    Boot,
}

impl Verdict {
    /// The value for `isa-debug-exit`; none for a clean power-off. 0 is left to whatever else makes an emulator end
    /// with 1: a panic, a line that it does not understand.
    pub fn value(self) -> Option<u8> {
        match self {
            Verdict::Passed => None,
            Verdict::Failed => Some(1),
            Verdict::Timeout => Some(2),
            Verdict::Invalid => Some(3),
            Verdict::Boot => Some(4),
        }
    }

    /// The end of the machine that says this.
    pub fn kind(self) -> Kind {
        self.value().map_or(Kind::PowerOff, Kind::Fail)
    }
}

/// Whether the machine was given Jobs.
pub fn is_asked_for(config: &Config) -> bool {
    !config.text(&CI_JOB).is_empty()
}

/// The end of a machine that did not come up.
pub fn of_failed_boot(config: &Config) -> Kind {
    if is_asked_for(config) { Verdict::Boot.kind() } else { Kind::Crash }
}

/// Ends a machine whose Jobs take too long, when `node` does not.
pub fn watch(boot: &Boot) {
    if !is_asked_for(&boot.config) {
        return;
    }
    let limit = Duration::from_secs(boot.config.number(&CI_TIMEOUT).into());
    let (console, endings) = (boot.console.clone(), boot.endings.clone());
    tokio::task::spawn_local(async move {
        tokio::time::sleep((limit + NODE_GRACE).saturating_sub(sys::clock::since_start())).await;
        time_is_up(&console, &endings, limit);
    });
}

fn time_is_up(console: &Console, endings: &mpsc::Sender<Ending>, limit: Duration) {
    let why = format!("no verdict within {} s, as skerry.ci.timeout says", limit.as_secs());
    let ending = Ending { kind: Verdict::Timeout.kind(), why: why.clone() };
    if endings.try_send(ending).is_ok() {
        let fields = json!({"verdict": "timeout", "reason": why});
        if let Value::Object(fields) = fields {
            console.milestone("job", fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    #[test]
    fn each_verdict_has_an_exit_code_of_its_own() {
        let codes = [Verdict::Passed, Verdict::Failed, Verdict::Timeout, Verdict::Invalid, Verdict::Boot]
            .map(|verdict| verdict.value().map_or(0, |value| 2 * value + 1));
        assert_eq!(codes, [0, 3, 5, 7, 9]);
    }

    #[test]
    fn a_boot_that_failed_crashes_unless_somebody_waits_for_a_verdict() {
        assert_eq!(of_failed_boot(&Config::default()), Kind::Crash);
        let given = vec![("skerry.ci.job".to_owned(), "default/test".to_owned())];
        let (config, complaints) = Config::merge(vec![(Source::CommandLine, given)]);
        assert!(complaints.is_empty(), "{complaints:?}");
        assert_eq!(of_failed_boot(&config), Kind::Fail(4));
    }

    #[test]
    fn time_is_up_once() {
        let (endings, mut asked) = mpsc::channel(1);
        time_is_up(&Console::default(), &endings, Duration::from_secs(9));
        time_is_up(&Console::default(), &endings, Duration::from_secs(9));
        assert_eq!(asked.try_recv().unwrap().kind, Kind::Fail(2));
        assert!(asked.try_recv().is_err());
    }
}
