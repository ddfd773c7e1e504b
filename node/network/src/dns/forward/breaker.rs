//! When a resolver that does not answer is left alone, and when it is tried again.
//!
//! User-mode networking always has a resolver's address; that nobody is behind it shows only as silence, and without a
//! breaker every foreign name would cost a pod seconds. Pure: time comes in.

use std::time::Duration;
use tokio::time::Instant;

/// Silences in a row after which a resolver is left alone: one lost packet is common, three are not.
pub const SILENCES_MAX: u32 = 3;
/// The first pause. A network that comes up with the machine is there within seconds.
pub const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause: a laptop that comes back is noticed within it.
pub const PAUSE_MAX: Duration = Duration::from_secs(15);

/// What is known of one resolver's silence.
#[derive(Debug, Default)]
pub struct Breaker {
    silences: u32,
    again_at: Option<Instant>,
}

impl Breaker {
    /// Whether a question may be sent now. After a pause one question goes out as a probe; the others wait for what it
    /// brings by failing at once.
    pub fn may_ask(&mut self, now: Instant) -> bool {
        match self.again_at {
            None => true,
            Some(at) if now < at => false,
            Some(_) => {
                self.again_at = Some(now + self.pause());
                true
            }
        }
    }

    /// It answered.
    pub fn heard(&mut self) {
        *self = Breaker::default();
    }

    /// It did not answer. True when it is left alone from now on.
    pub fn silent(&mut self, now: Instant) -> bool {
        self.silences = self.silences.saturating_add(1);
        if self.silences < SILENCES_MAX {
            return false;
        }
        self.again_at = Some(now + self.pause());
        self.silences == SILENCES_MAX
    }

    fn pause(&self) -> Duration {
        let doublings = self.silences.saturating_sub(SILENCES_MAX).min(8);
        (PAUSE_FIRST * 2u32.pow(doublings)).min(PAUSE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_silences_open_it_and_one_question_probes_after_the_pause() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        for n in 1..SILENCES_MAX {
            assert!(!breaker.silent(start), "silence {n}");
            assert!(breaker.may_ask(start));
        }
        assert!(breaker.silent(start), "the third is told");
        assert!(!breaker.may_ask(start));
        let later = start + PAUSE_FIRST;
        assert!(breaker.may_ask(later), "the probe");
        assert!(!breaker.may_ask(later), "nobody else meanwhile");
        assert!(!breaker.silent(later), "told once");
        assert!(!breaker.may_ask(later + PAUSE_FIRST), "the pause has doubled");
        assert!(breaker.may_ask(later + 2 * PAUSE_FIRST));
        breaker.heard();
        assert!(breaker.may_ask(later) && breaker.may_ask(later));
    }

    #[test]
    fn the_pause_is_bounded() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..1000 {
            breaker.silent(start);
        }
        assert!(breaker.may_ask(start + PAUSE_MAX));
    }
}
