//! A program that goes on while the test does: its lines as they come, each waited for with a limit.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A running program; it ends with this value.
pub struct Stream {
    child: Child,
    lines: Receiver<String>,
    shown: String,
}

impl Stream {
    /// Starts it. Standard error comes among the lines.
    pub fn start(command: &mut Command) -> Stream {
        let shown = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("starting {shown}: {error}"));
        let (tell, lines) = channel();
        let tell_other = tell.clone();
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        // A line that nobody waits for any more is lost, which is all right.
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        std::thread::spawn(move || {
            BufReader::new(err).lines().map_while(Result::ok).try_for_each(|line| tell_other.send(line))
        });
        Stream { child, lines, shown }
    }

    /// The next line, in the moment that it comes; none when there is none in time, or the program has ended.
    pub fn line(&self, limit: Duration) -> Option<String> {
        self.lines.recv_timeout(limit).ok()
    }

    /// The first line from now on that contains `part`.
    pub fn line_with(&self, part: &str, limit: Duration) -> String {
        let end = Instant::now() + limit;
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => seen.push(line),
                Err(why) => panic!("{}: no line with {part:?} ({why}); there were {seen:#?}", self.shown),
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
