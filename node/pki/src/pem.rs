//! PEM text: one encoder, and the reading of files that hold a key and certificates together.

use anyhow::{Context, Result, bail};
use base64::Engine;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

/// Characters in a line of PEM text (RFC 7468 section 2).
const LINE: usize = 64;

/// `der` as a PEM block with `label`.
#[must_use]
pub fn encode(label: &str, der: &[u8]) -> String {
    let body = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(der));
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(LINE) {
        text.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// A certificate as PEM.
#[must_use]
pub fn certificate(der: &[u8]) -> String {
    encode("CERTIFICATE", der)
}

/// Every certificate of a PEM text, in its order.
///
/// # Errors
/// When the text is not PEM, is cut off, or holds no certificate.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().context("not whole PEM text")?;
    if found.is_empty() {
        bail!("it holds no CERTIFICATE block");
    }
    Ok(found)
}

/// Every PKCS#8 private key of a PEM text, in its order.
///
/// # Errors
/// When the text is not PEM, is cut off, or holds no key.
pub fn keys(text: &[u8]) -> Result<Vec<PrivatePkcs8KeyDer<'static>>> {
    let found: Vec<_> =
        PrivatePkcs8KeyDer::pem_slice_iter(text).collect::<Result<_, _>>().context("not whole PEM text")?;
    if found.is_empty() {
        bail!("it holds no PRIVATE KEY block");
    }
    Ok(found)
}
