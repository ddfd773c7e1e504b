//! TLS configurations on one explicit provider (ring), with certificates that can be exchanged while in use.
//!
//! A server asks for a client certificate but decides nothing about it in the handshake: as with the upstream API server
//! an unknown or expired one is an authentication failure of the request, not a broken connection, and two authorities
//! (users, front proxies) look at the same chain.

use crate::authority::{Pair, RENEW_FRACTION};
use crate::identity::{self, Identity, Validity};
use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use std::sync::Arc;
use std::time::SystemTime;

/// Protocols offered to peers that speak HTTP, best first.
pub const ALPN_HTTP: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// Protocols offered where the connection will be taken over (exec, attach, port-forward).
pub const ALPN_HTTP1: [&[u8]; 1] = [b"http/1.1"];
/// Certificates of a presented chain at most; ours have one, and intermediates are rare.
pub const CHAIN_MAX: usize = 8;

/// The crypto provider of every configuration.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())).clone()
}

/// A certificate with its key that can be exchanged while connections use it. New handshakes take the new one.
#[derive(Debug)]
pub struct Slot {
    held: ArcSwap<Held>,
}

#[derive(Debug)]
struct Held {
    key: Arc<CertifiedKey>,
    pem: zeroize::Zeroizing<String>,
    validity: Validity,
}

/// The instant at which renewal of something valid for `validity` becomes due.
#[must_use]
pub fn renewal_of(validity: &Validity) -> SystemTime {
    let life = validity.not_after.duration_since(validity.not_before).unwrap_or_default();
    validity.not_after - life / RENEW_FRACTION
}

fn hold(pair: &Pair) -> Result<Held> {
    let key = PrivateKeyDer::Pkcs8(pair.key.to_pkcs8());
    let key = provider().key_provider.load_private_key(key).context("loading a private key into TLS")?;
    let key = Arc::new(CertifiedKey::new(vec![pair.certificate.clone()], key));
    Ok(Held { key, pem: pair.to_pem(), validity: identity::validity(&pair.certificate)? })
}

impl Slot {
    /// A slot that holds `pair`.
    ///
    /// # Errors
    /// When TLS cannot use the key.
    pub fn new(pair: &Pair) -> Result<Self> {
        Ok(Self { held: ArcSwap::from_pointee(hold(pair)?) })
    }

    /// Exchanges the certificate.
    ///
    /// # Errors
    /// When TLS cannot use the key; then the old one stays.
    pub fn store(&self, pair: &Pair) -> Result<()> {
        self.held.store(Arc::new(hold(pair)?));
        Ok(())
    }

    /// The certificate as it is now, DER.
    #[must_use]
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.held.load().key.cert[0].clone()
    }

    /// Certificate and key as PEM, for a kubeconfig or a program that reads files.
    #[must_use]
    pub fn pem(&self) -> zeroize::Zeroizing<String> {
        self.held.load().pem.clone()
    }

    /// When its renewal becomes due.
    #[must_use]
    pub fn renewal(&self) -> SystemTime {
        renewal_of(&self.held.load().validity)
    }
}

impl ResolvesServerCert for Slot {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.held.load().key.clone())
    }
}

impl rustls::client::ResolvesClientCert for Slot {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.held.load().key.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Asks for a certificate, proves that the peer holds its key, and leaves the judgement to [`ClientTrust`].
#[derive(Debug)]
struct AskOnly {
    hints: Vec<DistinguishedName>,
}

impl ClientCertVerifier for AskOnly {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if chain.len() >= CHAIN_MAX {
            return Err(Error::General(format!("a chain of more than {CHAIN_MAX} certificates")));
        }
        ParsedCertificate::try_from(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

fn protocols(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.to_vec()).collect()
}

/// A server whose certificate comes from `resolver` (usually a [`Slot`]). With `ask` it asks for client certificates,
/// naming those authorities (DER Names); [`ClientTrust`] judges what comes.
///
/// # Errors
/// When the provider lacks a protocol version, which would be a fault of the build.
pub fn server(resolver: Arc<dyn ResolvesServerCert>, ask: Option<&[&[u8]]>, alpn: &[&[u8]]) -> Result<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .context("choosing TLS versions")?;
    let builder = match ask {
        None => builder.with_no_client_auth(),
        Some(hints) => {
            let hints = hints.iter().map(|name| DistinguishedName::from(name.to_vec())).collect();
            builder.with_client_cert_verifier(Arc::new(AskOnly { hints }))
        }
    };
    let mut config = builder.with_cert_resolver(resolver);
    config.alpn_protocols = protocols(alpn);
    Ok(config)
}

fn store(roots: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).context("taking a certificate as authority")?;
    }
    Ok(Arc::new(store))
}

fn client_with(verifier: Arc<dyn ServerCertVerifier>, own: Option<Arc<Slot>>, alpn: &[&[u8]]) -> Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .context("choosing TLS versions")?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match own {
        Some(slot) => builder.with_client_cert_resolver(slot),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols(alpn);
    Ok(config)
}

/// A client that trusts servers signed by `roots` and shows the certificate of `own`.
///
/// # Errors
/// When there are no roots or one is not a certificate.
pub fn client(roots: &[CertificateDer<'static>], own: Option<Arc<Slot>>, alpn: &[&[u8]]) -> Result<ClientConfig> {
    let verifier = WebPkiServerVerifier::builder_with_provider(store(roots)?, provider());
    client_with(verifier.build().context("making the verifier of server certificates")?, own, alpn)
}

/// A client that believes any server. Only for the login, where the one-time code proves the server afterwards, and for
/// objects that say `insecureSkipTLSVerify`.
///
/// # Errors
/// As [`client`].
pub fn client_believing_anyone(own: Option<Arc<Slot>>, alpn: &[&[u8]]) -> Result<ClientConfig> {
    client_with(Arc::new(BelieveAnyone), own, alpn)
}

#[derive(Debug)]
struct BelieveAnyone;

impl ServerCertVerifier for BelieveAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Judges the chain that a client showed in the handshake.
#[derive(Debug)]
pub struct ClientTrust {
    verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientTrust {
    /// Believes clients that `roots` signed.
    ///
    /// # Errors
    /// When there are no roots or one is not a certificate.
    pub fn new(roots: &[CertificateDer<'static>]) -> Result<Self> {
        let builder = WebPkiClientVerifier::builder_with_provider(store(roots)?, provider());
        Ok(Self { verifier: builder.build().context("making the verifier of client certificates")? })
    }

    /// Who showed `chain` (`ServerConnection::peer_certificates`), judged at `now`; `None` when the certificate is good
    /// but names no user.
    ///
    /// # Errors
    /// When the chain is empty, not signed by the roots, not for clients, or not valid at `now`.
    pub fn identity(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<Option<Identity>> {
        let (end_entity, rest) = chain.split_first().context("no client certificate")?;
        let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        self.verifier.verify_client_cert(end_entity, rest, now).context("verifying the client certificate")?;
        identity::identity(end_entity)
    }
}

#[cfg(test)]
mod tests;
