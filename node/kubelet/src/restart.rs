//! Whether and when an ended container starts again. Rules as upstream's `ContainerShouldRestart` and its back-off.
//!
//! It must not know a clock: times come in.

use crate::pod;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, Pod};
use std::collections::BTreeMap;

/// The first wait between restarts.
pub const FIRST: SignedDuration = SignedDuration::from_secs(10);
/// The longest wait.
pub const LONGEST: SignedDuration = SignedDuration::from_secs(300);
/// A container that ran for so long after its restart starts anew at the first wait.
pub const FORGIVEN: SignedDuration = SignedDuration::from_secs(600);

/// Whether a failure of the container is followed by a restart at all.
#[must_use]
pub fn after_failure(pod: &Pod, container: &Container) -> bool {
    container.restart_policy.as_deref().unwrap_or(pod::restart_policy(pod)) != "Never"
}

fn applies(rule: &ContainerRestartRule, exit_code: i32) -> bool {
    let Some(codes) = rule.exit_codes.as_ref() else { return false };
    let named = codes.values.iter().flatten().any(|value| *value == exit_code);
    match codes.operator.as_str() {
        "In" => named,
        "NotIn" => !named,
        _ => false,
    }
}

/// Whether a container that ended with this code starts again: by its own rules, its own policy, the pod's policy.
#[must_use]
pub fn after(pod: &Pod, container: &Container, exit_code: i32) -> bool {
    let rules = container.restart_policy_rules.iter().flatten();
    if let Some(rule) = rules.into_iter().find(|rule| applies(rule, exit_code)) {
        return rule.action == "Restart";
    }
    match container.restart_policy.as_deref().unwrap_or(pod::restart_policy(pod)) {
        "Never" => false,
        "OnFailure" => exit_code != 0,
        _ => true,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    wait: SignedDuration,
    at: Timestamp,
}

/// The waits of one pod's containers (or images), by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backoffs(BTreeMap<String, Entry>);

impl Backoffs {
    /// When `name`, which ended at `ended`, may start again, and how long that wait is; `None` for now.
    #[must_use]
    pub fn until(&self, name: &str, ended: Timestamp, now: Timestamp) -> Option<(Timestamp, SignedDuration)> {
        let entry = self.0.get(name)?;
        if ended.duration_since(entry.at) > FORGIVEN {
            return None;
        }
        let until = ended.saturating_add(entry.wait).unwrap_or(Timestamp::MAX);
        (until > now).then_some((until, entry.wait))
    }

    /// Notes a start of `name` that follows its end at `ended`: the next wait is twice as long.
    pub fn next(&mut self, name: &str, ended: Timestamp, now: Timestamp) {
        let wait = match self.0.get(name) {
            Some(entry) if ended.duration_since(entry.at) <= FORGIVEN => (entry.wait * 2).min(LONGEST),
            _ => FIRST,
        };
        self.0.insert(name.to_owned(), Entry { wait, at: now });
    }

    /// Takes over what an annotation remembers, unless something newer is known.
    pub fn adopt(&mut self, name: &str, seconds: i64, at: Timestamp) {
        if seconds > 0 {
            let wait = SignedDuration::from_secs(seconds).min(LONGEST);
            self.0.entry(name.to_owned()).or_insert(Entry { wait, at });
        }
    }

    /// The present wait, seconds; 0 without one.
    #[must_use]
    pub fn seconds(&self, name: &str) -> i64 {
        self.0.get(name).map_or(0, |entry| entry.wait.as_secs())
    }

    /// Forgets the wait of `name`.
    pub fn clear(&mut self, name: &str) {
        self.0.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    #[test]
    fn waits_double_to_five_minutes_and_are_forgiven_after_ten() {
        let mut waits = Backoffs::default();
        assert_eq!(waits.until("a", at(0), at(0)), None, "the first restart is at once");
        let mut now = 0;
        let mut seen = Vec::new();
        for _ in 0..7 {
            waits.next("a", at(now), at(now));
            let (until, wait) = waits.until("a", at(now + 1), at(now + 1)).unwrap();
            seen.push(wait.as_secs());
            now = until.as_second() - 1_000_000;
        }
        assert_eq!(seen, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(waits.until("a", at(now + 601), at(now + 601)), None);
        waits.next("a", at(now + 601), at(now + 601));
        assert_eq!(waits.seconds("a"), 10);
    }

    #[test]
    fn what_an_annotation_remembers_goes_on_doubling() {
        let mut waits = Backoffs::default();
        waits.adopt("a", 40, at(0));
        assert_eq!(waits.until("a", at(5), at(5)).unwrap().0, at(45));
        waits.adopt("a", 10, at(0));
        waits.next("a", at(5), at(45));
        assert_eq!(waits.seconds("a"), 80);
    }

    fn check(pod_policy: &str, container: serde_json::Value, code: i32, restarts: bool) {
        let pod: Pod =
            serde_json::from_value(json!({"spec": {"restartPolicy": pod_policy, "containers": []}})).unwrap();
        let mut whole = container.clone();
        whole["name"] = json!("c");
        let parsed: Container = serde_json::from_value(whole).unwrap();
        assert_eq!(after(&pod, &parsed, code), restarts, "{pod_policy} {container} {code}");
    }

    #[test]
    fn rules_go_before_the_containers_policy_and_that_before_the_pods() {
        check("Always", json!({}), 0, true);
        check("OnFailure", json!({}), 0, false);
        check("OnFailure", json!({}), 1, true);
        check("Never", json!({}), 1, false);
        check("Never", json!({"restartPolicy": "OnFailure"}), 1, true);
        let rule = json!({"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}});
        check("Never", json!({"restartPolicy": "Never", "restartPolicyRules": [rule]}), 42, true);
        check("Never", json!({"restartPolicy": "Never", "restartPolicyRules": [rule]}), 41, false);
    }
}
