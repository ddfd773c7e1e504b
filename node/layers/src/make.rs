//! Makes one thing in an open folder, in place of what is there. Only a folder stays where a folder comes, with what it
//! holds; everything else goes first. Making is tried before looking, for mostly nothing is there.

use crate::Error;
use crate::archive::Archive;
use crate::attributes::{dress, dress_file};
use crate::entry::{Kind, Thing};
use crate::path::join;
use crate::remove::{kind, remove};
use crate::sink::Sink;
use crate::tree::Tree;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, linkat, mkdirat, mknodat, openat, symlinkat};
use rustix::io::Errno;

/// New things are nobody else's until they have their owner.
const PRIVATE: Mode = Mode::RWXU;
const FILE: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Where a thing goes.
pub struct Spot<'s> {
    pub folder: BorrowedFd<'s>,
    pub name: &'s [u8],
    /// The whole path, for errors.
    pub path: &'s [u8],
}

/// Makes a thing with its attributes; says how many bytes of a file there were.
pub fn make(tree: &mut Tree<'_>, spot: &Spot<'_>, thing: &Thing<'_>, archive: &mut Archive<'_>) -> Result<u64, Error> {
    let Spot { folder, name, path } = *spot;
    let made = match thing.kind {
        Kind::File => return write(tree, spot, thing, archive),
        Kind::Nothing => return make_room(tree, spot).map(|()| 0),
        Kind::Folder => make_folder(tree, spot)?,
        Kind::Symlink(target) => {
            replace(tree, spot, |_| symlinkat(target, folder, name), because("make the link"))?;
            FileType::Symlink
        }
        Kind::Node(kind, device) => {
            let node = |_: &Tree<'_>| mknodat(folder, name, kind, PRIVATE, device);
            replace(tree, spot, node, because("make the device or pipe"))?;
            kind
        }
        Kind::Link { folder: target_folder, name: target } => link(tree, spot, target_folder, target)?,
    };
    dress(folder, name, made, thing).map_err(|(attempt, errno)| tree.failed(path, attempt)(errno))?;
    Ok(0)
}

/// Writes a file straight from the pieces of the archive.
fn write(tree: &mut Tree<'_>, spot: &Spot<'_>, thing: &Thing<'_>, archive: &mut Archive<'_>) -> Result<u64, Error> {
    let open = |_: &Tree<'_>| openat(spot.folder, spot.name, FILE, PRIVATE);
    let mut sink = Sink::new(replace(tree, spot, open, because("make the file"))?, archive.left());
    let failed = |error: std::io::Error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        tree.failed(spot.path, "write the file")(errno)
    };
    let bytes = archive.data(|piece| sink.write(piece).map_err(failed))?;
    let file = sink.end().map_err(failed)?;
    dress_file(file.as_fd(), thing).map_err(|(attempt, errno)| tree.failed(spot.path, attempt)(errno))?;
    Ok(bytes)
}

fn make_folder(tree: &mut Tree<'_>, spot: &Spot<'_>) -> Result<FileType, Error> {
    let make = |_: &Tree<'_>| match mkdirat(spot.folder, spot.name, PRIVATE) {
        Err(Errno::EXIST) if kind(spot.folder, spot.name)? == FileType::Directory => Ok(()),
        made => made,
    };
    replace(tree, spot, make, because("make the folder"))?;
    Ok(FileType::Directory)
}

/// Makes a further name of what is there already; says what that is. A link to a symbolic link is one itself.
fn link(tree: &mut Tree<'_>, spot: &Spot<'_>, target_folder: &[u8], target: &[u8]) -> Result<FileType, Error> {
    let make = |tree: &Tree<'_>| {
        let found = tree.find(target_folder)?;
        linkat(found.folder(), target, spot.folder, spot.name, AtFlags::empty())
    };
    let target = || join(target_folder, target);
    replace(tree, spot, make, |tree, path, errno| tree.unlinked(path, &target(), errno))?;
    kind(spot.folder, spot.name).map_err(tree.failed(spot.path, "look at the hard link"))
}

/// Makes something; when the name is taken, once more after removing what has it.
fn replace<T>(
    tree: &mut Tree<'_>,
    spot: &Spot<'_>,
    make: impl Fn(&Tree<'_>) -> Result<T, Errno>,
    explain: impl Fn(&Tree<'_>, &[u8], Errno) -> Error,
) -> Result<T, Error> {
    let made = match make(tree) {
        Err(Errno::EXIST) => {
            make_room(tree, spot)?;
            make(tree)
        }
        made => made,
    };
    made.map_err(|errno| explain(tree, spot.path, errno))
}

fn make_room(tree: &mut Tree<'_>, spot: &Spot<'_>) -> Result<(), Error> {
    let removed = remove(spot.folder, spot.name).map_err(tree.failed(spot.path, "remove what is there"))?;
    if removed {
        tree.forget();
    }
    Ok(())
}

fn because(attempt: &'static str) -> impl Fn(&Tree<'_>, &[u8], Errno) -> Error {
    move |tree, path, errno| tree.failed(path, attempt)(errno)
}
