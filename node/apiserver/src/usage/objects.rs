//! `NodeMetrics` and `PodMetrics` from what is used.

use super::samples::Used;
use crate::clock::rfc3339;
use crate::objects::Indexed;
use api::quantity::{Format, Quantity};
use api::time::format_duration;
use api::{Tree, tree};

/// A node's object. `now` is its creation time, as metrics-server has it.
pub fn node(of: &Indexed, used: &Used, now: &str) -> Tree {
    let mut object = head(of, now, used);
    object.set("usage", amounts(used));
    object
}

/// A pod's object. Its time is that of the container that was measured first.
pub fn pod(of: &Indexed, containers: &[(String, Used)], now: &str) -> Option<Tree> {
    let first = containers.iter().map(|(_, used)| used).min_by_key(|used| used.at)?;
    let mut object = head(of, now, first);
    let one = |(name, used): &(String, Used)| tree!({"name": (name.as_str()), "usage": (amounts(used))});
    object.set("containers", Tree::List(containers.iter().map(one).collect()));
    Some(object)
}

fn head(of: &Indexed, now: &str, used: &Used) -> Tree {
    let mut metadata = tree!({"name": (of.name.as_str())});
    if !of.namespace.is_empty() {
        metadata.set("namespace", of.namespace.as_str());
    }
    metadata.set("creationTimestamp", now);
    if let Some(labels) = of.labels.as_ref().filter(|labels| !labels.is_empty()) {
        metadata.set("labels", labels.clone());
    }
    let window = i64::try_from(used.window.as_nanos()).unwrap_or(i64::MAX);
    tree!({"metadata": metadata, "timestamp": (rfc3339(used.at)), "window": (format_duration(window))})
}

fn amounts(used: &Used) -> Tree {
    let signed = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    // Canonical, as everything that the API writes: 1500000n is 1500u.
    let cpu = format!("{}n", used.nano_cores);
    let cpu = Quantity::canonical(&cpu).unwrap_or(cpu);
    let memory = Quantity::from_int(signed(used.memory), Format::BinarySi).to_string();
    tree!({"cpu": cpu, "memory": memory})
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{SignedDuration, Timestamp};

    fn used(nano_cores: u64, memory: u64) -> Used {
        let at: Timestamp = "2026-01-02T03:04:05.7Z".parse().unwrap();
        Used { nano_cores, memory, at, window: SignedDuration::from_millis(2500) }
    }

    #[test]
    fn amounts_are_canonical() {
        let of = Indexed { name: "n".to_owned(), ..Indexed::default() };
        let made = node(&of, &used(1_500_000, 3 << 20), "2026-01-02T03:04:06Z");
        let wants = tree!({
            "metadata": {"name": "n", "creationTimestamp": "2026-01-02T03:04:06Z"},
            "timestamp": "2026-01-02T03:04:05Z",
            "window": "2.5s",
            "usage": {"cpu": "1500u", "memory": "3Mi"}
        });
        assert_eq!(made, wants);
        assert_eq!(amounts(&used(0, 0)), tree!({"cpu": "0", "memory": "0"}));
    }

    #[test]
    fn a_pod_without_containers_has_no_object() {
        let of = Indexed { name: "p".to_owned(), namespace: "ns".to_owned(), ..Indexed::default() };
        let made = pod(&of, &[("a".to_owned(), used(7, 1 << 20))], "2026-01-02T03:04:06Z").unwrap();
        assert_eq!(made.at(&["containers"]), Some(&tree!([{"name": "a", "usage": {"cpu": "7n", "memory": "1Mi"}}])));
        assert_eq!(pod(&of, &[], ""), None);
    }
}
