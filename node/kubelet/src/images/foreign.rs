//! Removes images of another engine than the machine's own when its disk fills, by the CRI alone. Thresholds and order
//! are those of `garbage`.
//!
//! Pure core: [`known`].

use super::garbage::{Disk, Plan, Policy, plan};
use super::present::{Found, Memory, disk};
use super::{Digest, Fault};
use crate::cri::{self, Cri, v1};
use jiff::Timestamp;
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

/// Between two looks, as upstream: the CRI tells nobody of images that come.
const LOOK_EVERY: Duration = Duration::from_secs(300);

/// An image, and how the engine spells it.
#[derive(Clone, Debug)]
struct Known {
    name: String,
    found: Found,
}

/// Removes images when the disk fills.
#[derive(Debug)]
pub struct Foreign {
    cri: Cri,
    policy: Policy,
    memory: Memory,
}

fn refused(error: cri::Error) -> Fault {
    Fault::Failed { call: error.call, message: error.message }
}

/// What there is, and whether a container uses it, whatever name of it the container goes by. An image whose id is no
/// digest is left alone.
fn known(images: Vec<v1::Image>, containers: &[v1::Container]) -> Vec<Known> {
    let of = |c: &v1::Container| [c.image.clone().unwrap_or_default().image, c.image_ref.clone(), c.image_id.clone()];
    let used: HashSet<String> = containers.iter().flat_map(of).filter(|name| !name.is_empty()).collect();
    let one = |image: v1::Image| {
        let in_use =
            image.repo_tags.iter().chain(&image.repo_digests).chain([&image.id]).any(|name| used.contains(name));
        let digits = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
        let id = Digest::parse(&format!("sha256:{digits}")).ok()?;
        Some(Known { name: image.id, found: Found { id, size: image.size, in_use, pinned: image.pinned } })
    };
    images.into_iter().filter_map(one).collect()
}

impl Foreign {
    /// For the images of this engine.
    #[must_use]
    pub fn new(cri: Cri, policy: Policy) -> Foreign {
        Foreign { cri, policy, memory: Memory::default() }
    }

    /// Looks at intervals, for ever. `report` is told of every plan that removes something or falls short.
    pub async fn run(mut self, report: impl Fn(&Plan)) {
        loop {
            match self.look(Timestamp::now()).await {
                Ok(plan) if !plan.remove.is_empty() || plan.falls_short() => report(&plan),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the other engine's images are not collected"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// One look, and what it removed.
    ///
    /// # Errors
    /// What the engine or the disk says; what was removed before stays removed.
    pub async fn look(&mut self, now: Timestamp) -> Result<Plan, Fault> {
        let images = self.cri.list_images(v1::ListImagesRequest::default()).await.map_err(refused)?.images;
        let containers = self.cri.list_containers(v1::ListContainersRequest::default()).await.map_err(refused)?;
        let known = known(images, &containers.containers);
        let found: Vec<Found> = known.iter().map(|image| image.found.clone()).collect();
        let images = self.memory.of(&found, now);
        let plan = plan(self.disk().await?, &images, &self.policy, now);
        for image in plan.remove.iter().filter_map(|id| known.iter().find(|image| image.found.id == *id)) {
            let spec = v1::ImageSpec { image: image.name.clone(), ..v1::ImageSpec::default() };
            self.cri.remove_image(v1::RemoveImageRequest { image: Some(spec) }).await.map_err(refused)?;
            tracing::info!(image = image.name, bytes = image.found.size, "removed an image, for the disk fills");
        }
        Ok(plan)
    }

    /// The disk where the engine says that its images are.
    async fn disk(&self) -> Result<Disk, Fault> {
        let told = self.cri.image_fs_info(v1::ImageFsInfoRequest::default()).await.map_err(refused)?;
        let place = told.image_filesystems.into_iter().find_map(|usage| usage.fs_id).unwrap_or_default().mountpoint;
        disk(Path::new(&place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_in_use_by_any_of_its_names() {
        let hex = |digit: &str| digit.repeat(64);
        let image = |id: String, tag: &str, digest: &str| v1::Image {
            id,
            repo_tags: vec![tag.to_owned()],
            repo_digests: vec![digest.to_owned()],
            size: 7,
            ..v1::Image::default()
        };
        let images = vec![
            image(hex("a"), "x:1", "x@sha256:1"),
            image(format!("sha256:{}", hex("b")), "y:1", "y@sha256:1"),
            image(hex("c"), "z:1", "z@sha256:1"),
            image(hex("d"), "w:1", "w@sha256:1"),
            image("odd".to_owned(), "o:1", "o@sha256:1"),
        ];
        let by = |reference: &str, id: &str| v1::Container {
            image_ref: reference.to_owned(),
            image_id: id.to_owned(),
            ..v1::Container::default()
        };
        let containers = [by("x@sha256:1", ""), by("", &format!("sha256:{}", hex("b"))), by("z:1", "")];
        let found = known(images, &containers);
        let told: Vec<(&str, bool)> =
            found.iter().map(|image| (&image.found.id.as_str()[7..8], image.found.in_use)).collect();
        assert_eq!(told, [("a", true), ("b", true), ("c", true), ("d", false)]);
        assert_eq!(found[0].name, hex("a"));
    }
}
