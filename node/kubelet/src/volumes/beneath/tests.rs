//! Tests of staying beneath a folder whatever links lie in it.

use super::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn links_are_followed_only_as_long_as_they_stay_below() {
    let top = tempfile::tempdir().unwrap();
    let root = top.path().join("volume");
    fs::create_dir_all(root.join("in")).unwrap();
    fs::write(top.path().join("secret"), "s").unwrap();
    fs::write(root.join("in/file"), "f").unwrap();
    symlink("in/file", root.join("good")).unwrap();
    symlink("../secret", root.join("up")).unwrap();
    symlink(top.path().join("secret"), root.join("absolute")).unwrap();
    symlink("..", root.join("in/loop")).unwrap();
    assert_eq!(read(&root, "good", 10).unwrap(), b"f");
    assert_eq!(read(&root, "in/loop/in/file", 10).unwrap(), b"f");
    for bad in ["up", "absolute", "in/loop/../secret", "in/../../secret"] {
        assert!(read(&root, bad, 10).is_err(), "{bad}");
        assert!(open(&folder(&root).unwrap(), bad).is_err(), "{bad}");
    }
    assert_eq!(read(&root, "good", 0).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn folders_are_made_with_their_mode_but_never_through_a_link_that_leads_out() {
    let top = tempfile::tempdir().unwrap();
    let root = top.path().join("volume");
    fs::create_dir_all(&root).unwrap();
    symlink("..", root.join("out")).unwrap();
    let fd = folder(&root).unwrap();
    make_folders(&fd, "a//b/", 0o777).unwrap();
    assert_eq!(fs::metadata(root.join("a/b")).unwrap().permissions().mode() & 0o7777, 0o777);
    assert!(make_folders(&fd, "out/new", 0o777).is_err());
    assert!(make_folders(&fd, "a/../x", 0o777).is_err());
    assert!(!top.path().join("new").exists());
}

#[test]
fn removing_takes_links_and_leaves_what_they_point_to() {
    let top = tempfile::tempdir().unwrap();
    let (kept, gone) = (top.path().join("kept"), top.path().join("gone"));
    fs::create_dir_all(kept.join("x")).unwrap();
    fs::create_dir_all(gone.join("a/b")).unwrap();
    symlink(&kept, gone.join("a/link")).unwrap();
    fs::write(gone.join("a/b/file"), "").unwrap();
    fs::write(gone.join(OsStr::from_bytes(b"no text \xff")), "").unwrap();
    remove(top.path(), "gone").unwrap();
    assert!(!gone.exists() && kept.join("x").exists());
    symlink(&kept, &gone).unwrap();
    remove(top.path(), "gone").unwrap();
    assert!(fs::symlink_metadata(&gone).is_err() && kept.join("x").exists());
    remove(top.path(), "gone").unwrap();
}

#[test]
fn a_tree_deeper_than_any_path_is_removed() {
    let top = tempfile::tempdir().unwrap();
    let mut here = folder(top.path()).unwrap();
    for _ in 0..3000 {
        mkdirat(&here, "d", Mode::S_IRWXU).unwrap();
        here = open(&here, "d").unwrap();
    }
    drop(here);
    remove(top.path(), "d").unwrap();
    assert!(!top.path().join("d").exists());
}
