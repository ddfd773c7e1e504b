//! The table of foreign software: which files of which packages go into the image or help to build it. A new program
//! is one line; libraries are taken when a program needs them, from any package that is listed.

use super::packages::lock::Key;

/// The suite that all software of the image comes from: its libraries and programs fit each other.
const SUITE: &str = "forky";
/// The suite of kernel source and build tools: its kernel is a long-term one.
const STABLE: &str = "trixie";

/// When a package is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// In every image.
    Core,
    /// Unless `--without-docker`.
    Docker,
    /// With `--debug` only.
    Debug,
    /// Runs on the building host: makes the root file system.
    Packer,
    /// Runs on the building host: makes the boot loader of disk images, with the libraries of `Packer`.
    Loader,
    /// Runs on the user's host: kubectl.
    Client,
    /// The kernel's source.
    Kernel,
}

/// One package and the files that are taken from it. One without files is there for its libraries.
pub struct Package {
    /// The suite it is taken from.
    pub suite: &'static str,
    /// Its name.
    pub name: &'static str,
    /// When it is taken.
    pub part: Part,
    /// Paths in the package; a slash at the end takes all files below a folder.
    pub files: &'static [&'static str],
}

impl Package {
    /// What the lock file calls it.
    pub fn key(&self) -> Key {
        (self.suite.to_owned(), self.name.to_owned())
    }
}

const fn take(part: Part, name: &'static str, files: &'static [&'static str]) -> Package {
    Package { suite: SUITE, name, part, files }
}

const fn library(name: &'static str) -> Package {
    take(Part::Core, name, &[])
}

const fn stable(part: Part, name: &'static str, files: &'static [&'static str]) -> Package {
    Package { suite: STABLE, name, part, files }
}

/// All of them.
pub const TABLE: &[Package] = &[
    take(Part::Core, "containerd", &["usr/bin/containerd", "usr/bin/containerd-shim-runc-v2"]),
    take(Part::Core, "runc", &["usr/sbin/runc"]),
    take(Part::Core, "crun", &["usr/bin/crun"]),
    take(Part::Core, "nftables", &["usr/sbin/nft"]),
    take(Part::Core, "e2fsprogs", &["usr/sbin/mke2fs", "usr/sbin/e2fsck", "usr/sbin/resize2fs", "etc/mke2fs.conf"]),
    take(Part::Core, "ca-certificates", &["usr/share/ca-certificates/mozilla/"]),
    take(Part::Core, "netbase", &["etc/protocols", "etc/services"]),
    library("libc6"),
    library("libgcc-s1"),
    library("libsystemd0"),
    library("libseccomp2"),
    library("libcap2"),
    library("libjson-c5"),
    library("libblake3-0"),
    library("libnftables1"),
    library("libnftnl11"),
    library("libmnl0"),
    library("libxtables12"),
    library("libjansson4"),
    library("libgmp10"),
    library("libedit2"),
    library("libbsd0"),
    library("libmd0"),
    library("libtinfo6"),
    library("libext2fs2t64"),
    library("libcom-err2"),
    library("libblkid1"),
    library("libuuid1"),
    take(Part::Docker, "docker.io", &["usr/sbin/dockerd", "usr/sbin/docker-proxy"]),
    take(Part::Docker, "tini-static", &["usr/bin/tini-static"]),
    take(Part::Debug, "busybox-static", &["usr/bin/busybox"]),
    take(Part::Client, "kubectl", &["usr/bin/kubectl"]),
    stable(Part::Packer, "erofs-utils", &["usr/bin/mkfs.erofs"]),
    stable(Part::Packer, "libc6", &[]),
    stable(Part::Packer, "libdeflate0", &[]),
    stable(Part::Packer, "liblz4-1", &[]),
    stable(Part::Packer, "liblzma5", &[]),
    stable(Part::Packer, "libpcre2-8-0", &[]),
    stable(Part::Packer, "libselinux1", &[]),
    stable(Part::Packer, "libuuid1", &[]),
    stable(Part::Packer, "libxxhash0", &[]),
    stable(Part::Packer, "libzstd1", &[]),
    stable(Part::Packer, "zlib1g", &[]),
    stable(Part::Loader, "grub-common", &["usr/bin/grub-mkimage"]),
    stable(Part::Loader, "grub-pc-bin", &["usr/lib/grub/i386-pc/"]),
    stable(Part::Loader, "grub-efi-amd64-bin", &["usr/lib/grub/x86_64-efi/"]),
    stable(Part::Loader, "libdevmapper1.02.1", &[]),
    stable(Part::Loader, "libudev1", &[]),
    stable(Part::Loader, "libcap2", &[]),
    stable(Part::Kernel, "linux-source-6.12", &[]),
];

/// The packages of these parts.
pub fn of(parts: &[Part]) -> Vec<&'static Package> {
    TABLE.iter().filter(|package| parts.contains(&package.part)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::packages::lock::Lock;
    use super::*;

    #[test]
    fn the_committed_lock_pins_exactly_the_table() {
        let lock = Lock::parse(include_str!("../../packages.lock")).unwrap();
        let mut keys: Vec<Key> = TABLE.iter().map(Package::key).collect();
        keys.sort();
        assert_eq!(lock.pins.into_keys().collect::<Vec<_>>(), keys);
    }
}
