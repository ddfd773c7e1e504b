//! What a service-account token says, as `k8s.io/kubernetes/pkg/serviceaccount/claims.go` and `legacy.go` have it.

use serde::{Deserialize, Deserializer, Serialize};
use std::time::{Duration, SystemTime};

/// How far clocks may be apart when times are checked (go-jose's default).
pub const LEEWAY: Duration = Duration::from_secs(60);
/// A requested life of this many seconds is that of tokens mounted by default; they get [`EXTENDED_SECONDS`] and a
/// `warnafter` at the life that was asked for.
pub const WARN_ONLY_SECONDS: i64 = 60 * 60 + 7;
/// The extended life of default tokens, seconds.
pub const EXTENDED_SECONDS: i64 = 365 * 24 * 60 * 60;

/// Name and UID of an object that a token is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its UID.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// The private claims of a bound token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kubernetes {
    /// Namespace of the service account.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The service account.
    #[serde(default)]
    pub serviceaccount: Reference,
    /// The pod that the token dies with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    /// The secret that the token dies with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    /// The node that the token dies with, or the node of its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    /// Seconds since 1970 after which use of the token is noted as stale.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "date")]
    pub warnafter: Option<i64>,
}

/// Everything a bound token says. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// For whom the token is meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "audiences")]
    pub aud: Vec<String>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "date")]
    pub exp: Option<i64>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "date")]
    pub iat: Option<i64>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub iss: String,
    /// Its own id, a UUID.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub jti: String,
    /// When it begins.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "date")]
    pub nbf: Option<i64>,
    /// The user: `system:serviceaccount:NAMESPACE:NAME`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sub: String,
    /// The private claims.
    #[serde(rename = "kubernetes.io", default)]
    pub kubernetes: Kubernetes,
}

/// What a token dies with besides its service account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Bound {
    /// Nothing more.
    #[default]
    Nothing,
    /// A pod, and the node it is on where that is known.
    Pod(Reference, Option<Reference>),
    /// A secret.
    Secret(Reference),
    /// A node.
    Node(Reference),
}

/// Which time of a token does not hold; the text is upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeFault {
    /// Its end is past.
    #[error("service account token has expired")]
    Expired,
    /// Its beginning is to come.
    #[error("service account token is not valid yet")]
    NotYetValid,
    /// It says that it was made later than now.
    #[error("service account token is issued in the future")]
    IssuedInFuture,
}

/// What a token is made from.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// The issuer.
    pub issuer: &'a str,
    /// Namespace of the service account.
    pub namespace: &'a str,
    /// The service account.
    pub account: Reference,
    /// What it dies with.
    pub bound: Bound,
    /// For whom it is meant.
    pub audiences: Vec<String>,
    /// How long it lives, seconds.
    pub seconds: i64,
    /// Seconds after which its use is noted as stale; 0 for never.
    pub warn_after: i64,
    /// Its own id, a fresh UUID.
    pub id: String,
}

fn seconds(at: SystemTime) -> i64 {
    i64::try_from(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}

impl Claims {
    /// The claims of a new token made at `now`.
    #[must_use]
    pub fn new(wanted: Wanted<'_>, now: SystemTime) -> Self {
        let now = seconds(now);
        let (pod, secret, node) = match wanted.bound {
            Bound::Nothing => (None, None, None),
            Bound::Pod(pod, node) => (Some(pod), None, node),
            Bound::Secret(secret) => (None, Some(secret), None),
            Bound::Node(node) => (None, None, Some(node)),
        };
        Self {
            sub: format!("system:serviceaccount:{}:{}", wanted.namespace, wanted.account.name),
            aud: wanted.audiences,
            exp: Some(now.saturating_add(wanted.seconds)),
            iat: Some(now),
            nbf: Some(now),
            iss: wanted.issuer.to_owned(),
            jti: wanted.id,
            kubernetes: Kubernetes {
                namespace: wanted.namespace.to_owned(),
                serviceaccount: wanted.account,
                pod,
                secret,
                node,
                warnafter: (wanted.warn_after != 0).then(|| now.saturating_add(wanted.warn_after)),
            },
        }
    }

    /// Whether the token is valid at `now`, give or take [`LEEWAY`].
    ///
    /// # Errors
    /// See [`TimeFault`].
    pub fn check_times(&self, now: SystemTime) -> Result<(), TimeFault> {
        let (now, leeway) = (seconds(now), seconds(SystemTime::UNIX_EPOCH + LEEWAY));
        if self.nbf.is_some_and(|nbf| now + leeway < nbf) {
            return Err(TimeFault::NotYetValid);
        }
        if self.exp.is_some_and(|exp| now - leeway > exp) {
            return Err(TimeFault::Expired);
        }
        if self.iat.is_some_and(|iat| now + leeway < iat) {
            return Err(TimeFault::IssuedInFuture);
        }
        Ok(())
    }

    /// Seconds by which `now` is past the point of staleness; for the audit annotation
    /// `authentication.k8s.io/stale-token`.
    #[must_use]
    pub fn stale_by(&self, now: SystemTime) -> Option<i64> {
        let after = self.kubernetes.warnafter.filter(|at| *at != 0)?;
        let over = seconds(now) - after;
        (over > 0).then_some(over)
    }
}

/// Issuer of the tokens that lie in secrets of type `kubernetes.io/service-account-token`.
pub const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// What a token in a secret says: it has no times and no audience and dies with its secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyClaims {
    /// Always [`LEGACY_ISSUER`].
    #[serde(default)]
    pub iss: String,
    /// The user: `system:serviceaccount:NAMESPACE:NAME`.
    #[serde(default)]
    pub sub: String,
    /// Namespace of the service account.
    #[serde(rename = "kubernetes.io/serviceaccount/namespace", default)]
    pub namespace: String,
    /// Name of the secret.
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name", default)]
    pub secret: String,
    /// Name of the service account.
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name", default)]
    pub account: String,
    /// UID of the service account.
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid", default)]
    pub account_uid: String,
}

impl LegacyClaims {
    /// The claims of the token in `secret`.
    #[must_use]
    pub fn new(namespace: &str, account: &str, account_uid: &str, secret: &str) -> Self {
        Self {
            iss: LEGACY_ISSUER.to_owned(),
            sub: format!("system:serviceaccount:{namespace}:{account}"),
            namespace: namespace.to_owned(),
            secret: secret.to_owned(),
            account: account.to_owned(),
            account_uid: account_uid.to_owned(),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

fn audiences<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

/// A NumericDate may have a fraction (RFC 7519 section 2); it is cut off.
fn date<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let number = Option::<serde_json::Number>::deserialize(from)?;
    // Float to integer casts saturate, which is right for a time beyond all times.
    Ok(number.and_then(|n| n.as_i64().or_else(|| n.as_f64().map(|f| f as i64))))
}
