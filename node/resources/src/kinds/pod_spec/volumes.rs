//! Faults of volumes: one source each, names once, and what each source must say. Sources that other clouds own are
//! counted, and the server of their drivers judges the rest.

use super::Holder;
use super::env::{field_ref, resource_ref};
use super::paths::{descending, mode, no_backsteps, not_reserved};
use crate::kinds::place::Place;
use crate::rules::Faults;
use api::{FieldError, Quantity, Tree};
use std::collections::BTreeMap;

/// The volumes without faults, by name: what containers may mount.
pub(super) type Volumes<'a> = BTreeMap<&'a str, &'a Tree>;

/// The sources in the order in which upstream counts them.
const SOURCES: &[&str] = &[
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];
const HOST_PATH_TYPES: &[&str] =
    &["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];

/// Reports the faults of volumes and returns those that have none.
pub(super) fn validate<'a>(volumes: &Place<'a>, holder: Holder, faults: &mut Faults) -> Volumes<'a> {
    let pod = if let Holder::Pod(name) = holder { name } else { "" };
    let mut found = Volumes::new();
    let claim_of = |name: &str| format!("{pod}-{name}");
    let created: Vec<String> = volumes
        .items()
        .filter(|v| !pod.is_empty() && v.at("ephemeral").given())
        .map(|v| claim_of(v.at("name").text()))
        .collect();
    for volume in volumes.items() {
        let before = faults.len();
        source(&volume, faults);
        let name = volume.at("name");
        name.must_pass(faults, api::names::dns1123_label);
        if found.contains_key(name.text()) {
            name.duplicate(faults);
        }
        if volume.at("ephemeral").given() && !pod.is_empty() && !name.text().is_empty() {
            let claim = claim_of(name.text());
            for why in api::names::dns1123_subdomain(&claim) {
                name.invalid(faults, format!("PVC name {claim:?}: {why}"));
            }
        }
        if faults.len() == before {
            found.insert(name.text(), volume.value);
        }
        let claim = volume.down(&["persistentVolumeClaim", "claimName"]);
        if created.iter().any(|name| name == claim.text()) {
            claim.invalid(faults, "must not reference a PVC that gets created for an ephemeral volume");
        }
    }
    found
}

fn source(volume: &Place, faults: &mut Faults) {
    let mut count = 0;
    for name in SOURCES {
        let place = volume.at(name);
        if !place.given() {
            continue;
        }
        count += 1;
        if count > 1 {
            place.forbidden(faults, "may not specify more than 1 volume type");
        } else {
            one(name, &place, faults);
        }
    }
    if count == 0 {
        volume.required(faults, "must specify a volume type");
    }
}

fn one(name: &str, source: &Place, faults: &mut Faults) {
    match name {
        "emptyDir" => empty_dir(source, faults),
        "hostPath" => host_path(source, faults),
        "gitRepo" => {
            source.at("repository").must(faults, "");
            descending(&source.at("directory"), faults);
        }
        "secret" => files(source, "secretName", faults),
        "configMap" => files(source, "name", faults),
        "nfs" => nfs(source, faults),
        "persistentVolumeClaim" => {
            source.at("claimName").must(faults, "");
        }
        "downwardAPI" => {
            mode(&source.at("defaultMode"), faults);
            source.at("items").items().for_each(|file| downward_file(&file, source, faults));
        }
        "projected" => projected(source, faults),
        "csi" => csi(source, faults),
        "ephemeral" if !source.at("volumeClaimTemplate").given() => {
            source.at("volumeClaimTemplate").required(faults, "");
        }
        "image" => source.at("pullPolicy").must_be_one_of(faults, &["Always", "IfNotPresent", "Never"]),
        _ => {}
    }
}

fn empty_dir(source: &Place, faults: &mut Faults) {
    let limit = source.at("sizeLimit");
    if Quantity::parse(limit.text()).is_ok_and(|q| q.sign() < 0) {
        limit.forbidden(faults, "SizeLimit field must be a valid resource quantity");
    }
}

fn host_path(source: &Place, faults: &mut Faults) {
    if source.at("path").must(faults, "") {
        no_backsteps(&source.at("path"), faults);
        if source.at("type").given() {
            source.at("type").one_of(faults, HOST_PATH_TYPES);
        }
    }
}

fn nfs(source: &Place, faults: &mut Faults) {
    source.at("server").must(faults, "");
    let path = source.at("path");
    path.must(faults, "");
    if !path.text().starts_with('/') {
        path.invalid(faults, "must be an absolute path");
    }
}

fn csi(source: &Place, faults: &mut Faults) {
    driver_name(&source.at("driver"), faults);
    let secret = source.at("nodePublishSecretRef");
    if secret.given() {
        secret.at("name").must_pass(faults, api::names::dns1123_subdomain);
    }
}

