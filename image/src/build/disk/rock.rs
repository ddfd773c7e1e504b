//! A small CD that boots nothing, with folders and long names: ISO 9660 (ECMA-119), where every entry has its true name
//! in the System Use Sharing Protocol's Rock Ridge field `NM` (IEEE P1282), and a number for readers that know neither.

use super::iso::{BLOCK, Block, DESCRIPTOR, DESCRIPTORS_END, Tree, descriptor, record};
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, VecDeque};

/// The end of descriptors.
const END: Block = Block(17);
/// Where the tables of paths begin; folders and files follow.
const PATHS: Block = Block(18);
/// The longest name, bytes: what fits into an entry of at most 255 bytes beside the rest.
const NAME_BYTES_MAX: usize = 200;
/// Marks the first entry of the first folder: there are fields of the protocol (SUSP 1.12, 5.3).
const PROTOCOL: &[u8] = &[b'S', b'P', 7, 1, 0xbe, 0xef, 0];

/// A folder while the volume is laid out.
#[derive(Default)]
struct Folder<'a> {
    parent: usize,
    folders: BTreeMap<&'a str, usize>,
    /// Numbers of files.
    files: BTreeMap<&'a str, usize>,
}

/// A volume with these files, each given by its place, such as `manifests/app.yaml`.
///
/// # Errors
/// Names a place that a CD cannot have, or that is there twice; when all is more than a CD holds.
pub fn volume(label: &str, files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let folders = in_order(folders(files)?);
    let blocks = |bytes: usize| u32::try_from(bytes.div_ceil(BLOCK)).context("more than a CD holds");
    let paths_bytes = path_table(&folders, &[], false).len();
    // The places are no part of an entry's length.
    let none = Places { folders: vec![(Block(0), 0); folders.len()], files: vec![Block(0); files.len()] };
    let mut at = PATHS.0 + 2 * blocks(paths_bytes)?;
    let mut places = Places { folders: Vec::new(), files: Vec::new() };
    for number in 0..folders.len() {
        let length = entries(&folders, number, files, &none).len();
        places.folders.push((Block(at), length as u32));
        at += blocks(length)?;
    }
    for (_, content) in files {
        places.files.push(Block(at));
        at = at.checked_add(blocks(content.len())?).context("more than a CD holds")?;
    }
    let tree = Tree {
        paths: PATHS,
        paths_reversed: Block(PATHS.0 + blocks(paths_bytes)?),
        paths_bytes: paths_bytes as u32,
        root: places.folders[0].0,
        root_bytes: places.folders[0].1,
    };
    let mut bytes = vec![0; Block(at).offset() as usize];
    let mut put = |place: Block, content: &[u8]| {
        let from = place.offset() as usize;
        bytes[from..from + content.len()].copy_from_slice(content);
    };
    put(DESCRIPTOR, &descriptor(label, at, &tree));
    put(END, DESCRIPTORS_END);
    put(tree.paths, &path_table(&folders, &places.folders, false));
    put(tree.paths_reversed, &path_table(&folders, &places.folders, true));
    for (number, (place, _)) in places.folders.iter().enumerate() {
        put(*place, &entries(&folders, number, files, &places));
    }
    for ((_, content), place) in files.iter().zip(&places.files) {
        put(*place, content);
    }
    Ok(bytes)
}

/// Where everything lies; folders with their bytes.
struct Places {
    folders: Vec<(Block, u32)>,
    files: Vec<Block>,
}

/// The folders of all places; the first holds the others.
fn folders<'a>(files: &[(&'a str, &[u8])]) -> Result<Vec<Folder<'a>>> {
    let mut folders = vec![Folder::default()];
    for (number, (place, _)) in files.iter().enumerate() {
        let mut here = 0;
        let mut names: Vec<&str> = place.split('/').collect();
        for name in &names {
            let is_good = !["", ".", ".."].contains(name) && !name.contains('\0');
            ensure!(is_good, "{place:?} is no place of a CD");
            ensure!(name.len() <= NAME_BYTES_MAX, "{place}: a name is longer than {NAME_BYTES_MAX} bytes");
        }
        let file = names.pop().expect("text has at least one part");
        for name in names {
            ensure!(!folders[here].files.contains_key(name), "{place}: {name} is a file, too");
            let next = folders.len();
            let known = *folders[here].folders.entry(name).or_insert(next);
            if known == next {
                folders.push(Folder { parent: here, ..Folder::default() });
            }
            here = known;
        }
        ensure!(!folders[here].folders.contains_key(file), "{place} is a folder, too");
        ensure!(folders[here].files.insert(file, number).is_none(), "{place} is there twice");
    }
    Ok(folders)
}

