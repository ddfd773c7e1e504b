//! Whatever a layer says, nothing outside its folder changes.

use super::archive::{Item, file, folder, hardlink, symlink};
use super::look::{list, modified};
use super::{Folder, check};
use std::fs;

/// Unpacks in both ways beside a folder `outside`, which stays as it is; the outcome is told of both.
fn check_outside(items: impl Fn(&str) -> Vec<Item>, expected: &[&str]) {
    for whole in [true, false] {
        let target = Folder::new();
        let outside = target.outer.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        let before = (list(&outside), modified(&outside), modified(&outside.join("secret")));
        let items = items(outside.to_str().unwrap());
        let outcome = if whole { target.whole(&items) } else { target.upper(&[], &items) };
        let after = (list(&outside), modified(&outside), modified(&outside.join("secret")));
        assert_eq!(before, after, "{outcome:?}");
        let beside = fs::read_dir(target.outer.path()).unwrap().count();
        assert_eq!(beside, 2, "something was made beside the folder");
        outcome.unwrap();
        let names: Vec<String> = list(&target.path());
        let inside: Vec<&str> = names.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(inside, expected, "whole: {whole}");
    }
}

#[test]
fn names_cannot_climb_out() {
    check_outside(
        |_| vec![file("../outside/secret", "x"), file("/../../a", ""), folder("a/../../b")],
        &["a", "b", "outside", "outside/secret"],
    );
}

#[test]
fn parents_cannot_lead_out() {
    check_outside(
        |_| vec![symlink("l", "../outside"), file("l/secret", "x"), folder("l/new")],
        &["l", "outside", "outside/new", "outside/secret"],
    );
    check_outside(
        |_| vec![folder("d"), symlink("d/l", "../../../outside"), symlink("m", "d/l"), file("m/secret", "x")],
        &["d", "d/l", "m", "outside", "outside/secret"],
    );
}

#[test]
fn an_absolute_link_begins_at_the_folder() {
    let target = Folder::new();
    let outside = target.outer.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let outside = outside.to_str().unwrap();
    target.whole(&[symlink("l", outside), file("l/x", "")]).unwrap();
    check(std::path::Path::new(outside), &[]);
    assert!(target.path().join(outside.trim_start_matches('/')).join("x").exists());
}

#[test]
fn a_folder_replaces_a_link_that_leads_out_instead_of_following_it() {
    check_outside(
        |outside| vec![symlink("l", outside), folder("l").mode(0o700), file("l/secret", "x")],
        &["l", "l/secret"],
    );
    check_outside(|outside| vec![symlink("l", &format!("{outside}/secret")), file("l", "x")], &["l"]);
}

#[test]
fn attributes_of_a_link_are_its_own() {
    let secret = |outside: &str| format!("{outside}/secret");
    check_outside(
        |outside| vec![symlink("l", &secret(outside)).owned(7, 7).pax("SCHILY.xattr.user.a", "1"), hardlink("m", "l")],
        &["l", "m"],
    );
}

#[test]
fn times_of_a_folder_that_became_a_link_do_not_leave_the_folder() {
    check_outside(|_| vec![folder("d"), folder("outside"), symlink("d", "../outside")], &["d", "outside"]);
}

#[test]
fn hard_links_cannot_reach_out() {
    for name in ["../outside/secret", "/../outside/secret", "l/secret"] {
        let target = Folder::new();
        let outside = target.outer.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        let items = [symlink("l", outside.to_str().unwrap()), hardlink("stolen", name).owned(7, 7)];
        let outcome = target.whole(&items);
        assert!(matches!(outcome, Err(layers::Error::Invalid { .. })), "{name}: {outcome:?}");
        check(&outside, &["secret file 600 0:0 \"secret\""]);
    }
}

#[test]
fn whiteouts_cannot_remove_outside() {
    for name in ["../outside/.wh.secret", "l/.wh.secret", "l/.wh..wh..opq", "../.wh.outside"] {
        let target = Folder::new();
        let outside = target.outer.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        target.whole(&[symlink("l", "../../outside"), file(name, "")]).unwrap();
        check(&outside, &["secret file 600 0:0 \"secret\""]);
    }
}
