//! Why something does not run: a chain of findings, from what one sees to what is behind it, with what to do. Pure: it
//! judges objects that `gather` has read.
//!
//! The states and reasons are those that kubelet, scheduler and controllers write (`k8s.io/kubernetes/pkg/kubelet`,
//! `…/pkg/scheduler`, `…/pkg/controller`).

mod containers;
mod place;
mod pod;
mod references;
mod workload;

use api::{Tree, meta, tree};

pub use pod::{PodFacts, of_pod};
pub use references::{Reference, references};
pub use workload::{of_claim, of_namespace, of_workload};

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Nothing to do.
    Good,
    /// Belongs to the story.
    Info,
    /// It may pass by itself.
    Warn,
    /// Somebody must do something.
    Bad,
}

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How grave it is.
    pub level: Level,
    /// The object that it is about, `Pod default/web`.
    pub about: String,
    /// One sentence.
    pub text: String,
    /// Words of others: messages, the last lines of a log. May be empty.
    pub detail: String,
    /// What can be done. May be empty.
    pub advice: String,
}

/// The whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// From what one sees to what is behind it; empty when all is well.
    pub findings: Vec<Finding>,
}

/// `Kind namespace/name` of an object whose kind is known.
#[must_use]
pub fn name_of(kind: &str, object: &Tree) -> String {
    match (meta::namespace(object), meta::name(object)) {
        ("", name) => format!("{kind} {name}"),
        (namespace, name) => format!("{kind} {namespace}/{name}"),
    }
}

impl Finding {
    fn new(level: Level, about: impl Into<String>, text: impl Into<String>) -> Finding {
        Finding { level, about: about.into(), text: text.into(), detail: String::new(), advice: String::new() }
    }

    fn detail(mut self, detail: impl Into<String>) -> Finding {
        self.detail = detail.into();
        self
    }

    fn advice(mut self, advice: impl Into<String>) -> Finding {
        self.advice = advice.into();
        self
    }
}

impl Chain {
    fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Whether nothing keeps it from running.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.findings.iter().all(|finding| finding.level == Level::Good)
    }

    /// As the page and the command get it.
    #[must_use]
    pub fn to_tree(&self) -> Tree {
        let level = |level| match level {
            Level::Good => "good",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Bad => "bad",
        };
        let one = |finding: &Finding| {
            tree!({
                "level": (level(finding.level)),
                "about": (finding.about.as_str()),
                "text": (finding.text.as_str()),
                "detail": (finding.detail.as_str()),
                "advice": (finding.advice.as_str())
            })
        };
        tree!({"well": (self.is_well()), "chain": (Tree::List(self.findings.iter().map(one).collect()))})
    }
}

/// What an event says, newest first: of core events and of those in the new form.
fn newest_first(events: &[Tree]) -> Vec<&Tree> {
    // Times in UTC, whose text sorts as they do.
    let when = |event: &Tree| -> String {
        let stamps = [
            &["lastTimestamp"][..],
            &["series", "lastObservedTime"],
            &["eventTime"],
            &["metadata", "creationTimestamp"],
        ];
        stamps.iter().filter_map(|path| event.str_at(path)).max().unwrap_or_default().to_owned()
    };
    let mut sorted: Vec<&Tree> = events.iter().collect();
    sorted.sort_by_key(|event| std::cmp::Reverse(when(event)));
    sorted
}

/// The newest warning with one of these reasons.
fn warning<'a>(events: &'a [Tree], reasons: &[&str]) -> Option<&'a str> {
    let fits = |event: &&Tree| event.str_at(&["reason"]).is_some_and(|reason| reasons.contains(&reason));
    newest_first(events).into_iter().find(fits).and_then(|event| event.str_at(&["message"]))
}

/// A condition by its type.
fn condition<'a>(object: &'a Tree, kind: &str) -> Option<&'a Tree> {
    object.list_at(&["status", "conditions"]).iter().find(|condition| condition.str_at(&["type"]) == Some(kind))
}

/// A list as people say it: `a, b and c`.
fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests;
