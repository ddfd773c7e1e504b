//! The wall clock: the kernel reads it from the hypervisor; where it has not, from the battery-backed clock. Never
//! waits for the network. A machine that was suspended is told the time when it goes on.

use crate::boot::{Boot, Failure, Phase};
use std::path::Path;
use std::time::Duration;
use sys::device::RtcTime;

/// The phase.
pub const PHASE: Phase = Phase { name: "clock", run: |boot| Box::pin(async { run(boot) }) };

/// 2026-01-01T00:00:00Z: no machine with this image runs earlier, so a clock that says so is wrong, and certificates
/// made by it would not be valid for anybody.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);
const DEVICE: &str = "/dev/rtc0";

fn run(boot: &mut Boot) -> Result<(), Failure> {
    if sys::clock::wall() >= EARLIEST {
        return Ok(());
    }
    let from_device = sys::device::rtc_time(Path::new(DEVICE)).map_err(|e| e.to_string()).and_then(|time| {
        since_1970(time).filter(|time| *time >= EARLIEST).ok_or_else(|| format!("{DEVICE} says {time:?}"))
    });
    let time = match from_device {
        Ok(time) => time,
        Err(why) => {
            boot.console.say(&format!(
                "init: no believable clock ({why}); going on with 2026-01-01: set the hypervisor's clock, or \
                 certificates may look expired to others"
            ));
            EARLIEST
        }
    };
    if let Err(e) = sys::clock::set_wall(time) {
        boot.console.say(&format!("init: {e}"));
    }
    Ok(())
}

/// Less than this is no standing still: the telling alone takes as long.
const STEP_MIN: Duration = Duration::from_millis(200);
/// The machine's certificates live for a year, so that one which stood still for longer has to boot anew.
const STEP_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// How far a clock that has stood still is behind `told`; `None` when it goes right or is ahead, since time that went
/// back would confuse everybody.
///
/// # Errors
/// When that time is not to be believed.
pub fn forward(now: Duration, told: Duration) -> Result<Option<Duration>, String> {
    match told.checked_sub(now) {
        Some(behind) if behind > STEP_MAX => {
            Err(format!("{} s since 1970 is more than a year ahead of this clock and not believed", told.as_secs()))
        }
        behind => Ok(behind.filter(|behind| *behind >= STEP_MIN)),
    }
}

/// A date of the hardware clock, taken as UTC, as time since 1970; `None` when it is no date.
fn since_1970(time: RtcTime) -> Option<Duration> {
    let within = |n: i32, max: i32| (0..=max).contains(&n).then(|| i64::from(n));
    let (month, day) = (within(time.month, 11)?, within(time.day - 1, 30)?);
    let (hour, minute, second) = (within(time.hour, 23)?, within(time.minute, 59)?, within(time.second, 59)?);
    // Days from 1970-01-01, counting years from March so that a leap day comes last.
    let year = i64::from(time.year) + 1900 - i64::from(month < 2);
    let month_from_march = (month + 10) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day;
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(Duration::from_secs(u64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(year: i32, month: i32, day: i32, hour: i32, minute: i32, second: i32) -> Option<u64> {
        since_1970(RtcTime { second, minute, hour, day, month: month - 1, year: year - 1900 }).map(|d| d.as_secs())
    }

    #[test]
    fn dates_become_seconds_across_leap_years() {
        // Known values, by `date -u +%s -d`.
        assert_eq!(at(1970, 1, 1, 0, 0, 0), Some(0));
        assert_eq!(at(2000, 2, 29, 23, 59, 59), Some(951_868_799));
        assert_eq!(at(2000, 3, 1, 0, 0, 0), Some(951_868_800));
        assert_eq!(at(2026, 1, 1, 0, 0, 0), Some(EARLIEST.as_secs()));
        assert_eq!(at(2026, 11, 23, 22, 48, 24), Some(1_795_474_104));
        assert_eq!(at(2100, 12, 31, 12, 0, 0), Some(4_133_937_600));
    }

    #[test]
    fn a_clock_goes_forward_by_what_it_stood_still_and_never_back() {
        let (now, second) = (EARLIEST, Duration::from_secs(1));
        assert_eq!(forward(now, now + 90 * second), Ok(Some(90 * second)));
        assert_eq!(forward(now, now + second / 10), Ok(None));
        assert_eq!(forward(now, now - 3600 * second), Ok(None));
        assert_eq!(forward(now, Duration::ZERO), Ok(None));
        assert!(forward(now, now + STEP_MAX + second).is_err());
    }

    #[test]
    fn what_is_no_date_is_refused() {
        assert_eq!(at(2026, 13, 1, 0, 0, 0), None);
        assert_eq!(at(2026, 1, 0, 0, 0, 0), None);
        assert_eq!(at(2026, 1, 1, 24, 0, 0), None);
        assert_eq!(at(1960, 1, 1, 0, 0, 0), None);
    }
}
