//! The machine lines on the serial line: `{"skerry":"<milestone>","t_ms":…}`. Pure: bytes in, milestones out.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a machine line begins with.
const MARK: &str = "{\"skerry\":";
/// Bytes of a line that is kept at most: init writes 2 KiB, the kernel 1 KiB. The rest of a longer one is dropped.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// The milestones on the way to a usable cluster, in order, and what each says to people.
pub const WAY: &[(&str, &str)] = &[
    ("init", "kernel"),
    ("network", "network"),
    ("disk", "state disk"),
    ("containerd", "container runtime"),
    ("api", "API"),
    ("node", "node"),
    ("ready", "node, DNS and default account"),
];

/// One milestone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Milestone {
    /// Its name.
    #[serde(rename = "skerry")]
    pub name: String,
    /// Time since the kernel started, by the guest's clock.
    pub t_ms: u64,
    /// Time since the emulator was started, by the host's clock; the guest's is not to be trusted under emulation.
    #[serde(default)]
    pub host_ms: u64,
    /// Whatever else the line says.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Milestone {
    /// A field's text; empty when it has none.
    pub fn text(&self, field: &str) -> &str {
        self.more.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Cuts the serial line into lines of text.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes the next bytes and returns the lines that they complete, without what steers a terminal.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES_MAX.saturating_sub(self.partial.len());
            self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                lines.push(plain(&std::mem::take(&mut self.partial)));
            }
        }
        lines
    }
}

/// Text without control characters: a console must not steer the terminal of whoever reads it later.
fn plain(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut out = String::with_capacity(text.len());
    let mut letters = text.trim_end().chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            // A control sequence: `ESC [`, parameters, and one letter.
            if letters.next_if_eq(&'[').is_some() {
                while letters.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
        } else if !letter.is_control() || letter == '\t' {
            out.push(letter);
        }
    }
    out
}

/// The milestone of a line, if it is one. The kernel may have put its own words before it on the same line.
pub fn read(line: &str, host_ms: u64) -> Option<Milestone> {
    let at = line.find(MARK)?;
    let milestone: Milestone = serde_json::from_str(&line[at..]).ok()?;
    Some(Milestone { host_ms, ..milestone })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milestones_are_found_among_other_words_however_the_bytes_arrive() {
        let text = "SeaBIOS\r\n[    0.1] Linux\r\n{\"skerry\":\"init\",\"t_ms\":900}\r\n\
            {\"skerry\":\"failed\",\"t_ms\":1200,\"phase\":\"disk\",\"reason\":\"no disk\"}\r\n{\"skerry\":\"in";
        for size in 1..20 {
            let mut lines = Lines::default();
            let found: Vec<Milestone> = text
                .as_bytes()
                .chunks(size)
                .flat_map(|bytes| lines.push(bytes))
                .filter_map(|line| read(&line, 7))
                .collect();
            let names: Vec<(&str, u64, u64)> = found.iter().map(|m| (m.name.as_str(), m.t_ms, m.host_ms)).collect();
            assert_eq!(names, [("init", 900, 7), ("failed", 1200, 7)]);
            assert_eq!(found[1].text("reason"), "no disk");
        }
    }

    #[test]
    fn what_only_looks_like_a_milestone_is_none() {
        for line in ["{\"skerry\":\"init\"", "{\"skerry\":1,\"t_ms\":1}", "skerry", "{\"other\":\"skerry\"}"] {
            assert_eq!(read(line, 0), None, "{line}");
        }
        assert_eq!(read("[ 1.0] x: {\"skerry\":\"api\",\"t_ms\":1}", 0).map(|m| m.name), Some("api".to_owned()));
    }

    #[test]
    fn a_console_cannot_steer_the_terminal_and_an_endless_line_is_cut() {
        assert_eq!(Lines::default().push(b"\x1b[2J\x1b[1;31mred\x07\x1b[0m \xff\r\n"), ["red \u{fffd}"]);
        let mut lines = Lines::default();
        assert!(lines.push(&vec![b'x'; 3 * LINE_BYTES_MAX]).is_empty());
        assert_eq!(lines.push(b"\n")[0].len(), LINE_BYTES_MAX);
    }
}
