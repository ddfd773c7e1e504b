//! A FAT volume with files in it, written once and never changed: the EFI partition, the ISO's copy of it, and
//! configuration disks. Pure: files in, bytes out; the same files give the same bytes.
//!
//! FAT12 below 4,085 clusters, FAT16 from there on, as every reader decides it (Microsoft's FAT specification 1.03).

use anyhow::{Result, ensure};
use std::collections::BTreeMap;

const SECTOR: usize = 512;
/// The smallest cluster: a sector of a CD.
const CLUSTER_MIN: usize = 2048;
/// From this many clusters on a volume is FAT16.
const FAT16_FROM: usize = 4085;
/// The most clusters of FAT16.
const CLUSTERS_MAX: usize = 65_524;
/// Entries of the top folder.
const ROOT_ENTRIES: usize = 512;
const ENTRY: usize = 32;
/// 1 January 1980, the first day there is.
const DAY: u16 = 0x0021;
const IS_FOLDER: u8 = 0x10;
const IS_LABEL: u8 = 0x08;
const IS_LONG_NAME: u8 = 0x0f;
/// Letters of one entry of a long name.
const LONG_LETTERS: usize = 13;

enum Node<'a> {
    File(&'a [u8]),
    Folder(BTreeMap<String, Node<'a>>),
}

/// A volume of `size` bytes that holds `files`, by their paths with slashes.
///
/// # Errors
/// When they do not fit, or a name is no ASCII.
pub fn volume(label: &str, serial: u32, size: usize, files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut top = BTreeMap::new();
    for (path, content) in files {
        ensure!(path.is_ascii(), "{path:?}: only ASCII names are written");
        add(&mut top, path, content);
    }
    let mut volume = Volume::new(label, serial, size);
    let entries = volume.folder(&top, None)?;
    ensure!(entries.len() <= ROOT_ENTRIES * ENTRY, "too many files for the top folder");
    let at = volume.root;
    volume.bytes[at..at + entries.len()].copy_from_slice(&entries);
    Ok(volume.finish())
}

fn add<'a>(into: &mut BTreeMap<String, Node<'a>>, path: &str, content: &'a [u8]) {
    match path.split_once('/') {
        None => {
            into.insert(path.to_owned(), Node::File(content));
        }
        Some((folder, rest)) => {
            if let Node::Folder(inside) = into.entry(folder.to_owned()).or_insert_with(|| Node::Folder(BTreeMap::new()))
            {
                add(inside, rest, content);
            }
        }
    }
}

struct Volume {
    bytes: Vec<u8>,
    label: [u8; 11],
    cluster: usize,
    /// Sectors of one table.
    table_sectors: usize,
    /// Where the top folder begins.
    root: usize,
    /// Where the first cluster, number 2, begins.
    data: usize,
    clusters: usize,
    /// The table: what follows each cluster.
    next: Vec<u16>,
}

impl Volume {
    fn new(label: &str, serial: u32, size: usize) -> Volume {
        let mut cluster = CLUSTER_MIN;
        while size / cluster > CLUSTERS_MAX {
            cluster *= 2;
        }
        // As if all were clusters: the table is at most a few sectors too long.
        let most = size / cluster + 2;
        let table_bytes = if most < FAT16_FROM { most * 3 / 2 + 1 } else { most * 2 };
        // The data begins at a multiple of a cluster, as a CD needs it.
        let per = cluster / SECTOR;
        let mut table_sectors = table_bytes.div_ceil(SECTOR);
        let root_sectors = ROOT_ENTRIES * ENTRY / SECTOR;
        let reserved = per;
        while !(reserved + 2 * table_sectors + root_sectors).is_multiple_of(per) {
            table_sectors += 1;
        }
        let root = (reserved + 2 * table_sectors) * SECTOR;
        let data = root + root_sectors * SECTOR;
        let clusters = (size - data) / cluster;
        let mut padded = [b' '; 11];
        for (place, letter) in padded.iter_mut().zip(label.bytes()) {
            *place = letter.to_ascii_uppercase();
        }
        let mut volume = Volume {
            bytes: vec![0; size],
            label: padded,
            cluster,
            table_sectors,
            root,
            data,
            clusters,
            next: vec![0xfff8, 0xffff],
        };
        volume.boot_sector(serial, reserved);
        volume
    }

