//! The key that seals values on disk: from the host where it gave one, else from the machine's own disk, where it guards
//! only a copy of the store that left the machine alone.

use crate::settings::{Settings, parse_store_key};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::io::ErrorKind;
use store::EnvelopeKey;
use zeroize::Zeroizing;

/// The file of a machine that was given no key.
const FILE: &str = "store.key";

/// The keys to open the store with. A control plane outside of a machine keeps plaintext: its files are its user's.
///
/// # Errors
/// When the file cannot be read or made, or holds no key.
pub fn keys(settings: &Settings) -> Result<Vec<EnvelopeKey>> {
    if !settings.store_keys.is_empty() || !settings.machine {
        return Ok(settings.store_keys.clone());
    }
    let path = settings.data.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let secret = Zeroizing::new(pki::key::random::<32>()?);
            let mut text = Zeroizing::new(String::with_capacity(65));
            for byte in secret.iter() {
                write!(text, "{byte:02x}")?;
            }
            pki::folder::replace(&path, text.as_bytes(), 0o600)?;
            text
        }
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let key = parse_store_key(text.trim()).with_context(|| format!("{}: restore it from a copy", path.display()))?;
    Ok(vec![key])
}
