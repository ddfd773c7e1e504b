//! Disk images of the machine: the same kernel and root file system, dressed for everything that boots from a disk or
//! a CD. One file and one line of a table for each format; all that they share is put together here.
//!
//! Nothing random, no clock: the ids of disks and partitions come from what is on them, so that the same parts give
//! the same bytes.

mod drive;
pub mod fat;
pub mod gpt;
pub mod iso;
pub mod live;
pub mod loader;
mod ova;
pub mod qcow2;
mod raw;
pub mod rock;
pub mod vdi;
mod vmdk;

use crate::interrupt::Interrupt;
use anyhow::{Context, Result, bail};
use drive::Drive;
use gpt::{Kind, Partition, SECTOR};
use loader::Loader;
use ring::digest::{SHA256, digest};
use std::fs::File;
use std::path::Path;

/// Every format: its name is the suffix of its file.
pub const FORMATS: &[Format] = &[raw::FORMAT, qcow2::FORMAT, vdi::FORMAT, vmdk::FORMAT, ova::FORMAT, iso::FORMAT];

/// One format.
pub struct Format {
    /// What users call it, and the suffix of the file.
    pub name: &'static str,
    /// Whom it is for.
    pub about: &'static str,
    /// Whether the first program of the ISO is in it.
    pub needs_live: bool,
    /// Writes an empty file.
    write: fn(&Parts, &mut File, &Interrupt) -> Result<()>,
}

/// The disk that virtual machines see where the file takes only what is on it, bytes.
pub const LARGE: u64 = 20 << 30;
/// The disk of a file that is as long as the disk, bytes. The machine makes use of more when it is there.
pub const SMALL: u64 = 1 << 30;

/// Where the EFI partition begins, which holds the kernel for both firmwares; sectors.
const EFI_FIRST: u64 = 2048;
const EFI_BYTES: u64 = 32 << 20;
/// Partitions begin at multiples of this, as every kind of disk likes it; sectors.
const ALIGNED: u64 = 2048;
/// Sectors of a page.
const PAGE: u64 = 8;
/// The label of the EFI partition: not the one of a configuration disk.
const EFI_LABEL: &str = "SKERRYBOOT";

/// What images are made from.
pub struct Parts {
    kernel: Vec<u8>,
    root: Vec<u8>,
    /// The first program of the ISO, as an archive that the kernel unpacks.
    live: Vec<u8>,
    loader: Loader,
    /// Of our own software.
    version: String,
    identity: Vec<u8>,
}

impl Parts {
    /// Reads kernel and root.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(kernel: &Path, root: &Path, live: Vec<u8>, loader: Loader, version: &str) -> Result<Parts> {
        let read = |path: &Path| std::fs::read(path).with_context(|| format!("reading {}", path.display()));
        let (kernel, root) = (read(kernel)?, read(root)?);
        let identity = [digest(&SHA256, &kernel).as_ref(), digest(&SHA256, &root).as_ref()].concat();
        Ok(Parts { identity, version: version.to_owned(), kernel, root, live, loader })
    }

    /// An id that is the same for the same parts and purpose; of the form that random ones have (RFC 9562, version 8).
    fn id(&self, purpose: &str) -> u128 {
        let hash = digest(&SHA256, &[self.identity.as_slice(), purpose.as_bytes()].concat());
        let number = u128::from_be_bytes(hash.as_ref()[..16].try_into().expect("a hash has 32 bytes"));
        number & !(0xf << 76) & !(0x3 << 62) | (0x8 << 76) | (0x2 << 62)
    }

    /// The disk, with a state partition that takes the rest and that the machine formats.
    fn drive(&self, size: u64, interrupt: &Interrupt) -> Result<Drive> {
        let root_id = self.id("root");
        let grub = self.loader.for_disk(&text(root_id), interrupt)?;
        let (first, core) = grub.at(gpt::FIRST)?;
        let files = [("bzImage", self.kernel.as_slice()), ("EFI/BOOT/BOOTX64.EFI", grub.efi.as_slice())];
        let efi = fat::volume(EFI_LABEL, self.id("efi") as u32, EFI_BYTES as usize, &files)?;
        let root_first = EFI_FIRST + EFI_BYTES / SECTOR;
        let root_sectors = (self.root.len() as u64).div_ceil(SECTOR).next_multiple_of(ALIGNED);
        let state_first = root_first + root_sectors;
        // The last one ends at a multiple of a page, as the others do.
        let last = (gpt::last_usable(size / SECTOR) + 1) / PAGE * PAGE - 1;
        if core.len() as u64 > (EFI_FIRST - gpt::FIRST) * SECTOR || state_first >= last {
            bail!("boot loader or root file system have outgrown the disk");
        }
        let part = |kind, purpose: &'static str, first, last| Partition {
            kind,
            id: self.id(purpose),
            name: purpose,
            first,
            last,
        };
        let partitions = [
            part(Kind::BiosBoot, "skerry-bios", gpt::FIRST, EFI_FIRST - 1),
            part(Kind::Efi, "skerry-boot", EFI_FIRST, root_first - 1),
            Partition { id: root_id, ..part(Kind::Root, "skerry-root", root_first, state_first - 1) },
            part(Kind::Data, STATE, state_first, last),
        ];
        let mut drive = Drive::new(size);
        gpt::write(&mut drive, self.id("disk"), &partitions, &first);
        drive.put(gpt::FIRST * SECTOR, core);
        drive.put(EFI_FIRST * SECTOR, efi);
        drive.put(root_first * SECTOR, self.root.clone());
        Ok(drive)
    }
}

/// The name by which the machine knows its state partition.
const STATE: &str = "skerry-state";

/// A UUID as people and kernels write it.
fn text(id: u128) -> String {
    let hex = format!("{id:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Writes bytes as a disk of their length, compressed for QEMU.
///
/// # Errors
/// When the disk is full.
pub fn compressed(bytes: Vec<u8>, file: &mut File, interrupt: &Interrupt) -> Result<()> {
    let mut drive = Drive::new((bytes.len() as u64).next_multiple_of(SECTOR));
    drive.put(0, bytes);
    qcow2::write(&drive, file, interrupt)
}

/// What the image folder calls an image.
pub fn file_name(format: &Format) -> String {
    format!("skerry.{}", format.name)
}

impl Format {
    /// Writes the image into `folder`, whole or not at all, and gives its name.
    ///
    /// # Errors
    /// When the disk is full or the loader cannot be made.
    pub fn make(&self, parts: &Parts, folder: &Path, interrupt: &Interrupt) -> Result<String> {
        let name = file_name(self);
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        (self.write)(parts, file.as_file_mut(), interrupt).with_context(|| format!("making {name}"))?;
        interrupt.check()?;
        crate::build::readable(file.as_file())?;
        file.persist(folder.join(&name)).with_context(|| format!("taking {name}"))?;
        Ok(name)
    }
}