/// As the table of paths wants them: by depth, and those of one folder by name.
fn in_order(mut folders: Vec<Folder<'_>>) -> Vec<Folder<'_>> {
    let mut queue = VecDeque::from([0]);
    let mut order = Vec::new();
    while let Some(number) = queue.pop_front() {
        order.push(number);
        queue.extend(folders[number].folders.values());
    }
    let place = |old: usize| order.iter().position(|number| *number == old).expect("each was reached");
    let mut ordered = Vec::new();
    for number in &order {
        let folder = std::mem::take(&mut folders[*number]);
        let below = folder.folders.into_iter().map(|(name, old)| (name, place(old))).collect();
        ordered.push(Folder { parent: place(folder.parent), folders: below, files: folder.files });
    }
    ordered
}

/// What a reader sees that knows short names only; numbers rise as the names do.
fn short(kind: char, number: usize) -> String {
    format!("{kind}{number:07}")
}

/// The content of a folder: itself, its parent, folders, files. No entry crosses the end of a block.
fn entries(folders: &[Folder<'_>], number: usize, files: &[(&str, &[u8])], places: &Places) -> Vec<u8> {
    let folder = &folders[number];
    let of_folder = |name: &[u8], number: usize| {
        let (place, length) = places.folders[number];
        record(name, place.0, length, true)
    };
    let mut own = of_folder(&[0], number);
    if number == 0 {
        add(&mut own, PROTOCOL);
    }
    let mut records = vec![own, of_folder(&[1], folder.parent)];
    for (name, below) in &folder.folders {
        let mut entry = of_folder(short('D', *below).as_bytes(), *below);
        add(&mut entry, &true_name(name));
        records.push(entry);
    }
    // By number, which is their order by short name.
    let by_number: BTreeMap<usize, &str> = folder.files.iter().map(|(name, number)| (*number, *name)).collect();
    for (file, name) in by_number {
        let short = format!("{}.;1", short('F', file));
        let mut entry = record(short.as_bytes(), places.files[file].0, files[file].1.len() as u32, false);
        add(&mut entry, &true_name(name));
        records.push(entry);
    }
    let mut bytes = Vec::new();
    for entry in records {
        if bytes.len() % BLOCK + entry.len() > BLOCK {
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        bytes.extend(entry);
    }
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// The field `NM`, whole.
fn true_name(name: &str) -> Vec<u8> {
    [&[b'N', b'M', 5 + name.len() as u8, 1, 0], name.as_bytes()].concat()
}

/// Adds a field to an entry, whose length stays even.
fn add(entry: &mut Vec<u8>, field: &[u8]) {
    entry.extend(field);
    entry.resize(entry.len().next_multiple_of(2), 0);
    entry[0] = entry.len() as u8;
}

/// All folders with their parents, counted from 1; places that are not known yet are 0.
fn path_table(folders: &[Folder<'_>], places: &[(Block, u32)], is_reversed: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, folder) in folders.iter().enumerate() {
        let name = if number == 0 { vec![0] } else { short('D', number).into_bytes() };
        let place = places.get(number).map_or(0, |(place, _)| place.0);
        let parent = folder.parent as u16 + 1;
        bytes.extend([name.len() as u8, 0]);
        if is_reversed {
            bytes.extend(place.to_be_bytes());
            bytes.extend(parent.to_be_bytes());
        } else {
            bytes.extend(place.to_le_bytes());
            bytes.extend(parent.to_le_bytes());
        }
        bytes.extend(&name);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8], at: usize) -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    }

    /// Every file by its true name, read back as a reader does.
    fn read(bytes: &[u8], at: usize, length: usize, place: &str, into: &mut BTreeMap<String, Vec<u8>>) {
        let folder = &bytes[at * BLOCK..at * BLOCK + length];
        let mut from = 0;
        while from < length {
            let size = usize::from(folder[from]);
            if size == 0 {
                from = (from + 1).next_multiple_of(BLOCK);
                continue;
            }
            assert!(from % BLOCK + size <= BLOCK, "an entry crosses the end of a block");
            let entry = &folder[from..from + size];
            from += size;
            let short = usize::from(entry[32]);
            let fields = &entry[(33 + short).next_multiple_of(2)..];
            if !fields.starts_with(b"NM") {
                assert!(entry[33] < 2, "an entry without a name");
                continue;
            }
            let name = std::str::from_utf8(&fields[5..usize::from(fields[2])]).unwrap();
            let (at, length) = (number(entry, 2), number(entry, 10));
            if entry[25] == 2 {
                read(bytes, at, length, &format!("{place}{name}/"), into);
            } else {
                into.insert(format!("{place}{name}"), bytes[at * BLOCK..at * BLOCK + length].to_vec());
            }
        }
    }

    #[test]
    fn files_are_found_again_by_their_true_names() {
        let many: Vec<(String, Vec<u8>)> = (0..90)
            .map(|n| (format!("manifests/{}/a rather long name, ü and all {n}.yaml", n % 4), vec![b'x'; n * 50]))
            .chain([("skerry.toml".to_owned(), b"a = 1".to_vec()), ("manifests/0/b/c".to_owned(), Vec::new())])
            .collect();
        let files: Vec<(&str, &[u8])> = many.iter().map(|(place, content)| (place.as_str(), &content[..])).collect();
        let bytes = volume("SKERRY", &files).unwrap();
        assert_eq!((&bytes[0x8001..0x8006], &bytes[0x8028..0x8030]), (&b"CD001"[..], &b"SKERRY  "[..]));
        assert_eq!(number(&bytes, 0x8050) * BLOCK, bytes.len());
        let mut found = BTreeMap::new();
        read(&bytes, number(&bytes, 0x809e), number(&bytes, 0x80a6), "", &mut found);
        assert_eq!(found, many.into_iter().collect());
    }

    #[test]
    fn the_table_of_paths_names_parents_before_their_children() {
        let bytes = volume("X", &[("b/c/d", b""), ("a/e", b"")]).unwrap();
        let table = &bytes[PATHS.offset() as usize..PATHS.offset() as usize + number(&bytes, 0x8084)];
        // The first folder is its own parent; then a, b, and c below b, which is the third.
        let parents = [table[6], table[10 + 6], table[26 + 6], table[42 + 6]];
        assert_eq!((parents, table.len()), ([1, 1, 1, 3], 58));
    }

    #[test]
    fn what_a_cd_cannot_have_is_refused_by_its_place() {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for files in [
            &[("a//b", &b""[..])][..],
            &[("../a", b"")],
            &[(&long, b"")],
            &[("a", b""), ("a", b"")],
            &[("a", b""), ("a/b", b"")],
            &[("a/b", b""), ("a", b"")],
        ] {
            assert!(volume("X", files).is_err(), "{files:?}");
        }
        volume("X", &[(&long[1..], b"")]).unwrap();
    }
}
