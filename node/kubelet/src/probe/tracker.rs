//! Counts the results of one probe against its thresholds. Pure: the clock stays outside.
//!
//! It must not know how a result is had.

use super::Kind;
use k8s_openapi::api::core::v1::Probe;
use std::time::Duration;

/// Upstream's defaults, which the API server fills in; a pod from a file may lack them.
const PERIOD: i32 = 10;
const FAILURES: i32 = 3;

/// What one more result means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing yet: below the threshold.
    Unchanged,
    /// This is the result now; go on probing.
    Is(bool),
    /// This is the result for the rest of this run of the container: it has started, or it will be killed.
    Final(bool),
}

/// The count.
#[derive(Clone, Debug)]
pub struct Tracker {
    kind: Kind,
    failures: u32,
    successes: u32,
    last: Option<bool>,
    run: u32,
}

impl Tracker {
    /// A count that begins.
    #[must_use]
    pub fn new(kind: Kind, probe: &Probe) -> Tracker {
        let at_least_one = |n: Option<i32>, default: i32| u32::try_from(n.unwrap_or(default)).unwrap_or(1).max(1);
        Tracker {
            kind,
            failures: at_least_one(probe.failure_threshold, FAILURES),
            successes: at_least_one(probe.success_threshold, 1),
            last: None,
            run: 0,
        }
    }

    /// What holds before the first result of a container that has just started; none for startup.
    #[must_use]
    pub fn initial(kind: Kind) -> Option<bool> {
        match kind {
            Kind::Startup => None,
            Kind::Readiness => Some(false),
            Kind::Liveness => Some(true),
        }
    }

    /// Takes in one result.
    pub fn take(&mut self, ok: bool) -> Next {
        if self.last == Some(ok) {
            self.run = self.run.saturating_add(1);
        } else {
            (self.last, self.run) = (Some(ok), 1);
        }
        if self.run < if ok { self.successes } else { self.failures } {
            return Next::Unchanged;
        }
        let ends = self.kind == Kind::Startup || (self.kind == Kind::Liveness && !ok);
        if ends { Next::Final(ok) } else { Next::Is(ok) }
    }
}

/// From one probing to the next.
#[must_use]
pub fn period(probe: &Probe) -> Duration {
    seconds(probe.period_seconds.filter(|s| *s > 0).unwrap_or(PERIOD))
}

/// How long one probing may take.
#[must_use]
pub fn timeout(probe: &Probe) -> Duration {
    seconds(probe.timeout_seconds.filter(|s| *s > 0).unwrap_or(1))
}

/// From the start of the container to the first probing.
#[must_use]
pub fn delay(probe: &Probe) -> Duration {
    seconds(probe.initial_delay_seconds.unwrap_or(0))
}

fn seconds(count: i32) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, failures: i32, successes: i32, results: &str, wanted: &[Next]) {
        let probe = Probe { failure_threshold: Some(failures), success_threshold: Some(successes), ..Probe::default() };
        let mut tracker = Tracker::new(kind, &probe);
        let got: Vec<Next> = results.chars().map(|c| tracker.take(c == '+')).collect();
        assert_eq!(got, wanted, "{kind} {results}");
    }

    #[test]
    fn readiness_changes_at_its_thresholds_and_goes_on() {
        use Next::{Is, Unchanged};
        check(Kind::Readiness, 2, 2, "++--+", &[Unchanged, Is(true), Unchanged, Is(false), Unchanged]);
        check(Kind::Readiness, 2, 1, "-+--", &[Unchanged, Is(true), Unchanged, Is(false)]);
    }

    #[test]
    fn liveness_ends_with_a_failure_and_startup_with_either() {
        use Next::{Final, Is, Unchanged};
        check(
            Kind::Liveness,
            3,
            1,
            "+--+---",
            &[Is(true), Unchanged, Unchanged, Is(true), Unchanged, Unchanged, Final(false)],
        );
        check(Kind::Startup, 2, 1, "-+", &[Unchanged, Final(true)]);
        check(Kind::Startup, 2, 1, "--", &[Unchanged, Final(false)]);
    }
}