/// The name of a CSI driver.
fn driver_name(name: &Place, faults: &mut Faults) {
    const LONGEST: usize = 63;
    if !name.must(faults, "") {
        return;
    }
    if name.text().len() > LONGEST {
        faults.push(FieldError::too_long(name.path.clone(), LONGEST));
    }
    name.invalid_for(faults, api::names::dns1123_subdomain(&name.text().to_lowercase()));
}

fn files(source: &Place, name: &str, faults: &mut Faults) {
    source.at(name).must(faults, "");
    mode(&source.at("defaultMode"), faults);
    source.at("items").items().for_each(|item| key_to_path(&item, faults));
}

fn key_to_path(item: &Place, faults: &mut Faults) {
    item.at("key").must(faults, "");
    item.at("path").must(faults, "");
    not_reserved(&item.at("path"), faults);
    mode(&item.at("mode"), faults);
}

/// A file of the downward API. Upstream reports it at the place of its source.
fn downward_file(file: &Place, source: &Place, faults: &mut Faults) {
    let file = Place { value: file.value, path: source.path.clone() };
    file.at("path").must(faults, "");
    not_reserved(&file.at("path"), faults);
    let (field, resource) = (file.at("fieldRef"), file.at("resourceFieldRef"));
    if field.given() {
        field_ref(&field, VOLUME_FIELDS, faults);
        if resource.given() {
            let both = "fieldRef and resourceFieldRef can not be specified simultaneously";
            faults.push(FieldError::invalid(file.path.clone(), "resource", both));
        }
    } else if resource.given() {
        resource_ref(&resource, true, faults);
    } else {
        file.required(faults, "one of fieldRef and resourceFieldRef is required");
    }
    mode(&file.at("mode"), faults);
}

/// Fields of a pod that a file may show.
const VOLUME_FIELDS: &[&str] =
    &["metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid"];

fn projected(source: &Place, faults: &mut Faults) {
    mode(&source.at("defaultMode"), faults);
    let mut paths = Vec::new();
    for projection in source.at("sources").items() {
        let kinds =
            ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];
        let given: Vec<&str> = kinds.into_iter().filter(|kind| projection.at(kind).given()).collect();
        for kind in &given {
            projection_of(kind, &projection.at(kind), source, &mut paths, faults);
        }
        if given.len() > 1 {
            projection.forbidden(faults, "may not specify more than 1 volume type per source");
        }
    }
}

fn projection_of<'a>(kind: &str, place: &Place<'a>, source: &Place, paths: &mut Vec<&'a str>, faults: &mut Faults) {
    let mut once = |path: &'a str, shown: &str, faults: &mut Faults| {
        if path.is_empty() {
        } else if paths.contains(&path) {
            faults.push(FieldError::invalid(source.path.clone(), shown, "conflicting duplicate paths"));
        } else {
            paths.push(path);
        }
    };
    match kind {
        "secret" | "configMap" => {
            let name = place.at("name");
            name.must(faults, "");
            for item in place.at("items").items() {
                key_to_path(&item, faults);
                once(item.at("path").text(), name.text(), faults);
            }
        }
        "downwardAPI" => {
            for file in place.at("items").items() {
                downward_file(&file, place, faults);
                let path = file.at("path").text();
                once(path, path, faults);
            }
        }
        "serviceAccountToken" => {
            token(place, faults);
            once(place.at("path").text(), place.at("path").text(), faults);
        }
        "clusterTrustBundle" => {
            place.at("path").must(faults, "");
            not_reserved(&place.at("path"), faults);
            once(place.at("path").text(), place.at("path").text(), faults);
        }
        _ => {
            let fields = ["credentialBundlePath", "keyPath", "certificateChainPath"];
            let given: Vec<Place> = fields.iter().map(|f| place.at(f)).filter(|p| !p.text().is_empty()).collect();
            if given.is_empty() {
                let none = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
                place.required(faults, none);
            }
            for path in given {
                not_reserved(&path, faults);
                once(path.text(), path.text(), faults);
            }
        }
    }
}

fn token(token: &Place, faults: &mut Faults) {
    const SHORTEST_SECONDS: i64 = 10 * 60;
    const LONGEST_SECONDS: i64 = 1 << 32;
    let seconds = token.at("expirationSeconds");
    if seconds.int().unwrap_or_default() < SHORTEST_SECONDS {
        seconds.invalid(faults, "may not specify a duration less than 10 minutes");
    }
    if seconds.int().unwrap_or_default() > LONGEST_SECONDS {
        seconds.invalid(faults, "may not specify a duration larger than 2^32 seconds");
    }
    if token.at("path").must(faults, "") {
        not_reserved(&token.at("path"), faults);
    }
}
