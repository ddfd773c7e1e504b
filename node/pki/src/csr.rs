//! Signing requests: read, checked, and signed by what the object says, not by what the request asks for.
//!
//! The rules are those of `k8s.io/kubernetes/pkg/controller/certificates` (`authority/policies.go`, `signer/signer.go`)
//! and `pkg/apis/certificates/helpers.go`. rcgen's own reader refuses every extension that it does not know, where
//! upstream passes over them; so the request is read with x509-parser.

use crate::authority::Authority;
use crate::identity::{Subject, san_list, subject};
use crate::key::Key;
use crate::pem;
use crate::template::{KeyUsage, San, Template};
use anyhow::{Context, Result, bail};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;

/// Longest life of a certificate that a signer gives (`--cluster-signing-duration`).
pub const LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Shortest life; a shorter wish is raised to it.
pub const LIFE_MIN: Duration = Duration::from_secs(10 * 60);
/// How far such a certificate begins in the past.
pub const BACKDATE: Duration = Duration::from_secs(5 * 60);
/// A life below this does not end earlier because it began earlier.
pub const SHORT: Duration = Duration::from_secs(8 * 60 * 60);
/// Bytes of a request at most; one with many names is a few KiB.
pub const REQUEST_MAX: usize = 64 * 1024;

/// Usages of the certificates API that are bits of the key usage extension.
const KEY_USAGES: &[(&str, u16)] = &[
    ("signing", 1),
    ("digital signature", 1),
    ("content commitment", 1 << 1),
    ("key encipherment", 1 << 2),
    ("data encipherment", 1 << 3),
    ("key agreement", 1 << 4),
    ("cert sign", 1 << 5),
    ("crl sign", 1 << 6),
    ("encipher only", 1 << 7),
    ("decipher only", 1 << 8),
];

