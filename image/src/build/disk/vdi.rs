//! VirtualBox's own format: a map of blocks of 1 MiB, only those that hold something. By `VDICore.h` of VirtualBox:
//! version 1.1, a growing image.

use super::drive::Drive;
use super::{Format, LARGE};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

/// The line of the table.
pub const FORMAT: Format = Format {
    name: "vdi",
    about: "a disk for VirtualBox",
    needs_live: false,
    write: |parts, file, interrupt| write(&parts.drive(LARGE, interrupt)?, parts.id("vdi"), file),
};

const BLOCK: u64 = 1 << 20;
const TEXT: &[u8] = b"<<< Oracle VM VirtualBox Disk Image >>>\n";
const SIGNATURE: u32 = 0xbeda_107f;
const VERSION: u32 = 0x1_0001;
/// Bytes of the header behind text, signature and version.
const HEADER_BYTES: u32 = 400;
/// A block that is not in the file.
const ABSENT: u32 = u32::MAX;
/// Where the size of the disk lies.
const SIZE_AT: usize = 368;
/// Map and data begin at multiples of this.
const ALIGNED: u64 = BLOCK;

fn write(drive: &Drive, id: u128, file: &mut File) -> Result<()> {
    let count = drive.size.div_ceil(BLOCK);
    let map_at = ALIGNED;
    let data_at = (map_at + count * 4).next_multiple_of(ALIGNED);
    let mut map = vec![ABSENT; count as usize];
    let mut used = 0_u32;
    file.seek(SeekFrom::Start(data_at))?;
    for (number, block) in drive.blocks(BLOCK as usize) {
        map[number as usize] = used;
        used += 1;
        file.write_all(&block)?;
    }
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&header(drive.size, count as u32, used, map_at, data_at, id))?;
    file.seek(SeekFrom::Start(map_at))?;
    file.write_all(&map.iter().flat_map(|place| place.to_le_bytes()).collect::<Vec<u8>>())?;
    Ok(())
}

fn header(size: u64, count: u32, used: u32, map_at: u64, data_at: u64, id: u128) -> Vec<u8> {
    let mut bytes = TEXT.to_vec();
    bytes.resize(64, 0);
    let mut put = |value: &[u8]| bytes.extend_from_slice(value);
    for word in [SIGNATURE, VERSION, HEADER_BYTES, 1, 0] {
        put(&word.to_le_bytes());
    }
    // No description.
    put(&[0; 256]);
    for word in [map_at as u32, data_at as u32, 0, 0, 0, 512, 0] {
        put(&word.to_le_bytes());
    }
    put(&size.to_le_bytes());
    for word in [BLOCK as u32, 0, count, used] {
        put(&word.to_le_bytes());
    }
    put(&mixed(id));
    // Changed with every change of the content: as unchanging as that.
    put(&mixed(id ^ 1));
    // No parent.
    put(&[0; 32]);
    // Geometry as BIOSes make it of large disks.
    for word in [1024_u32, 255, 63, 512] {
        put(&word.to_le_bytes());
    }
    bytes
}

/// The byte order of a UUID in VirtualBox's files.
fn mixed(id: u128) -> [u8; 16] {
    let mut bytes = id.to_be_bytes();
    bytes[0..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

/// Writes a blank disk into an empty file: nothing but its map. VirtualBox knows disks by their ids and takes each only
/// once.
///
/// # Errors
/// When the file does not take it.
pub fn blank(size: u64, id: u128, file: &mut File) -> Result<()> {
    write(&Drive::new(size), id, file)?;
    // Where the first block will lie.
    let end = file.metadata()?.len().next_multiple_of(ALIGNED);
    Ok(file.set_len(end)?)
}

/// The size of the disk that a file holds, bytes.
///
/// # Errors
/// When the file is no whole VDI.
pub fn size(file: &mut File) -> Result<u64> {
    let mut head = [0; 72 + HEADER_BYTES as usize];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut head).context("the disk image is cut short")?;
    ensure!(head[64..68] == SIGNATURE.to_le_bytes(), "the disk image is no VDI");
    Ok(u64::from_le_bytes(head[SIZE_AT..SIZE_AT + 8].try_into().expect("eight bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the image's id lies.
    const ID_AT: usize = 392;

    #[test]
    fn fields_lie_where_virtualbox_looks_for_them() {
        let bytes = header(20 << 30, 20480, 7, 1 << 20, 2 << 20, 5);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((word(64), word(68), word(72), word(76)), (SIGNATURE, VERSION, HEADER_BYTES, 1));
        assert_eq!((word(340), word(344), word(360)), (1 << 20, 2 << 20, 512));
        assert_eq!(u64::from_le_bytes(bytes[368..376].try_into().unwrap()), 20 << 30);
        assert_eq!((word(376), word(384), word(388)), (1 << 20, 20480, 7));
        assert_eq!(bytes[ID_AT..ID_AT + 16], mixed(5));
        assert_eq!(bytes.len(), 72 + HEADER_BYTES as usize);
    }

    #[test]
    fn a_blank_disk_has_its_size_and_no_block_and_a_stump_is_refused() {
        let mut file = tempfile::tempfile().unwrap();
        blank(20 << 30, 6, &mut file).unwrap();
        assert_eq!(size(&mut file).unwrap(), 20 << 30);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes[ID_AT..ID_AT + 16], mixed(6));
        assert_eq!(bytes.len(), 2 << 20);
        assert!(bytes[1 << 20..(1 << 20) + 4 * 20480].iter().all(|byte| *byte == 0xff));
        file.set_len(60).unwrap();
        assert!(size(&mut file).is_err());
    }
}
