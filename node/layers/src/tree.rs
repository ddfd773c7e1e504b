//! The folder that is filled, and the parents in it. A path is never handed to the kernel beyond its parent: that one is
//! opened below the root without a link on the way, and everything else happens by one name in it.

use crate::error::{failed, shown};
use crate::path::push;
use crate::route::{self, FOLDER, follow, open_plainly};
use crate::{Error, lower};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, fchmod, mkdirat, openat};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The mode of a parent that neither the layer nor a lower folder has.
const PARENT_MODE: u32 = 0o755;

/// The folder that is filled.
pub struct Tree<'a> {
    path: &'a Path,
    root: OwnedFd,
    lower: &'a [PathBuf],
    /// The parent of the last entry: mostly that of the next one, too.
    last: Option<Rc<Parent>>,
}

/// An open folder in it.
pub struct Parent {
    /// The path by which it was asked for.
    asked: Vec<u8>,
    /// Where it is, without links.
    pub at: Vec<u8>,
    folder: OwnedFd,
}

impl Parent {
    pub fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

impl<'a> Tree<'a> {
    pub fn open(path: &'a Path, lower: &'a [PathBuf]) -> Result<Tree<'a>, Error> {
        let root = openat(CWD, path, FOLDER, Mode::empty()).map_err(failed(path, b"", "open the folder"))?;
        Ok(Tree { path, root, lower, last: None })
    }

    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Names a path of the tree in a failure of the disk.
    pub fn failed(&self, path: &[u8], attempt: &'static str) -> impl Fn(Errno) -> Error {
        failed(self.path, path, attempt)
    }

    /// The parent at a path, made when it is missing.
    pub fn parent(&mut self, path: &[u8]) -> Result<Rc<Parent>, Error> {
        if let Some(last) = self.known(path) {
            return Ok(last);
        }
        let (at, folder) = match open_plainly(self.root(), path) {
            Ok(folder) => (path.to_vec(), folder),
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => {
                let at = follow(self.root(), path).map_err(|errno| self.astray(path, errno))?;
                let folder = self.make(&at)?;
                (at, folder)
            }
            Err(errno) => return Err(self.failed(path, "open the folder")(errno)),
        };
        let parent = Rc::new(Parent { asked: path.to_vec(), at, folder });
        self.last = Some(Rc::clone(&parent));
        Ok(parent)
    }

    /// The folder at a path that may hold `..`, which takes back what was followed; `ENOENT` when it is missing.
    pub fn find(&self, path: &[u8]) -> Result<Rc<Parent>, Errno> {
        let mut plain = path;
        while let Some(rest) = plain.strip_prefix(b"/").or_else(|| plain.strip_prefix(b"./")) {
            plain = rest;
        }
        if let Some(last) = self.known(plain) {
            return Ok(last);
        }
        let folder = route::open(self.root(), plain)?;
        Ok(Rc::new(Parent { asked: Vec::new(), at: Vec::new(), folder }))
    }

    /// To be told when something was removed: a path may lead elsewhere now.
    pub fn forget(&mut self) {
        self.last = None;
    }

    fn known(&self, path: &[u8]) -> Option<Rc<Parent>> {
        self.last.as_ref().filter(|last| last.asked == path).map(Rc::clone)
    }

    /// Opens a path without links, and makes what is missing of it.
    fn make(&self, at: &[u8]) -> Result<OwnedFd, Error> {
        match open_plainly(self.root(), at) {
            Err(Errno::NOENT) => {}
            opened => return opened.map_err(|errno| self.astray(at, errno)),
        }
        let mut path = Vec::with_capacity(at.len());
        let mut above: Option<OwnedFd> = None;
        for part in at.split(|byte| *byte == b'/') {
            push(&mut path, part);
            let folder = above.as_ref().map_or(self.root(), |above| above.as_fd());
            let below = match openat(folder, part, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
                Err(Errno::NOENT) => self.make_one(folder, part, &path)?,
                opened => opened.map_err(|errno| self.astray(&path, errno))?,
            };
            above = Some(below);
        }
        above.ok_or_else(|| self.astray(at, Errno::NOENT))
    }

    fn make_one(&self, folder: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<OwnedFd, Error> {
        let mode = Mode::from_raw_mode(PARENT_MODE);
        let made = mkdirat(folder, name, mode)
            .and_then(|()| openat(folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()))
            .and_then(|made| fchmod(&made, mode).map(|()| made))
            .map_err(self.failed(path, "make the parent folder"))?;
        lower::inherit(self.lower, path, made.as_fd())?;
        Ok(made)
    }

    /// A path that leads nowhere: the layer's fault when it leads through a file or in circles.
    fn astray(&self, path: &[u8], errno: Errno) -> Error {
        match errno {
            Errno::NOTDIR => Error::invalid(path, "its parent is no folder"),
            Errno::LOOP => Error::invalid(path, "its parent is a link that leads in circles"),
            _ => self.failed(path, "open the folder")(errno),
        }
    }

    /// Why a hard link was not made.
    pub fn unlinked(&self, path: &[u8], target: &[u8], errno: Errno) -> Error {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => {
                Error::invalid(path, format!("a hard link to {}, which this layer does not bring", shown(target)))
            }
            Errno::PERM => Error::invalid(path, format!("a hard link to {}, which is no file", shown(target))),
            _ => self.failed(path, "make the hard link")(errno),
        }
    }
}
