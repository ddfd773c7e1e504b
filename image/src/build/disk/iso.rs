//! A CD that boots by BIOS and by UEFI, and from a USB stick, too: ISO 9660 (ECMA-119) with El Torito entries for both,
//! and an MBR. Five files in one folder; names as the standard's second level has them.
//!
//! The kernel cannot mount a file of a CD as its root: a small program in memory does (`sys/src/bin/live.rs`).

use super::loader::CD_LABEL;
use super::{Format, Parts, fat};
use crate::interrupt::Interrupt;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

/// The line of the table.
pub const FORMAT: Format = Format {
    name: "iso",
    about: "a CD or USB stick; keeps its state on a blank disk, if there is one",
    needs_live: true,
    write,
};

/// A sector of a CD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block(pub u32);

/// Its bytes.
pub(super) const BLOCK: usize = 2048;
/// Size of the EFI image: GRUB's program fits, with room.
const EFI_BYTES: usize = 2 << 20;
/// The label of the EFI image: not the one of a configuration disk.
const EFI_LABEL: &str = "SKERRYBOOT";
/// Sectors of the header, in order, from the sixteenth on.
pub(super) const DESCRIPTOR: Block = Block(16);
const PATHS: Block = Block(19);
const PATHS_REVERSED: Block = Block(20);
const FOLDER: Block = Block(21);
const CATALOG: Block = Block(22);
const FIRST_FILE: u32 = 23;
/// The file ends at a multiple of this: readers look ahead.
const END_ALIGNED: u64 = 1 << 20;

impl Block {
    /// Its first sector of a disk.
    pub fn sector(self) -> u64 {
        u64::from(self.0) * 4
    }

    /// Its first byte.
    pub(super) fn offset(self) -> u64 {
        u64::from(self.0) * BLOCK as u64
    }
}

struct Entry<'a> {
    name: &'static str,
    at: Block,
    content: &'a [u8],
}

fn write(parts: &Parts, file: &mut File, interrupt: &Interrupt) -> Result<()> {
    let grub = parts.loader.for_cd(interrupt)?;
    let efi = fat::volume(EFI_LABEL, parts.id("iso") as u32, EFI_BYTES, &[("EFI/BOOT/BOOTX64.EFI", &grub.efi)])?;
    let image_at = Block(FIRST_FILE);
    let (code, image) = grub.at(image_at, DESCRIPTOR)?;
    let mut at = FIRST_FILE;
    let mut entries = Vec::new();
    for (name, content) in [
        ("BOOT.IMG;1", image.as_slice()),
        ("EFI.IMG;1", &efi),
        ("BZIMAGE.;1", &parts.kernel),
        ("INITRD.;1", &parts.live),
        ("ROOT.EROFS;1", &parts.root),
    ] {
        entries.push(Entry { name, at: Block(at), content });
        at += u32::try_from(content.len().div_ceil(BLOCK)).context("more than a CD holds")?;
    }
    let length = (u64::from(at) * BLOCK as u64).next_multiple_of(END_ALIGNED);
    let total = u32::try_from(length / BLOCK as u64).context("more than a CD holds")?;
    let places = [
        (Block(0), mbr(&code, &entries[1], total)),
        (Block(17), boot_record()),
        (CATALOG, catalog(&entries[0], &entries[1])),
    ];
    for (place, bytes) in places.into_iter().chain(headers(total, &entries)) {
        file.seek(SeekFrom::Start(place.offset()))?;
        file.write_all(&bytes)?;
    }
    for entry in &entries {
        interrupt.check()?;
        file.seek(SeekFrom::Start(entry.at.offset()))?;
        file.write_all(entry.content)?;
    }
    file.set_len(length)?;
    Ok(())
}

