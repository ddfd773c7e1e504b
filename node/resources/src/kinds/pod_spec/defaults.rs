//! What a pod spec gets that leaves it out, where it depends on other values or is set only in some kinds.
//! Source: `k8s.io/kubernetes/pkg/apis/core/v1/defaults.go` and `conversion.go`.

use super::volume_defaults;
use api::{Quantity, Tree, quantity::Format};

/// Seconds that containers have to end after the first signal.
const GRACE_SECONDS: i64 = 30;

/// Fields of a pod spec that hold containers.
const CONTAINER_LISTS: &[&str] = &["containers", "initContainers", "ephemeralContainers"];

/// Sets a field that is absent or empty.
pub(super) fn fill(tree: &mut Tree, field: &str, value: impl Into<Tree>) {
    if tree.get(field).is_none_or(Tree::is_empty) {
        tree.set(field, value);
    }
}

/// Sets a field that is absent, where Go tells absence from zero.
pub(super) fn fill_absent(tree: &mut Tree, field: &str, value: impl Into<Tree>) {
    if tree.get(field).is_none_or(Tree::is_null) {
        tree.set(field, value);
    }
}

/// Calls with each item of a list.
pub(super) fn each(tree: &mut Tree, field: &str, change: impl FnMut(&mut Tree)) {
    if let Some(items) = tree.get_mut(field).and_then(Tree::as_list_mut) {
        items.iter_mut().for_each(change);
    }
}

/// The pod spec in an object's template. A template that is left out is there all the same, with its defaults.
pub fn default_template(object: &mut Tree, template: &[&str]) {
    let mut spec = object;
    for field in template.iter().chain(&["spec"]) {
        spec = spec.make_map().entry(field);
    }
    spec.make_map();
    default_spec(spec);
}

/// A pod spec, in a pod or in a template.
pub fn default_spec(spec: &mut Tree) {
    fill(spec, "dnsPolicy", "ClusterFirst");
    fill(spec, "restartPolicy", "Always");
    fill_absent(spec, "securityContext", Tree::map());
    fill_absent(spec, "terminationGracePeriodSeconds", GRACE_SECONDS);
    fill(spec, "schedulerName", "default-scheduler");
    mirror_service_account(spec);
    each(spec, "volumes", volume_defaults::volume);
    for list in CONTAINER_LISTS {
        each(spec, list, container);
    }
    if let Some(overhead) = spec.get_mut("overhead") {
        round_amounts(overhead);
    }
    for side in ["limits", "requests"] {
        if let Some(amounts) = spec.at_mut(&["resources", side]) {
            round_amounts(amounts);
        }
    }
}

/// `serviceAccount` is the old name of `serviceAccountName`; both are always the same, and the new name wins.
fn mirror_service_account(spec: &mut Tree) {
    let name = |field| spec.str_at(&[field]).filter(|n| !n.is_empty()).map(str::to_owned);
    if let Some(name) = name("serviceAccountName").or_else(|| name("serviceAccount")) {
        spec.set("serviceAccountName", name.clone());
        spec.set("serviceAccount", name);
    }
}

fn container(container: &mut Tree) {
    let image = container.str_at(&["image"]).unwrap_or_default();
    let policy = pull_policy(image);
    fill(container, "imagePullPolicy", policy);
    fill(container, "terminationMessagePath", "/dev/termination-log");
    fill(container, "terminationMessagePolicy", "File");
    each(container, "ports", |port| fill(port, "protocol", "TCP"));
    each(container, "env", |variable| {
        if let Some(field) = variable.at_mut(&["valueFrom", "fieldRef"]) {
            fill(field, "apiVersion", "v1");
        }
        if let Some(file) = variable.at_mut(&["valueFrom", "fileKeyRef"]) {
            fill_absent(file, "optional", false);
        }
    });
    for side in ["limits", "requests"] {
        if let Some(amounts) = container.at_mut(&["resources", side]) {
            round_amounts(amounts);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(found) = container.get_mut(name).filter(|p| !p.is_null()) {
            probe(found);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(get) = container.at_mut(&["lifecycle", hook, "httpGet"]) {
            http_get(get);
        }
    }
}

fn probe(probe: &mut Tree) {
    fill(probe, "timeoutSeconds", 1);
    fill(probe, "periodSeconds", 10);
    fill(probe, "successThreshold", 1);
    fill(probe, "failureThreshold", 3);
    if let Some(get) = probe.get_mut("httpGet").filter(|g| !g.is_null()) {
        http_get(get);
    }
    if let Some(grpc) = probe.get_mut("grpc").filter(|g| !g.is_null()) {
        fill_absent(grpc, "service", "");
    }
}

fn http_get(get: &mut Tree) {
    fill(get, "path", "/");
    fill(get, "scheme", "HTTP");
}

/// An image without a tag, or with the tag `latest`, is always pulled.
pub(super) fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    let last = name.rsplit('/').next().unwrap_or_default();
    let tag = last.split_once(':').map(|(_, tag)| tag);
    let readable = !name.is_empty() && !last.bytes().take_while(|c| *c != b':').any(|c| c.is_ascii_uppercase());
    let latest = match tag {
        Some(tag) => tag == "latest",
        None => !digest,
    };
    if readable && latest { "Always" } else { "IfNotPresent" }
}

/// Amounts finer than thousandths are rounded up; what is no quantity stays, for validation to say so.
pub fn round_amounts(amounts: &mut Tree) {
    let Some(map) = amounts.as_map_mut() else { return };
    for (_, amount) in map.iter_mut() {
        let Some(Ok(given)) = amount.as_str().map(Quantity::parse) else { continue };
        let rounded = Quantity::from_milli(given.milli(), Format::DecimalSi);
        if given < rounded {
            *amount = Tree::text(Quantity::from_milli(given.milli(), given.format()).to_string());
        }
    }
}
