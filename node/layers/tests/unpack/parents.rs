//! Parents that the layer does not mention.

use super::archive::{file, folder, symlink};
use super::look::{attribute, modified};
use super::{Folder, check};

#[test]
fn a_missing_parent_looks_as_it_does_in_the_nearest_lower_folder() {
    let (near, far, upper) = (Folder::new(), Folder::new(), Folder::new());
    far.whole(&[folder("a").mode(0o700), folder("a/b").mode(0o1770).owned(5, 6), folder("a/b/c").mode(0o711)]).unwrap();
    near.whole(&[folder("a").mode(0o750).owned(3, 4).pax("SCHILY.xattr.user.x", "near")]).unwrap();
    upper.upper(&[&near, &far], &[file("a/b/c/d/e", "")]).unwrap();
    check(
        &upper.path(),
        &[
            "a folder 750 3:4",
            "a/b folder 1770 5:6",
            "a/b/c folder 711 0:0",
            "a/b/c/d folder 755 0:0",
            "a/b/c/d/e file 644 0:0 \"\"",
        ],
    );
    assert_eq!(attribute(&upper.path().join("a"), "user.x").as_deref(), Some(&b"near"[..]));
}

#[test]
fn what_steers_overlayfs_is_not_copied_up_and_times_are() {
    let (lower, upper) = (Folder::new(), Folder::new());
    lower.upper(&[], &[folder("a"), file("a/.wh..wh..opq", ""), folder("b")]).unwrap();
    upper.upper(&[&lower], &[file("a/b", ""), file("b/c/.wh..wh..opq", "")]).unwrap();
    check(
        &upper.path(),
        &["a folder 755 0:0", "a/b file 644 0:0 \"\"", "b folder 755 0:0", "b/c folder 755 0:0 opaque"],
    );
    let (lower, upper) = (Folder::new(), Folder::new());
    lower.whole(&[folder("a").pax("mtime", "77.5")]).unwrap();
    upper.upper(&[&lower], &[file("a/.wh..wh..opq", "")]).unwrap();
    assert_eq!(modified(&upper.path().join("a")), 77_500_000_000);
}

#[test]
fn a_parent_that_is_something_else_below_is_new() {
    let (near, far, upper) = (Folder::new(), Folder::new(), Folder::new());
    far.whole(&[folder("a").mode(0o700), folder("a/b").mode(0o700)]).unwrap();
    near.upper(&[&far], &[file(".wh.a", "")]).unwrap();
    upper.upper(&[&near, &far], &[file("a/b/c", "")]).unwrap();
    check(&upper.path(), &["a folder 755 0:0", "a/b folder 755 0:0", "a/b/c file 644 0:0 \"\""]);
}

#[test]
fn a_link_in_a_lower_folder_stays_in_it() {
    let (lower, upper) = (Folder::new(), Folder::new());
    lower.whole(&[folder("real").mode(0o711), symlink("a", "/../../real")]).unwrap();
    upper.upper(&[&lower], &[file("a/b", "")]).unwrap();
    check(&upper.path(), &["a folder 711 0:0", "a/b file 644 0:0 \"\""]);
}
