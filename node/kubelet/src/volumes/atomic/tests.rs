//! Tests of replacing a volume's files as a whole.

use super::*;

fn file(data: &str) -> File {
    File { data: data.into(), mode: 0o640, owner: None }
}

fn payload(files: &[(&str, &str)]) -> Payload {
    files.iter().map(|(path, data)| ((*path).to_owned(), file(data))).collect()
}

fn put(target: &Path, files: &[(&str, &str)]) {
    write(target, &payload(files), "2026-01-02T03:04:05Z".parse().unwrap(), || Ok(())).unwrap();
}

fn names(target: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(target).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn files_are_seen_through_the_data_link_with_their_modes() {
    let top = tempfile::tempdir().unwrap();
    put(top.path(), &[("a", "1"), ("d/b", "2")]);
    assert_eq!(names(top.path()), ["..2026_01_02_03_04_05.0000000000", "..data", "a", "d"]);
    assert_eq!(fs::read_link(top.path().join("a")).unwrap(), Path::new("..data/a"));
    assert_eq!(fs::read_to_string(top.path().join("d/b")).unwrap(), "2");
    assert_eq!(fs::metadata(top.path().join("a")).unwrap().permissions().mode() & 0o7777, 0o640);
}

#[test]
fn a_change_replaces_everything_and_leaves_nothing_behind() {
    let top = tempfile::tempdir().unwrap();
    put(top.path(), &[("a", "1"), ("gone", "2")]);
    put(top.path(), &[("a", "3"), ("new", "4")]);
    assert_eq!(names(top.path()), ["..2026_01_02_03_04_05.0000000001", "..data", "a", "new"]);
    assert_eq!(fs::read_to_string(top.path().join("a")).unwrap(), "3");
}

#[test]
fn the_same_files_again_write_nothing() {
    let top = tempfile::tempdir().unwrap();
    put(top.path(), &[("a", "1")]);
    let before = fs::read_link(top.path().join(DATA)).unwrap();
    put(top.path(), &[("./a", "1")]);
    assert_eq!(fs::read_link(top.path().join(DATA)).unwrap(), before);
}

#[test]
fn a_failure_before_the_switch_leaves_the_old_files_visible() {
    let top = tempfile::tempdir().unwrap();
    put(top.path(), &[("a", "1")]);
    let now = "2026-01-02T03:04:06Z".parse().unwrap();
    let failed = write(top.path(), &payload(&[("a", "2")]), now, || Err(io::Error::other("no")));
    assert!(failed.unwrap_err().contains("no"));
    assert_eq!(fs::read_to_string(top.path().join("a")).unwrap(), "1");
    put(top.path(), &[("a", "2")]);
    assert_eq!(names(top.path()).len(), 3, "what the failure left is gone");
}

#[test]
fn what_a_crash_left_does_not_stand_in_the_way() {
    let top = tempfile::tempdir().unwrap();
    symlink("nowhere", top.path().join(DATA_NEXT)).unwrap();
    symlink("..gone", top.path().join(DATA)).unwrap();
    fs::create_dir(top.path().join("..old")).unwrap();
    put(top.path(), &[("a", "1")]);
    assert_eq!(names(top.path()), ["..2026_01_02_03_04_05.0000000000", "..data", "a"]);
}

#[test]
fn paths_that_lead_out_are_refused() {
    for bad in ["/etc/passwd", "a/../../b", "..data", "..x/y", ""] {
        assert!(check(bad).is_err(), "{bad}");
    }
    assert!(check("a..b/...c").is_ok() && check(".hidden").is_ok());
}
