//! Whiteouts and opaque folders in both kinds of target.

use super::archive::{file, folder, symlink};
use super::{check_invalid, check_upper, check_whole};

#[test]
fn a_whiteout_of_a_later_layer_is_what_overlayfs_knows() {
    let items = [folder("a"), file("a/.wh.b", "").owned(3, 4), file(".wh.c", "ignored")];
    check_upper(&items, &["a folder 755 0:0", "a/b character 0 3:4 0,0", "c character 0 0:0 0,0"]);
}

#[test]
fn a_whiteout_of_a_first_layer_removes_what_came_before_it() {
    let items = [file("a/b/c", ""), file("a/d", ""), file("e", ""), file("a/.wh.b", ""), file(".wh.none", "")];
    check_whole(&items, &["a folder 755 0:0", "a/d file 644 0:0 \"\"", "e file 644 0:0 \"\""]);
}

#[test]
fn what_comes_after_its_whiteout_stays() {
    let items = [file(".wh.a", ""), file("a", "new")];
    check_upper(&items, &["a file 644 0:0 \"new\""]);
    check_whole(&items, &["a file 644 0:0 \"new\""]);
}

#[test]
fn an_opaque_folder_of_a_later_layer_is_marked_whenever_the_mark_comes() {
    let items = [folder("a"), file("a/b", ""), file("a/.wh..wh..opq", ""), file("a/c", "")];
    check_upper(&items, &["a folder 755 0:0 opaque", "a/b file 644 0:0 \"\"", "a/c file 644 0:0 \"\""]);
}

#[test]
fn an_opaque_folder_of_a_first_layer_keeps_what_the_layer_brought_by_name() {
    // `implied` is nobody's member but a file's parent, and goes with it. containerd has it so.
    let items = [folder("a"), folder("a/b"), file("a/b/c", ""), file("a/implied/d", ""), file("a/.wh..wh..opq", "")];
    check_whole(&items, &["a folder 755 0:0", "a/b folder 755 0:0", "a/b/c file 644 0:0 \"\""]);
}

#[test]
fn a_mark_makes_its_folder_when_that_is_missing() {
    check_upper(&[file("a/.wh..wh..opq", "")], &["a folder 755 0:0 opaque"]);
    check_whole(&[file("a/.wh.b", "")], &["a folder 755 0:0"]);
}

#[test]
fn other_marks_hide_what_their_names_say() {
    check_upper(&[file(".wh..wh.plnk", "")], &[".wh.plnk character 0 0:0 0,0"]);
    check_whole(&[file("plnk", ""), file(".wh..wh.plnk", "")], &["plnk file 644 0:0 \"\""]);
}

#[test]
fn a_whiteout_removes_a_link_and_not_what_it_leads_to() {
    let items = [file("a/b", ""), symlink("l", "a"), file(".wh.l", "")];
    check_whole(&items, &["a folder 755 0:0", "a/b file 644 0:0 \"\""]);
}

#[test]
fn a_whiteout_of_nothing_is_refused() {
    for name in [".wh.", "a/.wh..", ".wh..."] {
        check_invalid(&[file(name, "")], "a whiteout of nothing");
    }
}

#[test]
fn a_later_layer_may_not_hide_what_it_brings() {
    match super::Folder::new().upper(&[], &[file("a", ""), file(".wh.a", "")]) {
        Err(layers::Error::Invalid { entry, .. }) => assert_eq!(entry, ".wh.a"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_first_layer_may_not_remove_a_folder_that_it_describes() {
    let outcome = super::Folder::new().whole(&[folder("a"), file(".wh.a", "")]);
    assert!(matches!(outcome, Err(layers::Error::Invalid { .. })), "{outcome:?}");
}
