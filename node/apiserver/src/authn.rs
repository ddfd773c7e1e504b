//! Authentication: who calls, by client certificate, a browser's session or bearer token. What is given and does not
//! hold is refused; no credentials at all is the anonymous user.

use crate::caller::Caller;
use crate::catalog::Catalog;
use crate::objects;
use crate::sessions::Sessions;
use api::{Status, Tree, meta};
use arc_swap::ArcSwap;
use pki::Identity;
use pki::token::{Claims, SigningKeys};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;
use store::Store;

/// Checks credentials.
pub struct Authenticator {
    keys: Arc<SigningKeys>,
    issuer: String,
    audiences: Vec<String>,
    store: Store,
    catalog: Arc<ArcSwap<Catalog>>,
    /// Logins of browsers; set once, before the server listens. A control plane without a dashboard has none.
    pub sessions: OnceLock<Arc<Sessions>>,
}

/// Why a token does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// This cluster did not sign it.
    #[error("invalid bearer token")]
    Foreign,
    /// It was good once, or is meant for others.
    #[error("{0}")]
    Stale(String),
}

/// A token that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenUser {
    /// Whose it is.
    pub caller: Caller,
    /// The audiences that were asked for and that it carries.
    pub audiences: Vec<String>,
}

impl Authenticator {
    /// An authenticator for tokens of one issuer, bound to objects in the store.
    #[must_use]
    pub fn new(
        keys: Arc<SigningKeys>,
        issuer: String,
        audiences: Vec<String>,
        store: Store,
        catalog: Arc<ArcSwap<Catalog>>,
    ) -> Authenticator {
        Authenticator { keys, issuer, audiences, store, catalog, sessions: OnceLock::new() }
    }

    /// The keys that tokens are signed with.
    #[must_use]
    pub fn keys(&self) -> &SigningKeys {
        &self.keys
    }

    /// The user of a request.
    ///
    /// # Errors
    /// 401 when a token or session was given that does not hold, 403 for a session that a foreign page uses.
    pub fn caller(
        &self,
        certificate: Option<&Identity>,
        headers: &http::HeaderMap,
        uri: &http::Uri,
        now: SystemTime,
    ) -> Result<Caller, Status> {
        if let Some(identity) = certificate {
            let mut caller = Caller::authenticated(identity.user.as_str(), identity.groups.iter().cloned());
            if !identity.uid.is_empty() {
                caller = caller.with_uid(identity.uid.as_str());
            }
            if !identity.credential_id.is_empty() {
                caller = caller.with_extra(CREDENTIAL_ID, identity.credential_id.as_str());
            }
            return Ok(caller);
        }
        let session = self.sessions.get().map(|sessions| sessions.caller(headers, uri, now));
        if let Some(caller) = session.transpose()?.flatten() {
            return Ok(caller);
        }
        match bearer(headers) {
            Some(token) => {
                let user = self.token(&token, &self.audiences, now);
                user.map(|user| user.caller).map_err(|why| {
                    tracing::debug!(%why, "a bearer token was refused");
                    Status::unauthorized()
                })
            }
            None => Ok(Caller::anonymous()),
        }
    }

    /// The user of a token that carries one of the audiences; this server's own when none is named.
    ///
    /// # Errors
    /// Says why it does not hold.
    pub fn token(&self, token: &str, audiences: &[String], now: SystemTime) -> Result<TokenUser, Refusal> {
        let claims = self.keys.verify_claims(token, &[&self.issuer]).map_err(|_| Refusal::Foreign)?;
        claims.check_times(now).map_err(|e| Refusal::Stale(e.to_string()))?;
        let wanted = if audiences.is_empty() { &self.audiences } else { audiences };
        let shared: Vec<String> = wanted.iter().filter(|a| claims.aud.contains(a)).cloned().collect();
        if shared.is_empty() {
            let why = format!("token audiences {:?} is invalid for the target audiences {wanted:?}", claims.aud);
            return Err(Refusal::Stale(why));
        }
        let caller = self.holder(&claims).map_err(Refusal::Stale)?;
        Ok(TokenUser { caller, audiences: shared })
    }

    /// The service account of checked claims, whose objects must still be there.
    fn holder(&self, claims: &Claims) -> Result<Caller, String> {
        let bound = &claims.kubernetes;
        let (namespace, account) = (bound.namespace.as_str(), &bound.serviceaccount);
        self.alive("serviceaccounts", namespace, &account.name, &account.uid)?;
        let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        let name = format!("system:serviceaccount:{namespace}:{}", account.name);
        let mut caller = Caller::authenticated(name, groups).with_uid(account.uid.as_str());
        if !claims.jti.is_empty() {
            caller = caller.with_extra(CREDENTIAL_ID, format!("JTI={}", claims.jti));
        }
        if let Some(pod) = &bound.pod {
            self.alive("pods", namespace, &pod.name, &pod.uid)?;
            caller = caller.with_extra("authentication.kubernetes.io/pod-name", pod.name.as_str());
            caller = caller.with_extra("authentication.kubernetes.io/pod-uid", pod.uid.as_str());
        }
        if let Some(secret) = &bound.secret {
            self.alive("secrets", namespace, &secret.name, &secret.uid)?;
        }
        if let Some(node) = &bound.node {
            if bound.pod.is_none() {
                self.alive("nodes", "", &node.name, &node.uid)?;
            }
            caller = caller.with_extra("authentication.kubernetes.io/node-name", node.name.as_str());
            caller = caller.with_extra("authentication.kubernetes.io/node-uid", node.uid.as_str());
        }
        Ok(caller)
    }

    /// The object that a token is bound to must be there, be the same one, and not be long dead.
    fn alive(&self, plural: &str, namespace: &str, name: &str, uid: &str) -> Result<(), String> {
        let catalog = self.catalog.load();
        let resource = catalog.find("", "v1", plural).ok_or("the kind is not served")?;
        let entry = self.store.get(&resource.key(namespace, name));
        let object: Tree = match entry {
            Some(entry) => objects::tree(resource, &entry).map_err(|e| e.message)?,
            None => return Err(format!("the token is bound to {plural} {namespace}/{name}, which is gone")),
        };
        if meta::uid(&object) != uid {
            return Err(format!("the token is bound to another {plural} {namespace}/{name}"));
        }
        Ok(())
    }
}

const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// The bearer token of a request: in its header, or as a WebSocket protocol, where browsers can set no header.
fn bearer(headers: &http::HeaderMap) -> Option<String> {
    let given = headers.get(http::header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    if let Some((scheme, token)) = given.and_then(|v| v.trim().split_once(' '))
        && scheme.eq_ignore_ascii_case("bearer")
        && !token.trim().is_empty()
    {
        return Some(token.trim().to_owned());
    }
    let protocols = headers.get_all(http::header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok());
    let mut encoded = protocols.flat_map(|v| v.split(',')).filter_map(|p| p.trim().strip_prefix(PROTOCOL_PREFIX));
    let bytes = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, encoded.next()?).ok()?;
    String::from_utf8(bytes).ok()
}

const PROTOCOL_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_in_the_header_and_in_the_protocols() {
        let mut headers = http::HeaderMap::new();
        assert_eq!(bearer(&headers), None);
        headers.insert(
            http::header::SEC_WEBSOCKET_PROTOCOL,
            "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.YWJj".parse().unwrap(),
        );
        assert_eq!(bearer(&headers).as_deref(), Some("abc"));
        headers.insert(http::header::AUTHORIZATION, "Bearer xyz".parse().unwrap());
        assert_eq!(bearer(&headers).as_deref(), Some("xyz"));
    }
}
