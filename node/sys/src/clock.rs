//! The clocks of the machine: reading the monotonic one, setting the wall clock. Does not choose a time source.

use crate::said;
use nix::time::{ClockId, clock_gettime, clock_settime};
use std::io;
use std::time::Duration;

/// Time since the kernel started, with time spent suspended.
pub fn since_start() -> Duration {
    read(ClockId::CLOCK_BOOTTIME)
}

/// The wall clock, as time since 1970-01-01T00:00:00Z.
pub fn wall() -> Duration {
    read(ClockId::CLOCK_REALTIME)
}

fn read(clock: ClockId) -> Duration {
    let now = clock_gettime(clock).expect("Linux always has this clock and the pointer is ours");
    Duration::new(now.tv_sec().unsigned_abs(), u32::try_from(now.tv_nsec()).unwrap_or(0))
}

/// Steps the wall clock to `time` since 1970-01-01T00:00:00Z. Needs CAP_SYS_TIME.
pub fn set_wall(time: Duration) -> io::Result<()> {
    clock_settime(ClockId::CLOCK_REALTIME, time.into()).map_err(|e| said("set the wall clock", e))
}

/// How fast the processor's time stamp counter runs, in kHz, measured over `span`; none where there is no such counter.
/// An emulated machine reads the same counter.
pub fn counter_khz(span: Duration) -> Option<u32> {
    let (from, from_ticks) = stamp()?;
    std::thread::sleep(span);
    let (to, to_ticks) = stamp()?;
    let nanos = to.checked_sub(from)?.as_nanos();
    let ticks = u128::from(to_ticks.checked_sub(from_ticks)?);
    u32::try_from((ticks * 1_000_000).checked_div(nanos)?).ok().filter(|khz| *khz > 0)
}

/// The monotonic clock and the counter at the same instant: of a few tries the one that took the shortest, since this
/// thread may lose the processor in between.
fn stamp() -> Option<(Duration, u64)> {
    const TRIES: usize = 8;
    let one = || {
        let before = read(ClockId::CLOCK_MONOTONIC);
        let ticks = ticks()?;
        let took = read(ClockId::CLOCK_MONOTONIC).saturating_sub(before);
        Some((took, before + took / 2, ticks))
    };
    let best = (0..TRIES).filter_map(|_| one()).min_by_key(|(took, _, _)| *took)?;
    Some((best.1, best.2))
}

#[cfg(target_arch = "x86_64")]
fn ticks() -> Option<u64> {
    // SAFETY: the instruction reads a counter into registers and touches no memory; every x86-64 processor has it, and
    // Linux lets programs use it unless they asked it not to (PR_SET_TSC), which nothing of ours does.
    Some(unsafe { std::arch::x86_64::_rdtsc() })
}

#[cfg(not(target_arch = "x86_64"))]
fn ticks() -> Option<u64> {
    None
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// The oracle is the same measurement over another span.
    #[test]
    fn the_counter_s_rate_is_the_same_whenever_it_is_measured() {
        let short = counter_khz(Duration::from_millis(30)).unwrap();
        let long = counter_khz(Duration::from_millis(120)).unwrap();
        assert!(short.abs_diff(long) < long / 1000, "{short} and {long}");
    }
}
