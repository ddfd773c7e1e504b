//! `subPath`: a part of a volume as a mount of its own. Containers may write to the volume and put links into it while
//! we look, so the part is opened by the kernel without leaving the volume, and what is mounted is that open descriptor,
//! never a path. Places as upstream's: `volume-subpaths/VOLUME/CONTAINER/INDEX`.
//!
//! It must not know what the part is for.

use super::beneath;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Which part, for which mount of which container.
pub struct Wanted<'a> {
    /// The folder of everything of the pod.
    pub pod_folder: &'a Path,
    /// The volume's name in the pod.
    pub volume: &'a str,
    /// The container's name.
    pub container: &'a str,
    /// The mount's place in the container's list.
    pub index: usize,
    /// Where the volume is.
    pub root: &'a Path,
    /// The part, relative, without `..`.
    pub sub: &'a str,
}

/// Makes the part if it is missing, and binds it; gives back where.
///
/// # Errors
/// In upstream's words, which tell nothing of the node: the container could learn what it must not see.
pub fn bind(wanted: &Wanted<'_>) -> Result<PathBuf, String> {
    let (volume, container) = (wanted.volume, wanted.container);
    let failed = |what: &str, why: &io::Error| {
        tracing::warn!(volume, container, sub_path = wanted.sub, %why, "a subPath was refused");
        format!("failed to {what} for volumeMount {volume:?} of container {container:?}")
    };
    let part = open_or_make(wanted).map_err(|why| failed("create subPath directory", &why))?;
    bind_part(wanted, &part).map_err(|why| failed("prepare subPath", &why))
}

fn open_or_make(wanted: &Wanted<'_>) -> io::Result<OwnedFd> {
    let root = beneath::folder(wanted.root)?;
    match beneath::open(&root, wanted.sub) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            // Like the volume's own folder, so that who may use one may use the other.
            let mode = fs::metadata(wanted.root)?.permissions().mode() & 0o7777;
            beneath::make_folders(&root, wanted.sub, mode)
        }
        opened => opened,
    }
}

fn bind_part(wanted: &Wanted<'_>, part: &OwnedFd) -> io::Result<PathBuf> {
    let folder = wanted.pod_folder.join("volume-subpaths").join(wanted.volume).join(wanted.container);
    fs::create_dir_all(&folder)?;
    let name = wanted.index.to_string();
    let target = folder.join(&name);
    let source = fs::metadata(beneath::path_of(part))?;
    if beneath::is_mount_point(&folder, &name)? {
        let there = fs::metadata(&target)?;
        if (there.dev(), there.ino()) == (source.dev(), source.ino()) {
            return Ok(target);
        }
        // An older file of a ConfigMap, say: a new container gets the newest.
        unmount(&target)?;
    }
    make_place(&target, source.is_dir())?;
    sys::mount::bind_alone(&beneath::path_of(part), &target)?;
    Ok(target)
}

/// A place of the same kind as what is to be mounted there.
fn make_place(target: &Path, is_dir: bool) -> io::Result<()> {
    match fs::symlink_metadata(target) {
        Ok(meta) if meta.is_dir() == is_dir => return Ok(()),
        Ok(meta) if meta.is_dir() => fs::remove_dir(target)?,
        Ok(_) => fs::remove_file(target)?,
        Err(why) if why.kind() == io::ErrorKind::NotFound => (),
        Err(why) => return Err(why),
    }
    if is_dir { fs::create_dir(target) } else { File::create(target).map(drop) }
}

/// Takes one of our own mounts away, with whatever came to be mounted within it, and without touching the originals:
/// it is cut off from its peers first.
///
/// # Errors
/// When the kernel refuses.
pub fn unmount(target: &Path) -> io::Result<()> {
    sys::mount::make_private(target)?;
    sys::mount::unmount(target, true)
}
