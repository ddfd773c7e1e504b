//! Under the name of containerd's shim: answers what a runtime can do, and becomes the real shim for everything else.
//!
//! At every start containerd asks the shim for each runtime that it is told of, before its socket is opened: two large
//! programs a runtime, which was 1.5 s of a boot under emulation. The answers do not change while the image does not,
//! so they are in it; `image/src/build/features.rs` asked for them.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The name that asks for this.
pub const NAME: &str = "containerd-shim-runc-v2";
/// The folder that goes before all others on containerd's path: there this program has that name.
pub const FOLDER: &str = "/usr/lib/skerry/shim";
/// The real one.
const SHIM: &str = "/usr/bin/containerd-shim-runc-v2";
/// The runtime that a shim takes when it is told of none (containerd's `runc.DefaultCommand`).
const DEFAULT: &str = "runc";
/// Where programs without a folder are found.
const PROGRAMS: &str = "/usr/bin";
/// Options are a few hundred bytes.
const OPTIONS_BYTES_MAX: u64 = 64 << 10;
/// `google.protobuf.Any`: its value.
const ANY_VALUE: u64 = 2;
/// `containerd.runc.v1.Options`: the runtime's program.
const BINARY_NAME: u64 = 6;

/// Answers or becomes the shim; returns only when it has answered or that fails.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let mut options = Vec::new();
    if arguments == ["-info"] {
        let read = std::io::stdin().take(OPTIONS_BYTES_MAX).read_to_end(&mut options);
        if read.is_ok()
            && let Some(file) = answer(&options)
            && let Ok(text) = std::fs::read(file)
        {
            return match std::io::stdout().write_all(&text) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            };
        }
    }
    become_shim(arguments, options)
}

/// The file that answers for the runtime that these options name; none when it is a program of somebody else.
fn answer(options: &[u8]) -> Option<PathBuf> {
    let named = field(options, ANY_VALUE).and_then(|value| field(value, BINARY_NAME)).unwrap_or_default();
    let named = if named.is_empty() { DEFAULT } else { std::str::from_utf8(named).ok()? };
    let path = Path::new(named);
    let folder = path.parent()?.to_str()?;
    (folder.is_empty() || folder == PROGRAMS)
        .then(|| Path::new(FOLDER).join(path.file_name().unwrap_or_default()).with_extension("info"))
}

/// The last bytes of this field in a protobuf message; none when it is not there or the message is broken.
fn field(mut message: &[u8], wanted: u64) -> Option<&[u8]> {
    let mut found = None;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match key & 7 {
            0 => drop(varint(&mut message)?),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (value, rest) = message.split_at_checked(length)?;
                message = rest;
                if key >> 3 == wanted {
                    found = Some(value);
                }
            }
            _ => return None,
        }
    }
    found
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// What was read from standard input is given to the shim again.
fn become_shim(arguments: &[OsString], input: Vec<u8>) -> ExitCode {
    let mut command = Command::new(SHIM);
    command.args(arguments);
    if !input.is_empty() {
        match std::io::pipe() {
            Ok((reader, mut writer)) => {
                // It fits a pipe's 64 KiB, so nobody has to read meanwhile.
                if writer.write_all(&input).is_ok() {
                    command.stdin(reader);
                }
            }
            Err(error) => eprintln!("shim: pass on what was read: {error}"),
        }
    }
    let failure = command.exec();
    eprintln!("shim: start {SHIM}: {failure}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Any { type_url, value: Options { no_pivot_root, binary_name } }`.
    fn options(program: &str) -> Vec<u8> {
        let mut value = vec![8, 1, 50, u8::try_from(program.len()).unwrap()];
        value.extend(program.bytes());
        let mut any = vec![10, 3, b'u', b'r', b'l', 18, u8::try_from(value.len()).unwrap()];
        any.extend(value);
        any
    }

    #[test]
    fn the_runtime_that_the_options_name_is_answered_for() {
        let file = |name: &str| Some(PathBuf::from(format!("/usr/lib/skerry/shim/{name}.info")));
        assert_eq!(answer(&options("/usr/bin/crun")), file("crun"));
        assert_eq!(answer(&options("crun")), file("crun"));
        assert_eq!(answer(&[]), file("runc"));
        assert_eq!(answer(&options("")), file("runc"));
    }

    #[test]
    fn a_runtime_of_somebody_else_is_left_to_the_shim() {
        assert_eq!(answer(&options("/opt/bin/crun")), None);
        assert_eq!(answer(&options("../runc")), None);
    }

    #[test]
    fn a_broken_message_has_no_fields() {
        assert_eq!(field(&[50, 200, 1], BINARY_NAME), None);
        assert_eq!(field(&[0xff; 12], BINARY_NAME), None);
    }
}
