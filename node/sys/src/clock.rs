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
