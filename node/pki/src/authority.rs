//! An authority: a key and its self-signed certificate, and the certificates that it gives out.

use crate::identity::{self, Validity};
use crate::key::Key;
use crate::pem;
use crate::template::{KeyUsage, San, Template, purpose, subject};
use anyhow::{Context, Result, bail};
use rustls::pki_types::CertificateDer;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// One day.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an authority lives: as long as the machine may be expected to, as with kubeadm.
pub const AUTHORITY_LIFE: Duration = DAY.saturating_mul(3653);
/// How long a certificate lives that is renewed by itself.
pub const LEAF_LIFE: Duration = DAY.saturating_mul(365);
/// How far certificates begin in the past: a host whose clock is read in the wrong zone is at most this far behind.
pub const BACKDATE: Duration = DAY;
/// Renewal is due when less than one part in so many of the life is left.
pub const RENEW_FRACTION: u32 = 3;

/// What a certificate is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It names a server.
    Server,
    /// It names a user.
    Client,
    /// It names both.
    Both,
}

impl Purpose {
    pub(crate) fn oids(self) -> Vec<&'static [u64]> {
        match self {
            Self::Server => vec![purpose::SERVER],
            Self::Client => vec![purpose::CLIENT],
            Self::Both => vec![purpose::SERVER, purpose::CLIENT],
        }
    }
}

/// A key that signs certificates, and the certificate that says so.
#[derive(Debug)]
pub struct Authority {
    key: Key,
    certificate: CertificateDer<'static>,
    subject: Vec<u8>,
    validity: Validity,
}

/// A certificate with its key, as it lies on the disk and as TLS uses it.
#[derive(Debug)]
pub struct Pair {
    /// The private key.
    pub key: Key,
    /// The certificate, DER.
    pub certificate: CertificateDer<'static>,
}

impl Pair {
    /// Key and certificate as one PEM text: one file, so that a crash cannot part them.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem::certificate(&self.certificate) + &self.key.to_pem())
    }

    /// Reads what [`Pair::to_pem`] wrote.
    ///
    /// # Errors
    /// When the text is cut off, either part is missing, or the key is not that of the certificate.
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        let certificate = pem::certificates(text)?.swap_remove(0);
        let key = Key::from_pem(text)?;
        if identity::public_key(&certificate)? != key.public_der() {
            bail!("its private key and its certificate do not belong together");
        }
        Ok(Self { key, certificate })
    }
}

/// Whether renewal is due at `now`: the last third of the life has begun, or it has not begun at all because the clock
/// was far ahead when it was issued.
#[must_use]
pub fn renewal_due(validity: &Validity, now: SystemTime) -> bool {
    let life = validity.not_after.duration_since(validity.not_before).unwrap_or_default();
    now < validity.not_before || now + life / RENEW_FRACTION >= validity.not_after
}

impl Authority {
    /// A new authority called `common_name`.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn generate(common_name: &str, now: SystemTime) -> Result<Self> {
        Self::self_signed(Key::generate()?, subject(common_name, &[]), now)
    }

    fn self_signed(key: Key, subject: Vec<u8>, now: SystemTime) -> Result<Self> {
        let template = Template {
            subject: subject.clone(),
            public_key: key.public_der(),
            sans: Vec::new(),
            usage: KeyUsage::SIGNATURE.with(KeyUsage::ENCIPHERMENT).with(KeyUsage::CERT_SIGN),
            purposes: Vec::new(),
            authority: true,
            not_before: now - BACKDATE,
            not_after: now + AUTHORITY_LIFE,
        };
        let certificate = CertificateDer::from(template.sign(&subject, &key)?);
        let validity = identity::validity(&certificate)?;
        Ok(Self { key, certificate, subject, validity })
    }

    /// The same key and name for another life: what it signed before stays valid.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn renewed(&self, now: SystemTime) -> Result<Self> {
        Self::self_signed(Key::from_pkcs8(self.key.to_pkcs8().secret_pkcs8_der())?, self.subject.clone(), now)
    }

    /// An authority from its key and certificate.
    ///
    /// # Errors
    /// When the certificate is not one of an authority.
    pub fn from_pair(pair: Pair) -> Result<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(&pair.certificate).context("not a certificate")?;
        if !parsed.is_ca() {
            bail!("its certificate is not one of an authority");
        }
        let subject = parsed.subject().as_raw().to_vec();
        let validity = identity::validity(&pair.certificate)?;
        Ok(Self { subject, validity, key: pair.key, certificate: pair.certificate })
    }

    /// Key and certificate as one PEM text.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem::certificate(&self.certificate) + &self.key.to_pem())
    }

    /// The certificate, DER.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The certificate, PEM: what clients trust.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem::certificate(&self.certificate)
    }

    /// The subject as DER Name.
    #[must_use]
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// When the authority is valid.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Signs `template`, which must not outlive the authority.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn sign(&self, mut template: Template) -> Result<CertificateDer<'static>> {
        template.not_after = template.not_after.min(self.validity.not_after);
        Ok(CertificateDer::from(template.sign(&self.subject, &self.key)?))
    }

    /// A certificate with a new key for `common_name` in `organizations`.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn issue(
        &self,
        common_name: &str,
        organizations: &[&str],
        sans: Vec<San>,
        purpose: Purpose,
        now: SystemTime,
    ) -> Result<Pair> {
        let key = Key::generate()?;
        let certificate = self.sign(Template {
            subject: subject(common_name, organizations),
            public_key: key.public_der(),
            sans,
            usage: KeyUsage::SIGNATURE.with(KeyUsage::ENCIPHERMENT),
            purposes: purpose.oids(),
            authority: false,
            not_before: now - BACKDATE,
            not_after: now + LEAF_LIFE,
        })?;
        Ok(Pair { key, certificate })
    }
}
