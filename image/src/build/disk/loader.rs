//! GRUB, for BIOS and for UEFI: its images are made by `grub-mkimage`, its first sectors are told where the rest lies.
//! It has one thing to do and its commands are inside of it: no menu, no file to read but the kernel.

use super::gpt::SECTOR;
use super::iso::Block;
use crate::build::tool::{self, Tools};
use crate::build::unpack::Shelf;
use crate::build::userland::Part;
use crate::interrupt::Interrupt;
use anyhow::{Context, Result, ensure};
use std::path::Path;

/// The volume label by which the ISO is found again, by GRUB and by the first program in memory. It must not be the
/// one of a configuration disk.
pub const CD_LABEL: &str = "SKERRY_LIVE";

/// Words for the kernel. `gpt`: a table whose first copy was being written when the power went is read from its second.
const WORDS: &str = "ro rootfstype=erofs rootwait gpt init=/usr/bin/init console=ttyS0 console=tty0 panic=60 quiet";

const BIOS_MODULES: &[&str] = &["biosdisk", "part_gpt", "fat", "linux"];
const EFI_MODULES: &[&str] = &["part_gpt", "fat", "linux"];
const CD_MODULES: &[&str] = &["part_msdos", "iso9660", "search_label", "linux"];

/// Where `boot.img` has the number of the sector it goes on with, and the drive (GRUB's
/// `include/grub/i386/pc/boot.h`).
const NEXT_SECTOR: usize = 0x5c;
const DRIVE: usize = 0x64;
/// Two instructions for BIOSes that do not say which drive they boot from; on a hard disk they do harm.
const DRIVE_CHECK: usize = 0x66;
/// Where the second part of the core goes in memory, as a real-mode segment.
const CORE_SEGMENT: u16 = 0x820;
/// Where `cdboot.img` is told about the CD (the boot information table of El Torito images).
const CD_TABLE: usize = 8;
/// Sectors of `cdboot.img`, before the part that is loaded from a hard disk.
const CD_SECTORS: u64 = 4;

/// The loader of one image.
pub struct Loader {
    tools: Tools,
}

/// GRUB for a disk.
pub struct OnDisk {
    /// The code of the MBR.
    pub first: [u8; 440],
    /// What goes into the BIOS-boot partition.
    pub core: Vec<u8>,
    /// `BOOTX64.EFI`.
    pub efi: Vec<u8>,
}

/// GRUB for a CD, which may be a USB stick.
pub struct OnCd {
    /// Code for the MBR, not yet told where the image lies.
    first: Vec<u8>,
    core: Vec<u8>,
    /// `BOOTX64.EFI`.
    pub efi: Vec<u8>,
}

impl Loader {
    /// Unpacks GRUB's builder into the cache.
    ///
    /// # Errors
    /// When its packages cannot be read.
    pub fn prepare(shelf: &Shelf, cache: &Path, interrupt: &Interrupt) -> Result<Loader> {
        Ok(Loader { tools: Tools::prepare("loader", &[Part::Packer, Part::Loader], shelf, cache, interrupt)? })
    }

    /// For a disk whose root file system is the partition `root`.
    ///
    /// # Errors
    /// When GRUB's builder fails.
    pub fn for_disk(&self, root: &str, interrupt: &Interrupt) -> Result<OnDisk> {
        let commands = format!("linux /bzImage root=PARTUUID={root} {WORDS}\nboot\n");
        // The device is left out: it is the one that was booted from.
        let core = self.make("i386-pc", "(,gpt2)/", BIOS_MODULES, &commands, interrupt)?;
        let efi = self.make("x86_64-efi", "/", EFI_MODULES, &commands, interrupt)?;
        let boot = self.file("i386-pc/boot.img")?;
        let first = boot.get(..440).context("GRUB's boot.img is too short")?.try_into().expect("440 bytes");
        Ok(OnDisk { first, core, efi })
    }

    /// For a CD: kernel and first program are files of it.
    ///
    /// # Errors
    /// When GRUB's builder fails.
    pub fn for_cd(&self, interrupt: &Interrupt) -> Result<OnCd> {
        let commands = format!(
            "search.fs_label {CD_LABEL} root\nlinux /bzimage {WORDS} skerry.disk.kind=auto\ninitrd /initrd\nboot\n"
        );
        let modules = [CD_MODULES, &["biosdisk"]].concat();
        let core = self.make("i386-pc-eltorito", "()/", &modules, &commands, interrupt)?;
        let efi = self.make("x86_64-efi", "/", CD_MODULES, &commands, interrupt)?;
        Ok(OnCd { first: self.file("i386-pc/boot_hybrid.img")?, core, efi })
    }