/// What the CD begins with: the descriptor, the end of descriptors, and the one folder.
fn headers(total: u32, entries: &[Entry<'_>]) -> [(Block, Vec<u8>); 5] {
    let tree =
        Tree { paths: PATHS, paths_reversed: PATHS_REVERSED, paths_bytes: 10, root: FOLDER, root_bytes: BLOCK as u32 };
    [
        (DESCRIPTOR, descriptor(CD_LABEL, total, &tree)),
        (Block(18), DESCRIPTORS_END.to_vec()),
        (PATHS, path_table(FOLDER.0.to_le_bytes(), 1_u16.to_le_bytes())),
        (PATHS_REVERSED, path_table(FOLDER.0.to_be_bytes(), 1_u16.to_be_bytes())),
        (FOLDER, folder(entries)),
    ]
}

/// Looks whether a file is a whole CD of this kind: a download that broke off is found before a machine boots from it.
///
/// # Errors
/// Says what it is instead.
pub fn check(file: &mut File) -> Result<()> {
    let length = file.metadata()?.len();
    let mut bytes = [0; 84];
    file.seek(SeekFrom::Start(DESCRIPTOR.offset()))?;
    file.read_exact(&mut bytes).context("the CD image is cut short")?;
    ensure!(bytes.starts_with(b"\x01CD001"), "it is no CD image");
    ensure!(bytes[40..].starts_with(CD_LABEL.as_bytes()), "it is the image of another CD");
    let blocks = u32::from_le_bytes(bytes[80..].try_into().expect("four bytes"));
    ensure!(Block(blocks).offset() <= length, "the CD image is cut short");
    Ok(())
}

/// For BIOSes and firmware that see the image as a disk. Two partitions, which must not overlap for UEFI: the EFI image,
/// and what lies behind it, active because some BIOSes boot from nothing else.
fn mbr(code: &[u8; 440], efi: &Entry<'_>, blocks: u32) -> Vec<u8> {
    let mut bytes = code.to_vec();
    bytes.resize(512, 0);
    let after = efi.at.0 + (efi.content.len() / BLOCK) as u32;
    for (place, (flag, kind, from, to)) in [(446, (0x80, 0x83, after, blocks)), (462, (0, 0xef, efi.at.0, after))] {
        bytes[place..place + 8].copy_from_slice(&[flag, 0xfe, 0xff, 0xff, kind, 0xfe, 0xff, 0xff]);
        bytes[place + 8..place + 12].copy_from_slice(&(from * 4).to_le_bytes());
        bytes[place + 12..place + 16].copy_from_slice(&((to - from) * 4).to_le_bytes());
    }
    bytes[510..].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

/// A number in both byte orders.
pub(super) fn both(value: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&value.to_le_bytes());
    bytes[4..].copy_from_slice(&value.to_be_bytes());
    bytes
}

fn both_short(value: u16) -> [u8; 4] {
    let mut bytes = [0; 4];
    bytes[..2].copy_from_slice(&value.to_le_bytes());
    bytes[2..].copy_from_slice(&value.to_be_bytes());
    bytes
}

/// Where folders are found.
pub(super) struct Tree {
    /// The table of paths.
    pub paths: Block,
    /// The same in the other byte order.
    pub paths_reversed: Block,
    /// The bytes of each.
    pub paths_bytes: u32,
    /// The first folder.
    pub root: Block,
    /// Its bytes.
    pub root_bytes: u32,
}

/// What says that there are no more descriptors.
pub(super) const DESCRIPTORS_END: &[u8] = b"\xffCD001\x01";

/// The description of a volume of so many blocks.
pub(super) fn descriptor(label: &str, blocks: u32, tree: &Tree) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, b"\x01CD001\x01");
    put(8, &[b' '; 64]);
    put(40, label.as_bytes());
    put(80, &both(blocks));
    put(120, &both_short(1));
    put(124, &both_short(1));
    put(128, &both_short(BLOCK as u16));
    put(132, &both(tree.paths_bytes));
    put(140, &tree.paths.0.to_le_bytes());
    put(148, &tree.paths_reversed.0.to_be_bytes());
    put(156, &record(&[0], tree.root.0, tree.root_bytes, true));
    // Names of the set, publisher, preparer, application, and of files about them: none.
    put(190, &[b' '; 623]);
    // Dates: the first is the file system's identity to some readers, and must be there.
    put(813, b"1980010100000000\0");
    for at in [830, 847, 864] {
        put(at, b"0000000000000000\0");
    }
    put(881, &[1]);
    bytes
}

