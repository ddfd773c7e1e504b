//! Schedules as cron writes them: five fields, or a word such as `@daily`. Rules and words of refusal are those of
//! `github.com/robfig/cron/v3`, which upstream uses. There is no clock and no time zone here; a schedule only says which
//! minutes it wants.

use crate::time::parse_duration;

/// When something is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At every minute that the fields want.
    Fields(Fields),
    /// Always after so many seconds.
    Every(i64),
}

/// What is wanted of a minute: a bit for each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
}

/// Set beside the values when a field is a star: a day must fit both day fields then, and one of them else.
const STAR: u64 = 1 << 63;

/// One field: least and greatest value, and names of values from the least.
struct Bounds {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTES: Bounds = Bounds { min: 0, max: 59, names: &[] };
const HOURS: Bounds = Bounds { min: 0, max: 23, names: &[] };
const DAYS: Bounds = Bounds { min: 1, max: 31, names: &[] };
const MONTHS: Bounds = Bounds {
    min: 1,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAYS: Bounds = Bounds { min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// Words and the fields that they stand for.
const WORDS: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// What is wrong with it, in upstream's words.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        if text.is_empty() {
            return Err("empty spec string".to_owned());
        }
        if let Some((_, fields)) = WORDS.iter().find(|(word, _)| *word == text) {
            return Schedule::parse(fields);
        }
        if let Some(period) = text.strip_prefix("@every ") {
            let nanos = parse_duration(period).map_err(|e| format!("failed to parse duration {text}: {e}"))?;
            return Ok(Schedule::Every((nanos / 1_000_000_000).max(1)));
        }
        if text.starts_with('@') {
            return Err(format!("unrecognized descriptor: {text}"));
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
        };
        Ok(Schedule::Fields(Fields {
            minutes: field(minutes, &MINUTES)?,
            hours: field(hours, &HOURS)?,
            days: field(days, &DAYS)?,
            months: field(months, &MONTHS)?,
            weekdays: field(weekdays, &WEEKDAYS)?,
        }))
    }
}

impl Fields {
    /// Whether a month (1 to 12) is wanted.
    #[must_use]
    pub fn month(&self, month: u32) -> bool {
        has(self.months, month)
    }

    /// Whether a day is wanted: of the month from 1, of the week from 0 for Sunday.
    #[must_use]
    pub fn day(&self, of_month: u32, of_week: u32) -> bool {
        let (month, week) = (has(self.days, of_month), has(self.weekdays, of_week));
        if self.days & STAR > 0 || self.weekdays & STAR > 0 { month && week } else { month || week }
    }

    /// Whether an hour (0 to 23) is wanted.
    #[must_use]
    pub fn hour(&self, hour: u32) -> bool {
        has(self.hours, hour)
    }

    /// Whether a minute (0 to 59) is wanted.
    #[must_use]
    pub fn minute(&self, minute: u32) -> bool {
        has(self.minutes, minute)
    }
}

fn has(bits: u64, value: u32) -> bool {
    value < 63 && bits & 1 << value > 0
}

fn field(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let ranges = text.split(',').filter(|range| !range.is_empty());
    ranges.map(|one| range(one, bounds)).try_fold(0, |all, bits| Ok(all | bits?))
}

/// `*`, `?`, `a`, `a-b`, each with `/step`.
fn range(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let (span, step) = match text.split('/').collect::<Vec<_>>().as_slice() {
        [span] => (*span, None),
        [span, step] => (*span, Some(number(step)?)),
        _ => return Err(format!("too many slashes: {text}")),
    };
    let ends: Vec<&str> = span.split('-').collect();
    let (from, mut to, mut star) = match ends.as_slice() {
        ["*" | "?"] => (bounds.min, bounds.max, STAR),
        [one] => {
            let value = value(one, bounds)?;
            (value, value, 0)
        }
        [from, to] => (value(from, bounds)?, value(to, bounds)?, 0),
        _ => return Err(format!("too many hyphens: {text}")),
    };
    let step = match step {
        None => 1,
        Some(step) => {
            if ends.len() == 1 && star == 0 {
                to = bounds.max;
            }
            if step > 1 {
                star = 0;
            }
            step
        }
    };
    if from < bounds.min {
        return Err(format!("beginning of range ({from}) below minimum ({}): {text}", bounds.min));
    }
    if to > bounds.max {
        return Err(format!("end of range ({to}) above maximum ({}): {text}", bounds.max));
    }
    if from > to {
        return Err(format!("beginning of range ({from}) beyond end of range ({to}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    let step = usize::try_from(step).map_err(|_| format!("failed to parse int from {text}: value out of range"))?;
    Ok((from..=to).step_by(step).fold(star, |bits, value| bits | 1 << value))
}

fn value(text: &str, bounds: &Bounds) -> Result<u32, String> {
    let lower = text.to_lowercase();
    match bounds.names.iter().position(|name| *name == lower) {
        Some(at) => Ok(bounds.min + u32::try_from(at).unwrap_or_default()),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, String> {
    let parsed: i64 = text
        .parse()
        .map_err(|_| format!("failed to parse int from {text}: strconv.Atoi: parsing \"{text}\": invalid syntax"))?;
    match u32::try_from(parsed) {
        Ok(number) => Ok(number),
        Err(_) => Err(format!("negative number ({parsed}) not allowed: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        match Schedule::parse(text) {
            Ok(Schedule::Fields(fields)) => fields,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn wanted(limit: u32, wants: impl Fn(u32) -> bool) -> Vec<u32> {
        (0..limit).filter(|v| wants(*v)).collect()
    }

    #[test]
    fn lists_ranges_steps_and_names_are_read() {
        let all = fields("1,5-7,*/20 8-18/5 ? JAN,jun MON-fri");
        assert_eq!(wanted(60, |m| all.minute(m)), [0, 1, 5, 6, 7, 20, 40]);
        assert_eq!(wanted(24, |h| all.hour(h)), [8, 13, 18]);
        assert_eq!(wanted(13, |m| all.month(m)), [1, 6]);
        assert!(all.day(3, 1) && !all.day(3, 0));
        assert_eq!(wanted(60, |m| fields("50/3 * * * *").minute(m)), [50, 53, 56, 59]);
    }

    #[test]
    fn a_day_fits_one_of_the_two_fields_or_both_when_one_is_a_star() {
        let either = fields("0 0 13 * fri");
        assert!(either.day(13, 1) && either.day(1, 5) && !either.day(1, 1));
        let both = fields("0 0 * * fri");
        assert!(both.day(1, 5) && !both.day(13, 1));
        assert!(fields("0 0 */2 * fri").day(2, 5), "a star with a step is none");
    }

    #[test]
    fn words_stand_for_fields_and_periods() {
        assert_eq!(Schedule::parse("@daily"), Schedule::parse("0 0 * * *"));
        assert_eq!(Schedule::parse("@every 1h30m"), Ok(Schedule::Every(5400)));
        assert_eq!(Schedule::parse("@every 10ms"), Ok(Schedule::Every(1)));
    }

    #[test]
    fn what_is_wrong_is_told_in_upstreams_words() {
        for (text, wants) in [
            ("", "empty spec string"),
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("@often", "unrecognized descriptor: @often"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
        ] {
            assert_eq!(Schedule::parse(text), Err(wants.to_owned()), "{text}");
        }
    }
}
