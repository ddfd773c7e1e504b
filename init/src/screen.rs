//! What the machine's screen shows: one page that says how it is, where it is reached and what to do, with the last
//! lines below. Pure: events in, text for a terminal out; it is drawn anew when something has changed.
//!
//! It must not know where it is shown.

use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::time::Duration;

/// Columns of the smallest screen there is.
const COLUMNS: usize = 80;
/// Lines of text that are kept below the page; with it they fill 25 rows, those of the smallest screen.
const LINES: usize = 9;
/// Home, clear, no cursor (a blinking one wakes the processor).
const CLEAR: &str = "\x1b[?25l\x1b[H\x1b[2J";
const LABEL_COLUMNS: usize = 11;
/// Milestones in the order in which a boot reaches them, and what is done until the next.
const STAGES: &[(&str, &str)] = &[
    ("init", "starting"),
    ("network", "preparing the disk"),
    ("disk", "starting the container engine"),
    ("containerd", "starting Kubernetes"),
    ("api", "waiting for the node"),
    ("node", "waiting for DNS and the default account"),
];

/// How the machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// On its way: the place in the stages.
    Booting(usize),
    Ready(Duration),
    Failed {
        phase: String,
        reason: String,
        advice: String,
    },
    Ending,
}

/// The page.
#[derive(Debug)]
pub struct Screen {
    state: State,
    /// On the network outside: where others reach the machine.
    address: Option<String>,
    /// Where state is kept, when that is nowhere.
    is_forgetful: bool,
    /// Shown here and nowhere else.
    secret: Vec<String>,
    lines: VecDeque<String>,
}

impl Default for Screen {
    fn default() -> Screen {
        Screen {
            state: State::Booting(0),
            address: None,
            is_forgetful: false,
            secret: Vec::new(),
            lines: VecDeque::new(),
        }
    }
}

impl Screen {
    /// Takes notice of a milestone.
    pub fn milestone(&mut self, name: &str, at: Duration, fields: &Map<String, Value>) {
        let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match name {
            "ready" => self.state = State::Ready(at),
            "failed" => {
                self.state = State::Failed { phase: text("phase"), reason: text("reason"), advice: text("advice") };
            }
            "shutdown" => self.state = State::Ending,
            _ => {}
        }
        if name == "network" {
            self.address = Some(text("outer")).filter(|address| !address.is_empty());
        }
        if name == "disk" {
            self.is_forgetful = text("kind") == "memory";
        }
        let stage = STAGES.iter().position(|(stage, _)| *stage == name);
        if let (State::Booting(reached), Some(stage)) = (&mut self.state, stage) {
            *reached = stage.max(*reached);
        }
    }

    /// Adds a line below the page.
    pub fn line(&mut self, text: &str) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(text.to_owned());
    }

    /// What only somebody before the machine may read; it replaces what was there.
    pub fn secret(&mut self, text: &str) {
        self.secret = text.lines().map(str::to_owned).collect();
    }

    /// The whole page as a terminal takes it.
    pub fn draw(&self) -> String {
        let mut page = vec![String::new(), format!(" Skerry {}: Kubernetes on one rock", env!("CARGO_PKG_VERSION"))];
        page.push(String::new());
        match &self.state {
            State::Booting(stage) => page.extend(row("State", &format!("booting: {}", STAGES[*stage].1))),
            State::Ready(at) => page.extend(row("State", &format!("ready, after {:.1} s", at.as_secs_f64()))),
            State::Failed { phase, reason, advice } => {
                page.extend(row("State", &format!("FAILED: {phase}: {reason}")));
                page.extend(row("What to do", advice));
            }
            State::Ending => page.extend(row("State", "shutting down")),
        }
        page.extend(row("Address", self.address.as_deref().unwrap_or("none yet")));
        page.extend(row("Ports", "6443 Kubernetes API, 30000 to 32767 Services"));
        if self.is_forgetful {
            page.extend(row("Kept", "NOTHING: there is no disk for it. Attach a blank one to keep the cluster."));
        }
        if !self.secret.is_empty() {
            page.push(String::new());
            page.extend(self.secret.iter().flat_map(|line| wrapped(line, COLUMNS - 2)).map(|line| format!(" {line}")));
        }
        page.push(String::new());
        page.push(format!(" {}", "-".repeat(COLUMNS - 3)));
        page.extend(self.lines.iter().map(|line| format!(" {}", cut(line, COLUMNS - 2))));
        format!("{CLEAR}{}", page.join("\r\n"))
    }
}

