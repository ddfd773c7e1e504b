//! What of a pod may change, on the pod itself and through its subresources.

use crate::kinds::place::{INT32_MAX, Place, out_of_range};
use crate::kinds::pod_spec::{annotation_changes, only_added_tolerations, only_removed_gates};
use crate::rules::{Faults, PLAIN, Rules};
use api::{FieldError, FieldPath, Tree};

/// How `/ephemeralcontainers` differs from a change of the pod: only those containers are taken from the request, and
/// those that are there stay as they are.
pub const EPHEMERAL_CONTAINERS: Rules = Rules {
    generation: true,
    default: super::default,
    on_update: take_ephemeral,
    validate: super::validate,
    validate_update: ephemeral,
    ..PLAIN
};

/// How `/resize` differs from a change of the pod: only amounts and policies of resizing are taken from the request.
pub const RESIZE: Rules = Rules {
    generation: true,
    default: super::default,
    on_update: take_resources,
    validate: super::validate,
    validate_update: resize,
    ..PLAIN
};

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Faults of a change of a pod.
pub(super) fn of_pod(object: &Tree, old: &Tree, faults: &mut Faults) {
    let (new, before) = (Place::root(object), Place::root(old));
    let annotations = ["metadata", "annotations"];
    annotation_changes(&new.down(&annotations), &before.down(&annotations), faults);
    let (spec, old_spec) = (new.at("spec"), before.at("spec"));
    for list in ["containers", "initContainers"] {
        if spec.at(list).len() != old_spec.at(list).len() {
            return spec.at(list).forbidden(faults, "pod updates may not add or remove containers");
        }
    }
    if !deadline(&spec.at("activeDeadlineSeconds"), old_spec.at("activeDeadlineSeconds").int(), faults) {
        return;
    }
    only_added_tolerations(&spec.at("tolerations"), old.list_at(&["spec", "tolerations"]), faults);
    only_removed_gates(&spec.at("schedulingGates"), old.list_at(&["spec", "schedulingGates"]), faults);
    let changed = changed_fields(spec.value, old_spec.value, faults);
    if !changed.is_empty() {
        let why = format!("pod updates may not change fields other than {UPDATABLE}\n{}", changed.join("\n"));
        spec.forbidden(faults, why);
    }
}

/// A deadline may come and shrink, not grow or go.
fn deadline(new: &Place, old: Option<i64>, faults: &mut Faults) -> bool {
    let why = match (new.int(), old) {
        (Some(new), _) if !(0..=INT32_MAX).contains(&new) => out_of_range(0, INT32_MAX),
        (Some(new), Some(old)) if old < new => "must be less than or equal to previous value".to_owned(),
        (None, Some(_)) => {
            new.invalid(faults, "must not update from a positive integer to nil value");
            return true;
        }
        _ => return true,
    };
    new.invalid(faults, why);
    false
}

