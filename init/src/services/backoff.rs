//! How long to wait before a service that ended is started again. Pure.

use std::time::Duration;

/// The first wait: a crash by chance costs next to nothing.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait: one that always fails takes no noticeable part of the machine.
const LAST: Duration = Duration::from_secs(10);
/// A service that ran this long is sound: its next end counts as the first.
const SOUND: Duration = Duration::from_secs(60);
/// So many ends in a row without ever being sound or ready mean that it cannot be brought up.
pub const TRIES_MAX: u32 = 6;

/// The history of one service.
#[derive(Default)]
pub struct Backoff {
    ends: u32,
}

impl Backoff {
    /// The service has ended after it `ran`: how long to wait now.
    pub fn ended(&mut self, ran: Duration) -> Duration {
        if ran >= SOUND {
            self.ends = 0;
        }
        self.ends = self.ends.saturating_add(1);
        FIRST.saturating_mul(1 << (self.ends - 1).min(16)).min(LAST)
    }

    /// Ends in a row.
    pub fn ends(&self) -> u32 {
        self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_to_its_limit_and_starts_anew_after_a_sound_run() {
        let mut backoff = Backoff::default();
        let short = Duration::from_secs(1);
        let waits: Vec<u128> = (0..9).map(|_| backoff.ended(short).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(backoff.ends(), 9);
        assert_eq!(backoff.ended(SOUND), FIRST);
        assert_eq!(backoff.ends(), 1);
    }
}
