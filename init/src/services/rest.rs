//! When a service that a connection woke goes back to sleep: nobody is connected, nothing runs for it, for long enough.
//!
//! That a caller has gone, or that a container has ended, nobody tells. So there is a look every half of the time, only
//! while the service is awake.

use super::Rest;
use super::demand::Door;
use std::io;
use std::path::Path;
use tokio::time::{Duration, Instant, sleep_until};

/// How long it has been unused. Pure.
struct Unused {
    after: Duration,
    /// Since when, at the latest.
    since: Instant,
}

impl Unused {
    fn new(after: Duration, now: Instant) -> Unused {
        Unused { after, since: now }
    }

    fn next_look(&self, now: Instant) -> Instant {
        now + self.after / 2
    }

    /// Whether it is time to sleep. What is seen in use may be so until the next look.
    fn look(&mut self, in_use: bool, now: Instant) -> bool {
        if in_use {
            self.since = self.next_look(now);
        }
        now.saturating_duration_since(self.since) >= self.after
    }
}

/// Returns once the service may sleep; never, when it is not to.
pub async fn unused(rest: &Rest, after: Option<Duration>, door: &Door) -> io::Result<()> {
    let Some(after) = after else { return std::future::pending().await };
    let mut unused = Unused::new(after, Instant::now());
    loop {
        sleep_until(unused.next_look(Instant::now())).await;
        // Asked in any case, since it forgets.
        let called = door.was_called()?;
        let in_use = called || has_processes(Path::new(rest.works_in))? || has_callers(door.path())?;
        if unused.look(in_use, Instant::now()) {
            return Ok(());
        }
    }
}

/// Whether a process is in a cgroup or below it (the kernel's cgroup-v2.rst, `cgroup.events`).
fn has_processes(cgroup: &Path) -> io::Result<bool> {
    match std::fs::read_to_string(cgroup.join("cgroup.events")) {
        Ok(text) => Ok(text.lines().any(|line| line == "populated 1")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(io::Error::new(e.kind(), format!("read the events of {}: {e}", cgroup.display()))),
    }
}

/// Whether somebody is connected to the socket. One who calls from a network of its own, a pod with the socket mounted,
/// is heard when it calls and not seen here.
fn has_callers(door: &Path) -> io::Result<bool> {
    let table = std::fs::read_to_string("/proc/net/unix");
    Ok(connected(&table.map_err(|e| io::Error::new(e.kind(), format!("read /proc/net/unix: {e}")))?, door))
}

/// Lines are `Num: RefCount Protocol Flags Type St Inode Path`; flag 00010000 is the listening one.
fn connected(table: &str, door: &Path) -> bool {
    table.lines().skip(1).any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(7).is_some_and(|path| Path::new(path) == door) && words.get(3) != Some(&"00010000")
    })
}

/// Has the kernel let go of the files that an ended service had in memory, which count as its cgroup's until somebody
/// else wants the room (cgroup-v2.rst, `memory.reclaim`). On a thread of its own, for the write returns when it is done.
pub async fn give_back(cgroup: std::path::PathBuf) -> io::Result<()> {
    let reclaim = move || {
        let held = std::fs::read_to_string(cgroup.join("memory.current"))?;
        match std::fs::write(cgroup.join("memory.reclaim"), held.trim()) {
            // Not all of it: some is being written to disk, some in use by others.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            done => done,
        }
    };
    tokio::task::spawn_blocking(reclaim).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sleeps_when_it_was_unused_for_the_whole_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut unused = Unused::new(Duration::from_secs(60), start);
        assert!(!unused.look(false, at(30)));
        assert!(!unused.look(true, at(60)), "somebody is there, perhaps until 90");
        assert!(!unused.look(false, at(90)));
        assert!(!unused.look(false, at(120)));
        assert!(unused.look(false, at(150)));
    }

    #[test]
    fn a_listening_socket_is_no_caller() {
        let head = "Num       RefCount Protocol Flags    Type St Inode Path\n";
        let listens = "0000: 00000002 00000000 00010000 0001 01 1234 /run/docker.sock\n";
        let caller = "0000: 00000003 00000000 00000000 0001 03 1235 /run/docker.sock\n";
        let other = "0000: 00000003 00000000 00000000 0001 03 1236 /run/other.sock\n0000: 3 0 0 1 03 1\n";
        let door = Path::new("/run/docker.sock");
        assert!(!connected(&format!("{head}{listens}{other}"), door));
        assert!(connected(&format!("{head}{listens}{other}{caller}"), door));
    }
}