/// The fields of the spec that changed although they may not.
fn changed_fields(new: &Tree, old: &Tree, faults: &mut Faults) -> Vec<String> {
    let mut munged = new.clone();
    for list in ["containers", "initContainers"] {
        let before = old.list_at(&[list]);
        let now = munged.get_mut(list).and_then(Tree::as_list_mut).into_iter().flatten();
        for (container, before) in now.zip(before) {
            container.set("image", before.get("image").cloned().unwrap_or_default());
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        put_back(&mut munged, old, field);
    }
    let grace = |spec: &Tree| spec.int_at(&["terminationGracePeriodSeconds"]);
    if grace(old).is_some_and(|seconds| seconds < 0) && grace(&munged) == Some(1) {
        put_back(&mut munged, old, "terminationGracePeriodSeconds");
    }
    if !old.list_at(&["schedulingGates"]).is_empty() {
        gated(&mut munged, old, faults);
    }
    let fields = |tree: &Tree| tree.as_map().map(|m| m.keys().map(ToString::to_string).collect::<Vec<_>>());
    let mut names = fields(&munged).unwrap_or_default();
    names.extend(fields(old).unwrap_or_default());
    names.sort();
    names.dedup();
    let same = |name: &str| {
        let (now, before) = (munged.get(name), old.get(name));
        now == before || (now.is_none_or(Tree::is_empty) && before.is_none_or(Tree::is_empty))
    };
    names.into_iter().filter(|name| !same(name)).map(|name| format!("spec.{name}")).collect()
}

fn put_back(spec: &mut Tree, old: &Tree, field: &str) {
    match old.get(field) {
        Some(before) => spec.set(field, before.clone()),
        None => {
            spec.remove(field);
        }
    }
}

/// While gates hold a pod back, where it may run can be narrowed.
fn gated(munged: &mut Tree, old: &Tree, faults: &mut Faults) {
    let path = FieldPath::of(&["spec"]);
    let selector = munged.get("nodeSelector");
    let kept = |(key, value): &(api::Name, Tree)| selector.and_then(|s| s.get(key)) == Some(value);
    if !old.map_at(&["nodeSelector"]).is_none_or(|before| before.iter().all(kept)) {
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        let shown = selector.cloned().unwrap_or_default();
        faults.push(FieldError::invalid(path.field("nodeSelector"), shown, why));
    }
    put_back(munged, old, "nodeSelector");
    const NODE: &[&str] = &["affinity", "nodeAffinity"];
    const TERMS: &[&str] =
        &["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"];
    let before = old.list_at(TERMS);
    let now = munged.list_at(TERMS);
    if !before.is_empty() && now != before {
        let at = path.field("affinity").field("nodeAffinity").field(TERMS[2]).field(TERMS[3]);
        if now.len() != before.len() {
            let why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
            faults.push(FieldError::invalid(at, now.to_vec(), why));
        } else {
            for (i, (now, before)) in now.iter().zip(before).enumerate() {
                let starts = |list: &str| now.list_at(&[list]).starts_with(before.list_at(&[list]));
                if (!before.is_empty() || now.is_empty()) && starts("matchExpressions") && starts("matchFields") {
                    continue;
                }
                let why = "only additions are allowed (no mutations or deletions)";
                faults.push(FieldError::invalid(at.index(i), now.clone(), why));
            }
        }
    }
    match old.at(NODE) {
        Some(before) => munged.set_at(NODE, before.clone()),
        None => {
            munged.remove_at(NODE);
            if old.get("affinity").is_none() && munged.get("affinity").is_some_and(Tree::is_empty) {
                munged.remove("affinity");
            }
        }
    }
}

fn take_ephemeral(object: &mut Tree, old: &Tree) {
    let asked = object.at(&["spec", "ephemeralContainers"]).cloned();
    let mut spec = old.get("spec").cloned().unwrap_or_default();
    match asked {
        Some(containers) => spec.set("ephemeralContainers", containers),
        None => {
            spec.remove("ephemeralContainers");
        }
    }
    object.set("spec", spec);
}

fn ephemeral(object: &Tree, old: &Tree, faults: &mut Faults) {
    let list = Place::root(object).down(&["spec", "ephemeralContainers"]);
    if api::meta::annotation(old, "kubernetes.io/config.mirror").is_some() {
        let why = "static pods do not support ephemeral containers";
        return faults.push(FieldError::forbidden(FieldPath::root(), why));
    }
    for before in old.list_at(&["spec", "ephemeralContainers"]) {
        let name = before.str_at(&["name"]).unwrap_or_default();
        match list.items().find(|now| now.at("name").text() == name) {
            None => list.forbidden(faults, format!("existing ephemeral containers {name:?} may not be removed\n")),
            Some(now) if now.value != before => {
                list.forbidden(faults, format!("existing ephemeral containers {name:?} may not be changed\n"));
            }
            Some(_) => {}
        }
    }
}

fn take_resources(object: &mut Tree, old: &Tree) {
    let asked = object.get("spec").cloned().unwrap_or_default();
    let mut spec = old.get("spec").cloned().unwrap_or_default();
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Tree::as_list_mut).into_iter().flatten() {
            let wish = asked.list_at(&[list]).iter().find(|c| c.get("name") == container.get("name"));
            for field in ["resources", "resizePolicy"] {
                match wish.and_then(|wish| wish.get(field)) {
                    Some(value) => container.set(field, value.clone()),
                    None => {
                        container.remove(field);
                    }
                }
            }
        }
    }
    object.set("spec", spec);
}

/// A resize changes CPU and memory, and neither the pod's class nor whether there is an amount at all.
fn resize(object: &Tree, old: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    if matches!(old.str_at(&["status", "phase"]), Some("Succeeded" | "Failed")) {
        return Place::root(object).forbidden(faults, "pod is terminated");
    }
    let class = |pod| pods::qos::compute(pod).ok();
    if class(object) != class(old) {
        let why = "Pod QOS Class may not change as a result of resizing";
        let shown = class(object).map_or("", pods::QosClass::name);
        faults.push(FieldError::invalid(spec.path.clone(), shown, why));
    }
    for list in ["containers", "initContainers"] {
        for (container, before) in spec.at(list).items().zip(old.list_at(&["spec", list])) {
            for side in ["limits", "requests"] {
                let now = container.at("resources").at(side);
                amounts(&now, before.at(&["resources", side]), side, faults);
            }
        }
    }
}

fn amounts(now: &Place, before: Option<&Tree>, side: &str, faults: &mut Faults) {
    let old = |name: &str| before.and_then(|list| list.get(name));
    for name in ["cpu", "memory"] {
        if old(name).is_some() && !now.at(name).given() {
            now.forbidden(faults, format!("resource {side} cannot be removed"));
        }
    }
    let names = now.entries().map(|(name, _)| name.to_owned());
    let gone = before.and_then(Tree::as_map).into_iter().flat_map(api::Map::keys).map(ToString::to_string);
    for name in names.chain(gone).filter(|name| name != "cpu" && name != "memory") {
        if now.value.get(&name) != old(&name) {
            return now.forbidden(faults, "only cpu and memory resources are mutable");
        }
    }
}