    fn file(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.tools.path(&format!("usr/lib/grub/{name}"));
        std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
    }

    fn make(
        &self,
        platform: &str,
        prefix: &str,
        modules: &[&str],
        commands: &str,
        interrupt: &Interrupt,
    ) -> Result<Vec<u8>> {
        let scratch = tempfile::tempdir()?;
        let (config, product) = (scratch.path().join("commands"), scratch.path().join("product"));
        std::fs::write(&config, commands)?;
        let folder = platform.strip_suffix("-eltorito").unwrap_or(platform);
        let mut command = self.tools.command("usr/bin/grub-mkimage");
        command.arg("-d").arg(self.tools.path(&format!("usr/lib/grub/{folder}")));
        command.args(["-O", platform, "-p", prefix]).arg("-c").arg(config).arg("-o").arg(&product).args(modules);
        tool::run(command, "making the boot loader", interrupt)?;
        std::fs::read(&product).context("reading the boot loader")
    }
}

impl OnDisk {
    /// MBR code and core for a core that lies at this sector.
    ///
    /// # Errors
    /// When GRUB's files are not as they should be.
    pub fn at(&self, sector: u64) -> Result<([u8; 440], Vec<u8>)> {
        let mut first = self.first;
        point(&mut first, sector);
        let mut core = self.core.clone();
        chain(&mut core, 0, sector)?;
        Ok((first, core))
    }
}

impl OnCd {
    /// MBR code and El Torito image for an image that lies at this place of the CD.
    ///
    /// # Errors
    /// When GRUB's files are not as they should be.
    pub fn at(&self, image: Block, descriptor: Block) -> Result<([u8; 440], Vec<u8>)> {
        let mut first: [u8; 440] = self.first.get(..440).context("boot_hybrid.img is too short")?.try_into()?;
        // This one does not come from a known sector of a disk: its field lies elsewhere, behind the code.
        let sector = image.sector() + CD_SECTORS;
        first[0x1b0..0x1b8].copy_from_slice(&sector.to_le_bytes());
        let mut core = self.core.clone();
        chain(&mut core, CD_SECTORS as usize * SECTOR as usize, sector)?;
        let length = u32::try_from(core.len())?;
        let sum = core[64..].chunks(4).fold(0_u32, |sum, word| {
            let mut bytes = [0; 4];
            bytes[..word.len()].copy_from_slice(word);
            sum.wrapping_add(u32::from_le_bytes(bytes))
        });
        let fields = [descriptor.0, image.0, length, sum];
        for (place, value) in core[CD_TABLE..].chunks_mut(4).zip(fields) {
            place.copy_from_slice(&value.to_le_bytes());
        }
        Ok((first, core))
    }
}

/// Tells the MBR's code where the core begins, on the drive that the BIOS names.
fn point(first: &mut [u8; 440], sector: u64) {
    first[NEXT_SECTOR..NEXT_SECTOR + 8].copy_from_slice(&sector.to_le_bytes());
    first[DRIVE] = 0xff;
    first[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0x90, 0x90]);
}

/// Tells the core's first sector, which lies `at` bytes into the image and at `sector` of the disk, where the others
/// are: in one row behind it. Its last 12 bytes are the first entry of that list.
fn chain(core: &mut [u8], at: usize, sector: u64) -> Result<()> {
    let rest = core.len().checked_sub(at + SECTOR as usize).context("GRUB's core is too short")?;
    ensure!(rest > 0, "GRUB's core is too short");
    let count = u16::try_from(rest.div_ceil(SECTOR as usize)).context("GRUB's core is too long")?;
    let entry = &mut core[at + SECTOR as usize - 12..at + SECTOR as usize];
    entry[..8].copy_from_slice(&(sector + 1).to_le_bytes());
    entry[8..10].copy_from_slice(&count.to_le_bytes());
    entry[10..].copy_from_slice(&CORE_SEGMENT.to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sectors_know_where_the_next_ones_are() {
        let grub = OnDisk { first: [0; 440], core: vec![0; 1300], efi: Vec::new() };
        let (first, core) = grub.at(34).unwrap();
        assert_eq!(first[NEXT_SECTOR..NEXT_SECTOR + 8], 34_u64.to_le_bytes());
        assert_eq!(core[500..508], 35_u64.to_le_bytes());
        assert_eq!(core[508..512], [2, 0, 0x20, 0x08]);
        let short = OnDisk { first: [0; 440], core: vec![0; 512], efi: Vec::new() };
        assert!(short.at(34).is_err());
    }
}
