//! The differential test: the same requests to upstream's API server and to ours, the answers compared. Stories are
//! data (`tests/differential/cases`); what may differ between two correct servers is decided in `normal`.

pub mod case;
pub mod compare;
pub mod normal;

use super::https::{Answer, Client, Request};
use anyhow::Context;
use case::{Step, Story, Variables};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

pub use case::read;

/// The most differences shown for one step; the rest is counted.
const SHOWN_MAX: usize = 12;

/// What came of all stories.
pub struct Report {
    /// Every difference, then the line that counts.
    pub text: String,
    /// Steps whose answers differ or are absent.
    pub failed: usize,
}

/// How the steps went.
#[derive(Default)]
struct Count {
    passed: usize,
    failed: usize,
    /// Steps that differ for want of something that is to come, by that reason.
    later: BTreeMap<String, usize>,
}

impl Count {
    /// The last line: `3 passed, 1 failed, 2 skipped (apply 2)`.
    fn line(&self) -> String {
        let skipped: usize = self.later.values().sum();
        let reasons: Vec<String> = self.later.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
        format!("{} passed, {} failed, {skipped} skipped{reasons}", self.passed, self.failed)
    }
}

/// Runs every story on both sides, step by step, and keeps the whole answers below `folder`, a file for each step.
///
/// # Errors
/// When the namespace of a story gets no answer on either side, or an answer cannot be kept; a failed step is part of
/// the report instead.
pub async fn run(stories: &[Story], theirs: &Client, ours: &Client, folder: &Path) -> anyhow::Result<Report> {
    let mut text = String::new();
    let mut count = Count::default();
    for story in stories {
        let mut variables = (Variables::for_story(&story.name), Variables::for_story(&story.name));
        let namespace = case::namespace_request(&story.name);
        theirs.send(&namespace).await?;
        ours.send(&namespace).await?;
        let folder = folder.join(&story.name);
        std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        for (at, step) in story.steps.iter().enumerate() {
            let answers = (ask(step, theirs, &mut variables.0).await, ask(step, ours, &mut variables.1).await);
            let kept = folder.join(format!("{:02}.txt", at + 1));
            std::fs::write(&kept, kept_text(step, &answers)).with_context(|| format!("write {}", kept.display()))?;
            let differences = compared(step, answers);
            match (&step.later, differences.is_empty()) {
                (None, true) => count.passed += 1,
                (None, false) => {
                    count.failed += 1;
                    describe(&mut text, "FAILED", story, step, &differences);
                }
                (Some(reason), false) => {
                    *count.later.entry(reason.clone()).or_default() += 1;
                    describe(&mut text, "SKIPPED", story, step, std::slice::from_ref(reason));
                }
                // The mark has become a lie.
                (Some(reason), true) => {
                    count.failed += 1;
                    describe(&mut text, "FAILED", story, step, &[format!("equal: take `later: {reason}` away")]);
                }
            }
        }
    }
    text.push_str(&count.line());
    Ok(Report { text, failed: count.failed })
}

/// What both sides answered, or why there is no answer.
type Answers = (anyhow::Result<Answer>, anyhow::Result<Answer>);

/// The differences of one step; a request without an answer is one too.
fn compared(step: &Step, answers: Answers) -> Vec<String> {
    match answers {
        (Err(left), Err(right)) => vec![format!("upstream: {left:#}"), format!("ours: {right:#}")],
        (Err(left), _) => vec![format!("upstream: {left:#}")],
        (_, Err(right)) => vec![format!("ours: {right:#}")],
        (Ok(left), Ok(right)) => differences(step, &left, &right),
    }
}

/// One step with both answers as they came, to be read by a person.
fn kept_text(step: &Step, answers: &Answers) -> String {
    let shown = |answer: &anyhow::Result<Answer>| match answer {
        Ok(answer) => format!("{} {}\n{}", answer.status, answer.content_type, answer.text().trim_end()),
        Err(error) => format!("no answer: {error:#}"),
    };
    format!("{}\n{}\n\nupstream: {}\n\nours: {}\n", step.name, step.request, shown(&answers.0), shown(&answers.1))
}

async fn ask(step: &Step, client: &Client, variables: &mut Variables) -> anyhow::Result<Answer> {
    let request: Request = step.request(variables)?;
    let answer = client.send(&request).await?;
    variables.save(step, &answer);
    Ok(answer)
}

fn differences(step: &Step, theirs: &Answer, ours: &Answer) -> Vec<String> {
    let mut found = Vec::new();
    if theirs.status != ours.status {
        found.push(format!("status: upstream {}, ours {} {}", theirs.status, ours.status, excerpt(ours)));
    }
    let (left, right) = (normal::media_type(&theirs.content_type), normal::media_type(&ours.content_type));
    if left != right {
        found.push(format!("content type: upstream {left:?}, ours {right:?}"));
    }
    if !step.status_only {
        found.extend(compare::values(&normal::body(theirs, step), &normal::body(ours, step)));
    }
    found
}

/// The start of an unexpected answer's body.
fn excerpt(answer: &Answer) -> String {
    const CHARACTERS: usize = 160;
    answer.text().chars().take(CHARACTERS).collect::<String>().replace('\n', " ")
}

fn describe(text: &mut String, outcome: &str, story: &Story, step: &Step, differences: &[String]) {
    writeln!(text, "{outcome} {}: {}\n       {}", story.name, step.name, step.request).expect("a String takes all");
    for difference in differences.iter().take(SHOWN_MAX) {
        writeln!(text, "       {difference}").expect("a String takes all");
    }
    if differences.len() > SHOWN_MAX {
        writeln!(text, "       and {} more", differences.len() - SHOWN_MAX).expect("a String takes all");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_come_is_counted_apart_and_by_its_reason() {
        let mut count = Count { passed: 3, failed: 1, later: BTreeMap::new() };
        assert_eq!(count.line(), "3 passed, 1 failed, 0 skipped");
        count.later.insert("apply".to_owned(), 2);
        assert_eq!(count.line(), "3 passed, 1 failed, 2 skipped (apply 2)");
    }
}
