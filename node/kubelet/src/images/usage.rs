//! Which images are in use, told by the snapshots: every container has one that is written to, whoever started it and
//! whether it runs, and it grows out of its image. So containers of the pods and of Docker count alike.

use super::fault::at;
use super::{Fault, Images, SNAPSHOTTER, call};
use containerd_client::services::v1::ListContainersRequest;
use containerd_client::services::v1::snapshots::{Kind, ListSnapshotsRequest};
use futures_util::StreamExt;
use std::collections::{HashMap, HashSet};

/// The label by which the CRI marks its containers and sandboxes; Docker's have none.
const POD_KIND: &str = "io.cri-containerd.kind";

/// What counts of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// What it grows out of; empty for none.
    pub parent: String,
    /// Whether it is finished. Any other is mounted, or was for a container that still exists.
    pub committed: bool,
}

/// The chains, out of `chains`, that a container's snapshot grows out of, of the containers that count. Followed through what lies between, as Docker puts a
/// layer of its own below a container, but not through an image to the one that it was built on.
pub fn used(snapshots: &[Snapshot], chains: &HashSet<String>, counts: impl Fn(&Snapshot) -> bool) -> HashSet<String> {
    let parents: HashMap<&str, &str> = snapshots.iter().map(|s| (s.name.as_str(), s.parent.as_str())).collect();
    let mut found = HashSet::new();
    for snapshot in snapshots.iter().filter(|snapshot| !snapshot.committed && counts(snapshot)) {
        let mut at = snapshot.parent.as_str();
        // No more steps than snapshots, should their names ever run in a circle.
        for _ in 0..snapshots.len() {
            if chains.contains(at) {
                found.insert(at.to_owned());
                break;
            }
            let Some(parent) = parents.get(at) else { break };
            at = parent;
        }
    }
    found
}

impl Images {
    /// The chains in use, out of `chains`.
    pub(super) async fn in_use(&self, chains: &HashSet<String>) -> Result<HashSet<String>, Fault> {
        Ok(used(&self.snapshots().await?, chains, |_| true))
    }

    /// The chains that containers of pods use, out of `chains`, whether they run or have ended.
    pub(super) async fn in_use_by_pods(&self, chains: &HashSet<String>) -> Result<HashSet<String>, Fault> {
        let request = ListContainersRequest { filters: vec![format!("labels.\"{POD_KIND}\"")] };
        let listed = self.client().containers().list(call(request)).await.map_err(at("containers.List"))?;
        let of_pods: HashSet<String> = listed.into_inner().containers.into_iter().map(|c| c.snapshot_key).collect();
        Ok(used(&self.snapshots().await?, chains, |snapshot| of_pods.contains(&snapshot.name)))
    }

    async fn snapshots(&self) -> Result<Vec<Snapshot>, Fault> {
        let request = ListSnapshotsRequest { snapshotter: SNAPSHOTTER.to_owned(), filters: Vec::new() };
        let answer = self.client().snapshots().list(call(request)).await.map_err(at("snapshots.List"))?;
        let mut pieces = answer.into_inner();
        let mut snapshots = Vec::new();
        while let Some(piece) = pieces.next().await {
            snapshots.extend(piece.map_err(at("snapshots.List"))?.info.into_iter().map(|info| Snapshot {
                committed: info.kind() == Kind::Committed,
                name: info.name,
                parent: info.parent,
            }));
        }
        Ok(snapshots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(snapshots: &[(&str, &str, bool)], wanted: &[&str]) {
        let chains = ["base", "app"].map(str::to_owned).into();
        let snapshots: Vec<Snapshot> = snapshots
            .iter()
            .map(|(name, parent, committed)| Snapshot {
                name: (*name).to_owned(),
                parent: (*parent).to_owned(),
                committed: *committed,
            })
            .collect();
        assert_eq!(used(&snapshots, &chains, |_| true), wanted.iter().map(|name| (*name).to_owned()).collect());
    }

    #[test]
    fn a_container_uses_its_image_and_not_the_one_below() {
        check(&[("base", "", true), ("app", "base", true), ("c", "app", false)], &["app"]);
    }

    #[test]
    fn a_layer_between_container_and_image_is_passed_through() {
        check(&[("base", "", true), ("c-init", "base", true), ("c", "c-init", false)], &["base"]);
    }

    #[test]
    fn only_the_containers_that_count_use_an_image() {
        let snapshot = |name: &str, parent: &str, committed| Snapshot {
            name: name.to_owned(),
            parent: parent.to_owned(),
            committed,
        };
        let all = [snapshot("app", "", true), snapshot("base", "", true), snapshot("pod", "app", false)];
        let with_docker = [&all[..], &[snapshot("docker", "base", false)]].concat();
        let chains = ["base", "app"].map(str::to_owned).into();
        let found = used(&with_docker, &chains, |snapshot| snapshot.name == "pod");
        assert_eq!(found, ["app".to_owned()].into());
    }

    #[test]
    fn unpacked_images_and_circles_use_nothing() {
        check(&[("base", "", true), ("app", "base", true)], &[]);
        check(&[("a", "b", false), ("b", "a", false)], &[]);
    }
}
