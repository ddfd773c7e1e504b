//! What a kernel build needs of the host, as a table of programs and the packages that bring them.

use crate::exit::{Code, Failure};
use anyhow::{Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};

/// Programs and their packages.
const PROGRAMS: &[(&str, &str)] = &[
    ("gcc", "gcc"),
    ("ld", "binutils"),
    ("make", "make"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("lz4", "lz4"),
];

/// Headers that the kernel's own tools are compiled with, and their packages.
const HEADERS: &[(&str, &str)] = &[("stdlib.h", "libc6-dev"), ("gelf.h", "libelf-dev")];

/// Checks all of the table at once, so that one installation mends everything.
///
/// # Errors
/// `HostLacks` with every missing package.
pub fn check() -> Result<()> {
    let path = std::env::var("PATH").unwrap_or_default();
    let has = |program: &str| path.split(':').any(|folder| Path::new(folder).join(program).exists());
    let mut missing: Vec<&str> = PROGRAMS.iter().filter(|(program, _)| !has(program)).map(|(_, name)| *name).collect();
    if has("gcc") {
        for (header, package) in HEADERS {
            if !compiles_with(header)? {
                missing.push(package);
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(" ");
    let failure = Failure::new(Code::HostLacks, format!("building the kernel needs these packages: {missing}"));
    bail!(failure.advice(format!("apt-get install {missing}")))
}

fn compiles_with(header: &str) -> Result<bool> {
    let mut gcc = Command::new("gcc");
    gcc.args(["-fsyntax-only", "-x", "c", "-include", header, "/dev/null"]).stdin(Stdio::null());
    Ok(gcc.stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
}

/// The compiler's and the linker's versions: part of what a kernel is made of.
///
/// # Errors
/// `HostLacks` when there is none.
pub fn compiler() -> Result<String> {
    Ok(format!("{}\n{}", first_line("gcc")?, first_line("ld")?))
}

fn first_line(program: &str) -> Result<String> {
    let Ok(output) = Command::new(program).arg("--version").stdin(Stdio::null()).output() else {
        check()?;
        bail!("{program} does not say its version");
    };
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}
