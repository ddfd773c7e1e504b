//! A disk that became larger: its last partition takes what was added. Pure: the table's bytes in, the new ones out.
//! By the UEFI specification 2.10, chapter 5; what is not exactly as expected is left alone.

const SECTOR: usize = 512;
/// Bytes of the table at the start: the header behind the first sector, then the entries.
pub const HEAD_BYTES: usize = 34 * SECTOR;
const ENTRY: usize = 128;
const ENTRIES_BYTES: usize = 32 * SECTOR;
/// Sectors of the copy at the end: entries, then the header.
const COPY_SECTORS: u64 = 33;
const HEADER_BYTES: usize = 92;
/// Growth below this is not worth a new table, sectors: 16 MiB.
const GROWTH_MIN: u64 = 32 << 10;
/// Partitions end at a multiple of a page.
const ALIGNED: u64 = 8;

/// What must be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// The partition's number, from 1.
    pub number: u32,
    /// Its first byte on the disk.
    pub start: u64,
    /// Its new length in bytes.
    pub length: u64,
    /// Bytes to write, with their places, in this order: the copy goes first, so that one whole table is always there.
    pub writes: Vec<(u64, Vec<u8>)>,
}

/// What makes the partition called `name` fill a disk of `sectors`, whose first [`HEAD_BYTES`] are `head`. None when
/// there is nothing to gain, or the table is not one that is understood.
pub fn growth(head: &[u8], sectors: u64, name: &str) -> Option<Growth> {
    let mut header = head.get(SECTOR..2 * SECTOR)?.to_vec();
    let mut entries = head.get(2 * SECTOR..2 * SECTOR + ENTRIES_BYTES)?.to_vec();
    let shape = (word(&header, 12), word(&header, 80), word(&header, 84), long(&header, 24), long(&header, 72));
    let is_known = header.starts_with(b"EFI PART") && shape == (HEADER_BYTES as u32, 128, ENTRY as u32, 1, 2);
    if !is_known || word(&header, 16) != header_sum(&header) || word(&header, 88) != sum(&entries) {
        return None;
    }
    let copy_at = long(&header, 32);
    if sectors.checked_sub(copy_at + 1)? < GROWTH_MIN {
        return None;
    }
    let index = entries.chunks(ENTRY).position(|entry| title(entry) == name)?;
    let used = entries.chunks(ENTRY).filter(|entry| entry[..16].iter().any(|byte| *byte != 0));
    let end = used.map(|entry| long(entry, 40)).max()?;
    let entry = &mut entries[index * ENTRY..(index + 1) * ENTRY];
    // Behind it must be nothing.
    if long(entry, 40) != end {
        return None;
    }
    let last_usable = sectors - COPY_SECTORS - 1;
    let first = long(entry, 32);
    let last = (last_usable + 1) / ALIGNED * ALIGNED - 1;
    entry[40..48].copy_from_slice(&last.to_le_bytes());
    let entries_sum = sum(&entries);
    let mut make = |own: u64, other: u64, entries_at: u64| {
        for (at, value) in [(24, own), (32, other), (48, last_usable), (72, entries_at)] {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        header[88..92].copy_from_slice(&entries_sum.to_le_bytes());
        let sum = header_sum(&header);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        header.clone()
    };
    let copy = make(sectors - 1, 1, sectors - COPY_SECTORS);
    let own = make(1, sectors - 1, 2);
    let place = (sectors - COPY_SECTORS) * SECTOR as u64;
    Some(Growth {
        number: u32::try_from(index).ok()? + 1,
        start: first * SECTOR as u64,
        length: (last + 1 - first) * SECTOR as u64,
        writes: vec![(place, [entries.clone(), copy].concat()), (SECTOR as u64, [own, entries].concat())],
    })
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn title(entry: &[u8]) -> String {
    let letters = entry[56..].chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    char::decode_utf16(letters.take_while(|letter| *letter != 0)).map(|c| c.unwrap_or('?')).collect()
}

/// Over the header with the sum's own field as zero.
fn header_sum(header: &[u8]) -> u32 {
    let mut bytes = header[..HEADER_BYTES].to_vec();
    bytes[16..20].fill(0);
    sum(&bytes)
}

/// CRC-32 as in Ethernet and zip; a table would cost more than it saves for these few bytes.
fn sum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 2048;

    /// The head of a disk of this size with two partitions.
    fn head(sectors: u64) -> Vec<u8> {
        let mut head = vec![0; HEAD_BYTES];
        for (index, (name, first, last)) in [("root", 2048, 4095), ("state", 4096, sectors - 34)].iter().enumerate() {
            let entry = &mut head[2 * SECTOR + index * ENTRY..][..ENTRY];
            entry[0] = 1;
            entry[32..40].copy_from_slice(&u64::to_le_bytes(*first));
            entry[40..48].copy_from_slice(&u64::to_le_bytes(*last));
            for (place, letter) in entry[56..].chunks_mut(2).zip(name.encode_utf16()) {
                place.copy_from_slice(&letter.to_le_bytes());
            }
        }
        let entries = sum(&head[2 * SECTOR..]);
        let header = &mut head[SECTOR..2 * SECTOR];
        header[..8].copy_from_slice(b"EFI PART");
        for (at, value) in [(12, 92_u32), (80, 128), (84, 128), (88, entries)] {
            header[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        for (at, value) in [(24, 1), (32, sectors - 1), (40, 34), (48, sectors - 34), (72, 2)] {
            header[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
        }
        let own = header_sum(header);
        header[16..20].copy_from_slice(&own.to_le_bytes());
        head
    }

    #[test]
    fn the_sum_is_the_usual_one() {
        assert_eq!(sum(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn the_last_partition_takes_what_was_added_and_then_there_is_nothing_to_do() {
        let large = 100 * MIB;
        let growth_found = growth(&head(64 * MIB), large, "state").unwrap();
        assert_eq!((growth_found.number, growth_found.start), (2, 4096 * 512));
        assert_eq!(growth_found.length, (large - 40 - 4096) * 512);
        let (place, bytes) = growth_found.writes.last().unwrap().clone();
        let mut grown = head(64 * MIB);
        grown[place as usize..place as usize + bytes.len()].copy_from_slice(&bytes);
        assert_eq!(growth(&grown, large, "state"), None);
        assert!(growth(&grown, large + 50 * MIB, "state").is_some(), "the new table is understood again");
        let (place, bytes) = &growth_found.writes[0];
        assert_eq!(place + bytes.len() as u64, large * 512);
        assert_eq!(&bytes[ENTRIES_BYTES..ENTRIES_BYTES + 8], b"EFI PART");
    }

    #[test]
    fn what_is_not_understood_is_left_alone() {
        let good = head(64 * MIB);
        assert_eq!(growth(&good, 64 * MIB, "state"), None);
        assert_eq!(growth(&good, 100 * MIB, "root"), None, "something lies behind it");
        assert_eq!(growth(&good, 100 * MIB, "other"), None);
        assert_eq!(growth(&good[..600], 100 * MIB, "state"), None);
        assert_eq!(growth(&good, 32 * MIB, "state"), None);
        for at in [SECTOR + 20, SECTOR + 60, 2 * SECTOR + 40] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(growth(&bad, 100 * MIB, "state"), None, "byte {at}");
        }
    }
}
