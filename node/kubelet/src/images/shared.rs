//! The images as Docker may see and take them, for it shares them with the pods: the CRI's own references and the
//! machine's own image are not shown, and the last name of an image that a pod uses is not given up.

use super::finish::PINNED;
use super::resolve::Known;
use super::{Digest, Fault, Images};
use containerd_client::services::v1::Image as Record;
use std::collections::HashSet;

/// Whether a record is none of Docker's concern: a reference by which the CRI finds an image by its ID, or an image that
/// is part of the machine.
#[must_use]
pub fn is_hidden(record: &Record) -> bool {
    is_reference(&record.name) || record.labels.get(PINNED.0).is_some_and(|value| value == PINNED.1)
}

fn is_reference(name: &str) -> bool {
    name.starts_with("sha256:")
}

/// Whether it is the name that Docker gives an image whose last name it is about to take while a container of its own
/// still needs it (`danglingImageName` in moby's `daemon/containerd`).
fn is_dangling(name: &str) -> bool {
    name.starts_with("moby-dangling@")
}

/// What becomes of a name that Docker wants to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is a name like any other: the engine may delete it.
    Passes,
    /// It is the image's last name: these records go, the CRI's references among them, so that nothing is left behind.
    Takes(Vec<String>),
    /// It stays, and why.
    Refused(String),
}

fn deletion(known: &[Known], used: &HashSet<Digest>, name: &str) -> Deletion {
    let Some(image) = known.iter().find(|image| image.records.iter().any(|record| record == name)) else {
        return Deletion::Passes;
    };
    if image.pinned {
        return Deletion::Refused(format!("{name} is part of the machine"));
    }
    let is_other = |record: &String| record != name && !is_reference(record) && !is_dangling(record);
    if image.records.iter().any(is_other) {
        return Deletion::Passes;
    }
    if used.contains(&image.id) {
        return Deletion::Refused(format!("a pod uses {name}; delete the pod first"));
    }
    if image.records.iter().any(|record| record != name && is_dangling(record)) {
        return Deletion::Passes;
    }
    // The name last: with it containerd collects the content.
    let mut records: Vec<String> = image.records.iter().filter(|record| *record != name).cloned().collect();
    records.push(name.to_owned());
    Deletion::Takes(records)
}

impl Images {
    /// The names of images that pods use.
    ///
    /// # Errors
    /// What containerd says.
    pub async fn used_by_pods(&self) -> Result<HashSet<String>, Fault> {
        let known = self.inventory().await?;
        let used = self.of_pods(&known).await?;
        Ok(known.into_iter().filter(|image| used.contains(&image.id)).flat_map(|image| image.records).collect())
    }

    /// What becomes of `name` when Docker deletes it.
    ///
    /// # Errors
    /// What containerd says.
    pub async fn deletion(&self, name: &str) -> Result<Deletion, Fault> {
        let known = self.inventory().await?;
        let used = self.of_pods(&known).await?;
        Ok(deletion(&known, &used, name))
    }

    /// Deletes records in this order; with the last one goes what nothing refers to any more.
    ///
    /// # Errors
    /// What containerd says.
    pub async fn take(&self, records: &[String]) -> Result<(), Fault> {
        self.delete(&records.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// The images that pods use, by ID.
    async fn of_pods(&self, known: &[Known]) -> Result<HashSet<Digest>, Fault> {
        let chains = known.iter().filter_map(|image| Some(image.chain.as_ref()?.to_string())).collect();
        let used = self.in_use_by_pods(&chains).await?;
        let is_used = |image: &&Known| image.chain.as_ref().is_some_and(|chain| used.contains(chain.as_str()));
        Ok(known.iter().filter(is_used).map(|image| image.id.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn image(content: &[u8], names: &[&str]) -> Known {
        let id = Digest::of(content);
        let mut records: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        records.push(id.to_string());
        let created = Timestamp::UNIX_EPOCH;
        Known { target: id.clone(), id, records, size: 1, chain: None, pinned: false, created }
    }

    #[test]
    fn the_last_name_of_a_used_image_stays_and_others_go() {
        let known = [image(b"a", &["a:1", "a:2"]), image(b"b", &["b:1"]), image(b"c", &["c:1"])];
        let used = [Digest::of(b"a"), Digest::of(b"b")].into();
        assert_eq!(deletion(&known, &used, "a:2"), Deletion::Passes);
        assert!(matches!(deletion(&known, &used, "b:1"), Deletion::Refused(why) if why.contains("b:1")));
        assert_eq!(deletion(&known, &used, "gone:1"), Deletion::Passes);
        let dangling = [image(b"d", &["d:1", "moby-dangling@sha256:00"])];
        assert!(matches!(deletion(&dangling, &[Digest::of(b"d")].into(), "d:1"), Deletion::Refused(_)));
        assert_eq!(deletion(&dangling, &HashSet::new(), "d:1"), Deletion::Passes, "a container of Docker's needs it");
    }

    #[test]
    fn the_last_name_takes_the_references_with_it() {
        let known = [image(b"c", &["c:1"])];
        let records = vec![Digest::of(b"c").to_string(), "c:1".to_owned()];
        assert_eq!(deletion(&known, &HashSet::new(), "c:1"), Deletion::Takes(records));
    }

    #[test]
    fn what_is_part_of_the_machine_is_neither_shown_nor_taken() {
        let pause = Known { pinned: true, ..image(b"p", &["p:1"]) };
        assert!(matches!(deletion(&[pause], &HashSet::new(), "p:1"), Deletion::Refused(_)));
        let record = |name: &str, label: &str| Record {
            name: name.to_owned(),
            labels: [(PINNED.0.to_owned(), label.to_owned())].into(),
            ..Record::default()
        };
        assert!(is_hidden(&record("p:1", PINNED.1)));
        assert!(is_hidden(&record("sha256:00", "")));
        assert!(!is_hidden(&record("docker.io/library/a:1", "")));
    }
}
