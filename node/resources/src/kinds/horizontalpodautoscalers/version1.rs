//! Version 1 of HorizontalPodAutoscaler over storage of version 2 (`pkg/apis/autoscaling/v1/conversion.go`). Metrics
//! other than the CPU's, behaviour and conditions travel in annotations.

use super::{METRICS, cpu};
use crate::kind::Conversion;
use api::{Quantity, Tree, tree};

const SPECS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const STATUSES: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const OWN: [&str; 4] = [SPECS, STATUSES, CONDITIONS, BEHAVIOR];
const PERCENT: [&str; 2] = ["spec", "targetCPUUtilizationPercentage"];
const CURRENT: [&str; 2] = ["status", "currentCPUUtilizationPercentage"];

/// How version 1 differs from what is stored.
pub const VERSION_1: Conversion =
    Conversion { stored: ("autoscaling", "horizontalpodautoscalers"), to_stored, from_stored };

/// Where a metric of a type stands: `ContainerResource` in `containerResource`.
pub fn field(kind: &str) -> String {
    let mut letters = kind.chars();
    letters.next().map(|first| first.to_ascii_lowercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// A flat member of version 1, and where version 2 has its value.
type Flat = (&'static str, &'static [&'static str]);

/// The flat members of version 1 by the type of metric. Absent ones stay absent in version 2.
const FLAT: &[(&str, &[Flat])] = &[
    (
        "object",
        &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("selector", &["metric", "selector"]),
            ("targetValue", &["target", "value"]),
            ("averageValue", &["target", "averageValue"]),
            ("currentValue", &["current", "value"]),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", &["metric", "name"]),
            ("selector", &["metric", "selector"]),
            ("targetAverageValue", &["target", "averageValue"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
    ),
    (
        "external",
        &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("targetValue", &["target", "value"]),
            ("targetAverageValue", &["target", "averageValue"]),
            ("currentValue", &["current", "value"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
    ),
    ("resource", RESOURCE),
    ("containerResource", RESOURCE),
];
const RESOURCE: &[(&str, &[&str])] = &[
    ("name", &["name"]),
    ("container", &["container"]),
    ("targetAverageUtilization", &["target", "averageUtilization"]),
    ("targetAverageValue", &["target", "averageValue"]),
    ("currentAverageUtilization", &["current", "averageUtilization"]),
    ("currentAverageValue", &["current", "averageValue"]),
];

fn flat(metric: &Tree) -> Tree {
    let mut out = tree!({"type": (metric.str_at(&["type"]).unwrap_or_default())});
    for (form, members) in FLAT {
        let Some(source) = metric.get(form).filter(|s| s.as_map().is_some()) else { continue };
        let mut flat = Tree::map();
        for (name, path) in *members {
            // An average of an object metric stands under one name in targets and values.
            let value = source.at(path).filter(|v| !v.is_null());
            value.into_iter().for_each(|value| flat.set(*name, value.clone()));
        }
        let average = source.at(&["current", "averageValue"]).filter(|_| *form == "object");
        average.into_iter().for_each(|value| flat.set("averageValue", value.clone()));
        out.set(*form, flat);
    }
    out
}

fn nested(metric: &Tree, status: bool) -> Tree {
    let mut out = tree!({"type": (metric.str_at(&["type"]).unwrap_or_default())});
    for (form, members) in FLAT {
        let Some(source) = metric.get(form).filter(|s| s.as_map().is_some()) else { continue };
        let mut nested = Tree::map();
        for (name, path) in *members {
            if let Some(value) = source.get(name).filter(|v| !v.is_null()) {
                let in_status = status && *form == "object" && *name == "averageValue";
                nested.set_at(if in_status { &["current", "averageValue"] } else { path }, value.clone());
            }
        }
        if !status {
            let has = |value: &str| nested.at(&["target", value]).is_some();
            let zero = |t: &str| Quantity::parse(t).is_ok_and(|q| q.is_zero());
            if has("averageValue") && nested.str_at(&["target", "value"]).is_some_and(zero) {
                nested.remove_at(&["target", "value"]);
            }
            let has = |value: &str| nested.at(&["target", value]).is_some();
            let kind = match *form {
                "object" if has("averageValue") => "AverageValue",
                "object" => "Value",
                "external" if has("value") => "Value",
                "resource" | "containerResource" if has("averageUtilization") => "Utilization",
                _ => "AverageValue",
            };
            nested.set_at(&["target", "type"], kind);
        }
        out.set(*form, nested);
    }
    out
}

fn cpu_percent(metric: &Tree, of: &str) -> Option<i64> {
    let resource = metric.get("resource").filter(|r| r.str_at(&["name"]) == Some("cpu"))?;
    resource.int_at(&[of, "averageUtilization"])
}

fn annotation(object: &Tree, key: &str) -> Option<Tree> {
    Tree::from_json(api::meta::annotation(object, key)?.as_bytes()).ok().map(|decoded| decoded.tree)
}

fn to_stored(object: &mut Tree) {
    object.set("apiVersion", "autoscaling/v2");
    let given = object.remove_at(&PERCENT).and_then(|p| p.as_int());
    let other = annotation(object, SPECS);
    let mut metrics: Vec<Tree> =
        other.iter().flat_map(|l| l.as_list().unwrap_or_default()).map(|m| nested(m, false)).collect();
    metrics.extend(given.map(cpu));
    if metrics.is_empty() {
        metrics.push(cpu(super::CPU_PERCENT));
    }
    object.set_at(&METRICS, metrics);
    if let Some(behavior) = annotation(object, BEHAVIOR) {
        object.set_at(&["spec", "behavior"], behavior);
    }
    let current = object.remove_at(&CURRENT).and_then(|p| p.as_int());
    if let Some(list) = annotation(object, STATUSES) {
        let list: Vec<Tree> = list.as_list().unwrap_or_default().iter().map(|m| nested(m, true)).collect();
        object.set_at(&["status", "currentMetrics"], list);
    } else if let Some(percent) = current {
        let one = tree!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}});
        object.set_at(&["status", "currentMetrics"], vec![one]);
    }
    if let Some(conditions) = annotation(object, CONDITIONS) {
        object.set_at(&["status", "conditions"], conditions);
    }
    forget(object);
}

fn forget(object: &mut Tree) {
    for key in OWN {
        object.remove_at(&["metadata", "annotations", key]);
    }
    if object.map_at(&["metadata", "annotations"]).is_some_and(api::Map::is_empty) {
        object.remove_at(&["metadata", "annotations"]);
    }
}

fn from_stored(object: &mut Tree) {
    object.set("apiVersion", "autoscaling/v1");
    forget(object);
    let list = |tree: Option<Tree>| match tree {
        Some(Tree::List(items)) => items,
        _ => Vec::new(),
    };
    let metrics = list(object.remove_at(&METRICS));
    let statuses = list(object.remove_at(&["status", "currentMetrics"]));
    let (cpus, others): (Vec<_>, Vec<_>) = metrics.iter().partition(|m| cpu_percent(m, "target").is_some());
    if let Some(percent) = cpus.first().and_then(|m| cpu_percent(m, "target")) {
        object.set_at(&PERCENT, percent);
    }
    if let Some(percent) = statuses.iter().rev().find_map(|m| cpu_percent(m, "current")) {
        object.set_at(&CURRENT, percent);
    }
    let notes = [
        (SPECS, Some(Tree::List(others.into_iter().map(flat).collect()))),
        (STATUSES, Some(Tree::List(statuses.iter().map(flat).collect()))),
        (BEHAVIOR, object.remove_at(&["spec", "behavior"])),
        (CONDITIONS, object.remove_at(&["status", "conditions"])),
    ];
    for (key, value) in notes {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            object.set_at(&["metadata", "annotations", key], value.to_json_text());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_keeps_what_it_does_not_know() {
        let target = tree!({"type": "AverageValue", "averageValue": "10"});
        let pods = tree!({"type": "Pods", "pods": {"metric": {"name": "m"}, "target": target}});
        let metrics = Tree::List(vec![pods, cpu(50)]);
        let stored = tree!({"apiVersion": "autoscaling/v2", "metadata": {"name": "a"},
            "spec": {"maxReplicas": 3, "metrics": metrics}, "status": {"currentReplicas": 1}});
        let mut object = stored.clone();
        from_stored(&mut object);
        assert_eq!(object.int_at(&PERCENT), Some(50));
        to_stored(&mut object);
        assert_eq!(object, stored);
    }
}
