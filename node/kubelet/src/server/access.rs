//! Who may use the kubelet's API. A client certificate of the cluster or a bearer token says who; the API server judges
//! tokens (`TokenReview`) and what each may do (`SubjectAccessReview`). Rules of
//! `k8s.io/kubernetes/pkg/kubelet/server/auth.go`.

use super::answer::Refusal;
use client::Client;
use http::{HeaderMap, Method};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use pki::Identity;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Judgements that are kept, of each kind: some for each client of the kubelet, which are few. Upstream keeps 8192.
const KEPT_MAX: usize = 1024;
/// How long a judged token is believed; upstream's default of the kubelet.
const TOKEN_KEPT: Duration = Duration::from_secs(2 * 60);
/// How long a permission holds; upstream's default of the kubelet.
const ALLOWED_KEPT: Duration = Duration::from_secs(5 * 60);
/// How long a refusal holds; upstream's default of the kubelet.
const REFUSED_KEPT: Duration = Duration::from_secs(30);

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    /// Name.
    pub name: String,
    /// UID; empty when unknown.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// What else is known.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl From<&Identity> for User {
    fn from(identity: &Identity) -> User {
        let mut groups = identity.groups.clone();
        groups.push("system:authenticated".to_owned());
        User { name: identity.user.clone(), uid: identity.uid.clone(), groups, extra: BTreeMap::new() }
    }
}

/// The verb and the subresources of the node that a request stands for; one of them must be allowed.
#[must_use]
pub fn attributes(method: &Method, path: &str) -> (&'static str, Vec<&'static str>) {
    let verb = match method.as_str() {
        "POST" => "create",
        "GET" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    };
    let below = |root: &str| path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    let known = |table: &[(&str, &'static str)]| table.iter().find(|(root, _)| below(root)).map(|(_, sub)| *sub);
    let fine = known(&[("/pods", "pods"), ("/healthz", "healthz"), ("/configz", "configz"), ("/runningpods", "pods")]);
    let coarse = known(&[
        ("/stats", "stats"),
        ("/metrics", "metrics"),
        ("/logs", "log"),
        ("/checkpoint", "checkpoint"),
        ("/statusz", "statusz"),
        ("/flagz", "configz"),
    ]);
    (verb, fine.into_iter().chain([coarse.unwrap_or("proxy")]).collect())
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

/// Answers that hold for a time.
struct Kept<K, V>(Mutex<HashMap<K, (V, Instant)>>);

impl<K: Clone + Eq + Hash, V: Clone> Kept<K, V> {
    fn new() -> Self {
        Self(Mutex::default())
    }

    fn get(&self, key: &K, now: Instant) -> Option<V> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).filter(|(_, until)| *until > now).map(|(value, _)| value.clone())
    }

    fn keep(&self, key: K, value: V, now: Instant, life: Duration) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, (_, until)| *until > now);
        }
        if kept.len() >= KEPT_MAX {
            // All of them still hold: the one that runs out first makes room.
            let first = kept.iter().min_by_key(|(_, (_, until))| *until).map(|(key, _)| key.clone());
            first.and_then(|key| kept.remove(&key));
        }
        kept.insert(key, (value, now + life));
    }
}

/// Judges requests.
pub struct Access {
    client: Client,
    node: String,
    /// By the token's digest, so that no token lies in memory for longer than its request.
    tokens: Kept<Vec<u8>, Option<User>>,
    decisions: Kept<(User, &'static str, &'static str), bool>,
}

impl Access {
    /// Judges by the API server, as a client with the kubelet's own user, for the node of that name.
    #[must_use]
    pub fn new(client: Client, node: &str) -> Access {
        Access { client, node: node.to_owned(), tokens: Kept::new(), decisions: Kept::new() }
    }

    /// Lets a request pass or refuses it.
    ///
    /// # Errors
    /// 401 without credentials that hold, 403 without the right, 500 when the API server cannot be asked.
    pub async fn check(
        &self,
        certificate: Option<&Identity>,
        headers: &HeaderMap,
        method: &Method,
        path: &str,
    ) -> Result<(), Refusal> {
        let user = match (certificate, bearer(headers)) {
            (Some(identity), _) => User::from(identity),
            (None, Some(token)) => self.holder(token).await?.ok_or_else(unauthorized)?,
            (None, None) => return Err(unauthorized()),
        };
        let (verb, subresources) = attributes(method, path);
        for subresource in &subresources {
            if self.allowed(&user, verb, subresource).await? {
                return Ok(());
            }
        }
        Err(Refusal::new(
            403,
            format!(
                "Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{}])\n",
                user.name,
                subresources.join(" ")
            ),
        ))
    }

