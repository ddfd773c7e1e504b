//! Taints of nodes and the tolerations of pods.

use api::Tree;

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// No new ones come.
    NoSchedule,
    /// New ones come only when there is no other place.
    PreferNoSchedule,
    /// No new ones come, and those that are there go.
    NoExecute,
}

impl Effect {
    /// The effect of a taint; `None` for one that this version does not know.
    #[must_use]
    pub fn of(taint: &Tree) -> Option<Self> {
        match taint.str_at(&["effect"])? {
            "NoSchedule" => Some(Self::NoSchedule),
            "PreferNoSchedule" => Some(Self::PreferNoSchedule),
            "NoExecute" => Some(Self::NoExecute),
            _ => None,
        }
    }
}

fn field<'a>(object: &'a Tree, name: &str) -> &'a str {
    object.str_at(&[name]).unwrap_or_default()
}

/// Whether one toleration covers one taint. The comparing operators `Lt` and `Gt` are behind a gate that is off in 1.36
/// and cover nothing.
#[must_use]
pub fn tolerates(toleration: &Tree, taint: &Tree) -> bool {
    let (effect, key) = (field(toleration, "effect"), field(toleration, "key"));
    if !effect.is_empty() && effect != field(taint, "effect") || !key.is_empty() && key != field(taint, "key") {
        return false;
    }
    match field(toleration, "operator") {
        "" | "Equal" => field(toleration, "value") == field(taint, "value"),
        "Exists" => true,
        _ => false,
    }
}

/// The first of `taints` with an effect in `effects` that none of `tolerations` covers.
#[must_use]
pub fn untolerated<'a>(taints: &'a [Tree], tolerations: &[Tree], effects: &[Effect]) -> Option<&'a Tree> {
    let counts = |taint: &&Tree| Effect::of(taint).is_some_and(|effect| effects.contains(&effect));
    taints.iter().filter(counts).find(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

/// The first taint of `node` that keeps a new `pod` away.
#[must_use]
pub fn keeps_away<'a>(pod: &Tree, node: &'a Tree) -> Option<&'a Tree> {
    let effects = [Effect::NoSchedule, Effect::NoExecute];
    untolerated(node.list_at(&["spec", "taints"]), pod.list_at(&["spec", "tolerations"]), &effects)
}

/// For how long `pod` may stay on a node with these `NoExecute` taints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// For ever.
    Forever,
    /// This many seconds from when the taint was seen; the least of all tolerations used.
    Seconds(i64),
    /// Not at all.
    Never,
}

/// How long `pod` may stay under the `NoExecute` taints among `taints`
/// (`k8s.io/kubernetes/pkg/controller/tainteviction`).
#[must_use]
pub fn stay(pod: &Tree, taints: &[Tree]) -> Stay {
    let tolerations = pod.list_at(&["spec", "tolerations"]);
    let mut least: Option<i64> = None;
    for taint in taints.iter().filter(|taint| Effect::of(taint) == Some(Effect::NoExecute)) {
        let Some(used) = tolerations.iter().find(|toleration| tolerates(toleration, taint)) else {
            return Stay::Never;
        };
        if let Some(seconds) = used.int_at(&["tolerationSeconds"]) {
            let seconds = seconds.max(0);
            least = Some(least.map_or(seconds, |other| other.min(seconds)));
        }
    }
    match least {
        None => Stay::Forever,
        Some(0) => Stay::Never,
        Some(seconds) => Stay::Seconds(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;
    use serde_json::{Value, json};

    fn check(toleration: Value, wants: bool) {
        let taint = tree(json!({"key": "k", "value": "v", "effect": "NoSchedule"}));
        assert_eq!(tolerates(&tree(toleration.clone()), &taint), wants, "{toleration}");
    }

    #[test]
    fn a_toleration_covers_by_key_value_and_effect() {
        check(json!({"key": "k", "value": "v"}), true);
        check(json!({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}), true);
        check(json!({"key": "k", "operator": "Equal", "value": "w"}), false);
        check(json!({"key": "k", "operator": "Exists"}), true);
        check(json!({"operator": "Exists"}), true);
        check(json!({"operator": "Exists", "effect": "NoExecute"}), false);
        check(json!({"key": "l", "operator": "Exists"}), false);
        check(json!({"key": "k", "operator": "Gt", "value": "0"}), false);
    }

    #[test]
    fn only_hard_taints_keep_a_pod_away() {
        let node = tree(json!({"spec": {"taints": [
            {"key": "soft", "effect": "PreferNoSchedule"}, {"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "NoExecute"}]}}));
        let away = |tolerations: Value| {
            let pod = tree(json!({"spec": {"tolerations": tolerations}}));
            keeps_away(&pod, &node).and_then(|taint| taint.str_at(&["key"])).map(str::to_owned)
        };
        assert_eq!(away(json!([])).as_deref(), Some("a"));
        assert_eq!(away(json!([{"key": "a", "operator": "Exists"}])).as_deref(), Some("b"));
        assert_eq!(away(json!([{"operator": "Exists"}])), None);
    }

    #[test]
    fn the_shortest_toleration_decides_how_long_a_pod_stays() {
        let taints = [
            tree(json!({"key": "a", "effect": "NoExecute"})),
            tree(json!({"key": "b", "effect": "NoExecute"})),
            tree(json!({"key": "c", "effect": "NoSchedule"})),
        ];
        let stays = |tolerations: Value| stay(&tree(json!({"spec": {"tolerations": tolerations}})), &taints);
        let one = |key: &str, seconds: Value| json!({"key": key, "operator": "Exists", "tolerationSeconds": seconds});
        assert_eq!(stays(json!([])), Stay::Never);
        assert_eq!(stays(json!([one("a", json!(300))])), Stay::Never);
        assert_eq!(stays(json!([one("a", json!(300)), one("b", json!(60))])), Stay::Seconds(60));
        assert_eq!(stays(json!([one("a", json!(300)), one("b", Value::Null)])), Stay::Seconds(300));
        assert_eq!(stays(json!([{"operator": "Exists"}])), Stay::Forever);
        assert_eq!(stays(json!([one("a", json!(-5)), one("b", Value::Null)])), Stay::Never);
        assert_eq!(stay(&tree(json!({})), &taints[2..]), Stay::Forever);
    }
}
