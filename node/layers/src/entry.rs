//! What one member of a layer means: where it goes and what is done there. Decided without a look at the disk.

use crate::Error;
use crate::error::Problem;
use crate::member::{Member, kind};
use crate::path::{Cleaned, PATH_BYTES_MAX};
use crate::time::Times;
use rustix::fs::{Dev, FileType, makedev};

/// What the name of a whiteout begins with. See `layer.md` of the OCI image specification.
const WHITEOUT: &[u8] = b".wh.";
/// The whiteout of everything in the folder that it is in.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Attributes that steer overlayfs; a layer must not have a say in them.
const TRUSTED: &[u8] = b"trusted.";
/// The bits of a mode: permissions, set-user, set-group and sticky.
const MODE: i64 = 0o7777;

/// A member and where it goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub path: Cleaned,
    pub action: Action<'a>,
}

/// What is done at the path.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// The folder that the path is in loses what it has from below.
    Opaque,
    /// The thing beside the path whose name is the path's without the prefix goes.
    Whiteout(Owner),
    /// Something is made in place of what is there.
    Make(Thing<'a>),
}

/// A user and a group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub user: u32,
    pub group: u32,
}

/// Something to make.
#[derive(Debug, PartialEq, Eq)]
pub struct Thing<'a> {
    pub kind: Kind<'a>,
    pub owner: Owner,
    pub mode: u32,
    pub times: Times,
    pub attributes: Vec<(&'a [u8], &'a [u8])>,
}

/// What it is.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    Folder,
    File,
    Symlink(&'a [u8]),
    /// A further name of what is called `name` in `folder`, which is as the archive has it.
    Link {
        folder: &'a [u8],
        name: &'a [u8],
    },
    /// A device or a pipe.
    Node(FileType, Dev),
    /// The header of global records. It makes nothing, but containerd prepares the place as for a file.
    Nothing,
}

impl Entry<'_> {
    /// The name that a whiteout hides.
    pub fn hidden(&self) -> &[u8] {
        self.path.name().strip_prefix(WHITEOUT).unwrap_or_default()
    }
}

/// What a member means; nothing when it is the folder itself, which keeps its attributes.
pub fn plan(member: Member<'_>) -> Result<Option<Entry<'_>>, Error> {
    let path = Cleaned::of(&member.name).map_err(|problem| problem.of(&member.name))?;
    if path.bytes().is_empty() {
        return Ok(None);
    }
    match action(path.name(), &member) {
        Ok(action) => Ok(Some(Entry { path, action })),
        Err(problem) => Err(problem.of(&member.name)),
    }
}

fn action<'a>(name: &[u8], member: &Member<'a>) -> Result<Action<'a>, Problem> {
    if name == OPAQUE {
        return Ok(Action::Opaque);
    }
    let owner = Owner { user: id(member.owner)?, group: id(member.group)? };
    if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        return match hidden {
            b"" | b"." | b".." => Err(Problem::Invalid("a whiteout of nothing in its folder")),
            _ => Ok(Action::Whiteout(owner)),
        };
    }
    if member.sparse {
        return Err(Problem::Unsupported("a sparse file"));
    }
    let is_allowed = |(key, _): &&(&[u8], &[u8])| !key.starts_with(TRUSTED);
    Ok(Action::Make(Thing {
        kind: what(member)?,
        owner,
        mode: u32::try_from(member.mode & MODE).unwrap_or_default(),
        times: member.times,
        attributes: member.attributes.iter().filter(is_allowed).copied().collect(),
    }))
}

fn what<'a>(member: &Member<'a>) -> Result<Kind<'a>, Problem> {
    match member.kind {
        kind::FOLDER => Ok(Kind::Folder),
        kind::FILE => Ok(Kind::File),
        kind::SYMLINK => match member.link.len() {
            0 | PATH_BYTES_MAX.. => Err(Problem::Invalid("a symbolic link that leads nowhere")),
            _ => Ok(Kind::Symlink(member.link)),
        },
        kind::LINK => link(member.link),
        kind::CHARACTER => Ok(Kind::Node(FileType::CharacterDevice, device(member.device)?)),
        kind::BLOCK => Ok(Kind::Node(FileType::BlockDevice, device(member.device)?)),
        kind::PIPE => Ok(Kind::Node(FileType::Fifo, 0)),
        kind::GLOBAL => Ok(Kind::Nothing),
        _ => Err(Problem::Unsupported("a kind of member that no layer has")),
    }
}

fn link(target: &[u8]) -> Result<Kind<'_>, Problem> {
    let slash = target.iter().rposition(|byte| *byte == b'/');
    let (folder, name) = slash.map_or((&b""[..], target), |slash| (&target[..slash], &target[slash + 1..]));
    match name {
        // containerd follows these to their end, and links to it when it is no folder. Nobody writes them.
        b"" | b"." | b".." => Err(Problem::Unsupported("a hard link to what only a folder is called")),
        _ if target.len() >= PATH_BYTES_MAX => Err(Problem::Invalid("a hard link with too long a target")),
        _ => Ok(Kind::Link { folder, name }),
    }
}

/// A user or group. The kernel has 32 bits for it, and the last number means that nothing changes.
fn id(number: i64) -> Result<u32, Problem> {
    let id = u32::try_from(number).ok().filter(|id| *id != u32::MAX);
    id.ok_or(Problem::Unsupported("an owner that no kernel knows"))
}

fn device((major, minor): (i64, i64)) -> Result<Dev, Problem> {
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) => Ok(makedev(major, minor)),
        _ => Err(Problem::Unsupported("a device that no kernel knows")),
    }
}

#[cfg(test)]
mod tests;
