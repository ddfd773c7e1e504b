//! Faults of containers, of all three lists: names, images, mounts, devices, ports, restarts.

use super::volumes::Volumes;
use super::{env, handlers, network, resources, security};
use crate::kinds::place::Place;
use crate::rules::Faults;
use api::FieldError;

/// What containers of a pod share.
struct Pod<'a> {
    volumes: &'a Volumes<'a>,
    claims: Vec<&'a str>,
    grace: Option<i64>,
    restart: &'a str,
    os: &'a str,
    host_users: bool,
}

/// Most rules for restarts by exit code.
const RESTART_RULES_MAX: usize = 20;
/// Most exit codes in a rule.
const EXIT_CODES_MAX: usize = 255;
const PADDED: &str = "must not have leading or trailing whitespace";
/// Fields that a container for debugging may have.
const EPHEMERAL_FIELDS: &[&str] = &[
    "name",
    "targetContainerName",
    "image",
    "command",
    "args",
    "workingDir",
    "env",
    "envFrom",
    "volumeMounts",
    "volumeDevices",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "imagePullPolicy",
    "securityContext",
    "stdin",
    "stdinOnce",
    "tty",
];

/// Faults of all containers of a pod spec.
pub(super) fn validate(spec: &Place, volumes: &Volumes, faults: &mut Faults) {
    let pod = Pod {
        volumes,
        claims: spec.at("resourceClaims").items().map(|c| c.at("name").text()).collect(),
        grace: spec.at("terminationGracePeriodSeconds").int(),
        restart: spec.at("restartPolicy").text(),
        os: spec.down(&["os", "name"]).text(),
        host_users: spec.at("hostUsers").value.as_bool() != Some(false),
    };
    let mut names = Vec::new();
    let containers = spec.at("containers");
    containers.must(faults, "");
    for container in containers.items() {
        shared(&container, &pod, faults);
        once(&container, &mut names, faults);
        if container.at("lifecycle").given() {
            handlers::lifecycle(&container.at("lifecycle"), pod.grace, pod.os, faults);
        }
        handlers::probes(&container, pod.grace, faults);
        restarts(&container, faults);
    }
    network::unique_host_ports(containers.items(), faults);
    for container in spec.at("initContainers").items() {
        init(&container, &pod, &mut names, faults);
    }
    let regular = names.clone();
    for container in spec.at("ephemeralContainers").items() {
        ephemeral(&container, &pod, &regular, &mut names, faults);
    }
}

fn once<'a>(container: &Place<'a>, names: &mut Vec<&'a str>, faults: &mut Faults) {
    let name = container.at("name");
    if names.contains(&name.text()) {
        name.duplicate(faults);
    }
    names.push(name.text());
}

fn shared(container: &Place, pod: &Pod, faults: &mut Faults) {
    container.at("name").must_pass(faults, api::names::dns1123_label);
    container.at("image").must(faults, "");
    container.at("terminationMessagePolicy").must_be_one_of(faults, &["File", "FallbackToLogsOnError"]);
    network::container_ports(&container.at("ports"), faults);
    env::validate(&container.at("env"), faults);
    env::validate_from(&container.at("envFrom"), faults);
    mounts(container, pod.volumes, faults);
    devices(container, pod.volumes, faults);
    container.at("imagePullPolicy").must_be_one_of(faults, &["Always", "IfNotPresent", "Never"]);
    resources::of_container(&container.at("resources"), &pod.claims, faults);
    resize(&container.at("resizePolicy"), pod.restart, faults);
    security::of_container(&container.at("securityContext"), pod.host_users, faults);
}

/// Images of pods, unlike those of templates, may not be padded.
pub fn padded_images(spec: &Place, faults: &mut Faults) {
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for image in spec.at(list).items().map(|container| container.at("image")) {
            if image.text().trim() != image.text() {
                image.invalid(faults, PADDED);
            }
        }
    }
}

fn init<'a>(container: &Place<'a>, pod: &Pod, names: &mut Vec<&'a str>, faults: &mut Faults) {
    shared(container, pod, faults);
    restarts(container, faults);
    once(container, names, faults);
    network::unique_host_ports(std::iter::once(container.clone()), faults);
    if container.at("restartPolicy").text() == "Always" {
        if container.at("lifecycle").given() {
            handlers::lifecycle(&container.at("lifecycle"), pod.grace, pod.os, faults);
        }
        handlers::probes(container, pod.grace, faults);
        return;
    }
    for field in ["lifecycle"].iter().chain(handlers::PROBES) {
        let place = container.at(field);
        if place.given() {
            place.forbidden(faults, "may not be set for init containers without restartPolicy=Always");
        }
    }
    for policy in container.at("resizePolicy").items().map(|p| p.at("restartPolicy")) {
        if policy.text() == "RestartContainer" {
            policy.invalid(faults, "must not be set to 'RestartContainer' for non-sidecar initContainers");
        }
    }
}

fn ephemeral<'a>(container: &Place<'a>, pod: &Pod, regular: &[&str], names: &mut Vec<&'a str>, faults: &mut Faults) {
    const WHY: &str = "cannot be set for an Ephemeral Container";
    shared(container, pod, faults);
    once(container, names, faults);
    let target = container.at("targetContainerName");
    if !target.text().is_empty() && !regular.contains(&target.text()) {
        target.not_found(faults);
    }
    for (field, value) in container.value.as_map().map(api::Map::iter).into_iter().flatten() {
        if !EPHEMERAL_FIELDS.contains(&&**field) && !value.is_empty() {
            container.at(field).forbidden(faults, WHY);
        }
    }
    for mount in container.at("volumeMounts").items() {
        for field in ["subPath", "subPathExpr"] {
            if !mount.at(field).text().is_empty() {
                mount.at(field).forbidden(faults, WHY);
            }
        }
    }
}