/// A labelled text over as many rows as it takes.
fn row(label: &str, text: &str) -> Vec<String> {
    let lines = wrapped(text, COLUMNS - LABEL_COLUMNS - 3);
    lines
        .iter()
        .enumerate()
        .map(|(index, line)| format!(" {:LABEL_COLUMNS$} {line}", if index == 0 { label } else { "" }))
        .collect()
}

/// Words over as many lines as they take; the first keeps what it is indented by.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let words = text.trim_start();
    let mut lines = vec![" ".repeat(text.len() - words.len())];
    for word in words.split(' ') {
        let line = lines.last_mut().expect("starts with one");
        let is_empty = line.trim_start().is_empty();
        if !is_empty && line.chars().count() + 1 + word.chars().count() > columns {
            lines.push(cut(word, columns).to_owned());
        } else {
            let space = if is_empty { "" } else { " " };
            *line = cut(&format!("{line}{space}{word}"), columns).to_owned();
        }
    }
    lines
}

fn cut(text: &str, columns: usize) -> &str {
    text.char_indices().nth(columns).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn shown(screen: &Screen) -> Vec<String> {
        screen.draw().strip_prefix(CLEAR).unwrap().split("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn the_page_says_how_far_the_boot_is_and_then_how_to_get_in() {
        let mut screen = Screen::default();
        screen.milestone("init", Duration::from_secs(1), &Map::new());
        screen.milestone("disk", Duration::from_secs(2), &fields(json!({"device": "/dev/sda4"})));
        screen.milestone(
            "network",
            Duration::from_secs(2),
            &fields(json!({"address": "10.250.0.1", "outer": "10.0.2.15/24"})),
        );
        assert!(screen.draw().contains("booting: starting the container engine"), "{}", screen.draw());
        screen.milestone("ready", Duration::from_millis(12_340), &Map::new());
        screen.secret("To get a kubeconfig:\n  skerry login HOST:6443 --code AB-CD");
        let page = shown(&screen);
        assert_eq!(
            page[3..6],
            [
                " State       ready, after 12.3 s",
                " Address     10.0.2.15/24",
                " Ports       6443 Kubernetes API, 30000 to 32767 Services"
            ]
        );
        assert_eq!(page[7..9], [" To get a kubeconfig:", "   skerry login HOST:6443 --code AB-CD"]);
        screen.secret("The code was used.");
        assert!(!screen.draw().contains("AB-CD"));
    }

    #[test]
    fn a_failure_says_why_and_what_to_do_and_all_fits_the_smallest_screen() {
        let mut screen = Screen::default();
        for number in 0..100 {
            screen.line(&format!("line {number} {}", "x".repeat(200)));
        }
        let why = "word ".repeat(60);
        screen.milestone("disk", Duration::ZERO, &fields(json!({"kind": "memory"})));
        screen.milestone("failed", Duration::ZERO, &fields(json!({"phase": "disk", "reason": why, "advice": "do"})));
        screen.milestone("node", Duration::ZERO, &Map::new());
        let page = shown(&screen);
        assert!(page[3].starts_with(" State       FAILED: disk: word word"), "{page:?}");
        assert!(page.iter().any(|line| line == " What to do  do") && page.iter().any(|line| line.contains("NOTHING")));
        assert!(page.len() <= 25 && page.iter().all(|line| line.chars().count() < COLUMNS), "{page:#?}");
        assert!(page.last().unwrap().starts_with(" line 99 xxx"));
    }
}
