//! Volumes that a container mounts within another volume: the outer one, which the container cannot write to, needs a
//! place for them. Rules as upstream's `MakeNestedMountpoints`.

use super::beneath;
use super::files::said;
use k8s_openapi::api::core::v1::{Pod, VolumeMount};
use std::path::Path;

/// Permissions of a place; what is mounted there has its own.
const MODE: u32 = 0o755;

/// The folders that a volume needs within itself. Pure.
///
/// # Errors
/// For a mount path that leads out of the container.
pub fn places(pod: &Pod, volume: &str) -> Result<Vec<String>, String> {
    let Some(spec) = &pod.spec else { return Ok(Vec::new()) };
    let plain = spec.init_containers.iter().flatten().chain(&spec.containers);
    let own = spec.ephemeral_containers.iter().flatten().map(|c| c.volume_mounts.as_deref());
    let mut places = Vec::new();
    for mounts in plain.map(|c| c.volume_mounts.as_deref()).chain(own) {
        of_container(mounts.unwrap_or_default(), volume, &mut places)?;
    }
    places.sort();
    places.dedup();
    Ok(places)
}

fn of_container(mounts: &[VolumeMount], volume: &str, places: &mut Vec<String>) -> Result<(), String> {
    let mut all: Vec<String> = mounts.iter().map(|mount| clean(&mount.mount_path)).collect();
    all.sort();
    for outer in mounts.iter().filter(|mount| mount.name == volume) {
        let outer = clean(&outer.mount_path);
        if outer.split('/').any(|part| part == "..") {
            return Err(format!("invalid container mount point {outer}"));
        }
        let mut inner: Vec<&str> = Vec::new();
        for path in all.iter().filter_map(|path| path.strip_prefix(&format!("{outer}/"))) {
            let within = |other: &&str| path.strip_prefix(*other).is_some_and(|rest| rest.starts_with('/'));
            if !inner.iter().any(within) {
                inner.push(path);
            }
        }
        places.extend(inner.into_iter().map(str::to_owned));
    }
    Ok(())
}

fn clean(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

/// Makes the folders.
///
/// # Errors
/// What could not be made.
pub fn make(folder: &Path, places: &[String]) -> Result<(), String> {
    let failed = said("unable to create nested volume mountpoints of", folder);
    let root = beneath::folder(folder).map_err(&failed)?;
    for place in places {
        // A file of the volume itself may be mounted over (subPath of another volume): it is place enough.
        if beneath::open(&root, place).is_err() {
            beneath::make_folders(&root, place, MODE).map_err(&failed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(mounts: &[(&str, &str)], wanted: &[&str]) {
        let mounts: Vec<_> = mounts.iter().map(|(name, path)| json!({"name": name, "mountPath": path})).collect();
        let pod: Pod =
            serde_json::from_value(json!({"spec": {"containers": [{"name": "c", "volumeMounts": mounts}]}})).unwrap();
        assert_eq!(places(&pod, "v").unwrap(), wanted);
    }

    #[test]
    fn only_the_outermost_mounts_within_a_volume_need_a_place() {
        check(
            &[("v", "/dir"), ("a", "/dir/nested"), ("b", "/dir/nested/more"), ("c", "/dir/nested2"), ("d", "/di")],
            &["nested", "nested2"],
        );
        check(&[("v", "/dir/"), ("a", "/dir")], &[]);
    }
}
