//! What a report of ginkgo says about a list of test names: pure, from text to verdicts.

use anyhow::Context;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// What became of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ran and passed.
    Passed,
    /// It did not pass; the reason is the first line of its failure, or why it has no result.
    Failed(String),
    /// The test itself decided that it does not apply, and said why.
    Skipped(String),
}

impl Outcome {
    /// A failure with its reason.
    pub fn failed(reason: &str) -> Outcome {
        Outcome::Failed(reason.to_owned())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Suite {
    #[serde(default)]
    spec_reports: Option<Vec<Spec>>,
    #[serde(default)]
    special_suite_failure_reasons: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Spec {
    #[serde(default)]
    container_hierarchy_texts: Option<Vec<String>>,
    leaf_node_type: String,
    #[serde(default)]
    leaf_node_text: String,
    state: String,
    failure: Option<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    #[serde(default)]
    message: String,
}

impl Spec {
    fn name(&self) -> String {
        let mut parts: Vec<&str> = self.container_hierarchy_texts.iter().flatten().map(String::as_str).collect();
        parts.push(&self.leaf_node_text);
        parts.retain(|part| !part.is_empty());
        parts.join(" ")
    }

    fn reason(&self) -> String {
        let message = self.failure.as_ref().map_or("", |f| f.message.as_str());
        /// Enough of a failure to know it again; the log has the whole.
        const CHARACTERS: usize = 240;
        let text: String = message.split_whitespace().collect::<Vec<_>>().join(" ");
        text.chars().take(CHARACTERS).collect()
    }

    fn outcome(&self) -> Outcome {
        let reason = self.reason();
        match self.state.as_str() {
            "passed" => Outcome::Passed,
            // Ginkgo also calls a test skipped that it never came to; only a test's own skip has a message.
            "skipped" if !reason.is_empty() => Outcome::Skipped(reason),
            "skipped" => Outcome::failed("did not run"),
            state if reason.is_empty() => Outcome::Failed(state.to_owned()),
            state => Outcome::Failed(format!("{state}: {reason}")),
        }
    }
}

/// The verdict on each wanted name out of ginkgo's JSON report. A name without a result has failed, with the reason
/// why the suite did not come to it when there is one.
///
/// # Errors
/// When the text is not such a report.
pub fn outcomes(report: &str, wanted: &BTreeSet<String>) -> anyhow::Result<BTreeMap<String, Outcome>> {
    let suites: Vec<Suite> = serde_json::from_str(report).context("read the report of ginkgo")?;
    let specs = || suites.iter().flat_map(|s| s.spec_reports.iter().flatten());
    let mut found: BTreeMap<String, Outcome> = BTreeMap::new();
    for spec in specs().filter(|s| s.leaf_node_type == "It") {
        let name = spec.name();
        if wanted.contains(&name) {
            found.insert(name, spec.outcome());
        }
    }
    let setup = specs().find(|s| s.leaf_node_type.ends_with("BeforeSuite") && s.state != "passed");
    let ended = suites.iter().flat_map(|s| s.special_suite_failure_reasons.iter().flatten()).next();
    let why = match (setup, ended) {
        (Some(setup), _) => format!("the set-up of the suite failed: {}", setup.reason()),
        (None, Some(reason)) => format!("did not run: {reason}"),
        (None, None) => "did not run".to_owned(),
    };
    let verdict = |name: &String| match found.remove(name) {
        None => Outcome::Failed(why.clone()),
        Some(Outcome::Failed(reason)) if reason == "did not run" => Outcome::Failed(why.clone()),
        Some(outcome) => outcome,
    };
    let mut verdict = verdict;
    Ok(wanted.iter().map(|name| (name.clone(), verdict(name))).collect())
}

/// A regular expression for exactly the named tests.
pub fn focus(names: &BTreeSet<String>) -> String {
    names.iter().map(|name| regex::escape(name)).collect::<Vec<_>>().join("|")
}

/// The names out of `e2e.test --list-tests`, whose lines are `    file:line: name`, after a heading.
pub fn listed(text: &str) -> BTreeSet<String> {
    let name = |line: &str| line.strip_prefix("    ")?.split_once(": ").map(|(_, name)| name.trim().to_owned());
    text.lines().filter_map(name).collect()
}

/// How many tests a log of ginkgo in verbose mode shows as ended.
pub fn finished(log: &str) -> usize {
    log.lines().filter(|line| line.starts_with("• ") || line.starts_with("S [SKIPPED] [") || *line == "•").count()
}

/// The failed tests with their reasons, one a line, then the line that counts.
pub fn summary(outcomes: &BTreeMap<String, Outcome>) -> String {
    let mut text = String::new();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, outcome) in outcomes {
        match outcome {
            Outcome::Passed => passed += 1,
            Outcome::Failed(reason) => {
                failed += 1;
                text.push_str(&format!("FAILED {name}\n       {reason}\n"));
            }
            Outcome::Skipped(reason) => {
                skipped += 1;
                text.push_str(&format!("SKIPPED {name}\n       {reason}\n"));
            }
        }
    }
    format!("{text}{passed} passed, {failed} failed, {skipped} skipped")
}

#[cfg(test)]
mod tests;
