//! What a certificate says about its holder, read back.
//!
//! Nothing here checks a signature; `tls::ClientTrust` does that before it asks.

use crate::template::San;
use anyhow::{Context, Result, bail};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::x509::X509Name;

/// Attribute of the subject that holds the user's UID, as `k8s.io/apiserver/pkg/authentication/request/x509` reads it.
const UID_ATTRIBUTE: &str = "1.3.6.1.4.1.57683.2";

/// The user that a client certificate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The common name.
    pub user: String,
    /// The UID, where the subject has one; else empty.
    pub uid: String,
    /// The organizations.
    pub groups: Vec<String>,
    /// `X509SHA256=` and the certificate's SHA-256 in hex: the extra value `authentication.kubernetes.io/credential-id`.
    pub credential_id: String,
}

/// When a certificate is valid; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub not_before: SystemTime,
    /// Last second.
    pub not_after: SystemTime,
}

/// Common name and organizations of a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The last common name, as Go takes it; empty without one.
    pub common_name: String,
    /// Every organization in its order.
    pub organizations: Vec<String>,
    /// Every UID attribute.
    pub uids: Vec<String>,
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>> {
    let (rest, certificate) = x509_parser::parse_x509_certificate(der).context("not an X.509 certificate")?;
    if !rest.is_empty() {
        bail!("{} bytes follow the certificate", rest.len());
    }
    Ok(certificate)
}

fn instant(seconds: i64) -> SystemTime {
    match u64::try_from(seconds) {
        Ok(after) => SystemTime::UNIX_EPOCH + Duration::from_secs(after),
        Err(_) => SystemTime::UNIX_EPOCH,
    }
}

/// Reads a subject.
///
/// # Errors
/// When a value is not text.
pub fn subject(name: &X509Name<'_>) -> Result<Subject> {
    let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        value.as_str().map(str::to_owned).context("a value of the subject is not text")
    };
    let common_name = name.iter_common_name().last().map(text).transpose()?.unwrap_or_default();
    let organizations = name.iter_organization().map(text).collect::<Result<_>>()?;
    let uids = name
        .iter_attributes()
        .filter(|attribute| attribute.attr_type().to_id_string() == UID_ATTRIBUTE)
        .map(text)
        .collect::<Result<_>>()?;
    Ok(Subject { common_name, organizations, uids })
}

/// The user that a certificate names; `None` when it has no common name and so names no user.
///
/// # Errors
/// When it is not a certificate, or its UID is given twice or empty.
pub fn identity(der: &[u8]) -> Result<Option<Identity>> {
    let subject = subject(parse(der)?.subject())?;
    if subject.common_name.is_empty() {
        return Ok(None);
    }
    let uid = match subject.uids.as_slice() {
        [] => String::new(),
        [one] if one.is_empty() => bail!("UID cannot be an empty string"),
        [one] => one.clone(),
        more => bail!("expected 1 UID, but found multiple: {more:?}"),
    };
    let hash = ring::digest::digest(&ring::digest::SHA256, der);
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(Identity {
        user: subject.common_name,
        uid,
        groups: subject.organizations,
        credential_id: format!("X509SHA256={hex}"),
    }))
}

/// Common name and organizations of a certificate.
///
/// # Errors
/// When it is not a certificate.
pub fn subject_of(der: &[u8]) -> Result<Subject> {
    subject(parse(der)?.subject())
}

/// When a certificate is valid.
///
/// # Errors
/// When it is not a certificate.
pub fn validity(der: &[u8]) -> Result<Validity> {
    let certificate = parse(der)?;
    let valid = certificate.validity();
    Ok(Validity { not_before: instant(valid.not_before.timestamp()), not_after: instant(valid.not_after.timestamp()) })
}

/// The public key of a certificate as DER SubjectPublicKeyInfo.
///
/// # Errors
/// When it is not a certificate.
pub fn public_key(der: &[u8]) -> Result<Vec<u8>> {
    Ok(parse(der)?.public_key().raw.to_vec())
}

/// Whether `certificate` was issued by the holder of `authority`.
///
/// # Errors
/// When either is not a certificate.
pub fn issued_by(certificate: &[u8], authority: &[u8]) -> Result<bool> {
    let (certificate, authority) = (parse(certificate)?, parse(authority)?);
    let named = certificate.issuer().as_raw() == authority.subject().as_raw();
    Ok(named && certificate.verify_signature(Some(authority.public_key())).is_ok())
}

/// The further names of a certificate.
///
/// # Errors
/// When it is not a certificate, or has a name of a kind that [`San`] does not know.
pub fn sans(der: &[u8]) -> Result<Vec<San>> {
    let certificate = parse(der)?;
    match certificate.subject_alternative_name().context("reading the further names")? {
        Some(extension) => san_list(&extension.value.general_names),
        None => Ok(Vec::new()),
    }
}

/// Reads general names. Kinds that Go's parser passes over are passed over here too.
pub(crate) fn san_list(names: &[GeneralName<'_>]) -> Result<Vec<San>> {
    let mut found = Vec::new();
    for name in names {
        match name {
            GeneralName::DNSName(text) => found.push(San::Dns((*text).to_owned())),
            GeneralName::RFC822Name(text) => found.push(San::Email((*text).to_owned())),
            GeneralName::URI(text) => found.push(San::Uri((*text).to_owned())),
            GeneralName::IPAddress(bytes) => found.push(San::Ip(address(bytes)?)),
            _ => {}
        }
    }
    Ok(found)
}

fn address(bytes: &[u8]) -> Result<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Ok(IpAddr::from(four));
    }
    let sixteen = <[u8; 16]>::try_from(bytes).ok();
    sixteen.map(IpAddr::from).with_context(|| format!("an address of {} bytes", bytes.len()))
}
