//! QEMU's own format, compressed: the emulator unpacks it, which is several times quicker than what it emulates would
//! be. By `docs/interop/qcow2.txt` of QEMU: version 3, one level-one table, counts of two bytes, clusters in zstd, which
//! QEMU reads since 5.1.

use super::drive::Drive;
use super::{Format, LARGE};
use crate::interrupt::Interrupt;
use anyhow::{Context, Result, anyhow};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

/// The line of the table.
pub const FORMAT: Format = Format {
    name: "qcow2",
    about: "a compressed disk for QEMU and what is built on it",
    needs_live: false,
    write: |parts, file, interrupt| write(&parts.drive(LARGE, interrupt)?, file, interrupt),
};

/// Half of what a kernel reads ahead, so that a cluster is seldom unpacked for less than all of it. A root of 206 MB becomes
/// 69.2 MB in these and 67.1 MB in twice as large ones, which make 3 % more work of a start.
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// The same root is 73.1 MB in 10 s of one processor at level 12, 69.2 MB in 22 s at this, 68.3 MB in 76 s at 19.
const LEVEL: i32 = 15;
/// Clusters that one processor packs before they are written: 4 MiB of memory.
const BATCH: usize = 64;
/// Entries of a table that fills one cluster.
const ENTRIES: u64 = CLUSTER / 8;
/// Counts that fill one cluster.
const COUNTS: u64 = CLUSTER / 2;
/// A compressed cluster's entry: the offset in the low bits, above it the sectors that it takes beyond the first.
const SIZE_SHIFT: u32 = 62 - (CLUSTER_BITS - 8);
const IS_COMPRESSED: u64 = 1 << 62;
/// "Counted once", on entries that are not compressed.
const IS_ALONE: u64 = 1 << 63;
/// The feature that a reader must know: the header tells how clusters are compressed.
const HAS_COMPRESSION_TYPE: u64 = 1 << 3;
const ZSTD: u8 = 1;
/// With the field of the compression, padded to eight bytes.
const HEADER: u32 = 112;

/// What decides the bytes besides what is packed.
pub fn identity() -> String {
    format!("zstd,level={LEVEL} {CLUSTER_BITS}")
}

/// Writes an empty file.
///
/// # Errors
/// When the disk is full.
pub fn write(drive: &Drive, file: &mut File, interrupt: &Interrupt) -> Result<()> {
    let clusters = drive.size.div_ceil(CLUSTER);
    let tables = clusters.div_ceil(ENTRIES);
    // Header, level one (20 GiB need 40 entries), the level-two tables, then data; the counts at the end.
    let (first_at, second_at) = (CLUSTER, 2 * CLUSTER);
    let mut written = Data {
        file,
        at: second_at + tables * CLUSTER,
        second: vec![0; (tables * ENTRIES) as usize],
        counts: vec![1; (second_at / CLUSTER + tables) as usize],
    };
    written.file.seek(SeekFrom::Start(written.at))?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut blocks = drive.blocks(CLUSTER as usize);
    loop {
        interrupt.check()?;
        let batch: Vec<(u64, Vec<u8>)> = blocks.by_ref().take(workers * BATCH).collect();
        if batch.is_empty() {
            break;
        }
        for ((number, block), packed) in batch.iter().zip(pack(&batch, workers)?) {
            written.put(*number, block, &packed)?;
        }
    }
    let Data { file, at, second, mut counts } = written;
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

/// The clusters of data, as they are written one after the other.
struct Data<'a> {
    file: &'a mut File,
    at: u64,
    second: Vec<u64>,
    counts: Vec<u16>,
}

impl Data<'_> {
    fn put(&mut self, number: u64, block: &[u8], packed: &[u8]) -> Result<()> {
        if packed.len() < block.len() {
            let last = self.at + packed.len() as u64 - 1;
            let beyond = last / 512 - self.at / 512;
            self.second[number as usize] = IS_COMPRESSED | beyond << SIZE_SHIFT | self.at;
            self.file.write_all(packed)?;
            self.count(self.at, last);
            self.at += packed.len() as u64;
        } else {
            // What does not shrink begins at a cluster of its own.
            let place = self.at.next_multiple_of(CLUSTER);
            self.file.seek(SeekFrom::Start(place))?;
            self.file.write_all(block)?;
            self.second[number as usize] = IS_ALONE | place;
            self.count(place, place + CLUSTER - 1);
            self.at = place + CLUSTER;
        }
        Ok(())
    }

    /// Counts one more use of the clusters that these bytes touch.
    fn count(&mut self, first: u64, last: u64) {
        let end = (last / CLUSTER + 1) as usize;
        if self.counts.len() < end {
            self.counts.resize(end, 0);
        }
        for count in &mut self.counts[(first / CLUSTER) as usize..end] {
            *count += 1;
        }
    }
}

