//! The root file system, put together: foreign software, our own programs, links and mount points.

use super::elf;
use super::features;
use super::own;
use super::packages::fetch::sha256;
use super::sandbox;
use super::tree::Tree;
use super::unpack::{Shelf, unpack};
use super::userland::Package;
use crate::interrupt::Interrupt;
use crate::output::Output;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// Where file systems and writable places are mounted. With their modes.
const MOUNT_POINTS: &[(&str, u32)] = &[
    ("data", 0o755),
    ("dev", 0o755),
    ("home", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var", 0o755),
];

/// What is decided when the machine boots is a link into memory.
const LINKS: &[(&str, &str)] = &[
    ("etc/hostname", "../run/hostname"),
    ("etc/hosts", "../run/hosts"),
    ("etc/machine-id", "../run/machine-id"),
    ("etc/mtab", "../proc/self/mounts"),
    ("etc/resolv.conf", "../run/resolv.conf"),
];

/// The engine looks for its minimal init under this name.
const DOCKER_INIT: (&str, &str, &str) = ("usr/bin/tini-static", "usr/bin/docker-init", "tini-static");

/// The shell of a debug image and the names it answers to.
const BUSYBOX: &str = "usr/bin/busybox";
const APPLETS: &[&str] = &[
    "ash", "awk", "cat", "chmod", "cp", "cut", "date", "dd", "df", "dmesg", "du", "env", "find", "free", "grep",
    "head", "hexdump", "id", "ip", "kill", "less", "ln", "ls", "lsof", "mkdir", "mount", "mv", "nc", "netstat",
    "nslookup", "ping", "ps", "pwd", "rm", "sed", "sh", "sleep", "sort", "stat", "strings", "sync", "tail", "tar",
    "tee", "time", "top", "touch", "tr", "umount", "uname", "uptime", "vi", "wc", "wget", "which", "xargs",
];

/// Certificates of public authorities, one file each, and the one file that programs read.
const AUTHORITIES: &str = "usr/share/ca-certificates/";
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// What a root file system is made from.
pub struct Parts<'a> {
    /// Foreign software.
    pub packages: &'a [&'a Package],
    /// Its files.
    pub shelf: &'a Shelf,
    /// The folder of the checkout whose files lie in the image as they are.
    pub fixed: &'a Path,
    /// The folder with our own programs.
    pub built: &'a Path,
    /// Whether own programs may be missing.
    pub lenient: bool,
}

/// The tree of the image.
///
/// # Errors
/// When a part is missing or two parts want the same path.
pub fn assemble(parts: &Parts<'_>, output: &Output, interrupt: &Interrupt) -> Result<Tree> {
    let mut tree = Tree::merged()?;
    for (path, mode) in MOUNT_POINTS {
        tree.folder(path, *mode)?;
    }
    for (path, target) in LINKS {
        tree.link(path, target)?;
    }
    fixed(&mut tree, parts.fixed, "")?;
    if let Some(pause) = own::add(&mut tree, parts.built, parts.lenient, output)? {
        tree.file(&format!("{}/pause.tar", own::FOLDER), 0o644, sandbox::archive(&pause)?)?;
    }
    let libraries = unpack(parts.packages, parts.shelf, &mut tree, interrupt)?;
    elf::close(&mut tree, &libraries)?;
    features::add(&mut tree)?;
    let bundle = bundle(&tree);
    tree.file(BUNDLE, 0o644, bundle)?;
    if tree.has(DOCKER_INIT.0) {
        tree.link(DOCKER_INIT.1, DOCKER_INIT.2)?;
    }
    if tree.has(BUSYBOX) {
        for applet in APPLETS {
            tree.link(&format!("usr/bin/{applet}"), "busybox")?;
        }
    }
    Ok(tree)
}

/// SHA-256, in hexadecimal, of the certificates in the tree's one file of authorities.
///
/// # Errors
/// When it is not there or not in PEM.
pub fn authorities(tree: &Tree) -> Result<BTreeSet<String>> {
    let (_, bundle) = tree.files().find(|(path, _)| *path == BUNDLE).context("the image has no authorities")?;
    let all = pki::pem::certificates(bundle).with_context(|| BUNDLE.to_owned())?;
    Ok(all.iter().map(|certificate| sha256(certificate)).collect())
}

/// All certificates in one text, in the order of their names.
fn bundle(tree: &Tree) -> Vec<u8> {
    let mut all = Vec::new();
    for (_, content) in tree.files().filter(|(path, _)| path.starts_with(AUTHORITIES)) {
        all.extend_from_slice(content);
        if !content.ends_with(b"\n") {
            all.push(b'\n');
        }
    }
    all
}

/// Files of the checkout, as they are.
fn fixed(tree: &mut Tree, folder: &Path, below: &str) -> Result<()> {
    let here = folder.join(below);
    for entry in std::fs::read_dir(&here).with_context(|| format!("reading {}", here.display()))? {
        let entry = entry?;
        let mut path = below.to_owned();
        let name = entry.file_name();
        write!(path, "{}{}", if below.is_empty() { "" } else { "/" }, name.to_string_lossy())?;
        if entry.file_type()?.is_dir() {
            fixed(tree, folder, &path)?;
        } else {
            tree.file(&path, 0o644, std::fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_is_sorted_and_whole() {
        let mut tree = Tree::default();
        tree.file("usr/share/ca-certificates/mozilla/B.crt", 0o644, "b").unwrap();
        tree.file("usr/share/ca-certificates/mozilla/A.crt", 0o644, "a\n").unwrap();
        tree.file("etc/other.crt", 0o644, "c").unwrap();
        assert_eq!(bundle(&tree), b"a\nb\n");
    }

    #[test]
    fn the_committed_files_go_where_they_lie() {
        let mut tree = Tree::merged().unwrap();
        fixed(&mut tree, &Path::new(env!("CARGO_MANIFEST_DIR")).join("rootfs"), "").unwrap();
        assert!(tree.has("etc/passwd") && tree.has("usr/lib/skerry/containerd.toml"));
    }
}
