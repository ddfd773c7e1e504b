//! Mounting, flushing and unmounting. Does not know what belongs where.

use crate::said;
use nix::mount::{MntFlags, MsFlags};
use std::io;
use std::path::Path;

/// The options of a mount that the kernel takes as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Nothing is written.
    pub read_only: bool,
    /// Set-user-id bits count for nothing.
    pub no_suid: bool,
    /// Device files count for nothing.
    pub no_dev: bool,
    /// Nothing is executed from here.
    pub no_exec: bool,
    /// Reading does not write access times (relatime is the kernel's default).
    pub no_atime: bool,
}

impl Options {
    fn flags(self) -> MsFlags {
        let pairs = [
            (self.read_only, MsFlags::MS_RDONLY),
            (self.no_suid, MsFlags::MS_NOSUID),
            (self.no_dev, MsFlags::MS_NODEV),
            (self.no_exec, MsFlags::MS_NOEXEC),
            (self.no_atime, MsFlags::MS_NOATIME),
        ];
        pairs.into_iter().filter(|(on, _)| *on).fold(MsFlags::empty(), |all, (_, flag)| all | flag)
    }
}

/// Mounts `source` of type `kind` at `target`; `data` is the file system's own option text.
pub fn mount(source: &str, target: &Path, kind: &str, options: Options, data: Option<&str>) -> io::Result<()> {
    nix::mount::mount(Some(source), target, Some(kind), options.flags(), data)
        .map_err(|e| said(format_args!("mount {kind} {source} at {}", target.display()), e))
}

/// Shows the tree at `source` at `target` too, with the mounts below it.
pub fn bind(source: &Path, target: &Path) -> io::Result<()> {
    let none: Option<&str> = None;
    nix::mount::mount(Some(source), target, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
        .map_err(|e| said(format_args!("bind {} at {}", source.display(), target.display()), e))
}

/// Shows what is at `source` at `target` too, without the mounts below it.
pub fn bind_alone(source: &Path, target: &Path) -> io::Result<()> {
    let none: Option<&str> = None;
    nix::mount::mount(Some(source), target, none, MsFlags::MS_BIND, none)
        .map_err(|e| said(format_args!("bind {} alone at {}", source.display(), target.display()), e))
}

/// Cuts every mount at and below `target` off from its peers: what is unmounted here stays mounted there.
pub fn make_private(target: &Path) -> io::Result<()> {
    let none: Option<&str> = None;
    nix::mount::mount(none, target, none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none)
        .map_err(|e| said(format_args!("make mounts below {} private", target.display()), e))
}

/// Makes every mount at and below `target` shared, so that pods with mount propagation see each other's mounts.
pub fn share(target: &Path) -> io::Result<()> {
    let none: Option<&str> = None;
    nix::mount::mount(none, target, none, MsFlags::MS_SHARED | MsFlags::MS_REC, none)
        .map_err(|e| said(format_args!("share mounts below {}", target.display()), e))
}

/// Turns a mounted file system read-only in place.
pub fn remount_read_only(target: &Path) -> io::Result<()> {
    let none: Option<&str> = None;
    nix::mount::mount(none, target, none, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none)
        .map_err(|e| said(format_args!("remount {} read-only", target.display()), e))
}

/// Writes everything of the file system that `place` is on to its disk, and waits until it is there (syncfs(2)). An error
/// is also one that an earlier write met behind its writer's back.
pub fn flush(place: &Path) -> io::Result<()> {
    let attempt = || Ok::<_, io::Error>(nix::unistd::syncfs(std::fs::File::open(place)?)?);
    attempt().map_err(|e| said(format_args!("flush the file system of {}", place.display()), e))
}

/// Unmounts `target`. With `detach`, also while it is in use: it goes out of sight now and away with its last user.
pub fn unmount(target: &Path, detach: bool) -> io::Result<()> {
    let flags = if detach { MntFlags::MNT_DETACH } else { MntFlags::empty() };
    nix::mount::umount2(target, flags).map_err(|e| said(format_args!("unmount {}", target.display()), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_flushed_and_a_place_that_is_not_there_is_named() {
        flush(&std::env::temp_dir()).unwrap();
        let why = flush(Path::new("/nowhere")).unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::NotFound);
        assert!(why.to_string().contains("/nowhere"), "{why}");
    }
}
