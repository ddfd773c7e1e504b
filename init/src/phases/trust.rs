//! Whom the machine trusts when it fetches images: the image's certificate authorities and those that the user gave
//! (`ca.pem` by fw_cfg or on the config disk).
//!
//! A bad file costs its own authorities, never the boot.

use crate::boot::{Boot, Failure, Phase};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The phase.
pub const PHASE: Phase = Phase { name: "trust", run: |boot| Box::pin(async { run(boot) }) };

/// The name of the user's authorities, below `opt/skerry/` of fw_cfg and on the config disk.
pub const FILE: &str = "ca.pem";
/// Image's and user's authorities together, or the image's alone.
pub const BUNDLE: &str = "/run/skerry/ca-certificates.crt";
/// The image's authorities.
const OWN: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Bytes of the user's file at most: several times a whole distribution's bundle.
const BYTES_MAX: u64 = 2 << 20;
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

fn run(boot: &mut Boot) -> Result<(), Failure> {
    let mut given: Vec<String> = Vec::new();
    for path in places() {
        match read(&path) {
            Ok(Some(text)) => match certificates(&text) {
                found if found.is_empty() => {
                    boot.console.say(&format!("init: trust: {}: no certificate in PEM; ignored", path.display()));
                }
                found => given.extend(found.into_iter().map(str::to_owned)),
            },
            Ok(None) => {}
            Err(e) => boot.console.say(&format!("init: trust: {}: {e}; ignored", path.display())),
        }
    }
    let written = if given.is_empty() { std::os::unix::fs::symlink(OWN, BUNDLE) } else { bundle(&given) };
    if let Err(e) = written {
        boot.console.say(&format!("init: trust: writing {BUNDLE}: {e}; only the image's authorities count"));
    }
    Ok(())
}

/// Where the user's authorities may be.
fn places() -> [PathBuf; 2] {
    [Path::new(super::config::MOUNT_POINT).join(FILE), Path::new(super::config::FW_CFG).join(FILE).join("raw")]
}

/// A file's text; none when there is no such file.
fn read(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::other(format!("longer than {BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| io::Error::other("not text in UTF-8"))
}

/// The certificates of a text in PEM, and nothing else of it: a key that was left in it goes no further.
fn certificates(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        rest = &rest[at..];
        let Some(end) = rest.find(END) else { break };
        found.push(&rest[..end + END.len()]);
        rest = &rest[end + END.len()..];
    }
    found
}

fn bundle(given: &[String]) -> io::Result<()> {
    let mut text = std::fs::read_to_string(OWN)?;
    for certificate in given {
        text.push('\n');
        text.push_str(certificate);
        text.push('\n');
    }
    std::fs::write(BUNDLE, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_certificates_are_taken_from_a_file() {
        let text = format!(
            "words\n{BEGIN}\nAAAA\n{END}\n-----BEGIN PRIVATE KEY-----\nsecret\n{BEGIN}\nBBBB\n{END}\n{BEGIN}\ncut"
        );
        let found = certificates(&text);
        assert_eq!(found.len(), 2);
        assert!(found[1].contains("BBBB") && !found.concat().contains("secret"));
        assert!(certificates("nothing").is_empty());
    }
}