/// Each block compressed, in their order, by as many threads.
fn pack(blocks: &[(u64, Vec<u8>)], workers: usize) -> Result<Vec<Vec<u8>>> {
    let share = blocks.len().div_ceil(workers).max(1);
    std::thread::scope(|scope| {
        let work = |part: &[(u64, Vec<u8>)]| -> std::io::Result<Vec<Vec<u8>>> {
            let mut packer = zstd::bulk::Compressor::new(LEVEL)?;
            part.iter().map(|(_, block)| packer.compress(block)).collect()
        };
        let started: Vec<_> = blocks.chunks(share).map(|part| scope.spawn(move || work(part))).collect();
        let mut all = Vec::with_capacity(blocks.len());
        for thread in started {
            let part = thread.join().map_err(|_| anyhow!("a thread that compresses has panicked"))?;
            all.extend(part.context("compressing a cluster")?);
        }
        Ok(all)
    })
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
    // No snapshots; no features but one.
    put(&[0; 4 + 8]);
    put(&HAS_COMPRESSION_TYPE.to_be_bytes());
    put(&[0; 8 + 8]);
    // Counts of 2^4 bits; the length of this header.
    put(&4_u32.to_be_bytes());
    put(&HEADER.to_be_bytes());
    put(&[ZSTD, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader finds at a place: by the tables, as the format's description tells them.
    fn read(bytes: &[u8], offset: u64) -> Vec<u8> {
        let word = |at: u64| u64::from_be_bytes(bytes[at as usize..at as usize + 8].try_into().unwrap());
        let number = offset / CLUSTER;
        let second = word(word(40) + 8 * (number / ENTRIES)) & !IS_ALONE;
        let entry = word(second + 8 * (number % ENTRIES));
        if entry == 0 {
            return vec![0; CLUSTER as usize];
        }
        if entry & IS_COMPRESSED == 0 {
            let at = (entry & !IS_ALONE) as usize;
            return bytes[at..at + CLUSTER as usize].to_vec();
        }
        let at = entry & ((1 << SIZE_SHIFT) - 1);
        let sectors = (entry & !IS_COMPRESSED) >> SIZE_SHIFT;
        let end = ((at / 512 + 1 + sectors) * 512) as usize;
        let mut block = vec![0; CLUSTER as usize];
        let mut reader = zstd::stream::read::Decoder::new(&bytes[at as usize..end.min(bytes.len())]).unwrap();
        std::io::Read::read_exact(&mut reader, &mut block).unwrap();
        block
    }

    /// Bytes that no packer shrinks.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    fn written(drive: &Drive) -> Vec<u8> {
        let mut file = tempfile::tempfile().unwrap();
        write(drive, &mut file, &Interrupt::never()).unwrap();
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_was_put_is_read_again() {
        let mut drive = Drive::new(CLUSTER * (ENTRIES + 3));
        drive.put(10, b"begin".repeat(1000));
        drive.put(CLUSTER * 2, noise(CLUSTER as usize));
        drive.put(CLUSTER * (ENTRIES + 1) - 3, b"across".to_vec());
        let bytes = written(&drive);
        for number in [0, 1, 2, 3, ENTRIES, ENTRIES + 1, ENTRIES + 2] {
            let mut wanted = vec![0; CLUSTER as usize];
            drive.fill(number * CLUSTER, &mut wanted);
            assert!(read(&bytes, number * CLUSTER) == wanted, "cluster {number}");
        }
        assert_eq!(bytes, written(&drive), "the same parts give the same bytes");
    }

    #[test]
    fn packing_keeps_the_order_whatever_the_number_of_threads() {
        let blocks: Vec<(u64, Vec<u8>)> = (0..7).map(|number| (number, vec![number as u8; 4096])).collect();
        let alone = pack(&blocks, 1).unwrap();
        for workers in [2, 3, 16] {
            assert_eq!(pack(&blocks, workers).unwrap(), alone);
        }
    }
}
