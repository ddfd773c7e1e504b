//! The programs of this workspace that go into the image, as a table. It builds none of them: it says how.

use super::elf;
use super::tree::Tree;
use crate::exit::{Code, Failure};
use crate::output::Output;
use anyhow::{Context, Result, bail};
use std::path::Path;

/// One program.
struct Program {
    /// The file in the build folder.
    file: &'static str,
    /// Where it goes.
    to: &'static str,
    /// Whether it must run without any library.
    is_static: bool,
    /// The command that builds it.
    command: &'static str,
}

/// Makes the last crate of the command a program without libraries.
macro_rules! static_program {
    ($package:literal, $file:literal) => {
        concat!("cargo rustc --release -p ", $package, " --bin ", $file, " -- -C target-feature=+crt-static")
    };
}

/// Makes the sandbox's program without any library at all: it is read and kept once for each pod.
const BARE: &str = "cargo rustc --release -p sys --bin pause -- -C panic=abort -C target-feature=+crt-static \
                    -C relocation-model=static -C link-arg=-nostartfiles";

/// Where our own parts of the image lie.
pub const FOLDER: &str = "usr/lib/skerry";
/// The program of the sandbox image; packed by itself.
pub const PAUSE: &str = "pause";

const TABLE: &[Program] = &[
    Program { file: "init", to: "usr/bin/init", is_static: false, command: "cargo build --release -p init" },
    Program { file: "node", to: "usr/bin/node", is_static: false, command: "cargo build --release -p node" },
    Program {
        file: "skerry-cni",
        to: "usr/lib/cni/skerry-cni",
        is_static: true,
        command: static_program!("network", "skerry-cni"),
    },
    Program { file: PAUSE, to: "", is_static: true, command: BARE },
];

/// The first program of the ISO: not in the root file system.
const LIVE: Program = Program { file: "live", to: "", is_static: true, command: static_program!("sys", "live") };

/// The content of the first program of the ISO.
///
/// # Errors
/// Names the command that makes it when it is missing or not static.
pub fn live(built: &Path) -> Result<Vec<u8>> {
    read(&LIVE, built)?.ok_or_else(|| {
        let failure = Failure::new(Code::Refused, format!("not built yet: {}", LIVE.file));
        failure.advice(format!("build with: {}", LIVE.command)).into()
    })
}

/// A program's content, none when it has not been built.
fn read(program: &Program, built: &Path) -> Result<Option<Vec<u8>>> {
    let path = built.join(program.file);
    let content = match std::fs::read(&path) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let needs = elf::needs(&content).with_context(|| path.display().to_string())?;
    if program.is_static && (needs.interpreter.is_some() || !needs.libraries.is_empty()) {
        let failure = Failure::new(Code::Refused, format!("{} is not a static program", path.display()));
        bail!(failure.advice(format!("build it with: {}", program.command)));
    }
    Ok(Some(content))
}

/// Puts the programs into the tree and gives the content of the sandbox's program, if it has been built.
///
/// # Errors
/// Names every program that is missing or not static where it must be, with the command that makes it; `lenient`
/// turns what is missing into warnings.
pub fn add(tree: &mut Tree, built: &Path, lenient: bool, output: &Output) -> Result<Option<Vec<u8>>> {
    let mut commands = Vec::new();
    let mut missing = Vec::new();
    let mut pause = None;
    for program in TABLE {
        let Some(content) = read(program, built)? else {
            missing.push(program.file);
            commands.push(program.command);
            continue;
        };
        match program.file {
            PAUSE => pause = Some(content),
            _ => tree.file(program.to, 0o755, content)?,
        }
    }
    if missing.is_empty() {
        return Ok(pause);
    }
    let message = format!("not built yet: {}", missing.join(", "));
    if lenient {
        output.warn(&format!("{message}; the image goes without"));
        return Ok(pause);
    }
    bail!(Failure::new(Code::Refused, message).advice(format!("build with: {}", commands.join(" && "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    fn quiet() -> Output {
        Output { format: Format::Text, terminal: false, colour: false }
    }

    #[test]
    fn a_missing_program_is_an_error_that_names_the_command() {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = Tree::merged().unwrap();
        let failure = Failure::of(add(&mut tree, folder.path(), false, &quiet()).unwrap_err());
        assert_eq!(failure.code, Code::Refused);
        assert!(failure.message.contains("init, node, skerry-cni, pause"), "{failure}");
        assert!(failure.advice.unwrap().contains("cargo build --release -p node"));
        assert!(add(&mut tree, folder.path(), true, &quiet()).unwrap().is_none());
    }

    #[test]
    fn a_sandbox_program_with_libraries_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(std::env::current_exe().unwrap(), folder.path().join("pause")).unwrap();
        let error = add(&mut Tree::merged().unwrap(), folder.path(), true, &quiet()).unwrap_err();
        assert!(error.to_string().contains("not a static program"), "{error}");
    }
}
