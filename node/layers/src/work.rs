//! Does what `entry` decided: one entry after the other, and the times of folders in the end.

use crate::archive::Archive;
use crate::attributes::{give, timestamps};
use crate::entry::{Action, Entry, Kind, Owner};
use crate::make::{Spot, make};
use crate::path::join;
use crate::remove::{clear, remove};
use crate::route::{follow, open_plainly};
use crate::time::Times;
use crate::tree::{Parent, Tree};
use crate::{Error, Target};
use rustix::fs::{AtFlags, FileType, Mode, Timestamps, XattrFlags};
use rustix::fs::{fsetxattr, futimens, makedev, mknodat, utimensat};
use rustix::io::Errno;
use std::collections::HashSet;

/// The bytes of names that are kept until the end. Names of real layers need some megabytes; an archive that is made
/// of nothing but names shrinks a thousandfold when it is packed.
const KEPT_BYTES_MAX: usize = 256 << 20;
/// How overlayfs knows a folder that hides what is below it.
const OPAQUE: (&str, &[u8]) = ("trusted.overlay.opaque", b"y");

/// A layer half unpacked.
pub struct Work<'a> {
    tree: Tree<'a>,
    /// The folders of the archive, by their names in it, and their times.
    folders: Vec<(Vec<u8>, Times)>,
    /// Of a first layer, where everything is that the archive brought: what an opaque folder keeps.
    brought: Option<HashSet<Vec<u8>>>,
    /// The bytes of names in both.
    kept_bytes: usize,
}

impl<'a> Work<'a> {
    pub fn begin(target: &Target<'a>) -> Result<Work<'a>, Error> {
        let (tree, brought) = match *target {
            Target::Whole(folder) => (Tree::open(folder, &[])?, Some(HashSet::new())),
            Target::Upper { folder, lower } => (Tree::open(folder, lower)?, None),
        };
        Ok(Work { tree, folders: Vec::new(), brought, kept_bytes: 0 })
    }

    /// Does one entry; says how many bytes of a file it brought.
    pub fn carry_out(&mut self, entry: &Entry<'_>, archive: &mut Archive<'_>) -> Result<u64, Error> {
        let parent = self.tree.parent(entry.path.parent())?;
        match &entry.action {
            Action::Opaque => self.hide_all(entry, &parent).map(|()| 0),
            Action::Whiteout(owner) => self.hide(entry, &parent, *owner).map(|()| 0),
            Action::Make(thing) => {
                let spot = Spot { folder: parent.folder(), name: entry.path.name(), path: entry.path.bytes() };
                let bytes = make(&mut self.tree, &spot, thing, archive)?;
                self.keep(entry, &parent, (thing.kind == Kind::Folder).then_some(thing.times))?;
                Ok(bytes)
            }
        }
    }

    /// Sets the times of folders. A folder's name may lead to something else by now, as the archive would have it.
    pub fn finish(self) -> Result<(), Error> {
        for (path, times) in &self.folders {
            self.set_times(path, &timestamps(times)).map_err(|errno| match errno {
                Errno::NOENT | Errno::NOTDIR | Errno::LOOP => {
                    Error::invalid(path, "the layer itself removes this folder")
                }
                _ => self.tree.failed(path, "set the times")(errno),
            })?;
        }
        Ok(())
    }

    fn set_times(&self, path: &[u8], times: &Timestamps) -> Result<(), Errno> {
        if let Ok(folder) = open_plainly(self.tree.root(), path) {
            return futimens(folder, times);
        }
        let at = follow(self.tree.root(), path)?;
        let at = if at.is_empty() { b"." } else { at.as_slice() };
        utimensat(self.tree.root(), at, times, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn hide_all(&mut self, entry: &Entry<'_>, parent: &Parent) -> Result<(), Error> {
        let failed = self.tree.failed(entry.path.parent(), "make the folder opaque");
        let Some(brought) = &self.brought else {
            return fsetxattr(parent.folder(), OPAQUE.0, OPAQUE.1, XattrFlags::empty()).map_err(failed);
        };
        clear(self.tree.root(), &parent.at, brought).map_err(failed)?;
        self.tree.forget();
        Ok(())
    }

    fn hide(&mut self, entry: &Entry<'_>, parent: &Parent, owner: Owner) -> Result<(), Error> {
        let (folder, name, path) = (parent.folder(), entry.hidden(), entry.path.bytes());
        if self.brought.is_some() {
            if remove(folder, name).map_err(self.tree.failed(path, "remove what it hides"))? {
                self.tree.forget();
            }
            return Ok(());
        }
        match mknodat(folder, name, FileType::CharacterDevice, Mode::empty(), makedev(0, 0)) {
            // containerd fails here, too: what the layer means is anybody's guess.
            Err(Errno::EXIST) => Err(Error::invalid(path, "the layer hides what it brings itself")),
            made => made.and_then(|()| give(folder, name, owner)).map_err(self.tree.failed(path, "make the whiteout")),
        }
    }

    /// Remembers what `finish` and `hide_all` need.
    fn keep(&mut self, entry: &Entry<'_>, parent: &Parent, times: Option<Times>) -> Result<(), Error> {
        if let Some(times) = times {
            self.kept_bytes += entry.path.bytes().len();
            self.folders.push((entry.path.bytes().to_vec(), times));
        }
        if let Some(brought) = &mut self.brought {
            let path = join(&parent.at, entry.path.name());
            self.kept_bytes += path.len();
            brought.insert(path);
        }
        if self.kept_bytes > KEPT_BYTES_MAX {
            return Err(Error::invalid(entry.path.bytes(), "the names of the layer are too many and too long"));
        }
        Ok(())
    }
}
