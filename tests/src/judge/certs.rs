//! The certificates of the golden control plane: one authority, a serving certificate, one client certificate for each
//! component, a key for service account tokens. Made anew for every run and thrown away with it.

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use std::path::{Path, PathBuf};

/// A certificate authority and the folder it writes into.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

/// A certificate with its key, as PEM.
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key, PKCS#8.
    pub key: String,
}

impl Authority {
    /// Makes an authority and writes `ca.crt` and `ca.key` into `folder`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn new(folder: &Path) -> anyhow::Result<Authority> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "golden-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("make the key of the authority")?;
        write(folder, "ca.key", &key.serialize_pem())?;
        let issuer = CertifiedIssuer::self_signed(params, key).context("sign the authority")?;
        write(folder, "ca.crt", &issuer.pem())?;
        Ok(Authority { issuer, folder: folder.to_owned() })
    }

    /// The authority's certificate as PEM.
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a serving certificate for the host names and addresses and writes `NAME.crt` and `NAME.key`.
    ///
    /// # Errors
    /// When a name is no DNS name or a file cannot be written.
    pub fn server(&self, name: &str, hosts: &[&str]) -> anyhow::Result<Identity> {
        let hosts: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).with_context(|| format!("host names of {name}"))?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(name, name, &[], params)
    }

    /// Issues a client certificate for a user and its groups and writes `NAME.crt` and `NAME.key`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn client(&self, name: &str, user: &str, groups: &[&str]) -> anyhow::Result<Identity> {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(name, user, groups, params)
    }

    fn issue(
        &self,
        name: &str,
        user: &str,
        groups: &[&str],
        mut params: CertificateParams,
    ) -> anyhow::Result<Identity> {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user);
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().with_context(|| format!("make the key of {name}"))?;
        let certificate = params.signed_by(&key, &self.issuer).with_context(|| format!("sign {name}"))?;
        let identity = Identity { certificate: certificate.pem(), key: key.serialize_pem() };
        write(&self.folder, &format!("{name}.crt"), &identity.certificate)?;
        write(&self.folder, &format!("{name}.key"), &identity.key)?;
        Ok(identity)
    }
}

/// Writes the pair of keys that signs and checks service account tokens: `sa.key` and `sa.pub`.
///
/// # Errors
/// When a file cannot be written.
pub fn token_keys(folder: &Path) -> anyhow::Result<()> {
    let key = KeyPair::generate().context("make the key of service account tokens")?;
    write(folder, "sa.key", &key.serialize_pem())?;
    write(folder, "sa.pub", &key.public_key_pem())
}

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}
