//! Modes and extended attributes.

use super::archive::{device, file, folder, hardlink, symlink};
use super::look::attribute;
use super::{Folder, check_whole};

/// `cap_net_bind_service` and two more: one byte of it is a line feed, which ends no PAX record.
const CAPABILITY: &[u8] = b"\x01\0\0\x02\x0a\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

#[test]
fn special_bits_survive_the_change_of_owner() {
    let items = [
        file("user", "").mode(0o4755).owned(1, 1),
        file("group", "").mode(0o2711).owned(1, 1),
        folder("tmp").mode(0o1777),
        folder("shared").mode(0o2775).owned(0, 5),
        file("shared/file", ""),
        folder("shared/folder"),
    ];
    check_whole(
        &items,
        &[
            "group file 2711 1:1 \"\"",
            "shared folder 2775 0:5",
            "shared/file file 644 0:0 \"\"",
            "shared/folder folder 755 0:0",
            "tmp folder 1777 0:0",
            "user file 4755 1:1 \"\"",
        ],
    );
}

#[test]
fn extended_attributes_of_files_and_folders_are_set() {
    let target = Folder::new();
    let items = [
        file("a", "data").owned(9, 9).mode(0o755).pax("SCHILY.xattr.security.capability", CAPABILITY),
        folder("b").pax("SCHILY.xattr.user.one", "1").pax("SCHILY.xattr.user.two", "2\n"),
        file("c", "").pax("SCHILY.xattr.user.empty", ""),
        hardlink("d", "c").pax("SCHILY.xattr.user.late", "late"),
    ];
    target.whole(&items).unwrap();
    let at = |name: &str, key: &str| attribute(&target.path().join(name), key);
    assert_eq!(at("a", "security.capability").as_deref(), Some(CAPABILITY));
    assert_eq!(at("b", "user.one").as_deref(), Some(&b"1"[..]));
    assert_eq!(at("b", "user.two").as_deref(), Some(&b"2\n"[..]));
    assert_eq!(at("c", "user.empty").as_deref(), Some(&b""[..]));
    assert_eq!(at("c", "user.late").as_deref(), Some(&b"late"[..]));
}

#[test]
fn attributes_that_a_thing_cannot_have_are_left_out() {
    let items = [
        symlink("link", "x").pax("SCHILY.xattr.user.a", "1"),
        device(b'6', "pipe", (0, 0)).pax("SCHILY.xattr.user.a", "1"),
        hardlink("second", "link").pax("SCHILY.xattr.user.a", "1"),
        folder("folder").pax("SCHILY.xattr.trusted.overlay.opaque", "y"),
        file("file", "").pax("SCHILY.xattr.nobody.knows.this", "1"),
    ];
    check_whole(
        &items,
        &[
            "file file 644 0:0 \"\"",
            "folder folder 755 0:0",
            "link link 777 0:0 -> x",
            "pipe pipe 600 0:0",
            "second link 777 0:0 -> x",
        ],
    );
}