    fn boot_sector(&mut self, serial: u32, reserved: usize) {
        let sectors = self.bytes.len() / SECTOR;
        let (small, large) = u16::try_from(sectors).map_or((0, sectors as u32), |small| (small, 0));
        let kind = if self.clusters < FAT16_FROM { b"FAT12   " } else { b"FAT16   " };
        let fields: [(usize, &[u8]); 16] = [
            (0, &[0xeb, 0x3c, 0x90]),
            (3, b"SKERRY  "),
            (11, &(SECTOR as u16).to_le_bytes()),
            (13, &[(self.cluster / SECTOR) as u8]),
            (14, &(reserved as u16).to_le_bytes()),
            (16, &[2]),
            (17, &(ROOT_ENTRIES as u16).to_le_bytes()),
            (19, &small.to_le_bytes()),
            (21, &[0xf8]),
            (22, &(self.table_sectors as u16).to_le_bytes()),
            // Sectors of a track and heads: what every BIOS makes of a large disk.
            (24, &[63, 0, 255, 0]),
            (32, &large.to_le_bytes()),
            (36, &[0x80, 0, 0x29]),
            (39, &serial.to_le_bytes()),
            (54, kind),
            (510, &[0x55, 0xaa]),
        ];
        for (at, value) in fields {
            self.bytes[at..at + value.len()].copy_from_slice(value);
        }
        self.bytes[43..54].copy_from_slice(&self.label);
    }

    /// Takes clusters in a row for `content` and gives the first; an empty file has none.
    fn store(&mut self, content: &[u8]) -> Result<u16> {
        let count = content.len().div_ceil(self.cluster);
        if count == 0 {
            return Ok(0);
        }
        let first = self.next.len();
        ensure!(first - 2 + count <= self.clusters, "the files do not fit into {} bytes", self.bytes.len());
        let last = first + count - 1;
        self.next.extend((first..=last).map(|n| if n == last { 0xffff } else { (n + 1) as u16 }));
        let at = self.data + (first - 2) * self.cluster;
        self.bytes[at..at + content.len()].copy_from_slice(content);
        Ok(first as u16)
    }

    /// The entries of a folder, whose files and folders are stored before it. `parent` is none for the top one.
    fn folder(&mut self, inside: &BTreeMap<String, Node<'_>>, parent: Option<u16>) -> Result<Vec<u8>> {
        let mut entries = Vec::new();
        if parent.is_none() {
            entries.extend(entry(self.label, IS_LABEL, 0, 0));
        }
        let mut taken = Vec::new();
        for (name, node) in inside {
            let short = short_name(name, &taken);
            taken.push(short);
            let (kind, first, size) = match node {
                Node::File(content) => (0x20, self.store(content)?, u32::try_from(content.len())?),
                Node::Folder(below) => (IS_FOLDER, self.subfolder(below, parent.unwrap_or(0))?, 0),
            };
            entries.extend(long_name(name, &short));
            entries.extend(entry(short, kind, first, size));
        }
        Ok(entries)
    }

    /// A folder's own clusters must be known before what is inside it is stored: it takes the next ones, as many as its
    /// entries can need.
    fn subfolder(&mut self, inside: &BTreeMap<String, Node<'_>>, parent: u16) -> Result<u16> {
        let most = inside.keys().map(|name| 1 + name.len().div_ceil(LONG_LETTERS)).sum::<usize>() + 2;
        let room = (most * ENTRY).next_multiple_of(self.cluster);
        let own = self.store(&vec![0; room])?;
        let mut entries = Vec::new();
        entries.extend(entry(*b".          ", IS_FOLDER, own, 0));
        entries.extend(entry(*b"..         ", IS_FOLDER, parent, 0));
        entries.extend(self.folder(inside, Some(own))?);
        ensure!(entries.len() <= room, "a folder's entries do not fit into what was taken for them");
        let at = self.data + (usize::from(own) - 2) * self.cluster;
        self.bytes[at..at + entries.len()].copy_from_slice(&entries);
        Ok(own)
    }

