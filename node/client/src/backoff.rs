//! How long to wait before the next try: doubling, with a cap.
//!
//! It must not know a clock.

use std::time::Duration;

/// A wait that doubles with each failure.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// No wait is longer.
    pub cap: Duration,
}

impl Backoff {
    /// The wait after so many failures in a row (1 for the first).
    #[must_use]
    pub fn after(&self, failures: u32) -> Duration {
        let factor = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.checked_mul(factor).map_or(self.cap, |wait| wait.min(self.cap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let backoff = Backoff { first: Duration::from_millis(5), cap: Duration::from_millis(30) };
        let waits: Vec<u128> = [1, 2, 3, 4, 40, 4000].iter().map(|n| backoff.after(*n).as_millis()).collect();
        assert_eq!(waits, [5, 10, 20, 30, 30, 30]);
    }
}
