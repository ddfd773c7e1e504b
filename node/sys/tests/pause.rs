//! The process of a sandbox, with the usual beginning and without; the second is what the image has.

#![allow(clippy::unwrap_used, reason = "clippy spares test functions, but not what they call; here all is test")]

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The program as the image has it, compiled as `scripts/prepare` says.
fn bare(folder: &Path) -> PathBuf {
    let program = folder.join("pause");
    let options =
        "-Cpanic=abort -Ctarget-feature=+crt-static -Crelocation-model=static -Clink-arg=-nostartfiles -Copt-level=s";
    let built = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()))
        .args(["--edition=2024", "--crate-type=bin", "-o"])
        .arg(&program)
        .args(options.split(' '))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/pause.rs"))
        .status();
    assert!(built.unwrap().success());
    program
}

/// One that does not outlive its test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }
}

/// Whether it has ended within a time.
fn ends(Started(child): &mut Started, within: Duration) -> Option<i32> {
    let since = Instant::now();
    while since.elapsed() < within {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

/// Waits until the process waits for signals, which is call 128.
fn is_waiting(Started(child): &Started) {
    let since = Instant::now();
    while !std::fs::read_to_string(format!("/proc/{}/syscall", child.id())).unwrap().starts_with("128 ") {
        assert!(since.elapsed() < Duration::from_secs(20), "it does not wait for signals");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn lives_as_it_should(program: &Path) {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut child = Started(Command::new(program).stdout(Stdio::null()).spawn().unwrap());
        is_waiting(&child);
        let pid = Pid::from_raw(i32::try_from(child.0.id()).unwrap());
        kill(pid, Signal::SIGCHLD).unwrap();
        assert_eq!(ends(&mut child, Duration::from_millis(100)), None, "a child that ended is no reason to end");
        kill(pid, signal).unwrap();
        assert_eq!(ends(&mut child, Duration::from_secs(20)), Some(0), "{signal}");
    }
}

/// Becomes the program with a child that has ended, which only it can reap.
fn reaps(program: &Path) {
    let script = format!("sleep 0.2 & exec {}", program.display());
    let mut child = Started(Command::new("sh").args(["-c", &script]).stdout(Stdio::null()).spawn().unwrap());
    is_waiting(&child);
    let children = || std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.0.id())).unwrap();
    let since = Instant::now();
    while !children().is_empty() {
        assert!(since.elapsed() < Duration::from_secs(20), "it does not reap {}", children());
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = Pid::from_raw(i32::try_from(child.0.id()).unwrap());
    assert_eq!(waitpid(pid, Some(WaitPidFlag::WNOHANG)).unwrap(), WaitStatus::StillAlive);
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(ends(&mut child, Duration::from_secs(20)), Some(0));
}

#[test]
fn it_waits_reaps_and_ends_when_told() {
    let program = Path::new(env!("CARGO_BIN_EXE_pause"));
    lives_as_it_should(program);
    reaps(program);
}

#[test]
fn so_does_the_one_without_any_library_which_is_tiny() {
    let program = bare(Path::new(env!("CARGO_TARGET_TMPDIR")));
    lives_as_it_should(&program);
    reaps(&program);
    assert!(program.metadata().unwrap().len() < 16 << 10);
}
