//! What a block device holds, told by its first and last bytes. Pure: bytes in, an answer out.

/// How much of the start of a device is looked at, in bytes. The signatures looked for lie below 128 KiB; the rest
/// makes sure that "blank" means blank.
pub const HEAD_BYTES: usize = 1 << 20;
/// How much of its end, where RAID and GPT keep a copy of what they know.
pub const TAIL_BYTES: usize = 1 << 20;

/// What is on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Nothing but zeros in what was looked at.
    Blank,
    /// An ext2, ext3 or ext4 file system.
    Ext4(Ext4),
    /// A FAT or ISO 9660 volume with its label.
    Volume(&'static str, String),
    /// Something else, named if it is known.
    Foreign(&'static str),
}

/// What matters of an ext4 superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ext4 {
    /// The volume's label.
    pub label: String,
    /// The size of the file system in bytes.
    pub size_bytes: u64,
    /// Whether it was unmounted in good order and has recorded no errors.
    pub clean: bool,
}

const EXT_SUPERBLOCK: usize = 1024;
const EXT_MAGIC: u16 = 0xEF53;
/// `s_state`: cleanly unmounted, and errors detected.
const EXT_VALID: u16 = 1;
const EXT_ERRORS: u16 = 2;
/// `s_feature_incompat`: the journal must be replayed; block numbers have 64 bits.
const EXT_RECOVER: u32 = 0x4;
const EXT_64BIT: u32 = 0x80;

/// Signatures of what must not be written over: offset from the start, bytes, name.
const SIGNATURES: &[(usize, &[u8], &str)] = &[
    (0, b"XFSB", "an XFS file system"),
    (0x1_0040, b"_BHRfS_M", "a btrfs file system"),
    (0, b"LUKS\xba\xbe", "a LUKS encrypted volume"),
    (0x218, b"LVM2 001", "an LVM physical volume"),
    (4086, b"SWAPSPACE2", "swap space"),
    (1024, &[0xe2, 0xe1, 0xf5, 0xe0], "an EROFS file system"),
    (0, b"hsqs", "a squashfs file system"),
    (0x1_0000, b"ReIsErFs", "a reiserfs file system"),
    (1024, &[0x10, 0x20, 0xf5, 0xf2], "an F2FS file system"),
    (3, b"NTFS    ", "an NTFS file system"),
    (4096, &[0xfc, 0x4e, 0x2b, 0xa9], "a member of a Linux RAID"),
    (512, b"EFI PART", "a GPT partition table"),
    (0, b"QFI\xfb", "a qcow2 image (give it to QEMU with format=qcow2)"),
    (0, b"<<< ", "a VDI image (give it to the emulator with its format)"),
    (0, b"KDMV", "a VMDK image (give it to the emulator with its format)"),
];

/// Tells what a device holds from its first and last bytes.
pub fn tell(head: &[u8], tail: &[u8]) -> Contents {
    if let Some(ext4) = ext4(head) {
        return Contents::Ext4(ext4);
    }
    if at(head, 0x8001, 5) == Some(b"CD001".as_slice()) {
        return Contents::Volume("iso9660", text(at(head, 0x8000 + 40, 32).unwrap_or_default()));
    }
    for (offset, bytes, name) in SIGNATURES {
        if at(head, *offset, bytes.len()) == Some(bytes) {
            return Contents::Foreign(name);
        }
    }
    if let Some(label) = fat_label(head) {
        return Contents::Volume("vfat", label);
    }
    if at(head, 510, 2) == Some([0x55, 0xaa].as_slice()) {
        return Contents::Foreign("a partition table or boot sector");
    }
    if is_zero(head) && is_zero(tail) { Contents::Blank } else { Contents::Foreign("data of an unknown kind") }
}

/// By words: emulated, two MiB byte by byte take 30 ms of every first start.
fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

fn at(bytes: &[u8], offset: usize, length: usize) -> Option<&[u8]> {
    bytes.get(offset..offset.checked_add(length)?)
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(at(bytes, offset, 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(at(bytes, offset, 4)?.try_into().ok()?))
}

/// Text that is padded with blanks or zeros.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned()
}

