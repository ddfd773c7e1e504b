//! The links in /dev that programs expect and the kernel does not make.

use crate::boot::{BROKEN_IMAGE, Boot, Failure, Phase};
use std::io::ErrorKind;

/// The phase.
pub const PHASE: Phase = Phase { name: "devices", run: |boot| Box::pin(async { run(boot) }) };

const LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
];

fn run(_: &mut Boot) -> Result<(), Failure> {
    for (link, target) in LINKS {
        match std::os::unix::fs::symlink(target, link) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Failure::new(format!("link {link} to {target}: {e}"), BROKEN_IMAGE)),
        }
    }
    Ok(())
}