/// Usages of the certificates API that are extended key usages, in the order in which Go writes them.
const PURPOSES: &[(&str, &[u64])] = &[
    ("any", &[2, 5, 29, 37, 0]),
    ("server auth", &[1, 3, 6, 1, 5, 5, 7, 3, 1]),
    ("client auth", &[1, 3, 6, 1, 5, 5, 7, 3, 2]),
    ("code signing", &[1, 3, 6, 1, 5, 5, 7, 3, 3]),
    ("email protection", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
    ("s/mime", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
    ("ipsec end system", &[1, 3, 6, 1, 5, 5, 7, 3, 5]),
    ("ipsec tunnel", &[1, 3, 6, 1, 5, 5, 7, 3, 6]),
    ("ipsec user", &[1, 3, 6, 1, 5, 5, 7, 3, 7]),
    ("timestamping", &[1, 3, 6, 1, 5, 5, 7, 3, 8]),
    ("ocsp signing", &[1, 3, 6, 1, 5, 5, 7, 3, 9]),
    ("microsoft sgc", &[1, 3, 6, 1, 4, 1, 311, 10, 3, 3]),
    ("netscape sgc", &[2, 16, 840, 1, 113_730, 4, 1]),
];

/// A signing request whose signature was checked: who asks holds the key.
#[derive(Clone, Debug)]
pub struct SigningRequest {
    /// The request, DER.
    pub der: Vec<u8>,
    /// The subject that it asks for.
    pub subject: Subject,
    /// The further names that it asks for.
    pub sans: Vec<San>,
    subject_der: Vec<u8>,
    public_key: Vec<u8>,
}

impl SigningRequest {
    /// Reads a `CERTIFICATE REQUEST` in PEM.
    ///
    /// # Errors
    /// When it is none, or its signature does not fit its key.
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        if text.len() > REQUEST_MAX {
            bail!("a signing request of {} bytes; at most {REQUEST_MAX} are read", text.len());
        }
        let der = CertificateSigningRequestDer::from_pem_slice(text);
        let der = der.map_err(|_| anyhow::anyhow!("PEM block type must be CERTIFICATE REQUEST"))?;
        Self::from_der(&der)
    }

    /// Reads a request in DER.
    ///
    /// # Errors
    /// As [`SigningRequest::from_pem`].
    pub fn from_der(der: &[u8]) -> Result<Self> {
        if der.len() > REQUEST_MAX {
            bail!("a signing request of {} bytes; at most {REQUEST_MAX} are read", der.len());
        }
        let (rest, parsed) = X509CertificationRequest::from_der(der).context("reading the signing request")?;
        if !rest.is_empty() {
            bail!("{} bytes follow the signing request", rest.len());
        }
        parsed.verify_signature().context("unable to verify certificate request signature")?;
        let info = &parsed.certification_request_info;
        let mut sans = Vec::new();
        for extension in parsed.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension {
                sans.extend(san_list(&names.general_names)?);
            }
        }
        Ok(Self {
            der: der.to_vec(),
            subject: subject(&info.subject)?,
            sans,
            subject_der: info.subject.as_raw().to_vec(),
            public_key: info.subject_pki.raw.to_vec(),
        })
    }

    /// Signs the request for `usages` of the certificates API and returns the certificate as PEM.
    ///
    /// # Errors
    /// When a usage is unknown or the authority is past its end.
    pub fn sign(
        &self,
        authority: &Authority,
        usages: &[&str],
        seconds: Option<i32>,
        now: SystemTime,
    ) -> Result<String> {
        let (usage, purposes) = usages_of(usages)?;
        let end = authority.validity().not_after;
        let (not_before, not_after) = lifetime(seconds, now);
        if now >= end || not_before >= end {
            bail!("refusing to sign a certificate that expired in the past: the authority has ended");
        }
        let template = Template {
            subject: self.subject_der.clone(),
            public_key: self.public_key.clone(),
            sans: self.sans.clone(),
            usage,
            purposes,
            authority: false,
            not_before,
            not_after,
        };
        Ok(pem::certificate(&authority.sign(template)?))
    }

    /// Signs the request's key for a user of the signer's choice, whatever subject the request has, and returns the
    /// certificate as PEM. It lives [`LIFE_MAX`].
    ///
    /// # Errors
    /// When the authority is past its end.
    pub fn sign_as(
        &self,
        authority: &Authority,
        common_name: &str,
        organizations: &[&str],
        now: SystemTime,
    ) -> Result<String> {
        let named = Self {
            sans: Vec::new(),
            subject_der: crate::template::subject(common_name, organizations),
            ..self.clone()
        };
        named.sign(authority, &["digital signature", "key encipherment", "client auth"], None, now)
    }
}

/// First and last instant of a certificate for which `seconds` were asked for at `now`.
#[must_use]
pub fn lifetime(seconds: Option<i32>, now: SystemTime) -> (SystemTime, SystemTime) {
    let wish = seconds.map_or(LIFE_MAX, |s| Duration::from_secs(u64::try_from(s).unwrap_or(0)));
    let life = wish.clamp(LIFE_MIN, LIFE_MAX);
    let end = if life < SHORT { now + life } else { now + life - BACKDATE };
    (now - BACKDATE, end)
}

/// Key usage bits and extended key usages of the names that the certificates API uses.
///
/// # Errors
/// When a name is unknown.
pub fn usages_of(names: &[&str]) -> Result<(KeyUsage, Vec<&'static [u64]>)> {
    let mut bits = KeyUsage::default();
    let mut chosen = BTreeSet::new();
    let mut unknown = Vec::new();
    for name in names {
        if let Some((_, bit)) = KEY_USAGES.iter().find(|(known, _)| known == name) {
            bits = bits.with(KeyUsage(*bit));
        } else if let Some(place) = PURPOSES.iter().position(|(known, _)| known == name) {
            // Two names of one purpose count once.
            chosen.insert(PURPOSES.iter().position(|(_, oid)| *oid == PURPOSES[place].1).unwrap_or(place));
        } else {
            unknown.push(*name);
        }
    }
    if !unknown.is_empty() {
        bail!("unrecognized usage values: {unknown:?}");
    }
    Ok((bits, chosen.into_iter().map(|place| PURPOSES[place].1).collect()))
}

fn node_subject(request: &SigningRequest) -> Result<(), &'static str> {
    if request.subject.organizations != ["system:nodes"] {
        return Err("subject organization is not system:nodes");
    }
    Ok(())
}

