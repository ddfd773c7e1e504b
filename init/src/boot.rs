//! The order of the boot: one table of phases, run from top to bottom. A phase that fails or panics stops the boot
//! and says what failed and what to do.
//!
//! It must not know what any phase does.

use crate::children::Children;
use crate::config::Config;
use crate::console::Console;
use crate::phases;
use crate::readiness::Readiness;
use futures_util::FutureExt;
use serde_json::{Map, Value};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

/// Every phase in order: one file and one line each.
pub const PHASES: &[Phase] = &[
    phases::mounts::PHASE,
    phases::greeting::PHASE,
    phases::devices::PHASE,
    phases::config::PHASE,
    phases::control::PHASE,
    phases::cgroups::PHASE,
    phases::services::EARLY,
    phases::trust::PHASE,
    phases::clock::PHASE,
    phases::sysctls::PHASE,
    phases::hostname::PHASE,
    phases::network::PHASE,
    phases::disk::PHASE,
    phases::entropy::PHASE,
    phases::identity::PHASE,
    phases::registries::PHASE,
    phases::services::PHASE,
];

/// What a phase returns while it runs.
pub type Work<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;

/// One step of the boot.
pub struct Phase {
    /// Its name on the serial line and in `skerry.boot.skip`.
    pub name: &'static str,
    /// What it does.
    pub run: for<'a> fn(&'a mut Boot) -> Work<'a>,
}

/// What the phases share.
pub struct Boot {
    /// When init started, since the kernel started.
    pub started: Duration,
    /// Where lines go. Until the first phase is done nothing is connected.
    pub console: Console,
    /// The settings; defaults until the configuration phase.
    pub config: Config,
    /// The processes below us.
    pub children: Children,
    /// What has become ready so far.
    pub readiness: Readiness,
    /// The services once they run.
    pub services: crate::services::Services,
    /// The network once it is up.
    pub network: crate::net::Network,
    /// Where a service that cannot be brought up is told of.
    pub failed: tokio::sync::mpsc::Sender<(&'static str, Failure)>,
    /// Where the end of the machine is asked for.
    pub endings: tokio::sync::mpsc::Sender<crate::power::Ending>,
}

/// Why a phase failed and what a user can do about it. Both are one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was attempted on what, and the cause.
    pub reason: String,
    /// What to do.
    pub advice: String,
    /// Whether nothing is broken, and the image and what it was given do not belong together.
    pub refused: bool,
}

impl Failure {
    /// A failure with its advice.
    pub fn new(reason: impl Into<String>, advice: impl Into<String>) -> Failure {
        Failure { reason: reason.into(), advice: advice.into(), refused: false }
    }

    /// A failure to take what the machine was given, which is in order.
    pub fn refusal(reason: impl Into<String>, advice: impl Into<String>) -> Failure {
        Failure { refused: true, ..Failure::new(reason, advice) }
    }

    /// As the fields of the milestone `failed`.
    pub fn fields(&self, phase: &str) -> Map<String, Value> {
        let pairs = [("phase", phase), ("reason", &self.reason), ("advice", &self.advice)];
        let refused = self.refused.then(|| ("refused".to_owned(), Value::from(true)));
        pairs.into_iter().map(|(key, value)| (key.to_owned(), Value::from(value))).chain(refused).collect()
    }
}

/// The advice for what only a broken image or kernel explains.
pub const BROKEN_IMAGE: &str = "the image or its kernel is damaged: build or download it again";

/// Runs the phases in order until one fails; the error names it.
pub async fn run(phases: &[Phase], boot: &mut Boot) -> Result<(), (&'static str, Failure)> {
    for phase in phases {
        let skipped = crate::config::keys::list(boot.config.text(&crate::config::keys::SKIP)).any(|s| s == phase.name);
        if skipped {
            boot.console.say(&format!("init: phase {} is left out, as skerry.boot.skip says", phase.name));
            continue;
        }
        match AssertUnwindSafe((phase.run)(boot)).catch_unwind().await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => return Err((phase.name, failure)),
            Err(panic) => {
                let reason = format!("panicked: {}", panic_text(panic.as_ref()));
                return Err((phase.name, Failure::new(reason, "this is a bug in init: report it with this line")));
            }
        }
    }
    Ok(())
}

/// What a panic said.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot() -> Boot {
        Boot {
            started: Duration::ZERO,
            console: Console::default(),
            config: Config::default(),
            children: Children::default(),
            readiness: Readiness::default(),
            services: crate::services::Services::default(),
            network: crate::net::Network::default(),
            failed: tokio::sync::mpsc::channel(1).0,
            endings: tokio::sync::mpsc::channel(1).0,
        }
    }

    fn run_all(phases: &[Phase], boot: &mut Boot) -> Result<(), (&'static str, Failure)> {
        run(phases, boot).now_or_never().expect("no phase waits")
    }

    const GOOD: Phase = Phase {
        name: "good",
        run: |boot| {
            Box::pin(async {
                boot.readiness.set("good");
                Ok(())
            })
        },
    };
    const BAD: Phase = Phase { name: "bad", run: |_| Box::pin(async { Err(Failure::new("why", "what to do")) }) };
    const PANICS: Phase = Phase { name: "panics", run: |_| Box::pin(async { panic!("a bug") }) };

    #[test]
    fn a_failed_phase_stops_the_boot_and_is_named() {
        let mut boot = boot();
        let end = run_all(&[BAD, GOOD], &mut boot);
        assert_eq!(end, Err(("bad", Failure::new("why", "what to do"))));
        assert!(!boot.readiness.has("good"));
    }

    #[test]
    fn a_panic_in_a_phase_is_a_failure_of_that_phase() {
        let (name, failure) = run_all(&[GOOD, PANICS], &mut boot()).unwrap_err();
        assert_eq!((name, failure.reason.as_str()), ("panics", "panicked: a bug"));
    }

    #[test]
    fn a_phase_can_be_left_out() {
        let mut boot = boot();
        let skip = vec![("skerry.boot.skip".to_owned(), "other,bad".to_owned())];
        boot.config = Config::merge(vec![(crate::config::Source::CommandLine, skip)]).0;
        assert_eq!(run_all(&[BAD, GOOD], &mut boot), Ok(()));
        assert!(boot.readiness.has("good"));
    }

    #[test]
    fn every_phase_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = PHASES.iter().map(|phase| phase.name).collect();
        assert_eq!(names.len(), PHASES.len());
    }
}
