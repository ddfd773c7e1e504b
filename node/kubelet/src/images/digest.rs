//! The name of a blob by its content: `sha256:` and 64 hexadecimal digits. Pure.

use super::Fault;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// The one algorithm we take; it is what every builder and registry uses.
const ALGORITHM: &str = "sha256:";
/// Hexadecimal digits of a SHA-256.
const DIGITS: usize = 64;

/// A checked digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Digest(String);

impl Digest {
    /// Checks a text.
    ///
    /// # Errors
    /// `Invalid` when it is no SHA-256 digest in the OCI's spelling.
    pub fn parse(text: &str) -> Result<Digest, Fault> {
        let digits = text.strip_prefix(ALGORITHM).unwrap_or_default();
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.len() == DIGITS && digits.bytes().all(hexadecimal) {
            return Ok(Digest(text.to_owned()));
        }
        let shown: String = text.chars().take(100).collect();
        Err(Fault::invalid("digest", format!("{shown:?} is not sha256: and {DIGITS} hexadecimal digits")))
    }

    /// That of some content.
    #[must_use]
    pub fn of(content: &[u8]) -> Digest {
        let hash = ring::digest::digest(&ring::digest::SHA256, content);
        let digits: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Digest(format!("{ALGORITHM}{digits}"))
    }

    /// Its hexadecimal digits, as files are named.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0[ALGORITHM.len()..]
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        Digest::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_spelling_of_the_oci_is_taken() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), empty);
        assert_eq!(Digest::parse(empty).unwrap(), Digest::of(b""));
        let upper = empty.to_uppercase();
        for wrong in ["", "sha256:", "sha512:00", &empty[7..], &empty[..70], &upper, "sha256:../../etc/passwd"] {
            assert!(Digest::parse(wrong).is_err(), "{wrong}");
        }
    }
}