    async fn holder(&self, token: &str) -> Result<Option<User>, Refusal> {
        let (now, key) =
            (Instant::now(), ring::digest::digest(&ring::digest::SHA256, token.as_bytes()).as_ref().to_vec());
        if let Some(user) = self.tokens.get(&key, now) {
            return Ok(user);
        }
        let spec = TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let review = self.client.of::<TokenReview>().create("", &review).await.map_err(|status| {
            tracing::warn!(error = status.message, "a token could not be judged");
            unauthorized()
        })?;
        let status = review.status.unwrap_or_default();
        let user = status.user.filter(|_| status.authenticated == Some(true)).map(|user| User {
            name: user.username.unwrap_or_default(),
            uid: user.uid.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default(),
        });
        self.tokens.keep(key, user.clone(), now, if user.is_some() { TOKEN_KEPT } else { REFUSED_KEPT });
        Ok(user)
    }

    async fn allowed(&self, user: &User, verb: &'static str, subresource: &'static str) -> Result<bool, Refusal> {
        let (now, key) = (Instant::now(), (user.clone(), verb, subresource));
        if let Some(allowed) = self.decisions.get(&key, now) {
            return Ok(allowed);
        }
        let attributes = ResourceAttributes {
            verb: Some(verb.to_owned()),
            version: Some("v1".to_owned()),
            resource: Some("nodes".to_owned()),
            subresource: Some(subresource.to_owned()),
            name: Some(self.node.clone()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(user.name.clone()),
            uid: Some(user.uid.clone()).filter(|uid| !uid.is_empty()),
            groups: Some(user.groups.clone()),
            extra: Some(user.extra.clone()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let review = self.client.of::<SubjectAccessReview>().create("", &review).await.map_err(|status| {
            tracing::warn!(error = status.message, "a permission could not be judged");
            Refusal::new(
                500,
                format!(
                    "Authorization error (user={}, verb={verb}, resource=nodes, subresource={subresource})",
                    user.name
                ),
            )
        })?;
        let allowed = review.status.is_some_and(|status| status.allowed && status.denied != Some(true));
        self.decisions.keep(key, allowed, now, if allowed { ALLOWED_KEPT } else { REFUSED_KEPT });
        Ok(allowed)
    }
}

fn unauthorized() -> Refusal {
    Refusal::new(401, "Unauthorized")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stand_for_subresources_of_the_node() {
        let check = |path: &str| attributes(&Method::GET, path).1.join(",");
        assert_eq!(check("/pods"), "pods,proxy");
        assert_eq!(check("/runningpods/"), "pods,proxy");
        assert_eq!(check("/healthz/ping"), "healthz,proxy");
        assert_eq!(check("/configz"), "configz,proxy");
        assert_eq!(check("/stats/summary"), "stats");
        assert_eq!(check("/metrics/resource"), "metrics");
        assert_eq!(check("/metricsx"), "proxy");
        assert_eq!(check("/logs/x"), "log");
        assert_eq!(check("/exec/a/b/c"), "proxy");
        assert_eq!(attributes(&Method::POST, "/exec/a/b/c").0, "create");
        assert_eq!(attributes(&Method::HEAD, "/pods").0, "");
    }

    #[test]
    fn kept_answers_run_out_and_make_room() {
        let (kept, now) = (Kept::new(), Instant::now());
        kept.keep(0, 'a', now, Duration::from_secs(1));
        assert_eq!(kept.get(&0, now), Some('a'));
        assert_eq!(kept.get(&0, now + Duration::from_secs(1)), None);
        for n in 0..=KEPT_MAX {
            kept.keep(n, 'b', now, Duration::from_secs(2 + n as u64));
        }
        assert_eq!(kept.0.lock().unwrap().len(), KEPT_MAX);
        assert_eq!(kept.get(&0, now), None);
        assert_eq!(kept.get(&KEPT_MAX, now), Some('b'));
    }
}
