//! Starting a process as a service: own session, own cgroup, default signals, chosen descriptors; and detaching
//! from the caller for good. Does not decide what to start or when.

use crate::{checked, said};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The first descriptor that a process gets passed on, as systemd's `sd_listen_fds` protocol has it.
pub const LISTEN_FD_FIRST: RawFd = 3;

/// What becomes of the standard streams.
pub enum Streams {
    /// Output and errors into this descriptor.
    Captured(OwnedFd),
    /// All three on this terminal, which becomes the controlling one.
    Terminal(PathBuf),
}

/// One process to be started.
pub struct Launch {
    /// The program, its arguments, environment and working directory.
    pub command: Command,
    /// The folder of the cgroup that the process is in before its first instruction.
    pub cgroup: Option<PathBuf>,
    /// Its standard streams.
    pub streams: Streams,
    /// What it reads, unless it has a terminal; none is /dev/null.
    pub input: Option<OwnedFd>,
    /// A listening socket that becomes descriptor 3.
    pub listen: Option<OwnedFd>,
}

impl Launch {
    /// Starts the process in a session of its own with all signals at their defaults and returns its pid. The caller
    /// reaps it.
    pub fn start(self) -> io::Result<u32> {
        let Launch { mut command, cgroup, streams, input, listen } = self;
        let program = command.get_program().to_string_lossy().into_owned();
        let procs = match &cgroup {
            None => None,
            Some(folder) => {
                let path = folder.join("cgroup.procs");
                let opened = OpenOptions::new().write(true).open(&path);
                Some(opened.map_err(|e| said(format_args!("open {}", path.display()), e))?)
            }
        };
        let owns_terminal = matches!(streams, Streams::Terminal(_));
        command.stdin(input.map_or_else(Stdio::null, Stdio::from));
        connect(&mut command, streams)?;
        // SAFETY: the closure runs in the child between fork and exec and makes only system calls that are
        // async-signal-safe (write, setsid, signal, sigprocmask, ioctl, dup2, fcntl); it allocates nothing and
        // takes no lock, and the descriptors it names are kept open by the captured owners.
        unsafe {
            command.pre_exec(move || prepare(procs.as_ref(), owns_terminal, listen.as_ref().map(AsRawFd::as_raw_fd)));
        }
        let child = command.spawn().map_err(|e| said(format_args!("start {program}"), e))?;
        Ok(child.id())
    }
}

fn connect(command: &mut Command, streams: Streams) -> io::Result<()> {
    match streams {
        Streams::Captured(output) => {
            let errors = output.try_clone()?;
            command.stdout(output).stderr(errors);
        }
        Streams::Terminal(path) => {
            let open = || OpenOptions::new().read(true).write(true).open(&path);
            let terminal = open().map_err(|e| said(format_args!("open {}", path.display()), e))?;
            command.stdin(terminal.try_clone()?).stdout(terminal.try_clone()?).stderr(terminal);
        }
    }
    Ok(())
}

/// What the child does before exec. Only async-signal-safe calls, no allocation.
fn prepare(procs: Option<&File>, owns_terminal: bool, listen: Option<RawFd>) -> io::Result<()> {
    if let Some(procs) = procs {
        // SAFETY: writes one byte from a static string to a descriptor that the closure keeps open.
        errno(unsafe { libc::write(procs.as_raw_fd(), c"0".as_ptr().cast(), 1) } as libc::c_int)?;
    }
    // SAFETY: setsid takes nothing; right after fork the child is never a group leader.
    errno(unsafe { libc::setsid() })?;
    for signal in 1..=libc::SIGSYS {
        // SAFETY: sets a default disposition; KILL and STOP refuse with EINVAL, which is harmless here.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero sigset_t is the empty set on Linux, and the pointer lives through the call.
    errno(unsafe {
        let empty: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut())
    })?;
    if owns_terminal {
        // SAFETY: TIOCSCTTY takes an int by value; descriptor 0 is the terminal that std has put there.
        errno(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) })?;
    }
    match listen {
        Some(LISTEN_FD_FIRST) => {
            // SAFETY: F_SETFD on an open descriptor with a plain flag word.
            errno(unsafe { libc::fcntl(LISTEN_FD_FIRST, libc::F_SETFD, 0) })?;
        }
        Some(from) => {
            // SAFETY: dup2 onto 3: everything of ours on 3 is close-on-exec and unused by the child from here on.
            errno(unsafe { libc::dup2(from, LISTEN_FD_FIRST) })?;
        }
        None => {}
    }
    Ok(())
}

/// `errno` without allocating, for use between fork and exec.
fn errno(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes `command` leave its parent's session and ignore its hang-up, so that it outlives the terminal it was started
/// from, and starts it. The pid is returned; nobody needs to reap it but the parent while it lives.
pub fn start_detached(command: &mut Command) -> io::Result<u32> {
    let program = command.get_program().to_string_lossy().into_owned();
    // SAFETY: between fork and exec only setsid and signal are called; both are async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            errno(libc::setsid())?;
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            Ok(())
        });
    }
    Ok(command.spawn().map_err(|e| said(format_args!("start {program}"), e))?.id())
}

/// Marks every descriptor from `first` on close-on-exec, so that no child of this process inherits one by accident.
pub fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    let first = libc::c_uint::try_from(first).expect("descriptors are not negative");
    // SAFETY: close_range with CLOEXEC closes nothing now and touches no memory.
    let result = unsafe { libc::close_range(first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) };
    checked(result, "mark descriptors close-on-exec").map(drop)
}
