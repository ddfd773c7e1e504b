//! `fsGroup`: gives a volume's files to a group, as upstream's `SetVolumeOwnership`: group, read and write for it,
//! and for folders the setgid bit, so that new files belong to it too. Links are given away themselves, never what they
//! point to.
//!
//! It must not know which volume it is.

use super::beneath;
use nix::fcntl::AtFlags;
use nix::unistd::{Gid, fchownat};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What the group gets on files, and on folders beside that.
const FILE: u32 = 0o660;
const FOLDER: u32 = 0o2110;
/// On files that nobody is to write to.
const FILE_READ_ONLY: u32 = 0o440;

/// When all files are gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Each time.
    Always,
    /// When the volume's own folder is not as it should be.
    OnRootMismatch,
}

/// Gives a volume to a group.
///
/// # Errors
/// When the volume cannot be walked. What a single file refuses is logged and passed over, as upstream does: some file
/// systems know no owners.
pub fn give(root: &Path, group: u32, policy: Policy, read_only: bool) -> io::Result<()> {
    let file = if read_only { FILE_READ_ONLY } else { FILE };
    if policy == Policy::OnRootMismatch && is_given(root, group, file)? {
        return Ok(());
    }
    let top = beneath::folder(root)?;
    // The volume's own folder comes last: it is the mark that everything below is done.
    let mut folders = vec![PathBuf::new()];
    let mut seen = 0;
    while seen < folders.len() {
        let here = folders[seen].clone();
        seen += 1;
        let opened = beneath::open(&top, &here)?;
        for entry in std::fs::read_dir(beneath::path_of(&opened))? {
            let name = entry?.file_name();
            if one(&opened, Path::new(&name), group, file) {
                folders.push(here.join(name));
            }
        }
    }
    one(&top, Path::new("."), group, file);
    Ok(())
}

fn is_given(root: &Path, group: u32, file: u32) -> io::Result<bool> {
    let meta = std::fs::metadata(root)?;
    let wanted = file | FOLDER;
    Ok(meta.is_dir() && meta.gid() == group && meta.mode() & wanted == wanted)
}

/// Gives one entry away; whether it is a folder.
fn one(parent: &OwnedFd, name: &Path, group: u32, file: u32) -> bool {
    let given = fchownat(parent, name, None, Some(Gid::from_raw(group)), AtFlags::AT_SYMLINK_NOFOLLOW);
    if let Err(why) = given {
        tracing::warn!(file = %name.display(), %why, "a volume's file could not be given to its group");
    }
    let changed = beneath::open_entry(parent, name).and_then(|opened| {
        let meta = std::fs::metadata(beneath::path_of(&opened))?;
        if meta.is_symlink() {
            return Ok(false);
        }
        let mode = meta.mode() & 0o7777 | file | if meta.is_dir() { FOLDER } else { 0 };
        std::fs::set_permissions(beneath::path_of(&opened), std::fs::Permissions::from_mode(mode))?;
        Ok(meta.is_dir())
    });
    changed.unwrap_or_else(|why: io::Error| {
        tracing::warn!(file = %name.display(), %why, "the mode of a volume's file could not be changed");
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> (u32, u32) {
        let meta = fs::symlink_metadata(path).unwrap();
        (meta.gid(), meta.mode() & 0o7777)
    }

    /// Needs root, as the kubelet has it, to give files to a group that it is not in.
    #[test]
    fn files_folders_and_links_are_given_to_the_group() {
        let top = tempfile::tempdir().unwrap();
        let (root, outside) = (top.path().join("v"), top.path().join("outside"));
        fs::create_dir_all(root.join("d")).unwrap();
        fs::write(root.join("d/f"), "").unwrap();
        fs::write(&outside, "").unwrap();
        for (path, bits) in [("d", 0o700), ("d/f", 0o600)] {
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(bits)).unwrap();
        }
        symlink(&outside, root.join("link")).unwrap();
        let before = mode(&outside);
        give(&root, 4242, Policy::Always, false).unwrap();
        assert_eq!(mode(&root.join("d")), (4242, 0o2770));
        assert_eq!(mode(&root.join("d/f")), (4242, 0o660));
        assert_eq!(mode(&root.join("link")).0, 4242);
        assert_eq!(mode(&outside), before);
        assert_eq!(mode(&root).0, 4242);
    }

    #[test]
    fn on_root_mismatch_a_volume_that_is_given_already_is_not_walked() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("f"), "").unwrap();
        give(top.path(), 4242, Policy::OnRootMismatch, false).unwrap();
        assert_eq!(mode(&top.path().join("f")).0, 4242);
        fs::write(top.path().join("late"), "").unwrap();
        std::os::unix::fs::chown(top.path().join("late"), None, Some(1)).unwrap();
        give(top.path(), 4242, Policy::OnRootMismatch, false).unwrap();
        assert_eq!(mode(&top.path().join("late")).0, 1);
        give(top.path(), 4242, Policy::Always, false).unwrap();
        assert_eq!(mode(&top.path().join("late")).0, 4242);
    }
}
