//! Processes that run already: reaping, signalling, watching. Does not start any (see `launch`).

use crate::{checked, said};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

pub use nix::sys::signal::Signal as Kind;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

impl End {
    /// Whether it ended by itself and well.
    pub fn is_success(self) -> bool {
        self == End::Exited(0)
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Exited(code) => write!(out, "exit code {code}"),
            End::Killed(signal) => match Signal::try_from(*signal) {
                Ok(known) => write!(out, "signal {known}"),
                Err(_) => write!(out, "signal {signal}"),
            },
        }
    }
}

/// One child that has ended and is now reaped, whichever it was; `None` when no child has ended. Never waits.
///
/// Not by nix: its `waitpid` reaps a child that a real-time signal ended and then reports EINVAL, losing the pid.
pub fn reap_one() -> io::Result<Option<(u32, End)>> {
    let mut status: libc::c_int = 0;
    loop {
        // SAFETY: waitpid writes one int through a pointer to a live int.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if pid > 0 {
            let end = if libc::WIFSIGNALED(status) {
                End::Killed(libc::WTERMSIG(status))
            } else {
                End::Exited(libc::WEXITSTATUS(status))
            };
            return Ok(Some((pid.unsigned_abs(), end)));
        }
        if pid == 0 {
            return Ok(None);
        }
        let cause = io::Error::last_os_error();
        match cause.raw_os_error() {
            Some(libc::ECHILD) => return Ok(None),
            Some(libc::EINTR) => {}
            _ => return Err(said("wait for a child", cause)),
        }
    }
}

/// Whether this process has children, ended ones that are not reaped yet among them.
pub fn has_children() -> io::Result<bool> {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: an all-zero siginfo_t is valid, and waitid writes at most one through the pointer, which lives through
    // the call. With WNOWAIT nothing is reaped.
    let result = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_ALL, 0, &raw mut info, flags)
    };
    match checked(result, "look for children") {
        Ok(_) => Ok(true),
        Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Sends `signal` to the process `pid`. A process that is gone already is no error: `Ok(false)`.
pub fn signal(pid: u32, signal: Signal) -> io::Result<bool> {
    sent(kill(raw(pid)?, signal), format_args!("send {signal} to process {pid}"))
}

/// Sends `signal` to every process but the caller and PID 1. `Ok(false)` when there is none.
pub fn signal_all(signal: Signal) -> io::Result<bool> {
    sent(kill(Pid::from_raw(-1), signal), format_args!("send {signal} to every process"))
}

fn sent(result: nix::Result<()>, attempt: impl std::fmt::Display) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(nix::errno::Errno::ESRCH) => Ok(false),
        Err(e) => Err(said(attempt, e)),
    }
}

fn raw(pid: u32) -> io::Result<Pid> {
    match i32::try_from(pid) {
        Ok(pid) if pid > 0 => Ok(Pid::from_raw(pid)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{pid} is no process id"))),
    }
}

/// A descriptor of the process `pid` that becomes readable when it ends.
pub fn open_pidfd(pid: u32) -> io::Result<OwnedFd> {
    let pid = raw(pid)?.as_raw();
    // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = checked(fd as libc::c_int, format_args!("open a descriptor of process {pid}"))?;
    // SAFETY: the kernel has just made this descriptor for us and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The name that `ps` shows for this thread.
pub fn set_name(name: &std::ffi::CStr) -> io::Result<()> {
    nix::sys::prctl::set_name(name).map_err(|e| said("set the process name", e))
}

/// Whether memory of this process and its later children may be backed by large pages. By default it may, where they ask.
pub fn allow_large_pages(allowed: bool) -> io::Result<()> {
    nix::sys::prctl::set_thp_disable(!allowed).map_err(|e| said("choose the size of pages", e))
}

/// Sets how many files this process and its later children may open: at first, and after raising it themselves.
pub fn raise_file_limit(soft: u64, hard: u64) -> io::Result<()> {
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, soft, hard)
        .map_err(|e| said("raise the limit of open files", e))
}
