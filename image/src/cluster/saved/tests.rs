//! What memory goes on in which machine.

use super::*;

fn identity() -> Identity {
    Identity {
        emulator: "7.2.22".to_owned(),
        program: PathBuf::from("/usr/bin/qemu"),
        processor: "a".to_owned(),
        kernel: "k".to_owned(),
        root: "r".to_owned(),
        arguments: ["-m", "2048", "-smp", "2"].map(str::to_owned).to_vec(),
        disk_bytes: 20,
        manifests: None,
        manifests_hash: String::new(),
        handed: vec![("ca.pem".to_owned(), "1".to_owned())],
    }
}

struct Place {
    _folder: tempfile::TempDir,
    cluster: Cluster,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster { name: "x".to_owned(), folder: folder.path().to_owned() };
    std::fs::write(cluster.path(DISK), b"disk").unwrap();
    Place { _folder: folder, cluster }
}

/// A cluster that was suspended.
fn suspended() -> Place {
    let place = place();
    std::fs::write(place.cluster.path(PART), b"memory").unwrap();
    keep(&place.cluster, identity(), 7).unwrap();
    place
}

#[test]
fn memory_goes_on_in_the_same_machine_and_in_no_other() {
    assert_eq!(identity().differs(&identity()), None);
    let other = |change: fn(&mut Identity)| {
        let mut now = identity();
        change(&mut now);
        identity().differs(&now).unwrap()
    };
    assert!(other(|now| now.root.clear()).contains("image"));
    assert!(other(|now| now.kernel.clear()).contains("image"));
    assert!(other(|now| now.emulator = "8.0".to_owned()).contains("QEMU 8.0 now and was 7.2.22"));
    assert!(other(|now| now.program = PathBuf::new()).contains("emulator"));
    assert!(other(|now| now.processor.clear()).contains("processor"));
    assert!(other(|now| now.arguments[1] = "4096".to_owned()).ends_with(": 4096 instead of 2048"));
    assert!(other(|now| now.arguments.push("-x".to_owned())).contains("other sizes"));
    assert!(other(|now| now.disk_bytes = 30).contains("other sizes"));
    assert!(other(|now| now.manifests = Some("/m".into())).contains("manifests"));
    assert!(other(|now| now.manifests_hash = "2".to_owned()).contains("manifests were changed"));
    assert!(other(|now| now.handed.clear()).contains("proxies"));
}

#[test]
fn a_suspended_cluster_goes_on_and_one_that_is_not_has_nothing_to_go_on_from() {
    let place = suspended();
    assert!(exists(&place.cluster));
    assert_eq!(judge(&place.cluster, &identity()).unwrap().unwrap().saved_ms, 7);
    discard(&place.cluster).unwrap();
    assert!(!exists(&place.cluster) && !is_anything(&place.cluster));
    assert_eq!(judge(&place.cluster, &identity()), None);
    discard(&place.cluster).unwrap();
}

#[test]
fn memory_is_of_no_use_when_the_disk_was_written_since() {
    let place = suspended();
    let disk = File::options().write(true).open(place.cluster.path(DISK)).unwrap();
    disk.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert!(judge(&place.cluster, &identity()).unwrap().unwrap_err().contains("disk was changed"));
    std::fs::remove_file(place.cluster.path(DISK)).unwrap();
    judge(&place.cluster, &identity()).unwrap().unwrap_err();
}

#[test]
fn memory_that_was_not_finished_or_has_no_note_is_of_no_use() {
    let place = place();
    std::fs::write(place.cluster.path(PART), b"mem").unwrap();
    assert!(!exists(&place.cluster) && is_anything(&place.cluster));
    assert!(judge(&place.cluster, &identity()).unwrap().unwrap_err().contains("while it was being saved"));
    std::fs::rename(place.cluster.path(PART), place.cluster.path(MEMORY)).unwrap();
    assert!(judge(&place.cluster, &identity()).unwrap().unwrap_err().contains("note"));
    std::fs::write(place.cluster.path(NOTE), b"{}").unwrap();
    assert!(judge(&place.cluster, &identity()).unwrap().unwrap_err().contains("note"));
}

#[test]
fn the_processor_s_abilities_count_only_where_the_machine_uses_them() {
    let info = |flags: &str| format!("processor: 0\nmodel name : X\nflags : {flags}\n");
    assert_eq!(processor(Accelerator::Tcg, &info("a")), processor(Accelerator::Tcg, &info("b")));
    assert_ne!(processor(Accelerator::Kvm, &info("a")), processor(Accelerator::Kvm, &info("b")));
}

#[test]
fn a_folder_of_manifests_is_another_one_when_a_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.yaml", "kind: A");
    let first = hash(folder.path()).unwrap();
    assert_eq!(hash(folder.path()).unwrap(), first);
    write("a.yaml", "kind: B");
    let second = hash(folder.path()).unwrap();
    write("a.yaml", "kind: A");
    write("b.yaml", "kind: A");
    let third = hash(folder.path()).unwrap();
    assert!(first != second && first != third && second != third);
    assert!(hash(&folder.path().join("gone")).is_err());
}
