//! The cgroups of pods, on cgroup v2: `kubepods` with `burstable` and `besteffort` below it, one folder per pod. Names
//! as upstream's cgroupfs driver.
//!
//! It must not know containers: those the engine puts below.

use crate::config::Cgroups;
use crate::pod;
use crate::spec::resources;
use client::Meta;
use k8s_openapi::api::core::v1::Pod;
use pods::QosClass;
use std::io;
use std::path::{Path, PathBuf};

/// Where all pods are.
pub const ROOT: &str = "kubepods";
/// The classes that have a folder of their own; guaranteed pods are at the top.
const CLASSES: [&str; 2] = ["burstable", "besteffort"];
/// What a folder hands on to those below it.
const CONTROLLERS: &str = "+cpu +cpuset +io +memory +pids";

/// The path of a pod's cgroup below the mount point, as the engine wants it; empty when there are none.
#[must_use]
pub fn path(cgroups: &Cgroups, pod: &Pod) -> String {
    if *cgroups == Cgroups::Off {
        return String::new();
    }
    let class = match pods::qos_class(&pod::tree(pod)) {
        Ok(QosClass::Guaranteed) => "",
        Ok(QosClass::Burstable) => "/burstable",
        Ok(QosClass::BestEffort) | Err(_) => "/besteffort",
    };
    format!("/{ROOT}{class}/pod{}", pod.uid())
}

fn said(what: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}

fn make(folder: &Path) -> io::Result<()> {
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(said("make", folder, &error)),
        _ => Ok(()),
    }
}

fn write(folder: &Path, file: &str, value: &str) -> io::Result<()> {
    let path = folder.join(file);
    std::fs::write(&path, value).map_err(|error| said(&format!("write {value:?} to"), &path, &error))
}

/// Makes `kubepods` and its classes, with all that pods may use together.
///
/// # Errors
/// What the kernel refuses, with the path.
pub fn prepare(cgroups: &Cgroups, milli_cpu: i64, memory_bytes: i64) -> io::Result<()> {
    let Cgroups::Below(mount) = cgroups else { return Ok(()) };
    write(mount, "cgroup.subtree_control", CONTROLLERS)?;
    let root = mount.join(ROOT);
    make(&root)?;
    write(&root, "cgroup.subtree_control", CONTROLLERS)?;
    write(&root, "cpu.weight", &resources::weight(resources::shares(milli_cpu)).to_string())?;
    write(&root, "memory.max", &memory_bytes.to_string())?;
    for class in CLASSES {
        let folder = root.join(class);
        make(&folder)?;
        write(&folder, "cgroup.subtree_control", CONTROLLERS)?;
    }
    write(&root.join("besteffort"), "cpu.weight", &resources::weight(resources::SHARES_MIN).to_string())
}

/// Makes a pod's cgroup and sets what the pod may use.
///
/// # Errors
/// What the kernel refuses, with the path.
pub fn ensure(cgroups: &Cgroups, pod: &Pod) -> io::Result<()> {
    let Cgroups::Below(mount) = cgroups else { return Ok(()) };
    let folder = mount.join(path(cgroups, pod).trim_start_matches('/'));
    make(&folder)?;
    write(&folder, "cgroup.subtree_control", CONTROLLERS)?;
    let amounts = resources::of_pod(pod, false);
    write(&folder, "cpu.weight", &resources::weight(amounts.cpu_shares).to_string())?;
    let quota = if amounts.cpu_quota > 0 { amounts.cpu_quota.to_string() } else { "max".to_owned() };
    write(&folder, "cpu.max", &format!("{quota} {}", resources::PERIOD_US))?;
    let memory = amounts.memory_limit_in_bytes;
    write(&folder, "memory.max", &if memory > 0 { memory.to_string() } else { "max".to_owned() })
}

/// Removes a cgroup and what is left below it. Processes in it make that fail.
fn remove(folder: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    std::fs::remove_dir(folder).map_err(|error| said("remove", folder, &error))
}

/// Removes the cgroup of the pod with this uid, in whatever class it is.
///
/// # Errors
/// What the kernel refuses, with the path.
pub fn tear_down(cgroups: &Cgroups, uid: &str) -> io::Result<()> {
    folders(cgroups).iter().try_for_each(|folder| remove(&folder.join(format!("pod{uid}"))))
}

/// The uids of the pods that have a cgroup.
///
/// # Errors
/// When a folder cannot be read.
pub fn uids(cgroups: &Cgroups) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in folders(cgroups) {
        for entry in std::fs::read_dir(&folder).map_err(|error| said("read", &folder, &error))? {
            let name = entry?.file_name();
            found.extend(name.to_str().and_then(|name| name.strip_prefix("pod")).map(str::to_owned));
        }
    }
    Ok(found)
}

fn folders(cgroups: &Cgroups) -> Vec<PathBuf> {
    let Cgroups::Below(mount) = cgroups else { return Vec::new() };
    let root = mount.join(ROOT);
    std::iter::once(root.clone()).chain(CLASSES.map(|class| root.join(class))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(uid: &str, resources: Value) -> Pod {
        let containers = json!([{"name": "c", "resources": resources}]);
        serde_json::from_value(json!({"metadata": {"uid": uid}, "spec": {"containers": containers}})).unwrap()
    }

    /// A folder stands in for the kernel's: it keeps what is written, and its files do not vanish with it.
    #[test]
    fn pods_are_below_their_class_with_what_they_may_use() {
        let folder = tempfile::tempdir().unwrap();
        let cgroups = Cgroups::Below(folder.path().to_owned());
        prepare(&cgroups, 2000, 1 << 30).unwrap();
        let limited = json!({"requests": {"cpu": "500m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}});
        let (burstable, best_effort) = (pod("b", limited), pod("e", json!({})));
        ensure(&cgroups, &burstable).unwrap();
        ensure(&cgroups, &best_effort).unwrap();
        ensure(&cgroups, &best_effort).unwrap();
        assert_eq!(path(&cgroups, &burstable), "/kubepods/burstable/podb");
        let read = |file: &str| std::fs::read_to_string(folder.path().join("kubepods").join(file)).unwrap();
        assert_eq!(read("burstable/podb/cpu.max"), "100000 100000");
        assert_eq!(read("burstable/podb/cpu.weight"), "20");
        assert_eq!(read("burstable/podb/memory.max"), "134217728");
        assert_eq!(read("besteffort/pode/cpu.max"), "max 100000");
        assert_eq!(read("besteffort/pode/memory.max"), "max");
        let mut all = uids(&cgroups).unwrap();
        all.sort();
        assert_eq!(all, ["b", "e"]);
    }

    #[test]
    fn a_host_without_them_makes_none() {
        assert_eq!(path(&Cgroups::Off, &pod("u", json!({}))), "");
        ensure(&Cgroups::Off, &pod("u", json!({}))).unwrap();
        tear_down(&Cgroups::Off, "u").unwrap();
    }
}
