//! What a container gets mounted. Rules as upstream's `makeMounts`.
//!
//! It must not know the CRI's own types.

use super::Place;
use super::subpath::{self, Wanted};
use crate::env::{Variables, expand};
use k8s_openapi::api::core::v1::{Container, VolumeMount};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// How mounts travel between node and container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// Not at all.
    #[default]
    Private,
    /// From the node into the container.
    HostToContainer,
    /// Both ways.
    Bidirectional,
}

/// One mount of a container, with the meaning of the CRI's `Mount`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// The volume's name in the pod.
    pub volume: String,
    /// What is mounted; empty for an image.
    pub host_path: PathBuf,
    /// Where, absolute.
    pub container_path: String,
    /// Whether the container may not write.
    pub read_only: bool,
    /// Whether that holds for mounts below too.
    pub recursive_read_only: bool,
    /// How mounts travel.
    pub propagation: Propagation,
    /// The image to mount, as the pod names it; it has to be pulled before.
    pub image: Option<String>,
    /// The folder within the image.
    pub image_sub_path: String,
}

/// What is asked.
pub struct Asked<'a> {
    /// The pod's volumes.
    pub places: &'a BTreeMap<String, Place>,
    /// The folder of everything of the pod.
    pub pod_folder: &'a Path,
    /// For whom.
    pub container: &'a Container,
    /// Its environment, for `subPathExpr`.
    pub variables: &'a Variables,
    /// Whether the runtime can do recursive read-only mounts.
    pub recursive_read_only: bool,
}

/// All mounts.
///
/// # Errors
/// The text of a `CreateContainerConfigError`.
pub fn mounts(asked: &Asked<'_>) -> Result<Vec<Mount>, String> {
    let all = asked.container.volume_mounts.iter().flatten().enumerate();
    all.map(|(index, wanted)| mount(asked, index, wanted)).collect()
}

