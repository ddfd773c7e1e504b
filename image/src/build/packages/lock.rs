//! The lock file: which version of every package goes into the image, and the hash it must have. Pure.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What opens the file; the resolver writes it, people read it.
const HEADING: &str = "\
# Every package that is built into the image or used to build it: written by `skerry build --update-lock`.
# suite package version sha256 size path-in-archive
";

/// A suite and a package in it.
pub type Key = (String, String);

/// One package at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The version.
    pub version: String,
    /// SHA-256 of the package file, in lower-case hexadecimal.
    pub sha256: String,
    /// Its length in bytes.
    pub size: u64,
    /// Where it lies below the archive's base address.
    pub path: String,
}

/// All pins, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// By suite and package.
    pub pins: BTreeMap<Key, Pin>,
}

impl Lock {
    /// Reads a lock file.
    ///
    /// # Errors
    /// Names the line that is malformed or says a package twice.
    pub fn parse(text: &str) -> Result<Lock> {
        let mut lock = Lock::default();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, pin) = parse_line(line).with_context(|| format!("line {} of the lock file", number + 1))?;
            ensure!(!lock.pins.contains_key(&key), "line {} of the lock file: {} comes twice", number + 1, key.1);
            lock.pins.insert(key, pin);
        }
        Ok(lock)
    }

    /// The text of the file.
    pub fn print(&self) -> String {
        let mut text = HEADING.to_owned();
        for ((suite, package), pin) in &self.pins {
            let Pin { version, sha256, size, path } = pin;
            writeln!(text, "{suite} {package} {version} {sha256} {size} {path}").expect("a String takes any text");
        }
        text
    }
}

fn parse_line(line: &str) -> Result<(Key, Pin)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [suite, package, version, sha256, size, path] = words[..] else {
        bail!("expected six words, found {}", words.len());
    };
    let hexadecimal = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    ensure!(hexadecimal, "{sha256:?} is no SHA-256");
    ensure!(!path.starts_with('/') && !path.split('/').any(|part| part == ".."), "{path:?} leaves the archive");
    let size = size.parse().with_context(|| format!("{size:?} is no size"))?;
    let pin = Pin { version: version.to_owned(), sha256: sha256.to_owned(), size, path: path.to_owned() };
    Ok(((suite.to_owned(), package.to_owned()), pin))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_printed_lock_reads_back_the_same() {
        let text = format!("forky runc 1.3.6+ds1-1 {HASH} 42 pool/r/runc.deb\nforky crun 1:2 {HASH} 7 pool/c.deb\n");
        let lock = Lock::parse(&text).unwrap();
        assert_eq!(lock.pins.len(), 2);
        assert_eq!(Lock::parse(&lock.print()).unwrap(), lock);
        assert!(lock.print().find("crun") < lock.print().find("runc 1.3"), "sorted");
    }

    #[test]
    fn a_bad_line_is_named() {
        for (line, says) in [
            ("forky runc 1", "six words"),
            ("forky runc 1 abc 3 pool/x", "no SHA-256"),
            (&format!("forky runc 1 {HASH} big pool/x"), "no size"),
            (&format!("forky runc 1 {HASH} 3 ../x"), "leaves the archive"),
        ] {
            let error = format!("{:#}", Lock::parse(&format!("# heading\n{line}\n")).unwrap_err());
            assert!(error.contains("line 2") && error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_package_pinned_twice_is_refused() {
        let line = format!("forky runc 1 {HASH} 3 pool/x\n");
        assert!(Lock::parse(&format!("{line}{line}")).is_err());
    }
}
