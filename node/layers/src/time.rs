//! Times of members: seconds and nanoseconds since 1970, as headers and PAX records say them and a disk keeps them.

use crate::number::decimal;

/// Nanoseconds of a second.
const NANOSECONDS: u32 = 1_000_000_000;
/// Digits of a fraction that count; more are read and dropped.
const DIGITS: usize = 9;

/// The last time that is kept: 2^63 - 1 nanoseconds. Go's tools store no later one, and neither does containerd.
const LAST: Time = Time { seconds: 9_223_372_036, nanoseconds: 854_775_807 };

/// A moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// The two times that a file is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    pub accessed: Time,
    pub modified: Time,
}

impl Time {
    /// A moment in whole seconds.
    pub fn at(seconds: i64) -> Time {
        Time { seconds, nanoseconds: 0 }
    }

    /// Reads `seconds` or `seconds.fraction`. The fraction of a negative number counts backwards, too.
    pub fn parse(value: &[u8]) -> Option<Time> {
        let dot = value.iter().position(|byte| *byte == b'.');
        let (whole, fraction) = dot.map_or((value, &b""[..]), |dot| (&value[..dot], &value[dot + 1..]));
        let seconds = decimal(whole)?;
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let digits = (0..DIGITS).map(|place| u32::from(fraction.get(place).map_or(0, |digit| digit - b'0')));
        let nanoseconds = digits.fold(0, |sum, digit| sum * 10 + digit);
        if whole.starts_with(b"-") && nanoseconds > 0 {
            return Some(Time { seconds: seconds.checked_sub(1)?, nanoseconds: NANOSECONDS - nanoseconds });
        }
        Some(Time { seconds, nanoseconds })
    }

    /// What is stored: 1970 instead of a time before it or beyond the last.
    fn bounded(self) -> Time {
        if self < Time::default() || self > LAST { Time::default() } else { self }
    }
}

impl Times {
    /// The times of a member; it was accessed when it was last modified, or later.
    pub fn of(accessed: Option<Time>, modified: Time) -> Times {
        let accessed = accessed.map_or(modified, |accessed| accessed.max(modified));
        Times { accessed: accessed.bounded(), modified: modified.bounded() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_times_have_fractions_and_signs() {
        for (value, time) in [
            (&b"12"[..], Some(Time::at(12))),
            (b"12.", Some(Time::at(12))),
            (b"12.5", Some(Time { seconds: 12, nanoseconds: 500_000_000 })),
            (b"12.0000000019", Some(Time { seconds: 12, nanoseconds: 1 })),
            (b"-1.25", Some(Time { seconds: -2, nanoseconds: 750_000_000 })),
            (b"-1", Some(Time::at(-1))),
            (b"", None),
            (b".5", None),
            (b"1.x", None),
            (b"1.-5", None),
        ] {
            assert_eq!(Time::parse(value), time, "{}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn times_that_cannot_be_kept_become_1970() {
        assert_eq!(Times::of(None, Time::at(-1)).modified, Time::at(0));
        assert_eq!(Times::of(None, Time::at(9_223_372_037)).modified, Time::at(0));
        assert_eq!(Times::of(None, LAST).modified, LAST);
    }

    #[test]
    fn a_file_was_accessed_when_it_was_modified_or_later() {
        let modified = Time::at(10);
        for (accessed, expected) in [(None, 10), (Some(5), 10), (Some(15), 15), (Some(i64::MAX), 0)] {
            assert_eq!(Times::of(accessed.map(Time::at), modified).accessed, Time::at(expected), "{accessed:?}");
        }
    }
}
