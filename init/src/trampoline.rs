//! `init pass-socket PROGRAM ARGUMENTS…`: says that descriptor 3 is for this very process, then becomes PROGRAM.
//! By the protocol of `sd_listen_fds`, as Docker's `fd://` expects it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// The first argument that asks for this.
pub const WORD: &str = "pass-socket";

/// Becomes the program; returns only when that fails.
pub fn become_program(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(program) = arguments.next() else {
        eprintln!("init: {WORD} needs a program");
        return ExitCode::from(2);
    };
    let mut command = Command::new(&program);
    command.args(arguments).env("LISTEN_FDS", "1").env("LISTEN_PID", std::process::id().to_string());
    let failure = command.exec();
    eprintln!("init: start {}: {failure}", program.display());
    ExitCode::from(127)
}
