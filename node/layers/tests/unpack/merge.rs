//! A thing comes where another one is already.

use super::archive::{device, file, folder, hardlink, other, symlink};
use super::{Folder, check, check_whole};

#[test]
fn a_folder_that_comes_again_keeps_what_it_holds_and_looks_as_last_said() {
    let items = [folder("a"), file("a/b", "b"), folder("a").mode(0o700).owned(1, 2), file("a/c", "c")];
    check_whole(&items, &["a folder 700 1:2", "a/b file 644 0:0 \"b\"", "a/c file 644 0:0 \"c\""]);
}

#[test]
fn a_file_replaces_a_file_and_no_other_name_of_it() {
    let items = [file("a", "first"), hardlink("b", "a"), file("a", "second")];
    check_whole(&items, &["a file 644 0:0 \"second\"", "b file 644 0:0 \"first\""]);
}

#[test]
fn anything_but_a_folder_replaces_a_folder_with_all_that_is_in_it() {
    for (item, expected) in [
        (file("a", "x"), "a file 644 0:0 \"x\""),
        (symlink("a", "x"), "a link 777 0:0 -> x"),
        (device(b'6', "a", (0, 0)), "a pipe 600 0:0"),
        (hardlink("a", "z"), "a file 644 0:0 \"z\""),
    ] {
        check_whole(
            &[file("z", "z"), file("a/b/c", ""), symlink("a/b/up", ".."), item],
            &[expected, "z file 644 0:0 \"z\""],
        );
    }
}

#[test]
fn a_folder_replaces_anything_else() {
    for item in [file("a", "x"), symlink("a", "b"), device(b'3', "a", (1, 3))] {
        let items = [folder("b"), item, folder("a"), file("a/c", "")];
        check_whole(&items, &["a folder 755 0:0", "a/c file 644 0:0 \"\"", "b folder 755 0:0"]);
    }
}

#[test]
fn a_global_header_takes_the_place_of_a_file_as_containerd_has_it() {
    check_whole(&[file("a", ""), file("b", ""), other(b'g', "a")], &["b file 644 0:0 \"\""]);
}

#[test]
fn a_replaced_parent_is_looked_up_again() {
    let items = [
        file("one/x", ""),
        folder("two"),
        symlink("link", "one"),
        file("link/first", ""),
        symlink("link", "two"),
        file("link/second", ""),
    ];
    let target = Folder::new();
    target.whole(&items).unwrap();
    check(
        &target.path(),
        &[
            "link link 777 0:0 -> two",
            "one folder 755 0:0",
            "one/first file 644 0:0 \"\"",
            "one/x file 644 0:0 \"\"",
            "two folder 755 0:0",
            "two/second file 644 0:0 \"\"",
        ],
    );
}
