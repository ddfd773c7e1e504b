//! The list of tests that were green once and must stay green: one name a line, sorted, only ever growing.

use super::verdict::Outcome;
use anyhow::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Reads a list of names: one a line; empty lines and lines that begin with `#` do not count.
///
/// # Errors
/// When the file cannot be read.
pub fn read(path: &Path) -> anyhow::Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(names(&text))
}

fn names(text: &str) -> BTreeSet<String> {
    text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::to_owned).collect()
}

/// Adds the passed tests to the list and returns how many were new. A name is never removed.
///
/// # Errors
/// When the list cannot be read or written; an absent list counts as empty.
pub fn add(path: &Path, outcomes: &BTreeMap<String, Outcome>) -> anyhow::Result<usize> {
    let mut list = if path.exists() { read(path)? } else { BTreeSet::new() };
    let before = list.len();
    list.extend(outcomes.iter().filter(|(_, o)| **o == Outcome::Passed).map(|(name, _)| name.clone()));
    let text: String = list.iter().map(|name| format!("{name}\n")).collect();
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(list.len() - before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_grows_sorted_and_forgets_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("green.txt");
        std::fs::write(&path, "b\n").unwrap();
        let outcomes = BTreeMap::from([
            ("a".to_owned(), Outcome::Passed),
            ("b".to_owned(), Outcome::failed("red now")),
            ("c".to_owned(), Outcome::Skipped("n/a".into())),
        ]);
        assert_eq!(add(&path, &outcomes).unwrap(), 1);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\nb\n");
    }
}
