//! Archives that are cut short, damaged or beyond what is known, and disks and streams that fail.

use super::archive::{Item, file, folder, layer, open_layer, other};
use super::{Folder, check, check_invalid};
use layers::{Error, Target, unpack};
use std::io::{self, ErrorKind, Read};

fn outcome(archive: &[u8]) -> Result<layers::Unpacked, Error> {
    unpack(archive, &Target::Whole(&Folder::new().path()))
}

fn check_why(archive: &[u8], expected: &str) {
    match outcome(archive) {
        Err(Error::Invalid { why, .. }) => assert!(why.contains(expected), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_archive_cut_short_is_invalid() {
    let archive = layer(&[folder("a"), file("a/b", &"data".repeat(1000))]);
    for length in [1, 511, 513, 1025, 2000, 5023] {
        check_why(&archive[..length], "cut short");
    }
}

#[test]
fn the_end_mark_and_the_last_padding_may_be_missing() {
    let archive = open_layer(&[file("a", "data")]);
    for archive in [&archive[..], &archive[..516], &[&archive[..], &[0; 512]].concat(), &[]] {
        outcome(archive).unwrap();
    }
}

#[test]
fn damage_is_noticed() {
    let mut archive = layer(&[file("a", "")]);
    archive[3] ^= 4;
    check_why(&archive, "checksum");
    check_why(&[b'x'; 2048], "checksum");
    let garbage = [open_layer(&[file("a", "")]), vec![0; 512], vec![b'x'; 512]].concat();
    check_why(&garbage, "one block of zeros");
}

#[test]
fn malformed_extensions_are_invalid() {
    let pax = |data: &str| Item { data: data.into(), ..other(b'x', "pax") };
    check_invalid(&[pax("99 path=a\n"), file("a", "")], "malformed");
    check_invalid(&[file("a", "").pax("size", "many")], "should be a number");
    check_invalid(&[file("a", "").pax("mtime", "now")], "should be a time");
    check_invalid(&[file("a", "").pax("comment", "x".repeat(2 << 20))], "more than a mebibyte");
    check_invalid(&[file("a", "").pax("path", "n".repeat(256))], "too long");
    check_invalid(&[file("a", "").pax("path", "name/".repeat(1000))], "too long");
}

#[test]
fn what_is_not_known_is_left_to_containerd() {
    for item in [
        other(b'7', "contiguous"),
        other(b'S', "sparse"),
        other(b'V', "volume"),
        file("sparse", "").pax("GNU.sparse.major", "1").pax("GNU.sparse.minor", "0"),
    ] {
        let outcome = outcome(&layer(&[item]));
        assert!(matches!(outcome, Err(Error::Unsupported { .. })), "{outcome:?}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_named_with_the_kernels_answer() {
    let missing = Folder::new().path().join("missing");
    match unpack(&b""[..], &Target::Whole(&missing)) {
        Err(Error::Failed { path, source, .. }) => {
            assert_eq!((path.starts_with(&missing), source.kind()), (true, ErrorKind::NotFound));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stream_that_fails_is_no_fault_of_the_archive() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the wrong key"))
        }
    }
    let archive = open_layer(&[file("a", "data")]);
    let target = Folder::new();
    match unpack(archive.chain(Broken), &Target::Whole(&target.path())) {
        Err(Error::Unreadable { source }) => assert_eq!(source.to_string(), "the wrong key"),
        other => panic!("{other:?}"),
    }
    check(&target.path(), &[]);
}
