//! Faults of environment variables and of what they refer to.

use super::paths::no_backsteps;
use crate::kinds::place::Place;
use crate::rules::Faults;
use api::FieldError;

const NOT_PRINTABLE: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";

/// Fields of a pod that a variable may show.
const FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields that the downward API knows at all (`AddFieldLabelConversionsForPod` and `ConvertDownwardAPIFieldLabel`).
const KNOWN: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
    "spec.host",
];
const AMOUNTS: &[&str] = &[
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
];
const SIZES: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// What is wrong with the name of a variable.
fn name_faults(name: &str) -> Vec<String> {
    let good = name.bytes().all(|c| (0x20..0x7f).contains(&c) && c != b'=');
    if good { Vec::new() } else { vec![NOT_PRINTABLE.to_owned()] }
}

/// Faults of `env`.
pub(super) fn validate(env: &Place, faults: &mut Faults) {
    for variable in env.items() {
        variable.at("name").must_pass(faults, name_faults);
        let from = variable.at("valueFrom");
        if from.given() {
            value_from(&from, !variable.at("value").text().is_empty(), faults);
        }
    }
}

fn value_from(from: &Place, has_value: bool, faults: &mut Faults) {
    let mut sources = 0;
    for kind in ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"] {
        let source = from.at(kind);
        if !source.given() {
            continue;
        }
        sources += 1;
        match kind {
            "fieldRef" => field_ref(&source, FIELDS, faults),
            "resourceFieldRef" => resource_ref(&source, false, faults),
            "fileKeyRef" => file_key(&source, faults),
            _ => key_ref(&source, faults),
        }
    }
    let why = match sources {
        0 => "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        _ if has_value => "may not be specified when `value` is not empty",
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    faults.push(FieldError::invalid(from.path.clone(), "", why));
}

fn key_ref(source: &Place, faults: &mut Faults) {
    source.at("name").invalid_for(faults, api::names::dns1123_subdomain(source.at("name").text()));
    source.at("key").must_pass(faults, api::names::config_key);
}

fn file_key(source: &Place, faults: &mut Faults) {
    source.at("key").must_pass(faults, name_faults);
    source.at("volumeName").must_pass(faults, api::names::dns1123_label);
    if source.at("path").must(faults, "") {
        no_backsteps(&source.at("path"), faults);
    }
}

/// Splits `metadata.labels['key']`.
fn subscripted(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(path, _)| !path.is_empty())
}

/// Faults of a reference to a field of the pod.
pub(super) fn field_ref(field: &Place, allowed: &[&str], faults: &mut Faults) {
    if !field.at("apiVersion").must(faults, "") || !field.at("fieldPath").must(faults, "") {
        return;
    }
    let path = field.at("fieldPath");
    let version = field.at("apiVersion").text();
    let unknown = |why: String, faults: &mut Faults| {
        path.invalid(faults, format!("error converting fieldPath: {why}"));
    };
    if version != "v1" {
        return unknown(format!("unsupported pod version: {version}"), faults);
    }
    if let Some((map, key)) = subscripted(path.text()) {
        let key = match map {
            "metadata.annotations" => key.to_lowercase(),
            "metadata.labels" => key.to_owned(),
            _ => return unknown(format!("field label does not support subscript: {}", path.text()), faults),
        };
        for why in api::names::label_key(&key) {
            faults.push(FieldError::invalid(field.path.clone(), key.as_str(), why));
        }
        return;
    }
    if !KNOWN.contains(&path.text()) {
        return unknown(format!("field label not supported: {}", path.text()), faults);
    }
    path.one_of(faults, allowed);
}

/// Faults of a reference to an amount of a container.
pub(super) fn resource_ref(reference: &Place, in_volume: bool, faults: &mut Faults) {
    let resource = reference.at("resource");
    let pages = ["requests.hugepages-", "limits.hugepages-"].iter().any(|p| resource.text().starts_with(p));
    if in_volume && reference.at("containerName").text().is_empty() {
        reference.at("containerName").required(faults, "");
    } else if resource.must(faults, "") && !pages {
        resource.one_of(faults, AMOUNTS);
    }
    let divisor = reference.at("divisor");
    if divisor.value.is_empty() || divisor.text() == "0" {
        return;
    }
    let sizes = "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the";
    let (good, why): (&[&str], String) = match resource.text() {
        "limits.cpu" | "requests.cpu" => {
            (&["1m", "1"], "only divisor's values 1m and 1 are supported with the cpu resource".to_owned())
        }
        "limits.memory" | "requests.memory" => (SIZES, format!("{sizes} memory resource")),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => {
            (SIZES, format!("{sizes} local ephemeral storage resource"))
        }
        _ if pages => (SIZES, format!("{sizes} hugepages resource")),
        _ => return,
    };
    let shown = divisor.value.as_int().map_or(divisor.text().to_owned(), |whole| whole.to_string());
    if !good.contains(&shown.as_str()) {
        faults.push(FieldError::invalid(divisor.path.clone(), resource.text(), why));
    }
}

/// Faults of `envFrom`.
pub(super) fn validate_from(list: &Place, faults: &mut Faults) {
    for source in list.items() {
        source.at("prefix").may_pass(faults, name_faults);
        let refs = ["configMapRef", "secretRef"].map(|kind| source.at(kind));
        let given: Vec<&Place> = refs.iter().filter(|r| r.given()).collect();
        for reference in &given {
            reference.at("name").must_pass(faults, api::names::dns1123_subdomain);
        }
        let why = match given.len() {
            0 => "must specify one of: `configMapRef` or `secretRef`",
            1 => continue,
            _ => "may not have more than one field specified at a time",
        };
        faults.push(FieldError::invalid(list.path.clone(), "", why));
    }
}

/// Variables read from files need an empty directory to read them from.
pub(super) fn files(spec: &Place, faults: &mut Faults) {
    let volumes: Vec<Place> = spec.at("volumes").items().collect();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for variable in spec.at(list).items().flat_map(|container| container.at("env").items()) {
            let file = variable.down(&["valueFrom", "fileKeyRef"]);
            if !file.given() {
                continue;
            }
            let name = file.at("volumeName");
            match volumes.iter().find(|v| v.at("name").text() == name.text()) {
                None => name.not_found(faults),
                Some(volume) if !volume.at("emptyDir").given() => {
                    name.invalid(faults, "referenced volume must be of type emptyDir");
                }
                Some(_) => {}
            }
        }
    }
}