fn mounts(container: &Place, volumes: &Volumes, faults: &mut Faults) {
    let list = container.at("volumeMounts");
    let devices: Vec<Place> = container.at("volumeDevices").items().collect();
    let mut paths = Vec::new();
    for mount in list.items() {
        let (name, path) = (mount.at("name"), mount.at("mountPath"));
        name.must(faults, "");
        if !volumes.contains_key(name.text()) {
            faults.push(FieldError::not_found(name.path.clone(), name.text()));
        }
        path.must(faults, "");
        if paths.contains(&path.text()) {
            path.invalid(faults, "must be unique");
        }
        paths.push(path.text());
        if devices.iter().any(|d| d.at("name").text() == name.text()) {
            name.invalid(faults, "must not already exist in volumeDevices");
        }
        if devices.iter().any(|d| d.at("devicePath").text() == path.text()) {
            path.invalid(faults, "must not already exist as a path in volumeDevices");
        }
        mount_details(&mount, &list, container, faults);
    }
}

/// Faults that upstream reports at the list, not at the mount.
fn mount_details(mount: &Place, list: &Place, container: &Place, faults: &mut Faults) {
    let at_list = |field: &str| Place { value: mount.at(field).value, path: list.path.field(field) };
    let (sub, expression) = (mount.at("subPath"), mount.at("subPathExpr"));
    super::paths::descending(&at_list("subPath"), faults);
    if !expression.text().is_empty() {
        if !sub.text().is_empty() {
            expression.invalid(faults, "subPathExpr and subPath are mutually exclusive");
        }
        super::paths::descending(&at_list("subPathExpr"), faults);
    }
    let propagation = at_list("mountPropagation");
    if propagation.given() {
        propagation.one_of(faults, &["Bidirectional", "HostToContainer", "None"]);
        if propagation.text() == "Bidirectional" && !container.down(&["securityContext", "privileged"]).yes() {
            let why = "Bidirectional mount propagation is available only to privileged containers";
            propagation.forbidden(faults, why);
        }
    }
    let recursive = at_list("recursiveReadOnly");
    match recursive.text() {
        _ if !recursive.given() => {}
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if !mount.at("readOnly").yes() {
                recursive.forbidden(faults, "may only be specified when readOnly is true");
            }
            if propagation.given() && propagation.text() != "None" {
                let why = "may only be specified when mountPropagation is None or not specified";
                recursive.forbidden(faults, why);
            }
        }
        _ => recursive.one_of(faults, &["Disabled", "Enabled", "IfPossible"]),
    }
}

fn devices(container: &Place, volumes: &Volumes, faults: &mut Faults) {
    let mounts: Vec<Place> = container.at("volumeMounts").items().collect();
    let (mut names, mut paths) = (Vec::new(), Vec::new());
    for device in container.at("volumeDevices").items() {
        let (name, path) = (device.at("name"), device.at("devicePath"));
        name.must(faults, "");
        if names.contains(&name.text()) {
            name.invalid(faults, "must be unique");
        }
        match volumes.get(name.text()) {
            None => faults.push(FieldError::not_found(name.path.clone(), name.text())),
            Some(volume) => {
                if ["persistentVolumeClaim", "ephemeral"].iter().all(|source| volume.get(source).is_none()) {
                    let why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                    name.invalid(faults, why);
                }
            }
        }
        path.must(faults, "");
        if paths.contains(&path.text()) {
            path.invalid(faults, "must be unique");
        }
        if path.text().split('/').any(|part| part == "..") {
            path.invalid(faults, "can not contain backsteps ('..')");
        }
        if mounts.iter().any(|m| m.at("name").text() == name.text()) {
            name.invalid(faults, "must not already exist in volumeMounts");
        }
        if mounts.iter().any(|m| m.at("mountPath").text() == path.text()) {
            path.invalid(faults, "must not already exist as a path in volumeMounts");
        }
        names.push(name.text());
        paths.push(path.text());
    }
}

fn restarts(container: &Place, faults: &mut Faults) {
    let (policy, rules) = (container.at("restartPolicy"), container.at("restartPolicyRules"));
    if policy.given() {
        policy.one_of(faults, &["Always", "Never", "OnFailure"]);
    } else if rules.len() > 0 {
        policy.required(faults, "must specify restartPolicy when restart rules are used");
    }
    if rules.len() > RESTART_RULES_MAX {
        faults.push(FieldError::too_many(rules.path.clone(), rules.len(), RESTART_RULES_MAX));
    }
    for rule in rules.items() {
        rule.at("action").one_of(faults, &["Restart", "RestartAllContainers"]);
        let codes = rule.at("exitCodes");
        if !codes.given() {
            codes.required(faults, "must be specified");
            continue;
        }
        codes.at("operator").one_of(faults, &["In", "NotIn"]);
        let values = codes.at("values");
        if values.len() > EXIT_CODES_MAX {
            faults.push(FieldError::too_many(values.path.clone(), values.len(), EXIT_CODES_MAX));
        }
    }
}

fn resize(policies: &Place, restart: &str, faults: &mut Faults) {
    let mut seen = Vec::new();
    for policy in policies.items() {
        let at_list = |field: &str| Place { value: policy.at(field).value, path: policies.path.clone() };
        let (name, how) = (at_list("resourceName"), at_list("restartPolicy"));
        if seen.contains(&name.text()) {
            faults.push(FieldError::duplicate(policy.path.clone(), name.text()));
        }
        seen.push(name.text());
        name.must_be_one_of(faults, &["cpu", "memory"]);
        how.must_be_one_of(faults, &["NotRequired", "RestartContainer"]);
        if restart == "Never" && how.text() != "NotRequired" {
            how.invalid(faults, "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
        }
    }
}
