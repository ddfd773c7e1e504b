//! The differential test: the same requests to upstream's API server and to ours, the answers compared. Stories are
//! data (`tests/differential/cases`); what may differ between two correct servers is decided in `normal`.

pub mod case;
pub mod compare;
pub mod normal;

use super::https::{Answer, Client, Request};
use case::{Step, Story, Variables};
use std::fmt::Write;

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

/// Runs every story on both sides, step by step.
///
/// # Errors
/// When the namespace of a story cannot be made on either side; a failed step is part of the report instead.
pub async fn run(stories: &[Story], theirs: &Client, ours: &Client) -> anyhow::Result<Report> {
    let mut report = Report { text: String::new(), failed: 0 };
    let mut passed = 0;
    for story in stories {
        let mut variables = (Variables::for_story(&story.name), Variables::for_story(&story.name));
        let namespace = case::namespace_request(&story.name);
        theirs.send(&namespace).await?;
        ours.send(&namespace).await?;
        for step in &story.steps {
            let differences = one(step, (theirs, &mut variables.0), (ours, &mut variables.1)).await;
            if differences.is_empty() {
                passed += 1;
                continue;
            }
            report.failed += 1;
            describe(&mut report.text, story, step, &differences);
        }
    }
    report.text.push_str(&format!("{passed} passed, {} failed, 0 skipped", report.failed));
    Ok(report)
}

/// The differences of one step; a request without an answer is one too.
async fn one(step: &Step, theirs: (&Client, &mut Variables), ours: (&Client, &mut Variables)) -> Vec<String> {
    let left = ask(step, theirs.0, theirs.1).await;
    let right = ask(step, ours.0, ours.1).await;
    match (left, right) {
        (Err(left), Err(right)) => vec![format!("upstream: {left:#}"), format!("ours: {right:#}")],
        (Err(left), _) => vec![format!("upstream: {left:#}")],
        (_, Err(right)) => vec![format!("ours: {right:#}")],
        (Ok(left), Ok(right)) => differences(step, &left, &right),
    }
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

fn describe(text: &mut String, story: &Story, step: &Step, differences: &[String]) {
    writeln!(text, "FAILED {}: {}\n       {}", story.name, step.name, step.request).expect("a String takes all");
    for difference in differences.iter().take(SHOWN_MAX) {
        writeln!(text, "       {difference}").expect("a String takes all");
    }
    if differences.len() > SHOWN_MAX {
        writeln!(text, "       and {} more", differences.len() - SHOWN_MAX).expect("a String takes all");
    }
}