/// An entry of a folder.
pub(super) fn record(name: &[u8], at: u32, length: u32, is_folder: bool) -> Vec<u8> {
    let mut bytes = vec![0; 33];
    bytes[2..10].copy_from_slice(&both(at));
    bytes[10..18].copy_from_slice(&both(length));
    bytes[18..21].copy_from_slice(&[80, 1, 1]);
    bytes[25] = if is_folder { 2 } else { 0 };
    bytes[28..32].copy_from_slice(&both_short(1));
    bytes[32] = name.len() as u8;
    bytes.extend_from_slice(name);
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes[0] = bytes.len() as u8;
    bytes
}

fn folder(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = record(&[0], FOLDER.0, BLOCK as u32, true);
    bytes.extend(record(&[1], FOLDER.0, BLOCK as u32, true));
    let mut sorted: Vec<&Entry<'_>> = entries.iter().collect();
    sorted.sort_by_key(|entry| entry.name);
    for entry in sorted {
        bytes.extend(record(entry.name.as_bytes(), entry.at.0, entry.content.len() as u32, false));
    }
    bytes
}

/// One folder, which is its own parent.
fn path_table(folder: [u8; 4], parent: [u8; 2]) -> Vec<u8> {
    [[1, 0].as_slice(), &folder, &parent, &[0, 0]].concat()
}

/// Says where the catalogue of boot images lies.
fn boot_record() -> Vec<u8> {
    let mut bytes = b"\x00CD001\x01EL TORITO SPECIFICATION".to_vec();
    bytes.resize(71, 0);
    bytes.extend(CATALOG.0.to_le_bytes());
    bytes
}

/// By the El Torito specification 1.0: the first image for BIOS, a section with one for UEFI.
fn catalog(bios: &Entry<'_>, efi: &Entry<'_>) -> Vec<u8> {
    let mut check = [0; 32];
    check[0] = 1;
    check[30..].copy_from_slice(&[0x55, 0xaa]);
    let sum = check.chunks(2).fold(0_u16, |sum, word| sum.wrapping_add(u16::from_le_bytes([word[0], word[1]])));
    check[28..30].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
    let image = |sectors: u16, at: Block| {
        let mut entry = [0; 32];
        // Bootable, and no disk is feigned.
        entry[0] = 0x88;
        entry[6..8].copy_from_slice(&sectors.to_le_bytes());
        entry[8..12].copy_from_slice(&at.0.to_le_bytes());
        entry
    };
    let mut section = [0; 32];
    section[..4].copy_from_slice(&[0x91, 0xef, 1, 0]);
    // The BIOS loads the first of its blocks, which loads the rest.
    [check, image(4, bios.at), section, image((efi.content.len() / 512) as u16, efi.at)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_sums_to_zero_and_names_both_images() {
        let (bios, efi) = (
            Entry { name: "A", at: Block(23), content: &[0; 4096] },
            Entry { name: "B", at: Block(25), content: &[0; 4096] },
        );
        let bytes = catalog(&bios, &efi);
        let words = bytes[..32].chunks(2).map(|word| u16::from_le_bytes([word[0], word[1]]));
        assert_eq!(words.fold(0_u16, u16::wrapping_add), 0);
        assert_eq!((bytes[32], bytes[40], bytes[64], bytes[65], bytes[104]), (0x88, 23, 0x91, 0xef, 25));
    }

    #[test]
    fn a_cd_that_is_cut_short_or_another_is_refused() {
        let mut file = tempfile::tempfile().unwrap();
        assert!(check(&mut file).is_err());
        for (place, bytes) in headers(100, &[]) {
            file.seek(SeekFrom::Start(place.offset())).unwrap();
            file.write_all(&bytes).unwrap();
        }
        assert!(check(&mut file).unwrap_err().to_string().contains("cut short"));
        file.set_len(100 * BLOCK as u64).unwrap();
        check(&mut file).unwrap();
        file.seek(SeekFrom::Start(DESCRIPTOR.offset() + 40)).unwrap();
        file.write_all(b"HOLIDAYS   ").unwrap();
        assert!(check(&mut file).unwrap_err().to_string().contains("another CD"));
    }

    #[test]
    fn partitions_of_the_stick_do_not_overlap() {
        let efi = Entry { name: "EFI", at: Block(100), content: &[0; 20 * BLOCK] };
        let bytes = mbr(&[0; 440], &efi, 1000);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((word(470), word(474)), (400, 80));
        assert_eq!((word(454), word(458)), (480, 3520));
    }
}
