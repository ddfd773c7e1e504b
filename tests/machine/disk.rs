//! Everything that boots from a disk or a CD: on the hardware that VirtualBox gives a machine, on paravirtual devices,
//! by BIOS and by UEFI. Each boots the file itself, as it is given to users, and keeps what it writes nowhere.

use crate::harness::{Built, Emulated, firmware, run, target};
use crate::runner::{Lone, lone};
use serde_json::Value;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// Each by itself.
pub const LONE: &[Lone] = lone![
    disk_vdi_is_ready_on_virtualboxs_old_chipset_with_ide_and_shows_the_way_in,
    disk_vmdk_boots_on_virtualboxs_new_chipset_with_sata,
    disk_qcow2_boots_on_paravirtual_devices,
    disk_raw_boots_by_uefi,
    disk_raw_grows_with_its_disk_and_keeps_its_state,
    disk_iso_boots_by_bios_and_says_that_nothing_is_kept,
    disk_iso_boots_by_uefi_and_takes_a_blank_disk,
    disk_iso_boots_as_a_usb_stick,
    disk_images_are_the_same_when_they_are_made_again,
];

/// Packing all formats, with everything that they are made of in the cache.
const BUILD: Duration = Duration::from_secs(900);
/// A command that only asks.
const COMMAND: Duration = Duration::from_secs(120);

/// An image of a format, which is made when the first test asks.
pub fn image(format: &str) -> String {
    static MADE: OnceLock<Built> = OnceLock::new();
    let built = MADE.get_or_init(|| {
        let built = Built::find().unwrap_or_else(|error| panic!("{error:#}"));
        make(&built);
        built
    });
    built.image.join(format!("skerry.{format}")).display().to_string()
}

/// Makes all images; what the manifest then says of the files.
fn make(built: &Built) -> Value {
    let mut command = Command::new(&built.skerry);
    command.args(["build", "--format", "all", "-o", "json", "--target"]).arg(&built.image);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let outcome = run(&mut command, &[], BUILD);
    assert!(outcome.is_good(), "skerry build failed: {}{}", outcome.out, outcome.err);
    let manifest: Value = serde_json::from_str(&outcome.out).expect("JSON");
    manifest["files"].clone()
}

/// Words of a command line.
fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The network card of VirtualBox, and its NAT with the API's port on this host.
fn e1000(port: u16) -> Vec<String> {
    words(&format!("-netdev user,id=n,hostfwd=tcp:127.0.0.1:{port}-:6443 -device e1000,netdev=n"))
}

/// A port that nobody listens on; another program could take it in between, and then the test says so.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("a port").port()
}

/// Boots, waits for a milestone and says which were seen.
fn boots(arguments: &[Vec<String>], until: &str) -> (Emulated, Value) {
    let mut machine = Emulated::start(&arguments.concat());
    let reached = machine.reaches(until);
    let seen: Vec<String> = machine
        .milestones()
        .iter()
        .map(|m| format!("{} {}", m["skerry"].as_str().unwrap_or_default(), m["t_ms"]))
        .collect();
    println!("  milestones, ms: {}", seen.join(", "));
    (machine, reached)
}

/// What a machine that got further said of its state disk.
fn disk_of(machine: &Emulated) -> Value {
    machine
        .milestones()
        .into_iter()
        .find(|milestone| milestone["skerry"] == "disk")
        .expect("it comes before the others")
}

fn disk_vdi_is_ready_on_virtualboxs_old_chipset_with_ide_and_shows_the_way_in() {
    let port = free_port();
    let disk = format!("-M pc -vga std -drive if=ide,format=vdi,snapshot=on,file={}", image("vdi"));
    let (machine, _) = boots(&[words(&disk), e1000(port)], "ready");
    let screen = machine.screen();
    let shown = screen.join("\n");
    assert!(shown.contains("ready, after") && shown.contains("10.0.2.15"), "{shown}");
    let code = screen.iter().find_map(|row| row.split_once("--code ")).expect(&shown).1.trim();
    assert!(!machine.serial().contains(code), "the code is on the serial line");
    let built = Built::find().expect("it was found before");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut login = Command::new(&built.skerry);
    login.args(["login", &format!("127.0.0.1:{port}"), "--code", code, "--print"]).env("HOME", folder.path());
    let outcome = run(&mut login, &[], COMMAND);
    assert!(outcome.is_good(), "{}{}", outcome.out, outcome.err);
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, outcome.out).expect("a file in a folder of our own");
    let mut kubectl = Command::new(built.kubectl());
    let nodes = run(kubectl.args(["get", "nodes", "--no-headers"]).env("KUBECONFIG", &kubeconfig), &[], COMMAND);
    assert!(nodes.out.contains(" Ready "), "{}{}", nodes.out, nodes.err);
    assert!(machine.screen().join("\n").contains("code for a kubeconfig was used"), "{:#?}", machine.screen());
    assert_eq!(machine.power_off(), Some(0));
}

