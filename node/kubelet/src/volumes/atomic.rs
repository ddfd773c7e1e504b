//! Files that change all at once: real files lie in a folder of their own, `..data` is a link to it, and what the
//! container sees are links through `..data`. A change writes a new folder and renames one link. Layout as upstream's
//! `pkg/volume/util/atomic_writer.go`, which programs that watch `..data` rely on.
//!
//! It must not know where the bytes come from.

use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path};

/// The link that makes a change visible.
pub const DATA: &str = "..data";
/// The link that becomes [`DATA`].
const DATA_NEXT: &str = "..data_tmp";
/// Bytes of a whole path and of one name in it, as the kernel allows.
const PATH_BYTES_MAX: usize = 4096;
const NAME_BYTES_MAX: usize = 255;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// What is in it.
    pub data: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
    /// Its user, when it is not the kubelet's.
    pub owner: Option<u32>,
}

/// The files by their path in the volume.
pub type Payload = BTreeMap<String, File>;

/// Why a path cannot be one of a volume's files.
///
/// # Errors
/// In upstream's words.
pub fn check(path: &str) -> Result<(), String> {
    let first = path.split('/').next().unwrap_or_default();
    if path.is_empty() {
        return Err("invalid path: must not be empty: \"\"".to_owned());
    }
    if path.starts_with('/') {
        return Err(format!("invalid path: must be relative path: {path}"));
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(format!("invalid path: must be less than or equal to {PATH_BYTES_MAX} characters"));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(format!("invalid path: must not contain '..': {path}"));
    }
    if path.split('/').any(|part| part.len() > NAME_BYTES_MAX) {
        return Err(format!("invalid path: filenames must be less than or equal to {NAME_BYTES_MAX} characters"));
    }
    if first.starts_with("..") {
        return Err(format!("invalid path: must not start with '..': {path}"));
    }
    Ok(())
}

/// Brings the volume's files to the payload; `finish` prepares what was written (owners) before it becomes visible.
/// Does nothing when they are as they should be.
///
/// # Errors
/// When a path is not allowed or the disk refuses; what was visible before stays so.
pub fn write(
    target: &Path,
    payload: &Payload,
    now: Timestamp,
    finish: impl FnOnce() -> io::Result<()>,
) -> Result<(), String> {
    let payload: Payload = payload.iter().map(|(path, file)| (clean(path), file.clone())).collect();
    payload.keys().try_for_each(|path| check(path))?;
    let said = |why: io::Error| format!("writing files of {}: {why}", target.display());
    replace(target, &payload, now, finish).map_err(said)
}

/// The path without `.` and doubled slashes.
fn clean(path: &str) -> String {
    let root = if path.starts_with('/') { "/" } else { "" };
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("{root}{}", parts.join("/"))
}

fn replace(
    target: &Path,
    payload: &Payload,
    now: Timestamp,
    finish: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let data = target.join(DATA);
    let old = match fs::read_link(&data) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => None,
        link => Some(link?),
    };
    let current = old.as_ref().map(|old| target.join(old));
    let same = match &current {
        Some(folder) => is_same(folder, payload)?,
        None => false,
    };
    if !same {
        let name = new_folder(target, now)?;
        let folder = target.join(&name);
        fill(&folder, payload)?;
        finish()?;
        let next = target.join(DATA_NEXT);
        remove_if_there(&next)?;
        symlink(&name, &next)?;
        fs::rename(&next, &data)?;
    }
    show(target, payload)?;
    tidy(target, payload)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

/// Whether a folder has exactly these files.
fn is_same(folder: &Path, payload: &Payload) -> io::Result<bool> {
    let mut count = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(here) = folders.pop() {
        let entries = match fs::read_dir(&here) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(false),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let path = entry.path();
            let name = path.strip_prefix(folder).ok().and_then(Path::to_str).unwrap_or_default();
            if payload.get(name).is_none_or(|file| fs::read(&path).ok().as_ref() != Some(&file.data)) {
                return Ok(false);
            }
            count += 1;
        }
    }
    Ok(count == payload.len())
}

/// A new folder, named after the time as upstream's are.
fn new_folder(target: &Path, now: Timestamp) -> io::Result<String> {
    let stem = now.strftime("..%Y_%m_%d_%H_%M_%S.").to_string();
    let mut number = now.subsec_nanosecond().unsigned_abs();
    loop {
        let name = format!("{stem}{number:010}");
        match fs::create_dir(target.join(&name)) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => number += 1,
            made => {
                made?;
                fs::set_permissions(target.join(&name), Permissions::from_mode(0o755))?;
                return Ok(name);
            }
        }
    }
}

fn fill(folder: &Path, payload: &Payload) -> io::Result<()> {
    for (name, file) in payload {
        let path = folder.join(name);
        let mut here = folder.to_owned();
        for part in Path::new(name).parent().into_iter().flat_map(Path::components) {
            if let Component::Normal(part) = part {
                here.push(part);
                match fs::create_dir(&here) {
                    Err(why) if why.kind() != io::ErrorKind::AlreadyExists => return Err(why),
                    _ => fs::set_permissions(&here, Permissions::from_mode(0o755))?,
                }
            }
        }
        fs::write(&path, &file.data)?;
        fs::set_permissions(&path, Permissions::from_mode(file.mode & 0o7777))?;
        if let Some(owner) = file.owner {
            std::os::unix::fs::lchown(&path, Some(owner), None)?;
        }
    }
    Ok(())
}

fn tops(payload: &Payload) -> impl Iterator<Item = &str> {
    payload.keys().map(|path| path.split('/').next().unwrap_or_default())
}

/// Makes the links that the container sees.
fn show(target: &Path, payload: &Payload) -> io::Result<()> {
    for top in tops(payload) {
        match symlink(Path::new(DATA).join(top), target.join(top)) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => return Err(why),
            _ => (),
        }
    }
    Ok(())
}

/// Removes links to files that are no more, and folders that a change or a crash has left.
fn tidy(target: &Path, payload: &Payload) -> io::Result<()> {
    let current = fs::read_link(target.join(DATA))?;
    for entry in fs::read_dir(target)? {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let is_link = entry.file_type()?.is_symlink();
        if text.starts_with("..") {
            if !is_link && entry.path() != target.join(&current) {
                fs::remove_dir_all(entry.path())?;
            }
        } else if is_link && !tops(payload).any(|top| top == text) && is_ours(&entry.path()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_ours(link: &Path) -> bool {
    fs::read_link(link).is_ok_and(|to| to.starts_with(DATA))
}

#[cfg(test)]
mod tests;
