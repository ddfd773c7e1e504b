//! QEMU's own format, compressed. By `docs/interop/qcow2.txt` of QEMU: version 3, clusters of 64 KiB, one level-one
//! table, counts of two bytes.

use super::drive::Drive;
use super::{Format, LARGE};
use crate::interrupt::Interrupt;
use anyhow::Result;
use flate2::write::ZlibEncoder;
use flate2::{Compress, Compression};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

/// The line of the table.
pub const FORMAT: Format = Format {
    name: "qcow2",
    about: "a compressed disk for QEMU and what is built on it",
    needs_live: false,
    write: |parts, file, interrupt| write(&parts.drive(LARGE, interrupt)?, file, interrupt),
};

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Entries of a table that fills one cluster.
const ENTRIES: u64 = CLUSTER / 8;
/// Counts that fill one cluster.
const COUNTS: u64 = CLUSTER / 2;
/// A compressed cluster's entry: the offset in the low bits, above it the sectors that it takes beyond the first.
const SIZE_SHIFT: u32 = 62 - (CLUSTER_BITS - 8);
const IS_COMPRESSED: u64 = 1 << 62;
/// "Counted once", on entries that are not compressed.
const IS_ALONE: u64 = 1 << 63;
const LEVEL: Compression = Compression::new(6);
/// QEMU unpacks with a window of 4 KiB: what looks back further is broken to it.
const WINDOW_BITS: u8 = 12;

fn write(drive: &Drive, file: &mut File, interrupt: &Interrupt) -> Result<()> {
    let clusters = drive.size.div_ceil(CLUSTER);
    let tables = clusters.div_ceil(ENTRIES);
    // Header, level one (20 GiB need 40 entries), the level-two tables, then data; the counts at the end.
    let (first_at, second_at) = (CLUSTER, 2 * CLUSTER);
    let data_at = second_at + tables * CLUSTER;
    let mut second = vec![0_u64; (tables * ENTRIES) as usize];
    let mut counts = vec![1_u16; (data_at / CLUSTER) as usize];
    let mut at = data_at;
    file.seek(SeekFrom::Start(at))?;
    for (number, block) in drive.blocks(CLUSTER as usize) {
        interrupt.check()?;
        let packed = pack(&block)?;
        if packed.len() < block.len() {
            let last = at + packed.len() as u64 - 1;
            let beyond = last / 512 - at / 512;
            second[number as usize] = IS_COMPRESSED | beyond << SIZE_SHIFT | at;
            file.write_all(&packed)?;
            count(&mut counts, at, last);
            at += packed.len() as u64;
        } else {
            // What does not shrink begins at a cluster of its own.
            let place = at.next_multiple_of(CLUSTER);
            file.seek(SeekFrom::Start(place))?;
            file.write_all(&block)?;
            second[number as usize] = IS_ALONE | place;
            count(&mut counts, place, place + CLUSTER - 1);
            at = place + CLUSTER;
        }
    }
    let counts_at = at.next_multiple_of(CLUSTER);
    // The blocks of counts count themselves and their own table.
    let mut blocks = 1;
    while (counts_at / CLUSTER + 1 + blocks) > blocks * COUNTS {
        blocks += 1;
    }
    counts.resize((counts_at / CLUSTER) as usize, 0);
    counts.resize(((counts_at / CLUSTER) + 1 + blocks) as usize, 1);
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&header(drive.size, tables, first_at, counts_at))?;
    file.seek(SeekFrom::Start(first_at))?;
    for table in 0..tables {
        file.write_all(&(IS_ALONE | (second_at + table * CLUSTER)).to_be_bytes())?;
    }
    file.seek(SeekFrom::Start(second_at))?;
    file.write_all(&second.iter().flat_map(|entry| entry.to_be_bytes()).collect::<Vec<u8>>())?;
    file.seek(SeekFrom::Start(counts_at))?;
    for block in 0..blocks {
        file.write_all(&(counts_at + (1 + block) * CLUSTER).to_be_bytes())?;
    }
    file.seek(SeekFrom::Start(counts_at + CLUSTER))?;
    file.write_all(&counts.iter().flat_map(|count| count.to_be_bytes()).collect::<Vec<u8>>())?;
    file.set_len(counts_at + (1 + blocks) * CLUSTER)?;
    Ok(())
}

/// A bare deflate stream, without a header.
fn pack(block: &[u8]) -> std::io::Result<Vec<u8>> {
    let bare = Compress::new_with_window_bits(LEVEL, false, WINDOW_BITS);
    let mut encoder = ZlibEncoder::new_with_compress(Vec::new(), bare);
    encoder.write_all(block)?;
    encoder.finish()
}

/// Counts one more use of the clusters that these bytes touch.
fn count(counts: &mut Vec<u16>, first: u64, last: u64) {
    let end = (last / CLUSTER + 1) as usize;
    if counts.len() < end {
        counts.resize(end, 0);
    }
    for count in &mut counts[(first / CLUSTER) as usize..end] {
        *count += 1;
    }
}

fn header(size: u64, tables: u64, first_at: u64, counts_at: u64) -> Vec<u8> {
    let mut bytes = b"QFI\xfb".to_vec();
    let mut put = |value: &[u8]| bytes.extend_from_slice(value);
    put(&3_u32.to_be_bytes());
    put(&[0; 12]);
    put(&CLUSTER_BITS.to_be_bytes());
    put(&size.to_be_bytes());
    put(&0_u32.to_be_bytes());
    put(&(tables as u32).to_be_bytes());
    put(&first_at.to_be_bytes());
    put(&counts_at.to_be_bytes());
    put(&1_u32.to_be_bytes());
    // No snapshots, no features of any kind.
    put(&[0; 4 + 8 + 8 + 8 + 8]);
    // Counts of 2^4 bits; the length of this header.
    put(&4_u32.to_be_bytes());
    put(&104_u32.to_be_bytes());
    bytes
}