fn mount(asked: &Asked<'_>, index: usize, wanted: &VolumeMount) -> Result<Mount, String> {
    let (volume, container) = (&wanted.name, &asked.container.name);
    let place = asked.places.get(volume);
    let place = place.ok_or_else(|| format!("cannot find volume {volume:?} to mount into container {container:?}"))?;
    let sub = sub_path(wanted, asked.variables)?;
    let mut mount = Mount {
        volume: volume.clone(),
        container_path: absolute(&wanted.mount_path),
        read_only: wanted.read_only == Some(true),
        recursive_read_only: recursive(wanted, asked.recursive_read_only)
            .map_err(|why| format!("failed to resolve recursive read-only mode: {why}"))?,
        propagation: propagation(wanted.mount_propagation.as_deref())?,
        ..Mount::default()
    };
    match place {
        Place::Image { reference } => {
            mount.image = Some(reference.clone());
            mount.image_sub_path = sub;
            mount.read_only = true;
        }
        Place::Path { path, read_only } => {
            mount.read_only |= read_only;
            mount.host_path = path.clone();
            if !sub.is_empty() {
                let wanted = Wanted { pod_folder: asked.pod_folder, volume, container, index, root: path, sub: &sub };
                mount.host_path = subpath::bind(&wanted)?;
            }
        }
    }
    Ok(mount)
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// The folder below the volume; empty for the volume itself.
fn sub_path(wanted: &VolumeMount, variables: &Variables) -> Result<String, String> {
    let mut sub = wanted.sub_path.clone().unwrap_or_default();
    if let Some(expression) = wanted.sub_path_expr.as_deref().filter(|e| !e.is_empty()) {
        let missing = std::cell::RefCell::new(BTreeSet::new());
        sub = expand(expression, |name| {
            let value = variables.get(name).cloned().unwrap_or_default();
            if value.is_empty() {
                missing.borrow_mut().insert(name.to_owned());
            }
            Some(value)
        });
        let missing: Vec<String> = missing.into_inner().into_iter().collect();
        if !missing.is_empty() {
            return Err(format!("missing value for {}", missing.join(", ")));
        }
    }
    if sub.starts_with('/') {
        return Err(format!("error SubPath `{sub}` must not be an absolute path"));
    }
    if sub.split('/').any(|part| part == "..") {
        return Err(format!("unable to provision SubPath `{sub}`: must not contain '..'"));
    }
    Ok(sub)
}

fn propagation(mode: Option<&str>) -> Result<Propagation, String> {
    match mode {
        None | Some("None") => Ok(Propagation::Private),
        Some("HostToContainer") => Ok(Propagation::HostToContainer),
        Some("Bidirectional") => Ok(Propagation::Bidirectional),
        Some(other) => Err(format!("invalid MountPropagation mode: {other:?}")),
    }
}

fn recursive(wanted: &VolumeMount, possible: bool) -> Result<bool, String> {
    let mode = wanted.recursive_read_only.as_deref().unwrap_or("Disabled");
    if mode == "Disabled" {
        return Ok(false);
    }
    let asked = format!("volume {:?} requested recursive read-only mode, but", wanted.name);
    if wanted.read_only != Some(true) {
        return Err(format!("{asked} it is not read-only"));
    }
    if let Some(other) = wanted.mount_propagation.as_deref().filter(|p| *p != "None") {
        return Err(format!("{asked} it is not compatible with propagation {other:?}"));
    }
    match mode {
        "IfPossible" => Ok(possible),
        "Enabled" if possible => Ok(true),
        "Enabled" => Err(format!("{asked} it is not supported by the runtime")),
        other => Err(format!("unknown recursive read-only mode {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn one(mount: Value, possible: bool) -> Result<Mount, String> {
        let container: Container = serde_json::from_value(json!({"name": "c", "volumeMounts": [mount]})).unwrap();
        let path = |read_only| Place::Path { path: "/x".into(), read_only };
        let places = BTreeMap::from([
            ("v".to_owned(), path(false)),
            ("ro".to_owned(), path(true)),
            ("i".to_owned(), Place::Image { reference: "r:1".to_owned() }),
        ]);
        let variables = Variables::from([("A".to_owned(), "/a".to_owned()), ("E".to_owned(), String::new())]);
        let asked = Asked {
            places: &places,
            pod_folder: Path::new("/none"),
            container: &container,
            variables: &variables,
            recursive_read_only: possible,
        };
        mounts(&asked).map(|mut all| all.remove(0))
    }

    #[test]
    fn a_mount_has_its_path_and_modes() {
        let got = one(json!({"name": "v", "mountPath": "data", "mountPropagation": "Bidirectional"}), false).unwrap();
        assert_eq!((got.container_path.as_str(), got.propagation), ("/data", Propagation::Bidirectional));
        assert!(!got.read_only && one(json!({"name": "ro", "mountPath": "/"}), false).unwrap().read_only);
        let image = one(json!({"name": "i", "mountPath": "/i", "subPath": "s"}), false).unwrap();
        assert_eq!((image.image.as_deref(), image.image_sub_path.as_str(), image.read_only), (Some("r:1"), "s", true));
    }

    #[test]
    fn recursive_read_only_is_given_only_where_it_can_be() {
        let mount =
            |mode: &str, ro: bool| json!({"name": "v", "mountPath": "/", "readOnly": ro, "recursiveReadOnly": mode});
        assert!(one(mount("Enabled", true), true).unwrap().recursive_read_only);
        assert!(!one(mount("IfPossible", true), false).unwrap().recursive_read_only);
        assert!(one(mount("Enabled", true), false).unwrap_err().ends_with("not supported by the runtime"));
        assert!(one(mount("Enabled", false), true).unwrap_err().ends_with("it is not read-only"));
    }

    #[test]
    fn bad_sub_paths_are_refused_before_anything_is_made() {
        let sub =
            |field: &str, path: &str| one(json!({"name": "v", "mountPath": "/", field: path}), false).unwrap_err();
        assert!(sub("subPath", "/etc").contains("must not be an absolute path"));
        assert!(sub("subPath", "a/../../b").contains("must not contain '..'"));
        assert!(sub("subPathExpr", "$(A)").contains("must not be an absolute path"));
        assert_eq!(sub("subPathExpr", "$(E)/$(N)"), "missing value for E, N");
    }
}
