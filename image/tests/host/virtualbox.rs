//! `--driver virtualbox` against a VBoxManage that only keeps notes: what is asked of it, and what is taken back when it
//! is missing, old, fails half-way or is interrupted. The last test asks a real one.

use crate::host::Host;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Keeps machines as files and says what VirtualBox would. `fail-at` names the command that fails, `hang-at` the one
/// that waits to be interrupted.
const MANAGE: &str = r#"#!/bin/sh
notes=$(dirname "$0")/../notes
echo "$*" >> "$notes/calls"
case "$1 $(cat "$notes/fail-at" 2>/dev/null)" in
    "$1 $1") echo "VBoxManage: error: The disk is full" >&2; exit 1 ;;
esac
case "$1 $(cat "$notes/hang-at" 2>/dev/null)" in
    "$1 $1") touch "$notes/hangs"; exec sleep 600 ;;
esac
case "$1" in
    --version) cat "$notes/version" ;;
    showvminfo)
        [ -e "$notes/machine" ] || { echo "VBoxManage: error: Details: code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001)" >&2; exit 1; }
        echo "VMState=\"poweroff\"" ;;
    createvm) touch "$notes/machine" ;;
    unregistervm) rm "$notes/machine" ;;
    controlvm) [ "$3" != acpipowerbutton ] || echo off > "$notes/button"; [ "$3" != poweroff ] || echo off > "$notes/button" ;;
esac
"#;
/// A machine that is ready at once and runs until its button is pressed.
const HEADLESS: &str = r#"#!/bin/sh
notes=$(dirname "$0")/../notes
for milestone in init network disk containerd api node ready; do
    echo "{\"skerry\":\"$milestone\",\"t_ms\":1}" >> serial.log
done
rm -f "$notes/button"; mkfifo "$notes/button"
read -r _ < "$notes/button"
echo "{\"skerry\":\"shutdown\",\"t_ms\":2}" >> serial.log
"#;

struct Played {
    host: Host,
    notes: PathBuf,
}

impl Played {
    fn new(version: &str) -> Played {
        let host = Host::new();
        let bin = host.image().with_file_name("bin");
        let notes = host.image().with_file_name("notes");
        std::fs::create_dir(&notes).expect("a folder");
        for (name, script) in [("VBoxManage", MANAGE), ("VBoxHeadless", HEADLESS)] {
            std::fs::write(bin.join(name), script).expect("a file");
            std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).expect("its mode");
        }
        std::fs::write(notes.join("version"), version).expect("a file");
        std::fs::write(host.image().join("skerry.iso"), cd(20)).expect("a file");
        Played { host, notes }
    }

    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.notes.join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn is_known(&self) -> bool {
        self.notes.join("machine").exists()
    }
}

const START: &[&str] = &["start", "--driver", "virtualbox"];

/// A CD as far as the host looks at it: its description says that it has so many blocks.
fn cd(blocks: u32) -> Vec<u8> {
    let mut bytes = vec![0; 20 * 2048];
    bytes[0x8000..0x8006].copy_from_slice(b"\x01CD001");
    bytes[0x8028..0x8033].copy_from_slice(b"SKERRY_LIVE");
    bytes[0x8050..0x8054].copy_from_slice(&blocks.to_le_bytes());
    bytes
}

/// Whether a file of the host holds these words.
fn holds(file: &std::path::Path, words: &str) -> bool {
    std::fs::read(file).expect("a file").windows(words.len()).any(|window| window == words.as_bytes())
}