    fn finish(mut self) -> Vec<u8> {
        let mut table = Vec::new();
        if self.clusters < FAT16_FROM {
            for pair in self.next.chunks(2) {
                let low = u32::from(pair[0] & 0xfff);
                let high = u32::from(pair.get(1).copied().unwrap_or(0) & 0xfff);
                table.extend_from_slice(&(low | high << 12).to_le_bytes()[..3]);
            }
        } else {
            table.extend(self.next.iter().flat_map(|next| next.to_le_bytes()));
        }
        let length = self.table_sectors * SECTOR;
        for copy in 0..2 {
            let at = self.root - (2 - copy) * length;
            self.bytes[at..at + table.len()].copy_from_slice(&table);
        }
        self.bytes
    }
}

fn entry(name: [u8; 11], kind: u8, first: u16, size: u32) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    bytes[..11].copy_from_slice(&name);
    bytes[11] = kind;
    for at in [16, 18, 24] {
        bytes[at..at + 2].copy_from_slice(&DAY.to_le_bytes());
    }
    bytes[26..28].copy_from_slice(&first.to_le_bytes());
    bytes[28..].copy_from_slice(&size.to_le_bytes());
    bytes
}

/// Eight letters and three, in capitals, none twice in a folder.
fn short_name(name: &str, taken: &[[u8; 11]]) -> [u8; 11] {
    let (stem, end) = name.rsplit_once('.').unwrap_or((name, ""));
    let plain = |text: &str| -> Vec<u8> {
        text.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_uppercase()).collect()
    };
    let (long_stem, end) = (plain(stem), plain(end));
    let make = |stem: &[u8]| {
        let mut short = [b' '; 11];
        for (place, letter) in short[..8].iter_mut().zip(stem) {
            *place = *letter;
        }
        for (place, letter) in short[8..].iter_mut().zip(&end) {
            *place = *letter;
        }
        short
    };
    let whole = make(&long_stem);
    if long_stem.len() <= 8 && end.len() <= 3 && !taken.contains(&whole) {
        return whole;
    }
    (1..)
        .map(|number| {
            let tail = format!("~{number}");
            let mut stem = long_stem[..long_stem.len().min(8 - tail.len())].to_vec();
            stem.extend(tail.bytes());
            make(&stem)
        })
        .find(|short| !taken.contains(short))
        .expect("a folder has fewer files than there are numbers")
}

