//! Service-account tokens: signing and checking of compact JWTs (ES256), and the discovery documents.
//!
//! ES256 because its keys are cheap to make, ring signs it, and every OIDC verifier that Kubernetes' own test uses knows
//! it. The few lines of compact JWS are here: jsonwebtoken would need a second crypto provider or one written by us.
//! Key ids, claims and documents are those of `k8s.io/kubernetes/pkg/serviceaccount`.

mod claims;

pub use claims::{
    Bound, Claims, EXTENDED_SECONDS, Kubernetes, LEEWAY, LEGACY_ISSUER, LegacyClaims, Reference, TimeFault,
    WARN_ONLY_SECONDS, Wanted,
};

use crate::key::Key;
use crate::pem;
use anyhow::{Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

/// Path of the discovery document.
pub const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";
/// Path of the key set.
pub const KEYS_PATH: &str = "/openid/v1/jwks";
/// Seconds for which both documents may be cached.
pub const DOCUMENTS_MAX_AGE: u32 = 3600;
/// Bytes of a token at most; ours are below 2 KiB, and HTTP headers end at about this.
pub const TOKEN_MAX: usize = 64 * 1024;

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no JWT, or of another issuer: another authenticator may know it.
    #[error("not a token of this cluster")]
    Foreign,
    /// Its key id is unknown.
    #[error("invalid signature, no keys found")]
    NoKey,
    /// The signature does not fit.
    #[error("invalid signature")]
    Signature,
    /// The signature is right but the claims cannot be read.
    #[error("service account token claims could not be read: {0}")]
    Claims(String),
}

/// The keys of service-account tokens: the first signs, all verify.
#[derive(Debug)]
pub struct SigningKeys {
    keys: Vec<(String, Key)>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Issuer {
    #[serde(default)]
    iss: String,
}

/// The id of a public key: the unpadded URL-safe base64 of the SHA-256 of its SubjectPublicKeyInfo.
#[must_use]
pub fn key_id(public_der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, public_der))
}

impl SigningKeys {
    fn of(keys: Vec<Key>) -> Self {
        Self { keys: keys.into_iter().map(|key| (key_id(&key.public_der()), key)).collect() }
    }

    /// One new key.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn generate() -> Result<Self> {
        Ok(Self::of(vec![Key::generate()?]))
    }

    /// The keys of a PEM text, in its order.
    ///
    /// # Errors
    /// When the text is cut off or holds a key that is not P-256.
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        let keys = pem::keys(text)?.iter().map(|der| Key::from_pkcs8(der.secret_pkcs8_der())).collect::<Result<_>>()?;
        Ok(Self::of(keys))
    }

    /// The keys as PEM.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        for (_, key) in &self.keys {
            text.push_str(&key.to_pem());
        }
        text
    }

    /// A token that carries `claims` (any of the claim types here).
    ///
    /// # Errors
    /// When the random source fails.
    pub fn sign(&self, claims: &impl serde::Serialize) -> Result<String> {
        let (id, key) = self.keys.first().ok_or_else(|| anyhow!("signing a token: there is no key"))?;
        let header = json!({"alg": "ES256", "kid": id}).to_string();
        let payload = serde_json::to_vec(claims)?;
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = URL_SAFE_NO_PAD.encode(key.sign_fixed(signed.as_bytes())?);
        Ok(format!("{signed}.{signature}"))
    }

    /// The payload of `token` when one of `issuers` signed it with one of these keys. Times are not looked at:
    /// see [`Claims::check_times`].
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn verify(&self, token: &str, issuers: &[&str]) -> Result<Vec<u8>, Refused> {
        if token.len() > TOKEN_MAX {
            return Err(Refused::Foreign);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refused::Foreign);
        };
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Foreign);
        let header_bytes = bytes(header)?;
        let payload_bytes = bytes(payload)?;
        let signature = bytes(signature)?;
        let issuer: Issuer = serde_json::from_slice(&payload_bytes).map_err(|_| Refused::Foreign)?;
        if !issuers.contains(&issuer.iss.as_str()) {
            return Err(Refused::Foreign);
        }
        let header_said: Header = serde_json::from_slice(&header_bytes).map_err(|_| Refused::Foreign)?;
        if header_said.alg != "ES256" || header_said.crit.is_some() {
            return Err(Refused::Signature);
        }
        let signed = &token[..header.len() + 1 + payload.len()];
        let mut known =
            self.keys.iter().filter(|(id, _)| header_said.kid.is_empty() || *id == header_said.kid).peekable();
        if known.peek().is_none() {
            return Err(Refused::NoKey);
        }
        let fits = |key: &Key| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.point()).verify(signed.as_bytes(), &signature).is_ok()
        };
        if known.any(|(_, key)| fits(key)) { Ok(payload_bytes) } else { Err(Refused::Signature) }
    }

    /// The claims of a bound token; see [`SigningKeys::verify`].
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn verify_claims(&self, token: &str, issuers: &[&str]) -> Result<Claims, Refused> {
        let payload = self.verify(token, issuers)?;
        serde_json::from_slice(&payload).map_err(|e| Refused::Claims(e.to_string()))
    }

    /// The key set document (JWKS), media type `application/jwk-set+json`.
    #[must_use]
    pub fn key_set(&self) -> Vec<u8> {
        let keys: Vec<_> = self
            .keys
            .iter()
            .map(|(id, key)| {
                let (x, y) = key.point()[1..].split_at(32);
                json!({
                    "use": "sig", "kty": "EC", "kid": id, "crv": "P-256", "alg": "ES256",
                    "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
                })
            })
            .collect();
        json!({ "keys": keys }).to_string().into_bytes()
    }

    /// The discovery document for `issuer` whose keys are at `keys_uri`, media type `application/json`.
    #[must_use]
    pub fn configuration(&self, issuer: &str, keys_uri: &str) -> Vec<u8> {
        json!({
            "issuer": issuer,
            "jwks_uri": keys_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
        .to_string()
        .into_bytes()
    }
}

#[cfg(test)]
mod tests;
