//! Every process below PID 1: starting, and reaping whatever ends. Services learn of their own process's end;
//! orphans are reaped and forgotten.
//!
//! All of it happens on one thread, so a process cannot end unseen between its start and its registration.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::process::Command;
use std::rc::Rc;
use sys::launch::{Launch, Streams};
use sys::process::End;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, oneshot};

/// How much of a tool's output is kept, in bytes: its last words are what explains a failure.
const TOOL_OUTPUT_BYTES_MAX: usize = 16 * 1024;

/// The processes that somebody waits for. Cheap to clone.
#[derive(Clone, Default)]
pub struct Children {
    waiting: Rc<RefCell<HashMap<u32, oneshot::Sender<End>>>>,
    reaped: Rc<Notify>,
}

/// A process that runs or has just ended.
pub struct Running {
    /// Its process id.
    pub pid: u32,
    /// How it ended, once it has.
    pub end: oneshot::Receiver<End>,
}

impl Children {
    /// Starts a process and remembers who waits for it.
    pub fn start(&self, launch: Launch) -> io::Result<Running> {
        let pid = launch.start()?;
        let (tell, end) = oneshot::channel();
        self.waiting.borrow_mut().insert(pid, tell);
        Ok(Running { pid, end })
    }

    /// Runs a tool to its end and returns how it ended and the end of what it wrote.
    pub async fn run(&self, command: Command) -> io::Result<(End, String)> {
        let (mut output, writer) = output_pipe()?;
        let launch = Launch { command, cgroup: None, streams: Streams::Captured(writer), input: None, listen: None };
        let running = self.start(launch)?;
        let mut kept = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let length = output.read(&mut piece).await?;
            if length == 0 {
                break;
            }
            kept.extend_from_slice(&piece[..length]);
            let beyond = kept.len().saturating_sub(TOOL_OUTPUT_BYTES_MAX);
            kept.drain(..beyond);
        }
        let end = running.end.await.map_err(|_| io::Error::other("the reaper has gone"))?;
        Ok((end, String::from_utf8_lossy(&kept).trim().to_owned()))
    }

    /// Returns when no process below this one is left.
    pub async fn all_gone(&self) -> io::Result<()> {
        loop {
            let reaped = self.reaped.notified();
            if !sys::process::has_children()? {
                return Ok(());
            }
            reaped.await;
        }
    }

    /// Reaps for ever. Must run before anything is waited for.
    pub async fn reap(self) -> io::Result<()> {
        let mut ended = signal(SignalKind::child())?;
        loop {
            self.reap_ended()?;
            if ended.recv().await.is_none() {
                return Err(io::Error::other("SIGCHLD is no longer delivered"));
            }
        }
    }

    fn reap_ended(&self) -> io::Result<()> {
        while let Some((pid, end)) = sys::process::reap_one()? {
            if let Some(tell) = self.waiting.borrow_mut().remove(&pid) {
                // The waiter may have given up; the process is reaped either way.
                let _ = tell.send(end);
            }
        }
        self.reaped.notify_waiters();
        Ok(())
    }
}

/// A pipe for a process's output: our end, and the end it writes to.
pub fn output_pipe() -> io::Result<(pipe::Receiver, std::os::fd::OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((pipe::Receiver::from_owned_fd(reader.into())?, writer.into()))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A reaper takes every child of the process, so tests that have children hold this.
    pub static HAS_CHILDREN: std::sync::Mutex<()> = std::sync::Mutex::new(());

    #[test]
    fn tools_report_their_end_and_orphans_are_reaped_too() {
        let _alone = HAS_CHILDREN.lock().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let children = Children::default();
            tokio::task::spawn_local(children.clone().reap());
            let shell = |script: &str| {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", script]);
                command
            };
            let (end, text) = children.run(shell("echo out; echo err >&2; exit 3")).await.unwrap();
            assert_eq!((end, text.as_str()), (End::Exited(3), "out\nerr"));
            let (end, _) = children.run(shell("kill -KILL $$")).await.unwrap();
            assert_eq!(end, End::Killed(9));
            // SIGRTMIN+1: nix's wait loses such a child.
            let (end, _) = children.run(shell("kill -35 $$")).await.unwrap();
            assert_eq!(end, End::Killed(35));
            let (_, session) = children.run(shell("cut -d' ' -f6 /proc/$$/stat; echo $$")).await.unwrap();
            let mut lines = session.lines();
            assert_eq!(lines.next(), lines.next(), "a process leads its own session");
            assert!(children.run(Command::new("/nonexistent")).await.unwrap_err().to_string().contains("/nonexistent"));
            assert!(children.waiting.borrow().is_empty());
            children.all_gone().await.unwrap();
        });
    }
}