/// The entries before a short one that carry the whole name; none when the short one says it all.
fn long_name(name: &str, short: &[u8; 11]) -> Vec<u8> {
    let (stem, end) = (short[..8].trim_ascii_end(), short[8..].trim_ascii_end());
    let dot: &[u8] = if end.is_empty() { b"" } else { b"." };
    if [stem, dot, end].concat() == name.as_bytes() {
        return Vec::new();
    }
    let sum = short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    let mut letters: Vec<u16> = name.encode_utf16().collect();
    if !letters.len().is_multiple_of(LONG_LETTERS) {
        letters.push(0);
    }
    letters.resize(letters.len().next_multiple_of(LONG_LETTERS), 0xffff);
    let pieces: Vec<&[u16]> = letters.chunks(LONG_LETTERS).collect();
    let mut entries = Vec::new();
    for (index, piece) in pieces.iter().enumerate().rev() {
        let mut bytes = [0; ENTRY];
        let is_last = if index + 1 == pieces.len() { 0x40 } else { 0 };
        bytes[0] = (index + 1) as u8 | is_last;
        bytes[11] = IS_LONG_NAME;
        bytes[13] = sum;
        let places = (1..11).step_by(2).chain((14..26).step_by(2)).chain((28..32).step_by(2));
        for (at, letter) in places.zip(piece.iter()) {
            bytes[at..at + 2].copy_from_slice(&letter.to_le_bytes());
        }
        entries.extend(bytes);
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shortened_as_dos_would() {
        let text = |name: &str, taken: &[[u8; 11]]| String::from_utf8(short_name(name, taken).to_vec()).unwrap();
        assert_eq!(text("BOOTX64.EFI", &[]), "BOOTX64 EFI");
        assert_eq!(text("bzImage", &[]), "BZIMAGE    ");
        assert_eq!(text("skerry.toml", &[]), "SKERRY~1TOM");
        assert_eq!(text("skerry.toml", &[*b"SKERRY~1TOM"]), "SKERRY~2TOM");
        assert!(long_name("BOOTX64.EFI", b"BOOTX64 EFI").is_empty());
        assert_eq!(long_name("a-name-of-fourteen", b"ANAMEO~1   ").len(), 2 * ENTRY);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let big = vec![1; 1 << 20];
        assert!(volume("X", 1, 1 << 20, &[("big", &big)]).is_err());
        assert!(volume("X", 1, 2 << 20, &[("big", &big)]).is_ok());
    }

    #[test]
    fn a_folder_takes_as_many_clusters_as_its_entries_need() {
        let names: Vec<String> = (0..200).map(|n| format!("m/a-rather-long-name-{n}.yaml")).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
        let bytes = volume("LABEL", 1, 4 << 20, &files).unwrap();
        // Every file's short entry, one after another without a gap between the folder's clusters.
        let entries = bytes.chunks(ENTRY).filter(|entry| entry[8..11] == *b"YAM" && entry[11] == 0x20).count();
        assert_eq!(entries, 200);
        let last = bytes.chunks(ENTRY).rposition(|entry| entry[8..11] == *b"YAM").unwrap();
        let first = bytes.chunks(ENTRY).position(|entry| entry[8..11] == *b"YAM").unwrap();
        // Before each but the first lie its long name's entries, of 13 letters: two, or three from the hundredth on.
        assert_eq!(last - first + 1, 200 + 99 * 2 + 100 * 3);
    }

    /// Follows the tables as a reader does, for both widths.
    #[test]
    fn a_file_is_read_back_through_folders_and_tables() {
        for size in [1 << 20, 32 << 20] {
            let content: Vec<u8> = (0..5000_u32).map(|n| n as u8).collect();
            let bytes = volume("LABEL", 1, size, &[("EFI/BOOT/BOOTX64.EFI", &content), ("a", b"")]).unwrap();
            let word = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
            let (per, reserved, table) = (usize::from(bytes[13]), word(14), word(22));
            let root = (reserved + 2 * table) * SECTOR;
            let data = root + ROOT_ENTRIES * ENTRY;
            let find = |at: usize, name: &[u8; 11]| {
                (0..16).map(|n| at + n * ENTRY).find(|at| &bytes[*at..at + 11] == name).map(|at| word(at + 26)).unwrap()
            };
            let place = |cluster: usize| data + (cluster - 2) * per * SECTOR;
            let mut cluster = find(root, b"EFI        ");
            cluster = find(place(cluster), b"BOOT       ");
            cluster = find(place(cluster), b"BOOTX64 EFI");
            let mut read = Vec::new();
            while cluster < 0xff0 {
                read.extend_from_slice(&bytes[place(cluster)..place(cluster) + per * SECTOR]);
                cluster = if size > 16 << 20 {
                    word(reserved * SECTOR + cluster * 2)
                } else {
                    let pair = word(reserved * SECTOR + cluster * 3 / 2);
                    if cluster % 2 == 0 { pair & 0xfff } else { pair >> 4 }
                };
            }
            assert_eq!(&read[..content.len()], content);
            assert_eq!(read.len(), content.len().next_multiple_of(per * SECTOR));
        }
    }
}
