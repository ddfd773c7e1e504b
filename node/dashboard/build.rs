//! Builds the page with npm into OUT_DIR and writes the table of its files. The checkout stays as it is: sources are
//! copied first, and the packages that the page is built with lie beside the copy. Runs again when `web/` changes.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What is left behind when the sources are copied: a developer's own builds.
const NOT_COPIED: [&str; 2] = ["node_modules", "dist"];
/// Says which lock file the packages beside the copy were installed by.
const INSTALLED: &str = "installed.lock";

fn main() {
    if let Err(why) = build() {
        println!("cargo::error={why}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let source = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(|e| e.to_string())?).join("web");
    let out = PathBuf::from(env::var("OUT_DIR").map_err(|e| e.to_string())?);
    let copy = out.join("web");
    // The folder without a developer's own packages, which change by themselves.
    for entry in entries(&source)?.iter().filter(|path| !is_left(path)) {
        println!("cargo::rerun-if-changed={}", entry.display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    for part in ["src", "dist"] {
        remove(&copy.join(part))?;
    }
    copy_folder(&source, &copy)?;
    let lock = read(&copy.join("package-lock.json"))?;
    if fs::read(copy.join(INSTALLED)).ok().as_ref() != Some(&lock) {
        npm(&copy, &["ci", "--omit=dev", "--prefer-offline", "--no-audit", "--no-fund"])?;
        fs::write(copy.join(INSTALLED), &lock).map_err(|e| format!("noting what was installed: {e}"))?;
    }
    npm(&copy, &["run", "build"])?;
    let mut table = String::from("&[\n");
    list(&copy.join("dist"), "", &mut table)?;
    table.push(']');
    fs::write(out.join("assets.rs"), table).map_err(|e| format!("writing the table of files: {e}"))
}

fn npm(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let ran = Command::new("npm").args(arguments).current_dir(folder).output();
    let ran = ran.map_err(|error| {
        format!("the dashboard is built with npm, which cannot be run ({error}): apt-get install nodejs npm")
    })?;
    if ran.status.success() {
        return Ok(());
    }
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(12)..].join(" | ");
    Err(format!("npm {} in {} ended with {}: {last}", arguments.join(" "), folder.display(), ran.status))
}

/// One line a file: its path below the page's root, its type, its tag and its compressed bytes.
fn list(folder: &Path, below: &str, table: &mut String) -> Result<(), String> {
    for path in entries(folder)? {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a file without a name")?.to_owned();
        if path.is_dir() {
            list(&path, &format!("{below}{name}/"), table)?;
        } else if let Some(plain) = name.strip_suffix(".gz") {
            let tag = fnv(&read(&path)?);
            writeln!(
                table,
                "    Asset {{ path: {:?}, tag: \"\\\"{tag:016x}\\\"\", gzip: include_bytes!({:?}) }},",
                format!("{below}{plain}"),
                path.display().to_string()
            )
            .map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// FNV-1a, 64 bits: tells versions of a file apart, and defends against nobody.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let read = fs::read_dir(folder).map_err(|error| format!("reading {}: {error}", folder.display()))?;
    let mut found = read.map(|e| e.map(|e| e.path()).map_err(|e| e.to_string())).collect::<Result<Vec<_>, _>>()?;
    found.sort();
    Ok(found)
}

fn is_left(path: &Path) -> bool {
    path.file_name().is_some_and(|name| NOT_COPIED.iter().any(|left| name == *left))
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|error| format!("making {}: {error}", to.display()))?;
    for path in entries(from)?.into_iter().filter(|path| !is_left(path)) {
        let target = to.join(path.file_name().ok_or("a file without a name")?);
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(|error| format!("copying {}: {error}", path.display()))?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("reading {}: {error}", path.display()))
}

fn remove(folder: &Path) -> Result<(), String> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("removing {}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}
