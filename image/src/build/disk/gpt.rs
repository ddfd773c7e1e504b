//! How a disk is divided: a GPT with its copy at the end, and a protective MBR that carries the BIOS's first sector of
//! code. Pure: sizes in, bytes out. By the UEFI specification 2.10, chapter 5.

use super::drive::Drive;
use flate2::Crc;

/// Bytes of a sector, as every hypervisor shows its disks.
pub const SECTOR: u64 = 512;
/// Entries of a table; the specification wants room for this many.
const ENTRIES: usize = 128;
const ENTRY_BYTES: usize = 128;
/// Sectors of one table: header and entries.
const TABLE_SECTORS: u64 = 1 + (ENTRIES * ENTRY_BYTES) as u64 / SECTOR;
/// The first sector that partitions may use: behind MBR and table.
pub const FIRST: u64 = 1 + TABLE_SECTORS;

/// What a partition is for, as the type that firmware and Linux know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Where GRUB puts what does not fit into the MBR.
    BiosBoot,
    /// What UEFI boots from.
    Efi,
    /// The root file system.
    Root,
    /// Any Linux file system.
    Data,
}

impl Kind {
    /// The type as it lies on the disk: the first three fields have their lowest byte first.
    fn bytes(self) -> [u8; 16] {
        mixed(match self {
            Kind::BiosBoot => 0x2168_6148_6449_6e6f_744e_6565_6445_4649,
            Kind::Efi => 0xc12a_7328_f81f_11d2_ba4b_00a0_c93e_c93b,
            Kind::Root => 0x4f68_bce3_e8cd_4db1_96e7_fbca_f984_b709,
            Kind::Data => 0x0fc6_3daf_8483_4772_8e79_3d69_d847_7de4,
        })
    }
}

/// A UUID in the byte order of a GPT.
fn mixed(uuid: u128) -> [u8; 16] {
    let mut bytes = uuid.to_be_bytes();
    bytes[0..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// What it is for.
    pub kind: Kind,
    /// Its own id.
    pub id: u128,
    /// Its name; ASCII, at most 36 letters.
    pub name: &'static str,
    /// The first sector.
    pub first: u64,
    /// The last sector, which belongs to it.
    pub last: u64,
}

/// The last sector that partitions may use on a disk of this many sectors.
pub fn last_usable(sectors: u64) -> u64 {
    sectors - TABLE_SECTORS - 1
}

/// Writes both tables and the MBR, whose first 440 bytes are `code`.
pub fn write(drive: &mut Drive, id: u128, partitions: &[Partition], code: &[u8; 440]) {
    let sectors = drive.size / SECTOR;
    let entries = entries(partitions);
    let backup = sectors - 1;
    let first = [mbr(sectors, code).as_slice(), &header(1, backup, 2, sectors, id, &entries), &entries].concat();
    drive.put(0, first);
    let place = backup + 1 - TABLE_SECTORS;
    let last = [entries.as_slice(), &header(backup, 1, place, sectors, id, &entries)].concat();
    drive.put(place * SECTOR, last);
}

fn entries(partitions: &[Partition]) -> Vec<u8> {
    let mut bytes = vec![0; ENTRIES * ENTRY_BYTES];
    for (partition, entry) in partitions.iter().zip(bytes.chunks_mut(ENTRY_BYTES)) {
        entry[0..16].copy_from_slice(&partition.kind.bytes());
        entry[16..32].copy_from_slice(&mixed(partition.id));
        entry[32..40].copy_from_slice(&partition.first.to_le_bytes());
        entry[40..48].copy_from_slice(&partition.last.to_le_bytes());
        for (place, letter) in entry[56..].chunks_mut(2).zip(partition.name.encode_utf16()) {
            place.copy_from_slice(&letter.to_le_bytes());
        }
    }
    bytes
}

fn header(own: u64, other: u64, entries_at: u64, sectors: u64, id: u128, entries: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; SECTOR as usize];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, b"EFI PART");
    put(8, &0x1_0000_u32.to_le_bytes());
    put(12, &92_u32.to_le_bytes());
    put(24, &own.to_le_bytes());
    put(32, &other.to_le_bytes());
    put(40, &FIRST.to_le_bytes());
    put(48, &last_usable(sectors).to_le_bytes());
    put(56, &mixed(id));
    put(72, &entries_at.to_le_bytes());
    put(80, &(ENTRIES as u32).to_le_bytes());
    put(84, &(ENTRY_BYTES as u32).to_le_bytes());
    put(88, &checksum(entries).to_le_bytes());
    let sum = checksum(&bytes[..92]);
    bytes[16..20].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = Crc::new();
    sum.update(bytes);
    sum.sum()
}

/// One partition of type EE over everything. Marked active: some BIOSes boot from nothing else.
fn mbr(sectors: u64, code: &[u8; 440]) -> Vec<u8> {
    let mut bytes = vec![0; SECTOR as usize];
    bytes[..440].copy_from_slice(code);
    let count = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    let entry = &mut bytes[446..462];
    entry[..8].copy_from_slice(&[0x80, 0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
    entry[8..12].copy_from_slice(&1_u32.to_le_bytes());
    entry[12..16].copy_from_slice(&count.to_le_bytes());
    bytes[510..].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_lie_on_the_disk_as_firmware_reads_them() {
        assert_eq!(&Kind::BiosBoot.bytes(), b"Hah!IdontNeedEFI");
        assert_eq!(Kind::Efi.bytes()[..4], [0x28, 0x73, 0x2a, 0xc1]);
    }

    /// The sums are those that the specification wants: a header sums to its own field with that field as zero.
    #[test]
    fn both_tables_say_the_same_and_each_knows_the_other() {
        let mut drive = Drive::new(64 << 20);
        let part = Partition { kind: Kind::Data, id: 7, name: "skerry-state", first: 2048, last: 4095 };
        write(&mut drive, 9, std::slice::from_ref(&part), &[0x90; 440]);
        let sectors = drive.size / SECTOR;
        let read = |sector: u64, count: usize| {
            let mut bytes = vec![0; count];
            drive.fill(sector * SECTOR, &mut bytes);
            bytes
        };
        let number = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        for (own, other) in [(1, sectors - 1), (sectors - 1, 1)] {
            let mut header = read(own, 512);
            assert_eq!(&header[..8], b"EFI PART");
            assert_eq!((number(&header, 24), number(&header, 32)), (own, other));
            let says = u32::from_le_bytes(header[16..20].try_into().unwrap());
            header[16..20].fill(0);
            assert_eq!(checksum(&header[..92]), says);
            let entries = read(number(&header, 72), ENTRIES * ENTRY_BYTES);
            assert_eq!(checksum(&entries).to_le_bytes(), header[88..92]);
            assert_eq!((number(&entries, 32), number(&entries, 40)), (2048, 4095));
        }
        assert_eq!(read(0, 512)[510..], [0x55, 0xaa]);
    }
}