/// Offsets by the kernel's `struct ext4_super_block`.
fn ext4(head: &[u8]) -> Option<Ext4> {
    let block = head.get(EXT_SUPERBLOCK..EXT_SUPERBLOCK + 1024)?;
    if u16_at(block, 56)? != EXT_MAGIC {
        return None;
    }
    let incompatible = u32_at(block, 96)?;
    let high = if incompatible & EXT_64BIT != 0 { u64::from(u32_at(block, 336)?) << 32 } else { 0 };
    let blocks = u64::from(u32_at(block, 4)?) | high;
    let block_bytes = 1024_u64.checked_shl(u32_at(block, 24)?)?;
    let state = u16_at(block, 58)?;
    Some(Ext4 {
        label: text(at(block, 120, 16)?),
        size_bytes: blocks.checked_mul(block_bytes)?,
        clean: state & EXT_VALID != 0 && state & EXT_ERRORS == 0 && incompatible & EXT_RECOVER == 0,
    })
}

/// The label in a FAT boot sector; FAT32 keeps it elsewhere than FAT12 and FAT16.
fn fat_label(head: &[u8]) -> Option<String> {
    if at(head, 510, 2)? != [0x55, 0xaa] {
        return None;
    }
    let (kind, label) = [(82, 71), (54, 43)].into_iter().find(|(kind, _)| at(head, *kind, 3) == Some(b"FAT"))?;
    debug_assert!(kind > label, "the label comes before the type");
    Some(text(at(head, label, 11)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn with(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut head = vec![0; HEAD_BYTES];
        for (offset, bytes) in parts {
            head[*offset..*offset + bytes.len()].copy_from_slice(bytes);
        }
        head
    }

    #[test]
    fn only_zeros_at_both_ends_are_blank() {
        assert_eq!(tell(&with(&[]), &[0; 512]), Contents::Blank);
        assert_eq!(tell(&with(&[(700_000, b"x")]), &[0; 512]), Contents::Foreign("data of an unknown kind"));
        assert_eq!(tell(&with(&[]), b"raid metadata"), Contents::Foreign("data of an unknown kind"));
    }

    #[test]
    fn foreign_file_systems_are_named() {
        for (offset, bytes, name) in SIGNATURES {
            assert_eq!(tell(&with(&[(*offset, bytes)]), &[]), Contents::Foreign(name));
        }
        let boot = with(&[(510, &[0x55, 0xaa])]);
        assert_eq!(tell(&boot, &[]), Contents::Foreign("a partition table or boot sector"));
    }

    #[test]
    fn fat_and_iso_volumes_show_their_labels() {
        let fat16 = with(&[(43, b"SKERRY     "), (54, b"FAT16   "), (510, &[0x55, 0xaa])]);
        assert_eq!(tell(&fat16, &[]), Contents::Volume("vfat", "SKERRY".into()));
        let fat32 = with(&[(71, b"SKERRY     "), (82, b"FAT32   "), (510, &[0x55, 0xaa])]);
        assert_eq!(tell(&fat32, &[]), Contents::Volume("vfat", "SKERRY".into()));
        let iso = with(&[(0x8001, b"CD001"), (0x8028, b"SKERRY                          ")]);
        assert_eq!(tell(&iso, &[]), Contents::Volume("iso9660", "SKERRY".into()));
    }

    #[test]
    fn a_short_device_is_no_reason_to_panic() {
        for length in [0, 1, 511, 512, 1100, 2047] {
            assert_eq!(tell(&vec![0; length], &[]), Contents::Blank);
            tell(&vec![0x55; length], &[]);
        }
    }

    /// The oracle is mke2fs itself.
    #[test]
    fn a_file_system_made_by_mke2fs_is_recognised_with_size_and_label() {
        let _alone = crate::children::tests::HAS_CHILDREN.lock().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(64 << 20).unwrap();
        let mut mke2fs = Command::new("/sbin/mke2fs");
        mke2fs.args(["-q", "-t", "ext4", "-L", "skerry-state"]).arg(file.path());
        let made = mke2fs.status().expect("e2fsprogs is there, as on every Debian");
        assert!(made.success());
        let bytes = std::fs::read(file.path()).unwrap();
        let want = Ext4 { label: "skerry-state".into(), size_bytes: 64 << 20, clean: true };
        assert_eq!(tell(&bytes[..HEAD_BYTES], &bytes[bytes.len() - TAIL_BYTES..]), Contents::Ext4(want));
    }
}
