//! The archive's signed tables of contents: what a suite holds, at which version, with which hash.
//! The texts come in; only `verified` runs a program.

use super::lock::Pin;
use super::version;
use crate::exit::{Code, Failure};
use anyhow::{Context, Result, anyhow};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// Overrides the keyring that signatures are checked with.
pub const KEYRING_VARIABLE: &str = "SKERRY_KEYRING";
/// The archive's keys as the distribution installs them.
pub const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One file that a release vouches for.
#[derive(Debug, PartialEq, Eq)]
pub struct Listed {
    /// In lower-case hexadecimal.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
}

/// Checks the signature of an `InRelease` file and gives the text that it covers: nothing around it.
///
/// # Errors
/// `HostLacks` without the checker or the keys, `Refused` when no good signature by one of the keys covers it.
pub fn verified(release: &Path, keyring: &Path) -> Result<String> {
    if !keyring.exists() {
        let failure = Failure::new(Code::HostLacks, format!("the archive's keys are not at {}", keyring.display()));
        return Err(failure.advice("install the package debian-archive-keyring, or set SKERRY_KEYRING").into());
    }
    let mut command = Command::new("gpgv");
    command.arg("--keyring").arg(keyring).args(["--output", "-"]).arg(release).stdin(Stdio::null());
    let output = command.output().map_err(|error| {
        Failure::new(Code::HostLacks, format!("cannot run gpgv: {error}")).advice("install the package gpgv")
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let failure = Failure::new(Code::Refused, format!("the archive's signature does not hold:\n{}", said.trim()));
        let advice = "the mirror may be broken or forged; if keys are missing, update debian-archive-keyring";
        return Err(failure.advice(advice).into());
    }
    String::from_utf8(output.stdout).context("the signed release is no text")
}

/// What a release says of one of its files.
///
/// # Errors
/// When the file is not listed with a SHA-256.
pub fn listed(release: &str, path: &str) -> Result<Listed> {
    let section = release.split("\nSHA256:").nth(1).ok_or_else(|| anyhow!("the release lists no SHA-256"))?;
    let lines = section.lines().skip(1).take_while(|line| line.starts_with(' '));
    for line in lines {
        let mut words = line.split_whitespace();
        if let (Some(sha256), Some(size), Some(name)) = (words.next(), words.next(), words.next())
            && name == path
        {
            let size = size.parse().with_context(|| format!("size of {path} in the release"))?;
            return Ok(Listed { sha256: sha256.to_owned(), size });
        }
    }
    Err(anyhow!("the release does not list {path}"))
}

/// One field of the release's head, `Valid-Until` for example.
pub fn head<'a>(release: &'a str, name: &str) -> Option<&'a str> {
    release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// The newest version of each of `names` in a suite's `Packages`.
///
/// # Errors
/// When a stanza of a wanted package lacks a field, or a package is not there at all: all missing ones are named.
pub fn newest(packages: &str, names: &[&str]) -> Result<BTreeMap<String, Pin>> {
    let mut found: BTreeMap<String, Pin> = BTreeMap::new();
    for stanza in packages.split("\n\n") {
        let Some(name) = head(stanza, "Package").filter(|name| names.contains(name)) else { continue };
        let field = |field: &str| head(stanza, field).ok_or_else(|| anyhow!("{name} has no {field} in the index"));
        let pin = Pin {
            version: field("Version")?.to_owned(),
            sha256: field("SHA256")?.to_owned(),
            size: field("Size")?.parse().with_context(|| format!("size of {name} in the index"))?,
            path: field("Filename")?.to_owned(),
        };
        let newer = found.get(name).is_none_or(|had| version::compare(&pin.version, &had.version).is_gt());
        if newer {
            found.insert(name.to_owned(), pin);
        }
    }
    let missing: Vec<&str> = names.iter().copied().filter(|name| !found.contains_key(*name)).collect();
    if !missing.is_empty() {
        return Err(Failure::new(Code::Refused, format!("the suite has no package {}", missing.join(", "))).into());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASE: &str = "Suite: testing\nValid-Until: Fri, 06 Nov 2026 08:08:01 UTC\nMD5Sum:\n 00 9 main/x\nSHA256:\n \
                           aa 12 main/x\n bb   7 main/y\n";

    #[test]
    fn a_file_is_found_in_the_sha256_section_only() {
        assert_eq!(listed(RELEASE, "main/y").unwrap(), Listed { sha256: "bb".into(), size: 7 });
        assert_eq!(listed(RELEASE, "main/x").unwrap().sha256, "aa");
        assert!(listed(RELEASE, "main/z").unwrap_err().to_string().contains("main/z"));
        assert_eq!(head(RELEASE, "Valid-Until"), Some("Fri, 06 Nov 2026 08:08:01 UTC"));
    }

    #[test]
    fn of_several_versions_the_newest_is_taken() {
        let stanza = |version: &str| {
            format!("Package: linux\nVersion: {version}\nFilename: pool/{version}\nSize: 5\nSHA256: cc\n\n")
        };
        let text = format!("{}{}{}", stanza("6.12.107-1"), stanza("6.12.117-1"), stanza("6.12.9-1"));
        assert_eq!(newest(&text, &["linux"]).unwrap()["linux"].path, "pool/6.12.117-1");
    }

    #[test]
    fn every_missing_package_is_named() {
        let error = newest("Package: a\n", &["b", "c"]).unwrap_err().to_string();
        assert!(error.contains("b, c"), "{error}");
    }
}
