//! RFC 3339 as Go's `time.Parse` takes it, and its words when it does not.

use super::{Instant, TimeError, days_from_civil};

/// What may stand behind the seconds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fraction {
    /// Nothing, or a point and any digits.
    Any,
    /// A point and six digits.
    Six,
}

impl Fraction {
    fn layout(self) -> &'static str {
        match self {
            Fraction::Any => "2006-01-02T15:04:05Z07:00",
            Fraction::Six => "2006-01-02T15:04:05.000000Z07:00",
        }
    }
}

struct Scan<'a> {
    whole: &'a str,
    rest: &'a str,
    fraction: Fraction,
}

impl<'a> Scan<'a> {
    fn fault(&self, element: &str) -> TimeError {
        let (whole, layout, rest) = (self.whole, self.fraction.layout(), self.rest);
        TimeError(format!("parsing time {whole:?} as {layout:?}: cannot parse {rest:?} as {element:?}"))
    }

    fn out_of_range(&self, what: &str) -> TimeError {
        TimeError(format!("parsing time {:?}: {what} out of range", self.whole))
    }

    fn number(&mut self, digits: usize, element: &str) -> Result<u32, TimeError> {
        let text = self.rest.get(..digits).filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
        let text = text.ok_or_else(|| self.fault(element))?;
        self.rest = &self.rest[digits..];
        Ok(text.bytes().fold(0, |n, b| n * 10 + u32::from(b - b'0')))
    }

    fn literal(&mut self, text: &str) -> Result<(), TimeError> {
        self.rest = self.rest.strip_prefix(text).ok_or_else(|| self.fault(text))?;
        Ok(())
    }

    /// Nanoseconds of the digits behind a point.
    fn nanos(&mut self) -> Result<u32, TimeError> {
        let digits = |t: &str| t.bytes().take_while(u8::is_ascii_digit).count();
        let counted = match self.fraction {
            Fraction::Any => match self.rest.strip_prefix(['.', ',']).map(digits) {
                None | Some(0) => return Ok(0),
                Some(n) => n,
            },
            Fraction::Six => {
                let found = self.rest.strip_prefix(['.', ',']).map(digits).unwrap_or_default();
                if found < 6 {
                    return Err(self.fault(".000000"));
                }
                6
            }
        };
        let kept = &self.rest[1..=counted.min(9)];
        let nanos = kept.bytes().fold(0u32, |n, b| n * 10 + u32::from(b - b'0')) * 10u32.pow(9 - kept.len() as u32);
        self.rest = &self.rest[1 + counted..];
        Ok(nanos)
    }

    /// Seconds east of UTC.
    fn zone(&mut self) -> Result<i64, TimeError> {
        const ELEMENT: &str = "Z07:00";
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let zone = self.rest.as_bytes();
        let digits = |range: std::ops::Range<usize>| zone[range].iter().all(u8::is_ascii_digit);
        let formed =
            zone.len() >= 6 && matches!(zone[0], b'+' | b'-') && zone[3] == b':' && digits(1..3) && digits(4..6);
        if !formed {
            return Err(self.fault(ELEMENT));
        }
        let two = |i: usize| i64::from(zone[i] - b'0') * 10 + i64::from(zone[i + 1] - b'0');
        let (hours, minutes) = (two(1), two(4));
        if hours > 24 {
            return Err(self.out_of_range("time zone offset hour"));
        }
        if minutes > 60 {
            return Err(self.out_of_range("time zone offset minute"));
        }
        let seconds = (hours * 60 + minutes) * 60;
        self.rest = &self.rest[6..];
        Ok(if zone[0] == b'-' { -seconds } else { seconds })
    }
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

pub(super) fn instant(text: &str, fraction: Fraction) -> Result<Instant, TimeError> {
    let mut scan = Scan { whole: text, rest: text, fraction };
    let year = scan.number(4, "2006")?;
    scan.literal("-")?;
    let month = scan.number(2, "01")?;
    if !(1..=12).contains(&month) {
        return Err(scan.out_of_range("month"));
    }
    scan.literal("-")?;
    let day = scan.number(2, "02")?;
    scan.literal("T")?;
    let hour = scan.number(2, "15")?;
    if hour > 23 {
        return Err(scan.out_of_range("hour"));
    }
    scan.literal(":")?;
    let minute = scan.number(2, "04")?;
    if minute > 59 {
        return Err(scan.out_of_range("minute"));
    }
    scan.literal(":")?;
    let second = scan.number(2, "05")?;
    if second > 59 {
        return Err(scan.out_of_range("second"));
    }
    let nanos = scan.nanos()?;
    let zone = scan.zone()?;
    if !scan.rest.is_empty() {
        let rest = scan.rest;
        return Err(TimeError(format!("parsing time {text:?}: extra text: {rest:?}")));
    }
    if day < 1 || day > days_in(year, month) {
        return Err(scan.out_of_range("day"));
    }
    let of_day = i64::from(hour * 3600 + minute * 60 + second);
    let seconds = days_from_civil(i64::from(year), month, day) * 86_400 + of_day - zone;
    Ok(Instant { seconds, nanos })
}
