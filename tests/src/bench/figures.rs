//! Figures as text: spreads of several measurements, units, and the table in Markdown. Pure.

use std::fmt::Write;
use std::time::Duration;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// With its unit.
    pub value: String,
    /// The part that measures it again.
    pub part: &'static str,
}

/// The table with what it was measured on, and what failed.
pub fn table(conditions: &[(String, String)], figures: &[Figure], failures: &[String]) -> String {
    let mut out = String::from("# Figures\n\n");
    let mut line = |text: String| writeln!(out, "{text}").expect("a string takes everything");
    for (what, value) in conditions {
        line(format!("- {what}: {value}"));
    }
    line("\n| What | Figure | Command |\n|---|---|---|".to_owned());
    for figure in figures {
        line(format!("| {} | {} | `scripts/bench {}` |", cell(&figure.what), cell(&figure.value), figure.part));
    }
    if !failures.is_empty() {
        line("\nFailed:\n".to_owned());
        for failure in failures {
            line(format!("- {}", short(failure)));
        }
    }
    out
}

/// Letters of a failure that are shown at each end: what was tried stands first, why it failed last.
const FAILURE_ENDS: usize = 250;

/// A failure on one line, without the middle of a long one; all of it was told when it happened.
fn short(failure: &str) -> String {
    let letters: Vec<char> = failure.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect();
    if letters.len() <= 2 * FAILURE_ENDS {
        return letters.into_iter().collect();
    }
    let (first, last) = (&letters[..FAILURE_ENDS], &letters[letters.len() - FAILURE_ENDS..]);
    first.iter().chain(&[' ', '…', ' ']).chain(last).collect()
}

/// Text that cannot end a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// `min / median / max` in seconds, or the one value; none of none.
pub fn spread(values: &[Duration]) -> Option<String> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let (min, max) = (sorted.first()?, sorted.last()?);
    if sorted.len() == 1 {
        return Some(format!("{} s", number(*min)));
    }
    Some(format!("{} / {} / {} s", number(*min), number(median(values)?), number(*max)))
}

/// The middle one; of an even number, the mean of the two in the middle.
pub fn median(values: &[Duration]) -> Option<Duration> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get(sorted.len().checked_sub(1)? / 2)?;
    Some((*upper + *lower) / 2)
}

/// Seconds as they are read.
pub fn seconds(time: Duration) -> String {
    format!("{} s", number(time))
}

fn number(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64())
}

/// Bytes in millions.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// KiB, as the kernel counts, in MiB.
pub fn mebibytes(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(millis: &[u64]) -> Vec<Duration> {
        millis.iter().copied().map(Duration::from_millis).collect()
    }

    #[test]
    fn several_measurements_are_told_by_their_spread() {
        assert_eq!(spread(&times(&[3000, 1000, 2500])).as_deref(), Some("1.00 / 2.50 / 3.00 s"));
        assert_eq!(spread(&times(&[3000, 1000])).as_deref(), Some("1.00 / 2.00 / 3.00 s"));
        assert_eq!(spread(&times(&[1234])).as_deref(), Some("1.23 s"));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn a_row_names_the_command_that_measures_it_again() {
        let figure = Figure { what: "a|b".to_owned(), value: "1 s".to_owned(), part: "boot" };
        let text = table(&[("host".to_owned(), "2 cores".to_owned())], &[figure], &["idle: it\n died".to_owned()]);
        assert!(text.contains("- host: 2 cores\n"), "{text}");
        assert!(text.contains("| a\\|b | 1 s | `scripts/bench boot` |\n"), "{text}");
        assert!(text.ends_with("Failed:\n\n- idle: it died\n"), "{text}");
    }

    #[test]
    fn a_long_failure_keeps_both_its_ends() {
        let text = short(&format!("exec {}why", "x".repeat(9000)));
        assert!(text.starts_with("exec x") && text.ends_with("xwhy") && text.contains(" … "), "{text}");
        assert_eq!(text.chars().count(), 2 * FAILURE_ENDS + 3);
    }
}