#[test]
fn a_machine_of_virtualbox_is_started_shown_stopped_and_deleted_like_any_other() {
    let played = Played::new("7.2.22r1");
    let start = played.host.run(START);
    assert_eq!(start.code, 0, "{start:?}");
    played.host.wait_for("ready");
    let calls = played.calls();
    assert!(calls.iter().any(|call| call.starts_with("createvm --name skerry-skerry ")), "{calls:#?}");
    assert!(calls.iter().any(|call| call.contains("--natpf1 api,tcp,127.0.0.1,")), "{calls:#?}");
    let folder = played.host.folder("skerry");
    assert_eq!(folder.join("config.iso").metadata().unwrap().permissions().mode() & 0o077, 0);
    let code = std::fs::read_to_string(folder.join("login.code")).unwrap();
    assert!(!calls.join("\n").contains(code.trim()), "a secret on a command line");
    let stop = played.host.run(&["stop"]);
    assert_eq!(stop.code, 0, "{stop:?}");
    assert!(played.calls().iter().any(|call| call == "controlvm skerry-skerry acpipowerbutton"));
    let other = played.host.run(&["start", "--driver", "qemu"]);
    assert_eq!(other.code, 7, "{other:?}");
    assert_eq!(played.host.run(&["delete"]).code, 0);
    assert!(!played.is_known() && !folder.exists());
}

#[test]
fn a_missing_or_old_virtualbox_is_named_before_anything_is_made() {
    let host = Host::new();
    let missing = host.run(START);
    assert_eq!(missing.code, 3, "{missing:?}");
    assert!(missing.err.contains("VBoxManage is not in PATH"), "{missing:?}");
    let played = Played::new("6.1.50r1");
    let old = played.host.run(START);
    assert_eq!(old.code, 3, "{old:?}");
    assert!(old.err.contains("6.1.50") && old.err.contains("7.0 or newer"), "{old:?}");
    assert!(!played.host.folder("skerry").exists());
    let played = Played::new("7.2.22r1");
    std::fs::remove_file(played.host.image().with_file_name("bin").join("VBoxHeadless")).unwrap();
    let half = played.host.run(START);
    assert_eq!(half.code, 3, "{half:?}");
    assert!(half.err.contains("bin/VBoxHeadless is missing"), "{half:?}");
    assert!(!played.is_known() && !played.host.folder("skerry").exists());
}

#[test]
fn what_virtualbox_refuses_half_way_is_taken_back() {
    for at in ["createvm", "modifyvm", "storagectl", "storageattach"] {
        let played = Played::new("7.0.20r1");
        std::fs::write(played.notes.join("fail-at"), at).unwrap();
        let failed = played.host.run(START);
        assert_eq!(failed.code, 3, "{at}: {failed:?}");
        assert!(failed.err.contains("The disk is full"), "{at}: {failed:?}");
        assert!(!played.is_known() && !played.host.folder("skerry").exists(), "{at}");
    }
}

#[test]
fn ctrl_c_while_virtualbox_works_leaves_nothing() {
    let played = Played::new("7.2.22r1");
    std::fs::write(played.notes.join("hang-at"), "storagectl").unwrap();
    let mut start = played.host.spawn_group(START);
    played.host.until("VBoxManage works", || played.notes.join("hangs").exists());
    // As a terminal does it: to the whole group.
    let group = nix::unistd::Pid::from_raw(i32::try_from(start.id()).unwrap());
    nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(start.wait().unwrap().code(), Some(130));
    assert!(!played.is_known() && !played.host.folder("skerry").exists());
}

#[test]
fn a_cd_that_is_cut_short_or_missing_is_refused_and_nothing_is_made() {
    let played = Played::new("7.2.22r1");
    std::fs::write(played.host.image().join("skerry.iso"), cd(21)).unwrap();
    let refused = played.host.run(START);
    assert_eq!(refused.code, 7, "{refused:?}");
    assert!(refused.err.contains("cut short"), "{refused:?}");
    std::fs::remove_file(played.host.image().join("skerry.iso")).unwrap();
    let refused = played.host.run(START);
    assert_eq!(refused.code, 7, "{refused:?}");
    assert!(refused.err.contains("skerry build --format iso makes it"), "{refused:?}");
    assert!(!played.is_known() && !played.host.folder("skerry").exists());
}

