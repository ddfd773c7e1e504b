//! An uncompressed layer into a prepared snapshot, by ourselves: containerd would hash it, and does all of it under an
//! emulated processor with code that runs for the first time.

use super::Fault;
use super::fault::failed;
use containerd_client::types::Mount;
use layers::{Error, Target};
use std::path::{Path, PathBuf};
use sys::direct::Reader;

/// Unpacks a tar to where the mounts of a snapshot lead, and writes it out: a snapshot that is known must be there after a
/// power cut, too. False when it holds something that only containerd knows; what was unpacked until then is of no use.
///
/// # Errors
/// `Invalid` when it is no layer; what the disk says.
pub async fn here(tar: PathBuf, mounts: &[Mount]) -> Result<bool, Fault> {
    let Some(place) = place(mounts) else { return Ok(false) };
    let unpacked = tokio::task::spawn_blocking(move || -> Result<bool, Fault> {
        let reader = Reader::open(&tar).map_err(failed("layer"))?;
        let target = match &place.lower[..] {
            [] => Target::Whole(&place.folder),
            lower => Target::Upper { folder: &place.folder, lower },
        };
        match layers::unpack(reader, &target) {
            Ok(_) => sys::mount::flush(&place.folder).map(|()| true).map_err(failed("layer")),
            Err(Error::Unsupported { .. }) => Ok(false),
            Err(error @ Error::Invalid { .. }) => Err(Fault::invalid("content", error.to_string())),
            Err(error @ (Error::Failed { .. } | Error::Unreadable { .. })) => Err(failed("layer")(error)),
        }
    });
    unpacked.await.map_err(failed("layer"))?
}

/// Where a layer is unpacked to.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    folder: PathBuf,
    /// The folders beneath it, the nearest first; none for the first layer.
    lower: Vec<PathBuf>,
}

/// What the mounts of the overlay snapshotter say. None for any that are not of its kind.
fn place(mounts: &[Mount]) -> Option<Place> {
    let [mount] = mounts else { return None };
    let option = |name: &str| mount.options.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
    match mount.r#type.as_str() {
        "bind" => Some(Place { folder: PathBuf::from(&mount.source), lower: Vec::new() }),
        // In a user namespace whiteouts are of another kind.
        "overlay" if !mount.options.iter().any(|option| option == "userxattr") => {
            let lower = option("lowerdir")?.split(':').map(|folder| Path::new(folder).to_owned()).collect();
            Some(Place { folder: PathBuf::from(option("upperdir")?), lower })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(kind: &str, options: &[&str]) -> Mount {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Mount { r#type: kind.to_owned(), source: "/s/1/fs".to_owned(), target: String::new(), options }
    }

    #[test]
    fn the_place_is_what_the_snapshotter_mounts() {
        let first = place(&[mount("bind", &["rw", "rbind"])]).unwrap();
        assert_eq!(first, Place { folder: "/s/1/fs".into(), lower: vec![] });
        let options = ["index=off", "workdir=/s/3/work", "upperdir=/s/3/fs", "lowerdir=/s/2/fs:/s/1/fs"];
        let third = place(&[mount("overlay", &options)]).unwrap();
        assert_eq!(third, Place { folder: "/s/3/fs".into(), lower: vec!["/s/2/fs".into(), "/s/1/fs".into()] });
        for other in [mount("overlay", &["lowerdir=/s/2/fs"]), mount("erofs", &[]), mount("overlay", &["userxattr"])] {
            assert_eq!(place(&[other]), None);
        }
        assert_eq!(place(&[]), None);
    }
}
