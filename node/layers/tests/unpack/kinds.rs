//! Every kind of member, with every way to say its name, owner and times.

use super::archive::{Item, device, file, folder, hardlink, layer, other, symlink};
use super::look::modified;
use super::{Folder, check, check_upper, check_whole};
use layers::{Target, Unpacked, unpack};
use std::io::Read;
use std::os::unix::fs::MetadataExt;

#[test]
fn a_layer_with_every_kind_is_unpacked() {
    let items = [
        folder("a").mode(0o750).owned(1, 2),
        file("a/file", "hello").owned(3, 4).mode(0o666),
        hardlink("a/second", "a/file").owned(3, 4).mode(0o666),
        symlink("a/link", "file").owned(5, 6),
        device(b'3', "null", (1, 3)).mode(0o666),
        device(b'4', "disk", (8, 300)),
        device(b'6', "pipe", (0, 0)),
        other(b'g', "pax_global_header"),
        other(0, "old/"),
    ];
    let expected = [
        "a folder 750 1:2",
        "a/file file 666 3:4 \"hello\"",
        "a/link link 777 5:6 -> file",
        "a/second file 666 3:4 \"hello\"",
        "disk block 600 0:0 8,300",
        "null character 666 0:0 1,3",
        "old folder 644 0:0",
        "pipe pipe 600 0:0",
    ];
    check_whole(&items, &expected);
    check_upper(&items, &expected);
}

#[test]
fn members_and_bytes_are_counted() {
    let items = [folder("./"), file("a", "12"), file("b", "345"), file(".wh.c", "")];
    assert_eq!(Folder::new().upper(&[], &items).unwrap(), Unpacked { entries: 4, bytes: 5 });
}

#[test]
fn times_have_nanoseconds_and_folders_keep_theirs_whatever_comes_into_them() {
    let target = Folder::new();
    let items = [
        folder("a").pax("mtime", "1500000000.000000007"),
        file("a/b", "").pax("mtime", "1600000000.5").pax("atime", "1700000000.25"),
        symlink("a/c", "b"),
        file("a/old", "").pax("mtime", "-5"),
    ];
    target.whole(&items).unwrap();
    let path = target.path();
    assert_eq!(modified(&path.join("a")), 1_500_000_000_000_000_007);
    assert_eq!(modified(&path.join("a/b")), 1_600_000_000_500_000_000);
    assert_eq!(modified(&path.join("a/c")), 1_000_000_000_000_000_000);
    assert_eq!(modified(&path.join("a/old")), 0);
    let file = path.join("a/b").symlink_metadata().unwrap();
    assert_eq!((file.atime(), file.atime_nsec()), (1_700_000_000, 250_000_000));
}

#[test]
fn an_owner_may_be_any_number_that_the_kernel_has() {
    let items = [file("binary", "").owned(3_000_000, 4_000_000_000), file("pax", "").pax("uid", "3000000")];
    check_whole(&items, &["binary file 644 3000000:4000000000 \"\"", "pax file 644 3000000:0 \"\""]);
}

#[test]
fn long_names_come_in_the_ways_of_pax_and_of_gnu() {
    let long = format!("{}/{}", "p".repeat(120), "n".repeat(250));
    let gnu = |kind: u8, name: &str| Item { data: format!("{name}\0").into_bytes(), ..other(kind, "././@LongLink") };
    let items = [
        file("short", "pax").pax("path", &long),
        gnu(b'K', &long),
        gnu(b'L', &format!("{long}2")),
        symlink("short", "short"),
    ];
    let folder = "p".repeat(120);
    check_whole(
        &items,
        &[
            &format!("{folder} folder 755 0:0"),
            &format!("{long} file 644 0:0 \"pax\""),
            &format!("{long}2 link 777 0:0 -> {long}"),
        ],
    );
}

#[test]
fn a_file_larger_than_any_buffer_arrives_whole_from_a_stream_of_small_pieces() {
    let data: Vec<u8> = (0..1_000_003_u32).map(|number| (number % 251) as u8).collect();
    let items = [file("a", "before"), Item { data: data.clone(), ..file("large", "") }, file("z", "after")];
    let target = Folder::new();
    unpack(Trickle(layer(&items).as_slice()), &Target::Whole(&target.path())).unwrap();
    assert!(std::fs::read(target.path().join("large")).unwrap() == data);
    let expected = ["a file 644 0:0 \"before\"", "large file 644 0:0 1000003 bytes", "z file 644 0:0 \"after\""];
    check(&target.path(), &expected);
}

#[test]
fn the_stream_is_read_to_its_end_for_whoever_hashes_it() {
    let archive = [layer(&[file("a", "")]), vec![0; 100_000], b"and more".to_vec()].concat();
    let mut stream = archive.as_slice();
    unpack(&mut stream, &Target::Whole(&Folder::new().path())).unwrap();
    assert!(stream.is_empty(), "{} bytes are left", stream.len());
}

/// Gives some hundred bytes at a time.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let bytes = into.len().min(777);
        self.0.read(&mut into[..bytes])
    }
}
