//! Times as the API writes them: `Time` (seconds), `MicroTime` (microseconds) and `Duration`, read and written as Go's
//! `time` package does. There is no clock here; now is always a parameter.

mod duration;
mod parse;

pub use duration::{format_duration, parse_duration};

use std::fmt;

/// Seconds between the year 1, Go's zero time, and 1970.
const YEAR_ONE: i64 = -62_135_596_800;

/// An instant as the API sees it, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
}

/// A text that is no time; the words are those of Go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TimeError(pub String);

/// The date and the time of day of an instant.
struct Civil {
    year: i64,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
}

/// Days since 1970 of a date of the proleptic Gregorian calendar (H. Hinnant's algorithm).
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = i64::from((month + 9) % 12);
    let day_of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_seconds(seconds: i64) -> Civil {
    let days = seconds.div_euclid(86_400) + 719_468;
    let of_day = seconds.rem_euclid(86_400) as u32;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Civil { year, month, day, hour: of_day / 3600, minute: of_day / 60 % 60, second: of_day % 60 }
}

impl Instant {
    /// The instant of whole seconds since 1970.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Instant {
        Instant { seconds, nanos: 0 }
    }

    /// The instant of microseconds since 1970.
    #[must_use]
    pub fn from_micros(micros: i64) -> Instant {
        let nanos = (micros.rem_euclid(1_000_000) * 1000) as u32;
        Instant { seconds: micros.div_euclid(1_000_000), nanos }
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.seconds.saturating_mul(1_000_000).saturating_add(i64::from(self.nanos / 1000))
    }

    /// Whether this is Go's zero time, which the API writes as null.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.seconds == YEAR_ONE && self.nanos == 0
    }

    /// Reads a `Time`: RFC 3339 with any zone; fractions are allowed.
    ///
    /// # Errors
    /// In Go's words.
    pub fn parse(text: &str) -> Result<Instant, TimeError> {
        parse::instant(text, parse::Fraction::Any)
    }

    /// Reads a `MicroTime`: RFC 3339 with exactly six digits of fraction.
    ///
    /// # Errors
    /// In Go's words.
    pub fn parse_micro(text: &str) -> Result<Instant, TimeError> {
        parse::instant(text, parse::Fraction::Six)
    }

    /// As `2006-01-02T15:04:05Z`, the form of `Time`.
    #[must_use]
    pub fn to_text(self) -> String {
        format!("{}Z", self.civil())
    }

    /// As `2006-01-02T15:04:05.000000Z`, the form of `MicroTime`.
    #[must_use]
    pub fn to_micro_text(self) -> String {
        format!("{}.{:06}Z", self.civil(), self.nanos / 1000)
    }

    fn civil(self) -> Civil {
        civil_from_seconds(self.seconds)
    }
}

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests;
