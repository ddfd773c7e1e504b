//! Turns the facts files into Rust statics, so that the tables cost no time when the program starts.

#[path = "facts/emit.rs"]
mod emit;
#[path = "facts/parse.rs"]
mod parse;

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=facts");
    println!("cargo::rerun-if-changed=build.rs");
    let folder = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("facts");
    let mut facts = parse::Facts::default();
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        files.push(entry?.path());
    }
    files.retain(|path| path.extension().is_some_and(|e| e == "facts"));
    files.sort();
    for path in files {
        parse::parse(&std::fs::read_to_string(&path)?, &mut facts).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("facts.rs");
    std::fs::write(out, emit::source(&mut facts)?)?;
    Ok(())
}
