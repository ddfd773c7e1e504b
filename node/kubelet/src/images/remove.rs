//! Removes an image by name or ID. Its last name takes the image with it.

use super::fault::found;
use super::resolve::Known;
use super::{Fault, Images, call, normalise};
use containerd_client::services::v1::DeleteImageRequest;

/// The fewest digits that an ID may be shortened to, as Docker shows twelve and people type less.
const DIGITS_MIN: usize = 6;

/// The image of a name or an ID.
pub(super) fn find<'a>(images: &'a [Known], what: &str) -> Result<&'a Known, Fault> {
    if let Some((image, _)) = named(images, what) {
        return Ok(image);
    }
    let missing = || Fault::NotFound(format!("no image {what:?}"));
    let digits = what.strip_prefix("sha256:").unwrap_or(what);
    if digits.len() < DIGITS_MIN || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(missing());
    }
    let full = format!("sha256:{digits}");
    let mut fitting = images.iter().filter(|image| image.id.as_str().starts_with(&full));
    match (fitting.next(), fitting.next()) {
        (Some(image), None) => Ok(image),
        (Some(_), Some(_)) => Err(Fault::invalid("name", format!("more than one image's ID begins with {digits}"))),
        (None, _) => Err(missing()),
    }
}

fn named<'a>(images: &'a [Known], what: &str) -> Option<(&'a Known, String)> {
    let name = normalise(what).ok()?;
    images.iter().find(|image| image.records.contains(&name)).map(|image| (image, name))
}

/// The records to delete, with what they lead to.
fn doomed<'a>(images: &'a [Known], what: &str) -> Result<(&'a Known, Vec<&'a str>), Fault> {
    if let Some((image, name)) = named(images, what)
        && image.names().any(|other| *other != name)
    {
        return Ok((image, vec![&image.records[place(image, &name)]]));
    }
    let image = find(images, what)?;
    Ok((image, all(image)))
}

fn place(image: &Known, name: &str) -> usize {
    image.records.iter().position(|record| record == name).expect("the caller found it there")
}

fn all(image: &Known) -> Vec<&str> {
    image.records.iter().map(String::as_str).collect()
}

impl Images {
    /// Removes an image, or one of its names, and gives the names that are gone.
    ///
    /// # Errors
    /// `NotFound` when there is none, `Conflict` when a container uses it or it is pinned; what containerd says.
    pub async fn remove(&self, what: &str) -> Result<Vec<String>, Fault> {
        let images = self.inventory().await?;
        let (image, records) = doomed(&images, what)?;
        let last = records.len() == image.records.len();
        if image.pinned && last {
            return Err(Fault::Conflict(format!("{what} is pinned: the machine needs it")));
        }
        let chains = image.chain.iter().map(ToString::to_string).collect();
        if last && !self.in_use(&chains).await?.is_empty() {
            return Err(Fault::Conflict(format!("a container uses {what}; delete its pod (or its container) first")));
        }
        self.delete(&records).await?;
        Ok(records.iter().filter(|name| !name.starts_with("sha256:")).map(|name| (*name).to_owned()).collect())
    }

    /// Deletes records; with the last one containerd collects what nothing refers to any more, before it returns.
    pub(super) async fn delete(&self, records: &[&str]) -> Result<(), Fault> {
        for (index, name) in records.iter().enumerate() {
            let sync = index + 1 == records.len();
            let request = DeleteImageRequest { name: (*name).to_owned(), sync, target: None };
            found("images.Delete", self.client().images().delete(call(request)).await)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::Digest;
    use jiff::Timestamp;

    fn image(content: &[u8], names: &[&str]) -> Known {
        let id = Digest::of(content);
        let mut records: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        records.push(id.to_string());
        let created = Timestamp::UNIX_EPOCH;
        Known { target: id.clone(), id, records, size: 1, chain: None, pinned: false, created }
    }

    #[test]
    fn a_name_among_others_goes_alone_and_the_last_takes_all() {
        let images = [image(b"a", &["docker.io/library/a:1", "docker.io/library/a:2"]), image(b"b", &["r.test/b:1"])];
        assert_eq!(doomed(&images, "a:1").unwrap().1, ["docker.io/library/a:1"]);
        let id = images[1].id.to_string();
        assert_eq!(doomed(&images, "r.test/b:1").unwrap().1, ["r.test/b:1", &id]);
    }

    #[test]
    fn an_id_may_be_short_but_must_be_clear() {
        let images = [image(b"a", &["docker.io/library/a:1"]), image(b"b", &[])];
        let id = images[0].id.to_string();
        for what in [&id[..], &id[7..], &id[7..19]] {
            assert_eq!(doomed(&images, what).unwrap().1.len(), 2, "{what}");
        }
        for what in ["a:3", &id[7..10], "zzzzzzzz", "sha256:"] {
            assert!(matches!(doomed(&images, what), Err(Fault::NotFound(_))), "{what}");
        }
    }
}
