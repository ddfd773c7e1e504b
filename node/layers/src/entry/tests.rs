//! What members mean.

use super::*;
use crate::time::Time;
use std::borrow::Cow;

fn member(kind: u8, name: &str) -> Member<'_> {
    Member {
        kind,
        name: Cow::Borrowed(name.as_bytes()),
        link: b"x/y",
        size: 0,
        mode: 0o104_755,
        owner: 1,
        group: 2,
        times: Times::of(None, Time::at(3)),
        device: (1, 3),
        attributes: Vec::new(),
        sparse: false,
    }
}

fn check(member: Member<'_>) -> Action<'_> {
    plan(member).unwrap().unwrap().action
}

fn kind_of(action: Action<'_>) -> Kind<'_> {
    match action {
        Action::Make(thing) => thing.kind,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_kind_is_told_from_its_letter() {
    for (letter, expected) in [
        (kind::FILE, Kind::File),
        (kind::FOLDER, Kind::Folder),
        (kind::SYMLINK, Kind::Symlink(b"x/y")),
        (kind::LINK, Kind::Link { folder: b"x", name: b"y" }),
        (kind::CHARACTER, Kind::Node(FileType::CharacterDevice, makedev(1, 3))),
        (kind::BLOCK, Kind::Node(FileType::BlockDevice, makedev(1, 3))),
        (kind::PIPE, Kind::Node(FileType::Fifo, 0)),
        (kind::GLOBAL, Kind::Nothing),
    ] {
        assert_eq!(kind_of(check(member(letter, "a"))), expected);
    }
}

#[test]
fn of_the_mode_only_what_chmod_takes_is_kept() {
    let Action::Make(thing) = check(member(kind::FILE, "a")) else { panic!("not made") };
    assert_eq!(thing.mode, 0o4755);
    assert_eq!(thing.owner, Owner { user: 1, group: 2 });
}

#[test]
fn the_folder_itself_is_left_as_it_is() {
    for name in ["./", "/", "..", "a/.."] {
        assert_eq!(plan(member(kind::FOLDER, name)).unwrap(), None, "{name}");
    }
}

#[test]
fn whiteouts_are_known_by_name_whatever_their_kind() {
    for (name, hidden) in [("a/.wh.b", "b"), ("a/.wh..wh.plnk", ".wh.plnk"), (".wh.....", "....")] {
        let entry = plan(member(kind::FILE, name)).unwrap().unwrap();
        assert_eq!(entry.action, Action::Whiteout(Owner { user: 1, group: 2 }), "{name}");
        assert_eq!(entry.hidden(), hidden.as_bytes());
    }
    assert_eq!(check(member(b'S', "a/.wh..wh..opq")), Action::Opaque);
}

#[test]
fn a_whiteout_hides_one_thing_in_its_own_folder() {
    for name in [".wh.", "a/.wh..", "a/.wh..."] {
        assert!(matches!(plan(member(kind::FILE, name)), Err(Error::Invalid { .. })), "{name}");
    }
}

#[test]
fn what_steers_overlayfs_is_dropped() {
    let attributes: Vec<(&[u8], &[u8])> = vec![(b"trusted.overlay.opaque", b"y"), (b"user.a", b"1")];
    let Action::Make(thing) = check(Member { attributes, ..member(kind::FOLDER, "a") }) else { panic!("not made") };
    assert_eq!(thing.attributes, [(&b"user.a"[..], &b"1"[..])]);
}

#[test]
fn what_is_not_known_is_left_to_containerd() {
    let wrong = [
        Member { link: b"", ..member(kind::LINK, "link to the root") },
        Member { link: b"a/", ..member(kind::LINK, "link to a folder") },
        Member { link: b"a/..", ..member(kind::LINK, "link to a parent") },
        member(b'7', "contiguous"),
        member(b'S', "gnu sparse"),
        Member { sparse: true, ..member(kind::FILE, "pax sparse") },
        Member { owner: -1, ..member(kind::FILE, "negative owner") },
        Member { group: i64::from(u32::MAX), ..member(kind::FILE, "no group") },
        Member { device: (1 << 40, 0), ..member(kind::BLOCK, "large device") },
    ];
    for member in wrong {
        let name = String::from_utf8_lossy(&member.name).into_owned();
        assert!(matches!(plan(member), Err(Error::Unsupported { .. })), "{name}");
    }
}

#[test]
fn links_to_nothing_are_refused() {
    let long = "a".repeat(PATH_BYTES_MAX);
    for link in ["", &long] {
        let member = Member { link: link.as_bytes(), ..member(kind::SYMLINK, "soft") };
        assert!(matches!(plan(member), Err(Error::Invalid { .. })));
    }
}