fn node_user(request: &SigningRequest) -> Result<(), &'static str> {
    let node = request.subject.common_name.starts_with("system:node:");
    node.then_some(()).ok_or("subject common name does not begin with system:node:")
}

fn usages_match(usages: &[&str], auth: &'static str) -> Result<(), String> {
    let has: BTreeSet<&str> = usages.iter().copied().collect();
    let without = BTreeSet::from(["digital signature", auth]);
    let with = BTreeSet::from(["digital signature", "key encipherment", auth]);
    if has == with || has == without {
        return Ok(());
    }
    let listed: Vec<&str> = with.into_iter().collect();
    Err(format!("usages did not match [{}]", listed.join(" ")))
}

/// Whether `request` may be signed by `kubernetes.io/kubelet-serving`.
///
/// # Errors
/// The reason, in upstream's words.
pub fn check_kubelet_serving(request: &SigningRequest, usages: &[&str]) -> Result<(), String> {
    node_subject(request)?;
    if !request.sans.iter().any(|san| matches!(san, San::Dns(_) | San::Ip(_))) {
        return Err("DNS or IP subjectAltName is required".to_owned());
    }
    if request.sans.iter().any(|san| matches!(san, San::Email(_))) {
        return Err("Email subjectAltNames are not allowed".to_owned());
    }
    if request.sans.iter().any(|san| matches!(san, San::Uri(_))) {
        return Err("URI subjectAltNames are not allowed".to_owned());
    }
    usages_match(usages, "server auth")?;
    Ok(node_user(request)?)
}

/// The kind of a further name, with its place in the order in which upstream complains.
fn kind(san: &San) -> (u8, &'static str) {
    match san {
        San::Dns(_) => (0, "DNS"),
        San::Email(_) => (1, "Email"),
        San::Ip(_) => (2, "IP"),
        San::Uri(_) => (3, "URI"),
    }
}

/// Whether `request` may be signed by `kubernetes.io/kube-apiserver-client-kubelet`.
///
/// # Errors
/// The reason, in upstream's words.
pub fn check_kubelet_client(request: &SigningRequest, usages: &[&str]) -> Result<(), String> {
    node_subject(request)?;
    if let Some(first) = request.sans.iter().min_by_key(|san| kind(san)) {
        return Err(format!("{} subjectAltNames are not allowed", kind(first).1));
    }
    node_user(request)?;
    usages_match(usages, "client auth")
}

/// Whether `usages` may be asked of `kubernetes.io/kube-apiserver-client`.
///
/// # Errors
/// The reason, in upstream's words.
pub fn check_client(usages: &[&str]) -> Result<(), String> {
    if let Some(wrong) = usages.iter().find(|u| !["digital signature", "key encipherment", "client auth"].contains(u)) {
        return Err(format!("invalid usage for client certificate: {wrong}"));
    }
    if !usages.contains(&"client auth") {
        return Err("missing required usage for client certificate: client auth".to_owned());
    }
    Ok(())
}

/// A signing request for `key` in the name of `common_name`, PEM: the client's side of a login or of a joining node.
///
/// # Errors
/// When a name cannot be encoded or the random source fails.
pub fn request(key: &Key, common_name: &str, organization: Option<&str>, sans: &[San]) -> Result<String> {
    let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&key.to_pkcs8(), &rcgen::PKCS_ECDSA_P256_SHA256)
        .context("reading the key of the signing request")?;
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(organization) = organization {
        params.distinguished_name.push(rcgen::DnType::OrganizationName, organization);
    }
    params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
    for san in sans {
        params.subject_alt_names.push(match san {
            San::Dns(name) => rcgen::SanType::DnsName(name.as_str().try_into()?),
            San::Email(name) => rcgen::SanType::Rfc822Name(name.as_str().try_into()?),
            San::Uri(name) => rcgen::SanType::URI(name.as_str().try_into()?),
            San::Ip(address) => rcgen::SanType::IpAddress(*address),
        });
    }
    let made = params.serialize_request(&pair).context("making a signing request")?;
    made.pem().context("writing the signing request")
}

#[cfg(test)]
mod tests;
