//! What every source file keeps: an opening that says what it is for, a size that can be read, `unsafe` in one place.

use super::root;
use std::path::{Path, PathBuf};

/// A file longer than this is split. The aim is 150.
const LINES_MAX: usize = 800;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("a folder entry").path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        if name.starts_with('.') || name == "target" || name == "node_modules" {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

fn each(check: impl Fn(&str, &str) -> Option<String>) {
    let mut found = Vec::new();
    sources(&root(), &mut found);
    assert!(found.len() > 10, "only {} source files found", found.len());
    let wrong: Vec<String> = found
        .iter()
        .filter_map(|path| {
            let text = std::fs::read_to_string(path).expect("a readable source file");
            let shown = path.strip_prefix(root()).unwrap_or(path).display().to_string();
            check(&shown, &text).map(|why| format!("{shown}: {why}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_file_opens_by_saying_what_it_is_for() {
    each(|_, text| (!text.starts_with("//!")).then(|| "does not open with //!".to_owned()));
}

#[test]
fn no_file_is_too_long_to_read() {
    each(|_, text| {
        let lines = text.lines().count();
        (lines > LINES_MAX).then(|| format!("{lines} lines, at most {LINES_MAX}; split it"))
    });
}

#[test]
fn unsafe_is_only_in_sys() {
    each(|path, text| {
        let allowed = path.starts_with("node/sys/") || path.starts_with("tests/style/");
        let used = text.lines().any(|l| {
            let code = l.split("//").next().unwrap_or_default();
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
        });
        (used && !allowed).then(|| "uses `unsafe`; wrap the call in node/sys".to_owned())
    });
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    each(|path, _| {
        let stem = Path::new(path).file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_owned();
        let vague = ["utils", "util", "helpers", "helper", "common", "misc", "manager"];
        vague.contains(&stem.as_str()).then(|| "name the thing it holds".to_owned())
    });
}
