//! The certificate authorities that the host has and the image lacks. Those that the image trusts anyway stay behind:
//! the machine reads what it is handed by fw_cfg a page at a time and from the start each time, so that a whole
//! distribution's bundle would cost half a second of an emulated boot.

use crate::build::sha256;
use crate::cluster::{Cluster, place};
use crate::exit::{Code, Failure};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The authorities that `--ca` gave; they stay until others are given.
const GIVEN: &str = "ca.given.pem";
/// The word by which `--ca` takes them back.
pub const NO_AUTHORITIES: &str = "none";
/// Bytes of a file, and of all authorities that are handed over, at most, as init takes them.
const BYTES_MAX: u64 = 2 << 20;
/// What the user's folder of authorities may hold; other files are none.
const ENDINGS: [&str; 2] = ["pem", "crt"];

/// The authorities that `--ca` has given, then those of the file that `SSL_CERT_FILE` names, then those of the user's
/// folder, as one text in PEM, each once and without those that are `known`. Second come warnings: what cannot be used.
///
/// # Errors
/// `Refused` when they are too many, and when the folder cannot be read.
pub fn of_host(cluster: &Cluster, variable: Option<&str>, known: &BTreeSet<String>) -> Result<(String, Vec<String>)> {
    let mut places = Vec::new();
    if cluster.path(GIVEN).exists() {
        places.push((cluster.path(GIVEN), ""));
    }
    places.extend(variable.map(|path| (PathBuf::from(path), "SSL_CERT_FILE=")));
    places.extend(in_folder(&place::config()?.join("ca"))?.into_iter().map(|path| (path, "")));
    let (mut text, mut had, mut warnings) = (String::new(), known.clone(), Vec::new());
    for (path, why) in places {
        match certificates(&path) {
            Ok(found) => {
                let new = found.iter().filter(|certificate| had.insert(sha256(certificate)));
                text.extend(new.map(|certificate| pki::pem::certificate(certificate)));
            }
            Err(error) => {
                warnings.push(format!("{why}{}: {error:#}; the machine does not trust it", path.display()));
            }
        }
    }
    if text.len() as u64 > BYTES_MAX {
        let mb = BYTES_MAX >> 20;
        let failure = Failure::new(Code::Refused, format!("the certificate authorities are more than {mb} MiB"));
        bail!(failure.advice("give only those that the machine lacks, by --ca, and unset SSL_CERT_FILE"));
    }
    Ok((text, warnings))
}

/// Keeps the authorities that a command line names.
///
/// # Errors
/// `Refused` for a file without certificates.
pub fn keep_given(cluster: &Cluster, files: &[PathBuf]) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let mut text = String::new();
    for file in files.iter().filter(|file| file.as_os_str() != NO_AUTHORITIES) {
        let found = certificates(file).map_err(|error| {
            Failure::new(Code::Refused, format!("--ca {}: {error:#}", file.display()))
                .advice("give a file with certificates in PEM, as browsers export them")
        })?;
        text.extend(found.iter().map(|certificate| pki::pem::certificate(certificate)));
    }
    let path = cluster.path(GIVEN);
    if text.is_empty() {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("removing authorities"),
            _ => Ok(()),
        }
    } else {
        pki::folder::replace(&path, text.as_bytes(), 0o600)
    }
}

/// The certificates of a file in DER, and nothing else of it.
fn certificates(path: &Path) -> Result<Vec<impl AsRef<[u8]> + std::ops::Deref<Target = [u8]>>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(BYTES_MAX).read_to_end(&mut bytes)?;
    pki::pem::certificates(&bytes)
}

/// Files with certificates in a folder that need not be there.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("reading {}", folder.display()))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("reading {}", folder.display()))?.path();
        if path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(folder: &Path) -> Cluster {
        Cluster { name: "x".to_owned(), folder: folder.to_owned() }
    }

    #[test]
    fn a_file_without_certificates_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let cluster = cluster(folder.path());
        let file = folder.path().join("corp.pem");
        std::fs::write(&file, "no certificate").unwrap();
        let failure = Failure::of(keep_given(&cluster, std::slice::from_ref(&file)).unwrap_err());
        assert_eq!(failure.code, Code::Refused);
        assert!(failure.message.contains("corp.pem"), "{}", failure.message);
        keep_given(&cluster, &[PathBuf::from(NO_AUTHORITIES)]).unwrap();
    }

    #[test]
    fn what_the_image_trusts_anyway_and_what_was_there_before_is_not_handed_over() {
        let folder = tempfile::tempdir().unwrap();
        let cluster = cluster(folder.path());
        let file = folder.path().join("bundle.pem");
        let all: String = [b"one", b"two", b"two"].map(|der| pki::pem::certificate(der)).concat();
        std::fs::write(&file, all).unwrap();
        let known = BTreeSet::from([sha256(b"one")]);
        let (text, warnings) = of_host(&cluster, file.to_str(), &known).unwrap();
        assert!(text.contains(&pki::pem::certificate(b"two")), "{text}");
        assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 1, "{text}");
        assert!(warnings.is_empty(), "{warnings:?}");
        let (_, warnings) = of_host(&cluster, folder.path().join("none").to_str(), &known).unwrap();
        assert!(warnings[0].starts_with("SSL_CERT_FILE="), "{warnings:?}");
    }
}
