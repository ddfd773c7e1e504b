//! What the machine says: a page and text for people on screens, text and one JSON object per milestone on serial lines.
//!
//! A terminal may be stuck (XOFF, a full pipe on the host): each has a thread of its own behind a bounded queue, so
//! that PID 1 never waits for one. It must not decide what is worth saying.

use crate::screen::Screen;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Lines that wait for one terminal. A boot says a few dozen; beyond this, lines for that terminal are dropped.
const QUEUE_LINES: usize = 256;
/// The longest line shown, in bytes: serial lines are slow, and whole texts are in the log files.
const LINE_BYTES_MAX: usize = 2048;
/// How long the end of the machine waits for terminals to take what was said.
const FLUSH_WAIT: Duration = Duration::from_millis(500);

enum Item {
    Line(String),
    Page(String),
    Flush(SyncSender<()>),
}

struct Output {
    queue: SyncSender<Item>,
    serial: bool,
}

/// All terminals that the kernel uses as consoles. Cheap to clone.
#[derive(Clone, Default)]
pub struct Console {
    outputs: Arc<Mutex<Vec<Output>>>,
    screen: Arc<Mutex<Screen>>,
}

impl Console {
    /// Connects this console and all its clones to the terminals that the kernel names in
    /// `/sys/class/tty/console/active`, or to `/dev/console` when it names none.
    pub fn connect(&self) {
        let active = std::fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
        for (path, serial) in terminals(&active) {
            match sys::terminal::open_for_writing(&path) {
                Ok(file) => self.add(file, serial),
                Err(e) => eprintln!("init: {e}"),
            }
        }
        if self.lock().is_empty() {
            // Nothing is left to report the failure to, should this fail too.
            if let Ok(file) = sys::terminal::open_for_writing(Path::new("/dev/console")) {
                self.add(file, true);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Output>> {
        self.outputs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Adds one terminal: `serial` ones get the lines as they come and milestones as JSON, others the page.
    pub fn add(&self, file: File, serial: bool) {
        let (queue, lines) = sync_channel(QUEUE_LINES);
        let started = std::thread::Builder::new().name("console".to_owned()).spawn(move || write_all(file, &lines));
        if started.is_ok() {
            self.lock().push(Output { queue, serial });
        }
    }

    /// Says one line of text everywhere.
    pub fn say(&self, text: &str) {
        let text = clean(text);
        self.draw(|screen| screen.line(&text));
        self.send_serial(&text);
    }

    /// Shows text on screens and on no serial line, which others keep and read. It replaces what was shown before.
    pub fn show(&self, text: &str) {
        let lines: Vec<String> = text.lines().map(clean).collect();
        self.draw(|screen| screen.secret(&lines.join("\n")));
    }

    /// Reports a milestone with the time since the kernel started.
    pub fn milestone(&self, name: &str, fields: Map<String, Value>) {
        self.milestone_at(name, sys::clock::since_start(), fields);
    }

    /// Reports a milestone that was reached `at` this time since the kernel started.
    pub fn milestone_at(&self, name: &str, at: Duration, fields: Map<String, Value>) {
        self.draw(|screen| {
            screen.milestone(name, at, &fields);
            screen.line(&plain_line(name, at, &fields));
        });
        self.send_serial(&machine_line(name, at, &fields));
    }

    /// Changes the page, and shows it where there is a screen.
    fn draw(&self, change: impl FnOnce(&mut Screen)) {
        let page = {
            let mut screen = self.screen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            change(&mut screen);
            screen.draw()
        };
        for output in self.lock().iter().filter(|output| !output.serial) {
            output.send(Item::Page(page.clone()));
        }
    }

    /// Before there are terminals, standard error is what the kernel gave us.
    fn send_serial(&self, line: &str) {
        let outputs = self.lock();
        if outputs.is_empty() {
            eprintln!("{line}");
        }
        for output in outputs.iter().filter(|output| output.serial) {
            output.send(Item::Line(line.to_owned()));
        }
    }

    /// Waits a short, limited time until the terminals have taken everything.
    pub fn flush(&self) {
        let (done, waits) = sync_channel(16);
        let outputs = self.lock();
        let asked = outputs.iter().filter(|o| o.queue.try_send(Item::Flush(done.clone())).is_ok()).count();
        drop(outputs);
        let until = Instant::now() + FLUSH_WAIT;
        for _ in 0..asked {
            if waits.recv_timeout(until.saturating_duration_since(Instant::now())).is_err() {
                return;
            }
        }
    }
}

impl Output {
    fn send(&self, item: Item) {
        match self.queue.try_send(item) {
            // A terminal that nobody reads loses lines; the log files keep what matters.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

fn write_all(mut file: File, items: &Receiver<Item>) {
    for item in items {
        match item {
            // A terminal that refuses (an unplugged line) has no other place to say so.
            Item::Line(line) => drop(file.write_all(format!("{line}\r\n").as_bytes())),
            Item::Page(page) => drop(file.write_all(page.as_bytes())),
            Item::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// The terminals in the kernel's list, and whether each is a serial line.
fn terminals(active: &str) -> Vec<(PathBuf, bool)> {
    let serial = |name: &str| !name.starts_with("tty") || name.starts_with("ttyS") || name.starts_with("ttyAMA");
    active.split_whitespace().map(|name| (Path::new("/dev").join(name), serial(name))).collect()
}

/// One line that hosts parse: it begins with `{"skerry":`, then the time, then the fields.
fn machine_line(name: &str, at: Duration, fields: &Map<String, Value>) -> String {
    let at_ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
    let mut line = format!("{{\"skerry\":{},\"t_ms\":{at_ms}", json!(name));
    for (key, value) in fields.iter().filter(|(key, _)| !matches!(key.as_str(), "skerry" | "t_ms")) {
        let field = format!(",{}:{value}", json!(key));
        // A line must stay valid JSON, so a field that is too long is left out as a whole.
        if line.len() + field.len() < LINE_BYTES_MAX {
            line.push_str(&field);
        }
    }
    line + "}"
}

/// One line for people.
fn plain_line(name: &str, at: Duration, fields: &Map<String, Value>) -> String {
    let mut line = format!("{name} after {:.1} s", at.as_secs_f64());
    for (key, value) in fields {
        match value {
            Value::String(text) => line.push_str(&format!(", {key} {}", clean(text))),
            other => line.push_str(&format!(", {key} {other}")),
        }
    }
    line
}

/// `text` as one line without control characters, which could steer a terminal or fake a milestone.
fn clean(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(LINE_BYTES_MAX));
    for c in text.chars() {
        if line.len() >= LINE_BYTES_MAX {
            break;
        }
        line.push(if c.is_control() { ' ' } else { c });
    }
    if line.starts_with("{\"skerry\"") { format!(" {line}") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_milestone_begins_as_hosts_expect_and_is_json() {
        let fields = json!({"reason": "a \"b\"\n", "t_ms": 7}).as_object().unwrap().clone();
        let line = machine_line("failed", Duration::from_millis(1234), &fields);
        assert_eq!(line, "{\"skerry\":\"failed\",\"t_ms\":1234,\"reason\":\"a \\\"b\\\"\\n\"}");
    }

    #[test]
    fn a_field_that_is_too_long_is_left_out_whole() {
        let fields = json!({"big": "x".repeat(LINE_BYTES_MAX), "small": 1}).as_object().unwrap().clone();
        let line = machine_line("job", Duration::ZERO, &fields);
        assert_eq!(line, "{\"skerry\":\"job\",\"t_ms\":0,\"small\":1}");
    }

    #[test]
    fn text_cannot_pass_for_a_milestone_or_steer_the_terminal() {
        assert_eq!(clean("{\"skerry\":\"ready\"}"), " {\"skerry\":\"ready\"}");
        assert_eq!(clean("a\n\x1b[2Jb"), "a  [2Jb");
    }

    #[test]
    fn serial_lines_are_told_from_screens() {
        let got: Vec<(String, bool)> =
            terminals("tty0 ttyS0 hvc0\n").into_iter().map(|(p, s)| (p.display().to_string(), s)).collect();
        let want = [("/dev/tty0", false), ("/dev/ttyS0", true), ("/dev/hvc0", true)];
        assert_eq!(got, want.map(|(p, s)| (p.to_owned(), s)));
    }

    #[test]
    fn what_is_only_shown_is_on_no_serial_line() {
        let (line, screen) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
        let console = Console::default();
        console.add(line.reopen().unwrap(), true);
        console.add(screen.reopen().unwrap(), false);
        console.show("code 1234");
        console.flush();
        assert_eq!(std::fs::read_to_string(line.path()).unwrap(), "");
        assert!(std::fs::read_to_string(screen.path()).unwrap().contains(" code 1234\r\n"));
    }

    #[test]
    fn everything_said_before_a_flush_is_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let console = Console::default();
        console.add(file.reopen().unwrap(), true);
        console.say("one");
        console.milestone_at("init", Duration::from_millis(5), Map::new());
        console.flush();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(text, "one\r\n{\"skerry\":\"init\",\"t_ms\":5}\r\n");
    }
}
