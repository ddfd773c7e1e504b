//! `--driver virtualbox` with the emulator in VirtualBox's place: a VBoxManage that keeps notes, and a VBoxHeadless that
//! boots exactly the disks and CDs that it was told of on the hardware that VirtualBox has: PIIX3, AHCI, e1000, VGA.

use crate::harness::registry::{NAME, Registry, USER};
use crate::harness::{Machine, eventually, target};
use crate::runner::{Lone, lone};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Boots a machine of its own.
pub const LONE: &[Lone] = lone![virtualbox_keeps_the_state_beside_the_system_and_is_told_all_that_qemu_is];

/// One pod's start, emulated.
const POD: Duration = Duration::from_secs(240);

/// Notes lie in the folder of the program. The monitor's pipe takes what the emulator is told.
const MANAGE: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
case "$1" in
    --version) echo 7.2.22r175245 ;;
    showvminfo)
        [ -e memory ] || { echo "VBoxManage: error: Details: code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001)" >&2; exit 1; }
        echo 'VMState="poweroff"'
        number=0
        for rule in rule-*; do
            [ -e "$rule" ] && echo "Forwarding($number)=\"$(cat "$rule")\""
            number=$((number + 1))
        done ;;
    createvm) echo 0 > memory ;;
    unregistervm) rm -f memory rule-* port-* ;;
    modifyvm)
        case "$3 $4" in
            "--natpf1 delete") rm "rule-$5" ;;
            "--natpf1 "*) echo "$4" > "rule-${4%%,*}" ;;
            *)
                while [ $# -gt 1 ]; do
                    [ "$1" = --memory ] && echo "$2" > memory
                    [ "$1" = --nat-localhostreachable1 ] && echo "$2" > reachable
                    shift
                done ;;
        esac ;;
    storagectl) ;;
    storageattach) echo "${10} ${12}" > "port-$6" ;;
    controlvm)
        case "$3" in
            acpipowerbutton) echo system_powerdown > monitor.in ;;
            poweroff) echo quit > monitor.in ;;
            natpf1) ;;
        esac ;;
    *) echo "VBoxManage: error: $1 is not played" >&2; exit 1 ;;
esac
"#;
const HEADLESS: &str = r#"#!/bin/sh
notes=$(dirname "$0")
rm -f "$notes/monitor.in" "$notes/monitor.out"
mkfifo "$notes/monitor.in" "$notes/monitor.out"
port=$(cut -d, -f4 "$notes/rule-api")
# Without leave to reach the host's loopback there is nothing outside.
[ "$(cat "$notes/reachable")" = on ] && alone=off || alone=on
set -- -M pc -vga std -device ahci,id=disks -boot d -smp 2 -m "$(cat "$notes/memory")"
for number in 0 1 2; do
    read -r kind medium < "$notes/port-$number"
    case "$kind" in
        hdd) drive=format=vdi device=ide-hd ;;
        dvddrive) drive=format=raw,media=cdrom,readonly=on device=ide-cd ;;
    esac
    set -- "$@" -drive "if=none,id=p$number,$drive,file=$medium" -device "$device,drive=p$number,bus=disks.$number"
done
exec qemu-system-x86_64 -nodefaults -display none -accel tcg,thread=multi -cpu max "$@" \
    -netdev "user,id=n,restrict=$alone,hostfwd=tcp:127.0.0.1:$port-:6443" -device e1000,netdev=n \
    -chardev file,id=serial,path=serial.log,append=on -serial chardev:serial \
    -chardev "pipe,id=monitor,path=$notes/monitor" -mon chardev=monitor
"#;

/// The played programs; where VBoxManage is.
fn play(folder: &Path) -> PathBuf {
    for (name, script) in [("VBoxManage", MANAGE), ("VBoxHeadless", HEADLESS)] {
        std::fs::write(folder.join(name), script).expect("a file");
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o755)).expect("its mode");
    }
    folder.join("VBoxManage")
}

/// What was done to the state disk at this boot.
fn steps(machine: &Machine) -> String {
    let status = machine.status();
    let milestones = status["milestones"].as_array().cloned().unwrap_or_default();
    let disk = milestones.into_iter().find(|milestone| milestone["skerry"] == "disk").unwrap_or(Value::Null);
    disk["steps"].as_str().unwrap_or_default().to_owned()
}

fn virtualbox_keeps_the_state_beside_the_system_and_is_told_all_that_qemu_is() {
    // The CD lies in the image's folder from now on.
    crate::disk::image("iso");
    let played = tempfile::tempdir_in(target()).expect("a folder in target/");
    let program = play(played.path());
    let manifests = played.path().join("manifests");
    std::fs::create_dir(&manifests).expect("a folder");
    let handed = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: handed}\ndata: {from: the CD}\n";
    std::fs::write(manifests.join("a rather long name, and not of 1988.yaml"), handed).expect("a file");
    let arguments = ["--driver", "virtualbox", "--manifests", manifests.to_str().expect("letters")];
    let machine = Machine::boot_as("virtualbox", &[("SKERRY_VBOXMANAGE", program)], &arguments);
    assert_eq!(steps(&machine), "format mount");
    assert_eq!(machine.value("default", "configmap/handed", "{.data.from}"), "the CD");
    machine.kubectl(&["delete", "configmap", "handed"]);
    machine.kubectl(&["create", "configmap", "kept"]);
    machine.stop();

    let registry = Registry::serve(&machine.archive("shop.local/tools:v1")).expect("a registry");
    let authority = played.path().join("authority.pem");
    std::fs::write(&authority, &registry.authority).expect("a file");
    let proxy = format!("http://me:hunter2@127.0.0.1:{}", registry.proxy);
    let more = ["--ca", authority.to_str().expect("letters"), "--manifests", ""];
    machine.start_as(&[("https_proxy", &proxy)], &more);
    assert_eq!(steps(&machine), "mount");
    machine.kubectl(&["get", "configmap", "kept"]);
    assert!(!machine.try_kubectl(&["get", "configmap", "handed"]).is_good(), "nothing was handed this time");
    assert!(!machine.outside().contains("hunter2"), "the proxy's password is seen outside");
    let secret = ["create", "secret", "docker-registry", "login", "--docker-server", NAME];
    machine.kubectl(&[&secret[..], &["--docker-username", USER.0, "--docker-password", USER.1]].concat());
    // What a newer image than this one would write.
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: proxied}}\nspec:\n  restartPolicy: Never\n  imagePullSecrets: \
         [{{name: login}}]\n  containers:\n  - {{name: one, image: '{NAME}/rock/tools:v1', command: [sh, -c, 'echo 99 > \
         /of-skerry/format'], volumeMounts: [{{name: own, mountPath: /of-skerry}}]}}\n  volumes: [{{name: own, \
         hostPath: {{path: /var/lib/skerry}}}}]\n"
    );
    machine.kubectl_given(POD, &["apply", "-f", "-"], &pod);
    eventually("the image comes through the host's proxy, by the host's authority", POD, || {
        let phase = machine.value("default", "pod/proxied", "{.status.phase}");
        if phase == "Succeeded" { Ok(()) } else { Err(format!("{phase}: {:?}", registry.log())) }
    });
    assert!(registry.log().contains(&format!("proxy {NAME}:443")), "{:?}", registry.log());
    machine.stop();

    let refused = machine.try_start(&[]);
    assert_eq!(refused.code, Some(7), "{refused:?}");
    assert!(refused.out.contains("the state disk has format 99") && refused.out.contains("newer image"), "{refused:?}");
    assert_eq!(machine.try_status().code, Some(4), "a machine that was refused runs on");
}
