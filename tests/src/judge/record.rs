//! A run's results as a small dated table for the repository.

use super::release::VERSION;
use super::verdict::Outcome;
use anyhow::Context;
use std::collections::BTreeMap;
use std::path::Path;

/// Writes the table.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, side: &str, outcomes: &BTreeMap<String, Outcome>) -> anyhow::Result<()> {
    let date = jiff::Zoned::now().date().to_string();
    std::fs::write(path, table(side, &date, outcomes)).with_context(|| format!("write {}", path.display()))
}

fn table(side: &str, date: &str, outcomes: &BTreeMap<String, Outcome>) -> String {
    let passed = outcomes.values().filter(|o| **o == Outcome::Passed).count();
    let mut text = format!("# {side} control plane, v{VERSION}, {date}\n\n");
    text.push_str(&format!("{passed} of {} tests pass without a kubelet.\n\n", outcomes.len()));
    text.push_str("| result | test | reason |\n|---|---|---|\n");
    let mut rows: Vec<(&String, &Outcome)> = outcomes.iter().collect();
    rows.sort_by_key(|(_, outcome)| **outcome == Outcome::Passed);
    for (name, outcome) in rows {
        let (result, reason) = match outcome {
            Outcome::Passed => ("pass", ""),
            Outcome::Failed(reason) => ("fail", reason.as_str()),
            Outcome::Skipped(reason) => ("skip", reason.as_str()),
        };
        text.push_str(&format!("| {result} | {} | {} |\n", cell(name), cell(reason)));
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_first_what_did_not_pass() {
        let outcomes = BTreeMap::from([("a".to_owned(), Outcome::Passed), ("b".to_owned(), Outcome::failed("x | y"))]);
        let text = table("golden", "2026-11-23", &outcomes);
        assert!(text.contains("1 of 2 tests pass"), "{text}");
        assert!(text.contains("| fail | b | x \\| y |\n| pass | a |  |\n"), "{text}");
    }
}
