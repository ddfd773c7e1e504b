//! What pods get from classes and defaults: priority, tolerations, runtime class. Rules of
//! `k8s.io/kubernetes/plugin/pkg/admission/{priority,defaulttolerationseconds,runtimeclass}`.

use super::{Attributes, Operation};
use api::{Status, Tree, meta, tree};

/// How long a pod stays on a node that is not ready or not reachable, seconds; upstream's default.
const TOLERATION_SECONDS: i64 = 300;

/// Works out the priority of a pod.
pub fn priority(attributes: &Attributes, pod: &mut Tree) -> Result<(), Status> {
    if !attributes.is("", "pods") {
        return Ok(());
    }
    if let (Operation::Update, Some(old)) = (attributes.operation, attributes.old) {
        for field in ["priority", "preemptionPolicy"] {
            if let (None, Some(value)) = (pod.at(&["spec", field]), old.at(&["spec", field])) {
                pod.set_at(&["spec", field], value.clone());
            }
        }
        return Ok(());
    }
    if attributes.operation != Operation::Create {
        return Ok(());
    }
    let class = class_of(attributes, pod)?;
    let value = class.as_ref().and_then(|c| c.int_at(&["value"])).unwrap_or(0);
    let policy = class.as_ref().and_then(|c| c.str_at(&["preemptionPolicy"])).unwrap_or("PreemptLowerPriority");
    let name = meta::name(pod).to_owned();
    if let Some(given) = pod.int_at(&["spec", "priority"]).filter(|given| *given != value) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
        );
        return Err(attributes.forbidden(&name, why));
    }
    if let Some(given) = pod.str_at(&["spec", "preemptionPolicy"]).filter(|given| *given != policy) {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        );
        return Err(attributes.forbidden(&name, why));
    }
    if let Some(class) = &class {
        pod.set_at(&["spec", "priorityClassName"], meta::name(class));
    }
    pod.set_at(&["spec", "priority"], value);
    pod.set_at(&["spec", "preemptionPolicy"], policy);
    Ok(())
}

/// The priority class that a pod names, or the default one.
fn class_of(attributes: &Attributes, pod: &Tree) -> Result<Option<Tree>, Status> {
    let resource = attributes.server.resource("scheduling.k8s.io", "v1", "priorityclasses")?;
    let named = pod.str_at(&["spec", "priorityClassName"]).unwrap_or_default();
    if named.is_empty() {
        let classes = attributes.server.objects(&resource, "")?;
        let defaults = classes.into_iter().filter(|c| c.bool_at(&["globalDefault"]) == Some(true));
        // Of several, which only a race can leave behind, the lowest counts.
        return Ok(defaults.min_by_key(|c| c.int_at(&["value"])));
    }
    let found = attributes.server.object(&resource, "", named)?;
    found
        .map(Some)
        .ok_or_else(|| attributes.forbidden(meta::name(pod), format!("no PriorityClass with name {named} was found")))
}

/// Refuses a second default priority class.
pub fn one_default_priority(attributes: &Attributes, object: Option<&Tree>) -> Result<(), Status> {
    let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
    let Some(class) = object.filter(|_| writes && attributes.is("scheduling.k8s.io", "priorityclasses")) else {
        return Ok(());
    };
    if class.bool_at(&["globalDefault"]) != Some(true) {
        return Ok(());
    }
    let others = attributes.server.objects(&attributes.call.resource, "")?;
    let other =
        others.iter().find(|o| o.bool_at(&["globalDefault"]) == Some(true) && meta::name(o) != meta::name(class));
    match other.map(meta::name) {
        Some(name) => {
            let why = format!("PriorityClass {name} is already marked as default. Only one default can exist");
            Err(attributes.forbidden(meta::name(class), why))
        }
        None => Ok(()),
    }
}

/// Lets a pod stay for a while on a node in trouble.
pub fn default_tolerations(attributes: &Attributes, pod: &mut Tree) -> Result<(), Status> {
    let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
    if !writes || !attributes.is("", "pods") {
        return Ok(());
    }
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = pod.list_at(&["spec", "tolerations"]).iter().any(|t| {
            let own = t.str_at(&["key"]).unwrap_or_default();
            let effect = t.str_at(&["effect"]).unwrap_or_default();
            (own == key || own.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        });
        if !tolerated {
            let toleration = tree!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS
            });
            let list = pod.make_map().entry("spec").make_map().entry("tolerations");
            match list {
                Tree::List(items) => items.push(toleration),
                other => *other = Tree::List(vec![toleration]),
            }
        }
    }
    Ok(())
}

fn runtime_of(attributes: &Attributes, pod: &Tree) -> Result<Option<Tree>, Status> {
    let Some(name) = pod.str_at(&["spec", "runtimeClassName"]).filter(|_| attributes.creates("", "pods")) else {
        return Ok(None);
    };
    let resource = attributes.server.resource("node.k8s.io", "v1", "runtimeclasses")?;
    let found = attributes.server.object(&resource, "", name)?;
    found.map(Some).ok_or_else(|| {
        attributes.forbidden(meta::name(pod), format!("pod rejected: RuntimeClass \"{name}\" not found"))
    })
}

/// Takes overhead, node selector and tolerations from the runtime class.
pub fn runtime_class(attributes: &Attributes, pod: &mut Tree) -> Result<(), Status> {
    let Some(class) = runtime_of(attributes, pod)? else { return Ok(()) };
    let name = meta::name(pod).to_owned();
    if let Some(overhead) = class.at(&["overhead", "podFixed"]) {
        if pod.at(&["spec", "overhead"]).is_some_and(|own| !own.is_empty() && own != overhead) {
            let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
            return Err(attributes.forbidden(&name, why));
        }
        pod.set_at(&["spec", "overhead"], overhead.clone());
    }
    for (key, value) in class.map_at(&["scheduling", "nodeSelector"]).into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        if let Some(own) = pod.str_at(&["spec", "nodeSelector", key]).filter(|own| *own != value) {
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
            );
            return Err(attributes.forbidden(&name, why));
        }
        pod.set_at(&["spec", "nodeSelector", key], value);
    }
    let mut tolerations = pod.list_at(&["spec", "tolerations"]).to_vec();
    for toleration in class.list_at(&["scheduling", "tolerations"]) {
        if !tolerations.contains(toleration) {
            tolerations.push(toleration.clone());
        }
    }
    if !tolerations.is_empty() {
        pod.set_at(&["spec", "tolerations"], tolerations);
    }
    Ok(())
}

/// Refuses an overhead that no runtime class gives.
pub fn runtime_class_overhead(attributes: &Attributes, object: Option<&Tree>) -> Result<(), Status> {
    let Some(pod) = object.filter(|_| attributes.creates("", "pods")) else { return Ok(()) };
    let class = runtime_of(attributes, pod)?;
    let given = class.as_ref().and_then(|c| c.at(&["overhead", "podFixed"]));
    match (given, pod.at(&["spec", "overhead"])) {
        (None, Some(own)) if !own.is_empty() => {
            let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
            Err(attributes.forbidden(meta::name(pod), why))
        }
        _ => Ok(()),
    }
}
