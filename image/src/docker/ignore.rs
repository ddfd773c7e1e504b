//! `.dockerignore`: which files of a folder are left out. Pure. The rules are those of Docker's documentation ("Build
//! context", `.dockerignore files`): patterns are below the root, the last one that fits decides, `!` takes back in.

use crate::exit::{Code, Failure};
use globset::{GlobBuilder, GlobMatcher};

/// Patterns of one file at most: people write a few dozen.
const PATTERNS_MAX: usize = 10_000;

/// The patterns of one file.
#[derive(Debug, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    pattern: GlobMatcher,
    /// Whether what fits is taken in again.
    takes_in: bool,
}

impl Ignore {
    /// Reads the text of such a file.
    ///
    /// # Errors
    /// `Refused` for a pattern that is none; names its line.
    pub fn parse(text: &str) -> Result<Ignore, Failure> {
        let mut rules = Vec::new();
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (takes_in, pattern) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let pattern = clean(pattern);
            // The root itself is never left out.
            if pattern.is_empty() {
                continue;
            }
            let wrong = |why: String| {
                let failure = Failure::new(Code::Refused, format!(".dockerignore line {}: {why}", number + 1));
                failure.advice("patterns are names with *, ?, [a-z] and **")
            };
            if rules.len() == PATTERNS_MAX {
                return Err(wrong(format!("more than {PATTERNS_MAX} patterns")));
            }
            let glob = GlobBuilder::new(&pattern).literal_separator(true).backslash_escape(true).build();
            let pattern = glob.map_err(|error| wrong(error.to_string()))?.compile_matcher();
            rules.push(Rule { pattern, takes_in });
        }
        Ok(Ignore { rules })
    }

    /// Whether a path, written with slashes and relative to the root, is left out: it or a folder above it fits.
    pub fn leaves_out(&self, path: &str) -> bool {
        let fits = |rule: &Rule| {
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            ends.into_iter().any(|end| rule.pattern.is_match(&path[..end]))
        };
        self.rules.iter().rev().find(|rule| fits(rule)).is_some_and(|rule| !rule.takes_in)
    }

    /// Whether something below a folder that is left out may be taken in again.
    pub fn takes_in_again(&self) -> bool {
        self.rules.iter().any(|rule| rule.takes_in)
    }
}

/// A pattern without what does not count: slashes at both ends, `.` and `..`, as Go's `filepath.Clean` does.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, out: &[&str], stay: &[&str]) {
        let ignore = Ignore::parse(text).unwrap();
        out.iter().for_each(|path| assert!(ignore.leaves_out(path), "{path} is left out by {text:?}"));
        stay.iter().for_each(|path| assert!(!ignore.leaves_out(path), "{path} stays with {text:?}"));
    }

    #[test]
    fn patterns_are_below_the_root_and_take_folders_whole() {
        check("# a comment\n\n*.log\n/target/\n", &["a.log", "target", "target/x/y"], &["b/a.log", "b/target"]);
        check("*/temp*\n", &["a/temporary", "a/temp/x"], &["temp", "a/b/temp"]);
        check("**/*.log\n", &["a.log", "b/c/a.log"], &["a.logs"]);
        check("temp?\n", &["tempa"], &["temp", "tempab"]);
        check("./a/../b\n", &["b/x"], &["a"]);
    }

    #[test]
    fn the_last_pattern_that_fits_decides() {
        check("*.md\n!README*.md\nREADME-secret.md\n", &["x.md", "README-secret.md"], &["README.md", "README-x.md"]);
        check("**\n!src\n", &["a", "b/c"], &["src", "src/main.rs"]);
    }

    #[test]
    fn nothing_is_left_out_without_patterns_and_a_broken_one_is_named() {
        check("", &[], &["a", "a/b"]);
        check(".\n/\n", &[], &["a"]);
        let failure = Ignore::parse("ok\n[a-\n").unwrap_err();
        assert!(failure.message.contains("line 2"), "{}", failure.message);
    }
}
