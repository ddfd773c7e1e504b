//! Private keys: ECDSA on P-256, which every TLS peer and every token verifier knows, and which is cheap to make.

use crate::pem;
use anyhow::{Result, anyhow};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

/// What stands before the 65 bytes of an uncompressed P-256 point in a SubjectPublicKeyInfo (RFC 5480).
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A private key. Its bytes are wiped when it is dropped.
pub struct Key {
    pkcs8: Zeroizing<Vec<u8>>,
    asn1: EcdsaKeyPair,
    fixed: EcdsaKeyPair,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// A new key from the system's random source.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn generate() -> Result<Self> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| anyhow!("making a P-256 key: the random source failed"))?;
        Self::from_pkcs8(made.as_ref())
    }

    /// The key in a PKCS#8 document.
    ///
    /// # Errors
    /// When it is not a P-256 key, or its halves do not belong together.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self> {
        let random = SystemRandom::new();
        let read = |algorithm| {
            EcdsaKeyPair::from_pkcs8(algorithm, der, &random).map_err(|e| anyhow!("not a P-256 key in PKCS#8: {e}"))
        };
        Ok(Self {
            asn1: read(&ECDSA_P256_SHA256_ASN1_SIGNING)?,
            fixed: read(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
            pkcs8: Zeroizing::new(der.to_vec()),
        })
    }

    /// The first private key of a PEM text.
    ///
    /// # Errors
    /// As [`pem::keys`] and [`Key::from_pkcs8`].
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        Self::from_pkcs8(pem::keys(text)?[0].secret_pkcs8_der())
    }

    /// The key as PEM.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem::encode("PRIVATE KEY", &self.pkcs8))
    }

    /// The key as rustls wants it.
    #[must_use]
    pub fn to_pkcs8(&self) -> PrivatePkcs8KeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pkcs8.to_vec())
    }

    /// The uncompressed point: 0x04, x, y.
    #[must_use]
    pub fn point(&self) -> &[u8] {
        self.asn1.public_key().as_ref()
    }

    /// The public half as DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn public_der(&self) -> Vec<u8> {
        [&P256_SPKI_PREFIX[..], self.point()].concat()
    }

    /// An ECDSA signature with SHA-256 as certificates carry it (DER).
    ///
    /// # Errors
    /// When the random source fails.
    pub fn sign_der(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signature = self.asn1.sign(&SystemRandom::new(), message);
        Ok(signature.map_err(|_| anyhow!("signing: the random source failed"))?.as_ref().to_vec())
    }

    /// An ECDSA signature with SHA-256 as tokens carry it (r and s, 32 bytes each; RFC 7518 section 3.4).
    ///
    /// # Errors
    /// When the random source fails.
    pub fn sign_fixed(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signature = self.fixed.sign(&SystemRandom::new(), message);
        Ok(signature.map_err(|_| anyhow!("signing: the random source failed"))?.as_ref().to_vec())
    }
}

/// `N` bytes from the system's random source.
///
/// # Errors
/// When the random source fails.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("reading {N} random bytes failed"))?;
    Ok(bytes)
}