#[test]
fn what_qemu_is_handed_as_files_lies_on_the_cd_and_a_later_start_writes_it_anew() {
    let played = Played::new("7.2.22r1");
    let manifests = played.host.home().join("manifests");
    std::fs::create_dir(&manifests).unwrap();
    std::fs::write(manifests.join("a-rather-long-name.yaml"), "kind: ConfigMap # rock").unwrap();
    let authority = pki::Authority::generate("rock", std::time::SystemTime::now()).unwrap().certificate_pem();
    let file = played.host.home().join("authority.pem");
    std::fs::write(&file, &authority).unwrap();
    let (manifests, file) = (manifests.to_str().unwrap().to_owned(), file.to_str().unwrap().to_owned());
    let more = ["--manifests", &manifests, "--ca", &file, "--insecure-registry", "host.skerry.internal:5000"];
    let around = [("https_proxy", "http://me:hunter2@127.0.0.1:3128"), ("no_proxy", "corp.example")];
    let start = played.host.run_with(&[START, &more].concat(), &around);
    assert_eq!(start.code, 0, "{start:?}");
    played.host.wait_for("ready");
    let config = played.host.folder("skerry").join("config.iso");
    for words in [
        "a-rather-long-name.yaml",
        "kind: ConfigMap # rock",
        "ca.pem",
        authority.lines().nth(1).expect("a certificate"),
        "\"skerry.proxy.https\" = \"http://me:hunter2@host.skerry.internal:3128\"",
        "\"skerry.proxy.not\" = \"corp.example\"",
        "\"skerry.registry.insecure\" = \"host.skerry.internal:5000\"",
    ] {
        assert!(holds(&config, words), "{words}");
    }
    assert!(!played.calls().join("\n").contains("hunter2"), "a password on a command line");
    assert_eq!(played.host.run(&["stop"]).code, 0);
    let again = played.host.run(&["start", "--manifests", "", "--ca", "none"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(!holds(&config, "skerry.proxy.https") && !holds(&config, "ca.pem") && !holds(&config, "rock"));
    assert!(holds(&config, "skerry.registry.insecure"), "it stays until others are given");
    played.host.wait_for("ready");
    assert_eq!(played.host.run(&["stop"]).code, 0);
}

#[test]
fn the_state_disk_is_made_once_and_an_image_changes_beside_it() {
    use std::os::unix::fs::MetadataExt;
    let played = Played::new("7.2.22r1");
    assert_eq!(played.host.run(START).code, 0);
    played.host.wait_for("ready");
    assert_eq!(played.host.run(&["stop"]).code, 0);
    let state = played.host.folder("skerry").join("state.vdi");
    let before = state.metadata().unwrap().ino();
    let newer = played.host.home().join("newer");
    std::fs::create_dir(&newer).unwrap();
    for entry in std::fs::read_dir(played.host.image()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, newer.join(path.file_name().unwrap())).unwrap();
    }
    let start = played.host.run(&["start", "--image", newer.to_str().unwrap()]);
    assert_eq!(start.code, 0, "{start:?}");
    played.host.wait_for("ready");
    let cd = format!("--port 1 --device 0 --type dvddrive --medium {}", newer.join("skerry.iso").display());
    assert!(played.calls().iter().any(|call| call.ends_with(&cd)), "{:#?}", played.calls());
    assert_eq!(state.metadata().unwrap().ino(), before);
    assert_eq!(played.host.run(&["stop"]).code, 0);

    std::fs::rename(&state, state.with_file_name("disk.vdi")).unwrap();
    let old = played.host.run(&["start"]);
    assert_eq!(old.code, 7, "{old:?}");
    assert!(old.err.contains("held the system, too") && old.err.contains("skerry delete"), "{old:?}");
    std::fs::remove_file(state.with_file_name("disk.vdi")).unwrap();
    let missing = played.host.run(&["start"]);
    assert_eq!(missing.code, 7, "{missing:?}");
    assert!(missing.err.contains("state.vdi is missing"), "{missing:?}");
    assert!(!state.exists() && played.is_known(), "nothing was made or taken away");
}

/// With the real one: `SKERRY_VBOXMANAGE=/usr/bin/VBoxManage cargo test -p image --test host real -- --ignored`, after
/// `skerry build --format iso,ova`. Where VirtualBox has no kernel driver, everything but the machine's running is seen.
#[test]
#[ignore = "needs VirtualBox 7, named by SKERRY_VBOXMANAGE, and the built image"]
fn a_real_virtualbox_takes_the_machine_and_the_appliance() {
    let program = std::env::var("SKERRY_VBOXMANAGE").expect("SKERRY_VBOXMANAGE names VBoxManage");
    let image = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/image").canonicalize().unwrap();
    let host = Host::new();
    let around = [("SKERRY_VBOXMANAGE", program.as_str()), ("SKERRY_IMAGE", image.to_str().unwrap())];
    let ask = |words: &[&str]| {
        let mut command = std::process::Command::new(&program);
        let output = command.args(words).env("HOME", host.home()).output().expect("VBoxManage starts");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), text)
    };
    let look = |name: &str| ask(&["showvminfo", name, "--machinereadable"]);

    let start = host.run_with(&["start", "--name", "vbox-test", "--driver", "virtualbox", "--disk", "24G"], &around);
    assert!([0, 5].contains(&start.code), "{start:?}");
    let (is_known, about) = look("skerry-vbox-test");
    assert!(is_known && about.contains("nic1=\"nat\"") && about.contains(",tcp,127.0.0.1,"), "{about}");
    assert!(about.contains("uartmode1=\"file,") && about.contains("state.vdi"), "{about}");
    assert!(about.contains("boot1=\"dvd\"") && about.contains("localhostReachable=\"1\""), "{about}");
    let cd = image.join("skerry.iso");
    assert!(about.contains(&format!("\"disks-1-0\"=\"{}\"", cd.display())), "{about}");
    assert!(about.contains("config.iso\""), "{about}");
    let kept = host.folder("vbox-test").join("state.vdi");
    assert!(ask(&["showmediuminfo", "disk", kept.to_str().unwrap()]).1.contains("24576 MBytes"));
    let again = host.run_with(&["start", "--name", "vbox-test", "--disk", "30G"], &around);
    assert_eq!(again.code, start.code, "{again:?}");
    assert!(ask(&["showmediuminfo", "disk", kept.to_str().unwrap()]).1.contains("30720 MBytes"));
    let delete = host.run_with(&["delete", "--name", "vbox-test"], &around);
    assert_eq!(delete.code, 0, "{delete:?}");
    assert!(!look("skerry-vbox-test").0 && !kept.exists());
    assert!(cd.exists(), "the image's CD goes with no cluster");

    let folder = tempfile::tempdir().unwrap();
    let import = |file: &std::path::Path| {
        let place = folder.path().to_str().unwrap();
        let words =
            ["import", file.to_str().unwrap(), "--vsys", "0", "--vmname", "skerry-ova-test", "--basefolder", place];
        ask(&words)
    };
    let cut = folder.path().join("cut.ova");
    let whole = std::fs::read(image.join("skerry.ova")).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let (took, said) = import(&cut);
    assert!(!took && !look("skerry-ova-test").0, "{said}");
    let (took, said) = import(&image.join("skerry.ova"));
    assert!(took, "{said}");
    let about = look("skerry-ova-test").1;
    for line in
        ["memory=2048", "cpus=2", "nic1=\"nat\"", "nictype1=\"82540EM\"", "storagecontrollertype0=\"IntelAhci\""]
    {
        assert!(about.contains(line), "{line}: {about}");
    }
    let exported = folder.path().join("again.ova");
    assert!(ask(&["export", "skerry-ova-test", "-o", exported.to_str().unwrap()]).0);
    assert!(ask(&["unregistervm", "skerry-ova-test", "--delete"]).0);
}