fn disk_vmdk_boots_on_virtualboxs_new_chipset_with_sata() {
    let disk = format!("-M q35 -vga std -drive if=none,id=d,format=vmdk,snapshot=on,file={}", image("vmdk"));
    boots(&[words(&disk), words("-device ide-hd,drive=d,bus=ide.0"), e1000(free_port())], "containerd");
}

fn disk_qcow2_boots_on_paravirtual_devices() {
    let disk = format!("-M q35 -drive if=virtio,format=qcow2,snapshot=on,file={}", image("qcow2"));
    boots(&[words(&disk), words("-nic user,model=virtio-net-pci -device virtio-rng-pci")], "containerd");
}

fn disk_raw_boots_by_uefi() {
    let disk = format!("-M q35 -vga std -drive if=none,id=d,format=raw,snapshot=on,file={}", image("raw"));
    let uefi = format!("-bios {}", firmware().display());
    boots(&[words(&uefi), words(&disk), words("-device ide-hd,drive=d,bus=ide.0"), e1000(free_port())], "containerd");
}

fn disk_raw_grows_with_its_disk_and_keeps_its_state() {
    let folder = tempfile::tempdir_in(target()).expect("a folder in target/");
    let copy = folder.path().join("disk.raw");
    let copied = Command::new("cp").args(["--sparse=always", &image("raw")]).arg(&copy).status();
    assert!(copied.expect("cp is everywhere").success());
    let disk = words(&format!("-M pc -drive if=virtio,format=raw,file={}", copy.display()));
    let (machine, _) = boots(&[disk.clone(), words("-nic user,model=virtio-net-pci")], "containerd");
    let first = disk_of(&machine);
    assert_eq!(first["steps"], "format mount", "{first}");
    assert!(first["size_mib"].as_u64().is_some_and(|size| size < 1024), "{first}");
    machine.power_off();
    std::fs::File::options().write(true).open(&copy).and_then(|file| file.set_len(3 << 30)).expect("a longer file");
    let (machine, _) = boots(&[disk, words("-nic user,model=virtio-net-pci")], "containerd");
    let second = disk_of(&machine);
    assert_eq!(second["steps"], "mount grow", "{second}");
    assert!(second["size_mib"].as_u64().is_some_and(|size| size > 2800), "{second}");
    machine.power_off();
}

fn disk_iso_boots_by_bios_and_says_that_nothing_is_kept() {
    let cd = format!("-M pc -vga std -cdrom {} -boot d", image("iso"));
    let (machine, _) = boots(&[words(&cd), e1000(free_port())], "containerd");
    let disk = disk_of(&machine);
    assert_eq!(disk["kind"], "memory", "{disk}");
    assert!(machine.serial().contains("NOTHING of this cluster is kept"), "{}", machine.serial());
    assert!(machine.screen().join("\n").contains("NOTHING: there is no disk"), "{:#?}", machine.screen());
}

fn disk_iso_boots_by_uefi_and_takes_a_blank_disk() {
    let folder = tempfile::tempdir_in(target()).expect("a folder in target/");
    let blank = folder.path().join("blank.raw");
    std::fs::File::create(&blank).and_then(|file| file.set_len(2 << 30)).expect("a sparse file");
    let cd = format!("-M q35 -vga std -drive media=cdrom,if=none,id=c,format=raw,readonly=on,file={}", image("iso"));
    let hardware = "-device ide-cd,drive=c,bus=ide.0 -device ide-hd,drive=d,bus=ide.1";
    let disk = format!("-drive if=none,id=d,format=raw,file={} -bios {}", blank.display(), firmware().display());
    let (_machine, reached) = boots(&[words(&cd), words(&disk), words(hardware), e1000(free_port())], "disk");
    assert_eq!(reached["steps"], "format mount", "{reached}");
}

fn disk_iso_boots_as_a_usb_stick() {
    let stick =
        format!("-M q35 -vga std -device qemu-xhci -drive if=none,id=u,format=raw,readonly=on,file={}", image("iso"));
    boots(&[words(&stick), words("-device usb-storage,drive=u"), e1000(free_port())], "disk");
}

fn disk_images_are_the_same_when_they_are_made_again() {
    let built = Built::find().unwrap_or_else(|error| panic!("{error:#}"));
    let first = make(&built);
    assert_eq!(first.as_object().map(serde_json::Map::len), Some(9), "{first}");
    assert_eq!(first, make(&built));
}
