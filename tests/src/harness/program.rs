//! Programs with a time limit, and looking again until something is as wished.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Between two looks. Each costs a process, and the machine under test shares the processors.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How a program ended.
#[derive(Debug)]
pub struct Outcome {
    /// None when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Outcome {
    /// Whether it ended with 0.
    pub fn is_good(&self) -> bool {
        self.code == Some(0)
    }
}

/// Runs a program to its end; one that takes longer than `limit` is killed, and the test fails.
pub fn run(command: &mut Command, input: &[u8], limit: Duration) -> Outcome {
    let shown = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("starting {shown}: {error}"));
    let (mut out, mut err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let mut stdin = child.stdin.take().expect("piped");
    // A program that does not read its input is free to close it.
    let _ = stdin.write_all(input);
    drop(stdin);
    let (tell, told) = channel();
    let tell_other = tell.clone();
    std::thread::spawn(move || tell.send((true, read(&mut out))));
    std::thread::spawn(move || tell_other.send((false, read(&mut err))));
    let end = Instant::now() + limit;
    let (mut out, mut err) = (String::new(), String::new());
    for _ in 0..2 {
        match told.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok((true, text)) => out = text,
            Ok((false, text)) => err = text,
            Err(_) => {
                // It may have ended in this very moment, which changes nothing.
                let _ = child.kill();
                let _ = child.wait();
                panic!("{shown} took longer than {} s; it said: {out}{err}", limit.as_secs());
            }
        }
    }
    let status = child.wait().expect("a program that was started can be waited for");
    Outcome { code: status.code(), out, err }
}

fn read(from: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    // What came before a broken pipe is what there is.
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Between two looks at something that is timed.
const LOOK_CLOSELY: Duration = Duration::from_millis(10);

/// Looks closely until something holds; how long it took.
pub fn promptly(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < limit, "{what}: not within {} s", limit.as_secs());
        std::thread::sleep(LOOK_CLOSELY);
    }
    began.elapsed()
}

/// Looks again and again until `look` finds what it wants; what it missed the last time is in the failure.
pub fn eventually<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + limit;
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => assert!(Instant::now() < end, "{what}: not within {} s: {why}", limit.as_secs()),
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
