//! Symbolic links on the way to a member, and hard links.

use super::archive::{Item, file, folder, hardlink, symlink};
use super::{Folder, check_invalid, check_whole};
use std::os::unix::fs::MetadataExt;

#[test]
fn a_member_goes_where_the_links_on_its_way_lead() {
    for target in ["b", "./b/", "/b", "/../b", "../../b", "c/../b", "missing/../b"] {
        let items = [folder("b"), folder("c"), symlink("a", target), file("a/x", ""), folder("a/y")];
        let link = format!("a link 777 0:0 -> {target}");
        check_whole(
            &items,
            &[&link, "b folder 755 0:0", "b/x file 644 0:0 \"\"", "b/y folder 755 0:0", "c folder 755 0:0"],
        );
    }
}

#[test]
fn what_a_link_leads_to_is_made_when_it_is_missing() {
    let items = [symlink("var/run", "/run"), file("var/run/lock/x", "")];
    check_whole(
        &items,
        &[
            "run folder 755 0:0",
            "run/lock folder 755 0:0",
            "run/lock/x file 644 0:0 \"\"",
            "var folder 755 0:0",
            "var/run link 777 0:0 -> /run",
        ],
    );
}

#[test]
fn a_link_that_leads_in_circles_is_refused() {
    check_invalid(&[symlink("a", "b"), symlink("b", "a"), file("a/x", "")], "in circles");
}

#[test]
fn a_parent_that_is_a_file_is_refused() {
    check_invalid(&[file("a", ""), file("a/b", "")], "its parent is no folder");
    check_invalid(&[file("a", ""), file("a/b/c", "")], "its parent is no folder");
}

#[test]
fn a_parent_that_went_meanwhile_is_noticed() {
    let here = [symlink("d/l", "."), file("d/l/a", "")];
    let then = |item: Item| [&here[..], &[item, file("d/l/b", "")]].concat();
    check_invalid(&then(file("d/l/l", "")), "its parent is no folder");
    let made = ["d folder 755 0:0", "d/a file 644 0:0 \"\"", "d/l folder 755 0:0", "d/l/b file 644 0:0 \"\""];
    check_whole(&then(file("d/l/.wh.l", "")), &made);
}

#[test]
fn a_hard_link_is_the_same_file_and_its_attributes_count() {
    let target = Folder::new();
    let items = [
        file("a/b", "data").owned(1, 1),
        symlink("l", "/a"),
        hardlink("one", "a/b").owned(2, 2),
        hardlink("two", "/l/b").owned(3, 3).mode(0o600),
    ];
    target.whole(&items).unwrap();
    super::check(
        &target.path(),
        &[
            "a folder 755 0:0",
            "a/b file 600 3:3 \"data\"",
            "l link 777 0:0 -> /a",
            "one file 600 3:3 \"data\"",
            "two file 600 3:3 \"data\"",
        ],
    );
    assert_eq!(target.path().join("two").symlink_metadata().unwrap().nlink(), 3);
}

#[test]
fn a_hard_link_to_a_link_is_a_link() {
    let items = [file("a", ""), symlink("b", "a"), hardlink("c", "b")];
    check_whole(&items, &["a file 644 0:0 \"\"", "b link 777 0:0 -> a", "c link 777 0:0 -> a"]);
}

#[test]
fn a_hard_link_to_what_has_not_come_is_refused() {
    check_invalid(&[hardlink("a", "b"), file("b", "")], "which this layer does not bring");
    check_invalid(&[hardlink("a", "b/c"), file("b/c", "")], "which this layer does not bring");
    check_invalid(&[file("a", ""), hardlink("a", "a")], "which this layer does not bring");
    check_invalid(&[folder("a"), hardlink("b", "a")], "which is no file");
}
