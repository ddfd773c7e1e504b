//! The times of a schedule in a time zone. The way through months, days and hours is that of
//! `github.com/robfig/cron/v3`: hours that daylight saving leaves out have no times, hours that come twice have them
//! twice.

use api::cron::{Fields, Schedule};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A schedule that wants nothing for so long wants nothing at all: the 30th of February.
const YEARS_MAX: i16 = 5;
/// More times than this since the last one are told as a warning.
pub const MISSED_MAX: i64 = 100;

/// The first time after `after`; `None` when there is none.
pub fn next(schedule: &Schedule, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    match schedule {
        Schedule::Every(seconds) => {
            Timestamp::from_second(after.as_second()).ok()?.checked_add(SignedDuration::from_secs(*seconds)).ok()
        }
        Schedule::Fields(fields) => next_minute(fields, zone, after),
    }
}

fn next_minute(fields: &Fields, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let small = |number: i8| u32::try_from(number).unwrap_or_default();
    let minutes = |n: i64| SignedDuration::from_secs(n * 60);
    // The next whole minute by the clock on the wall, which may be off by seconds in old days.
    let second = i64::from(zone.to_datetime(after).second());
    let floor = Timestamp::from_second(after.as_second() - second).ok()?;
    let mut at = floor.checked_add(minutes(1)).ok()?;
    let year_max = zone.to_datetime(after).year() + YEARS_MAX;
    loop {
        let local = zone.to_datetime(at);
        if local.year() > year_max {
            return None;
        }
        if !fields.month(small(local.month())) {
            let first = local.date().first_of_month().checked_add(jiff::Span::new().months(1)).ok()?;
            at = zone.to_timestamp(first.at(0, 0, 0, 0)).ok()?;
        } else if !fields.day(small(local.day()), small(local.weekday().to_sunday_zero_offset())) {
            at = zone.to_timestamp(local.date().tomorrow().ok()?.at(0, 0, 0, 0)).ok()?;
        } else if !fields.hour(small(local.hour())) {
            at = at.checked_add(minutes(60 - i64::from(local.minute()))).ok()?;
        } else if !fields.minute(small(local.minute())) {
            at = at.checked_add(minutes(1)).ok()?;
        } else {
            return Some(at);
        }
    }
}

/// What has come since a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Nothing yet.
    Nothing,
    /// The newest time, and how many there were at least as a rough count.
    Newest(Timestamp, i64),
}

/// The newest time after `earliest` that is not after `now`.
///
/// # Errors
/// When the schedule wants nothing.
pub fn newest(schedule: &Schedule, zone: &TimeZone, earliest: Timestamp, now: Timestamp) -> Result<Since, String> {
    let wrong = || "time difference between two schedules is less than 1 second".to_owned();
    let first = next(schedule, zone, earliest).ok_or_else(wrong)?;
    if now < first {
        return Ok(Since::Nothing);
    }
    let second = next(schedule, zone, first).ok_or_else(wrong)?;
    if now < second {
        return Ok(Since::Newest(first, 1));
    }
    let between = second.duration_since(first).as_secs().max(1);
    let count = now.duration_since(first).as_secs() / between + 1;
    // Counting from the first would take long for an old schedule. The step before the estimate is sure to be early
    // enough where times are regular; where they are not, the search goes on from there.
    let near = first.checked_add(SignedDuration::from_secs((count - 2) * between)).map_err(|e| e.to_string())?;
    let mut found = None;
    let mut at = next(schedule, zone, near);
    while let Some(time) = at.filter(|time| *time <= now) {
        found = Some(time);
        at = next(schedule, zone, time);
    }
    Ok(found.map_or(Since::Newest(first, count), |time| Since::Newest(time, count)))
}
