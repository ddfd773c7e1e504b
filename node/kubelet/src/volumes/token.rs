//! Tokens of service accounts in files: asked for, kept, and replaced well before they end. Times as upstream's
//! `pkg/kubelet/token`: at 80 % of a token's life, and after a day at the latest.
//!
//! It must not know where the token goes.

use super::plugin::Job;
use client::Meta;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccountTokenProjection;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A token is replaced after so many hundredths of its life.
pub const RENEW_PERCENT: i64 = 80;
/// A token is replaced after this time even when it lives longer: a new one speaks for the account as it is now.
pub const RENEW_AFTER_MAX: SignedDuration = SignedDuration::from_hours(24);
/// Life of a token for which nobody says any; the API server's default. Seconds.
const LIFE: i64 = 3600;
/// When a token could not be replaced it is tried again after this time; it is still good for a fifth of its life.
pub const RETRY: SignedDuration = SignedDuration::from_secs(60);

/// Whose token: pod uid, volume, path in it.
type Key = (String, String, String);

struct Kept {
    token: String,
    spec: TokenRequestSpec,
    renew: Timestamp,
    ends: Timestamp,
}

/// The tokens of this node's pods. They are in memory only: after a restart new ones are asked for.
#[derive(Default)]
pub struct Tokens(Mutex<HashMap<Key, Kept>>);

/// When a token is to be replaced. Pure.
#[must_use]
pub fn renewal(now: Timestamp, ends: Timestamp) -> Timestamp {
    let life = ends.duration_since(now).max(SignedDuration::ZERO);
    let wait = SignedDuration::from_secs(life.as_secs() * RENEW_PERCENT / 100).min(RENEW_AFTER_MAX);
    now.checked_add(wait).unwrap_or(ends)
}

impl Tokens {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the first token of a pod wants to be replaced.
    #[must_use]
    pub fn next(&self, uid: &str) -> Option<Timestamp> {
        self.lock().iter().filter(|((pod, _, _), _)| pod == uid).map(|(_, kept)| kept.renew).min()
    }

    /// Forgets a pod.
    pub fn forget(&self, uid: &str) {
        self.lock().retain(|(pod, _, _), _| pod != uid);
    }

    /// A token that is good for a while.
    ///
    /// # Errors
    /// When there is none and the server gives none.
    pub async fn get(&self, job: &Job<'_>, wanted: &ServiceAccountTokenProjection) -> Result<String, String> {
        let key = (job.pod.uid().to_owned(), job.volume.name.clone(), wanted.path.clone());
        let spec = ask(job, wanted);
        let old = self.lock().get(&key).filter(|k| k.spec == spec).map(|k| (k.token.clone(), k.renew, k.ends));
        if let Some((token, renew, _)) = &old
            && job.now < *renew
        {
            return Ok(token.clone());
        }
        let account = job.pod.spec.as_ref().and_then(|s| s.service_account_name.as_deref()).unwrap_or("default");
        match job.objects.token(job.namespace(), account, spec.clone()).await {
            Ok(made) => {
                let (Some(token), Some(ends)) = (made.token, made.expiration_timestamp.map(|time| time.0)) else {
                    return Err("failed to fetch token: the server's answer has no token or no end of it".to_owned());
                };
                let kept = Kept { token: token.clone(), spec, renew: renewal(job.now, ends), ends };
                self.lock().insert(key, kept);
                Ok(token)
            }
            Err(status) => match old {
                Some((token, _, ends)) if job.now < ends => {
                    tracing::warn!(pod = job.pod.name(), %status, "a token could not be replaced; the old one is still good");
                    if let Some(kept) = self.lock().get_mut(&key) {
                        kept.renew = job.now.checked_add(RETRY).unwrap_or(ends);
                    }
                    Ok(token)
                }
                _ => Err(format!("failed to fetch token: {status}")),
            },
        }
    }
}

fn ask(job: &Job<'_>, wanted: &ServiceAccountTokenProjection) -> TokenRequestSpec {
    TokenRequestSpec {
        audiences: wanted.audience.clone().filter(|a| !a.is_empty()).map(|audience| vec![audience]),
        expiration_seconds: Some(wanted.expiration_seconds.unwrap_or(LIFE)),
        bound_object_ref: Some(BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(job.pod.name().to_owned()),
            uid: Some(job.pod.uid().to_owned()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_replaced_after_four_fifths_of_its_life_or_a_day() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(renewal(at(0), at(1000)), at(800));
        assert_eq!(renewal(at(0), at(100 * 24 * 3600)), at(24 * 3600));
        assert_eq!(renewal(at(10), at(5)), at(10));
    }
}
