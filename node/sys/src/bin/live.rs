//! The first program of a machine that boots from the ISO, out of memory: it finds the CD (or USB stick), mounts the
//! root file system that lies on it as a file, and makes room for the real init. It must know nothing else.

use nix::mount::{MsFlags, mount};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// The volume's label (ECMA-119 8.4: from byte 40 of the sixteenth sector of 2048).
const LABEL: &[u8] = b"SKERRY_LIVE ";
const LABEL_AT: u64 = 16 * 2048 + 40;
/// A stick that is slow to appear; then there is none.
const APPEAR_WAIT: Duration = Duration::from_secs(20);
/// Between two looks: nothing announces devices to a program in memory this early.
const LOOK: Duration = Duration::from_millis(100);
const INIT: &str = "/usr/bin/init";

fn main() -> ExitCode {
    let Err(problem) = switch();
    // The kernel shows this and stops: there is nothing else to go on with.
    eprintln!("live: {problem}");
    ExitCode::FAILURE
}

fn switch() -> io::Result<std::convert::Infallible> {
    at("devtmpfs", "/dev", "devtmpfs", MsFlags::empty())?;
    let device = find()?;
    at(&device.display().to_string(), "/cd", "iso9660", MsFlags::MS_RDONLY)?;
    at("/cd/root.erofs", "/root", "erofs", MsFlags::MS_RDONLY)?;
    // Init mounts its own.
    nix::mount::umount2("/dev", nix::mount::MntFlags::MNT_DETACH)?;
    std::env::set_current_dir("/root")?;
    at(".", "/", "", MsFlags::MS_MOVE)?;
    std::os::unix::fs::chroot(".")?;
    std::env::set_current_dir("/")?;
    Err(Command::new(INIT).exec())
}

fn at(source: &str, target: &str, kind: &str, flags: MsFlags) -> io::Result<()> {
    let kind = Some(kind).filter(|kind| !kind.is_empty());
    mount(Some(source), target, kind, flags, None::<&str>)
        .map_err(|e| io::Error::other(format!("mount {source} at {target}: {e}")))
}

fn find() -> io::Result<PathBuf> {
    let until = Instant::now() + APPEAR_WAIT;
    loop {
        let mut devices: Vec<PathBuf> =
            std::fs::read_dir("/dev")?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        devices.sort();
        if let Some(found) = devices.into_iter().find(|path| is_disk(path) && is_labelled(path)) {
            return Ok(found);
        }
        if Instant::now() > until {
            return Err(io::Error::other("no CD or USB stick with the label SKERRY_LIVE: is it still inserted?"));
        }
        std::thread::sleep(LOOK);
    }
}

fn is_disk(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    ["sr", "sd", "vd", "nvme", "hd", "mmcblk"].iter().any(|kind| name.starts_with(kind))
}

/// An empty drive cannot be opened, and is not the one.
fn is_labelled(path: &Path) -> bool {
    let read = || -> io::Result<[u8; LABEL.len()]> {
        let mut label = [0; LABEL.len()];
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(LABEL_AT))?;
        file.read_exact(&mut label)?;
        Ok(label)
    };
    read().is_ok_and(|label| label == *LABEL)
}
