//! The emulator's command line. Pure: settings in, arguments out. File names are relative to the cluster's folder,
//! which is the emulator's working folder, so that no path can be too long for a socket.

use std::path::Path;

/// The program.
pub const PROGRAM: &str = "qemu-system-x86_64";
/// The Debian package that brings it.
pub const PACKAGE: &str = "qemu-system-x86";
/// The oldest version whose options these are: `-action panic=exit-failure` came with 7.1.
pub const VERSION_MIN: (u32, u32) = (7, 1);

/// The monitor's socket.
pub const MONITOR: &str = "qmp.sock";
/// Everything that was said on the serial line.
pub const SERIAL_LOG: &str = "serial.log";
/// The state disk.
pub const DISK: &str = "state.raw";
/// What the emulator itself complains about.
pub const LOG: &str = "qemu.log";
/// The config disk.
pub const CONFIG_DISK: &str = "config.img";
/// The one-time code of this boot.
pub const CODE: &str = "login.code";
/// The key of what is stored.
pub const STORE_KEY: &str = "store.key";
/// The name of the user network, for the monitor.
pub const NETWORK: &str = "net0";

/// The emulated processor: all that the emulator knows, but not the sign that copying byte by byte is the quickest way.
/// Emulated it is the slowest, and kernel and libraries take words or vectors instead: a start is 4 % less work.
const EMULATED: &str = "max,-erms";

/// How the machine's instructions are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// By the processor.
    Kvm,
    /// By translation.
    Tcg,
}

impl Accelerator {
    /// The word that the emulator knows it by.
    pub fn word(self) -> &'static str {
        match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg",
        }
    }

    fn arguments(self) -> [&'static str; 4] {
        match self {
            Accelerator::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Accelerator::Tcg => ["-accel", "tcg,thread=multi", "-cpu", EMULATED],
        }
    }
}

/// Which hardware the emulator shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Hardware {
    /// A PC with PCI, as of 2009: everything can be attached to it.
    #[default]
    Q35,
    /// Nothing but what a guest needs, on a bus without PCI: the kernel is there sooner.
    Microvm,
}

impl Hardware {
    /// The word that users know it by.
    pub fn word(self) -> &'static str {
        match self {
            Hardware::Q35 => "q35",
            Hardware::Microvm => "microvm",
        }
    }

    /// What the emulator is told. The microvm has ACPI in its hardware-reduced form, which costs no time that could be
    /// measured and brings power button, power-off, fw_cfg and panic device; its virtio devices are the modern ones.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Hardware::Q35 => &["-machine", "q35"],
            Hardware::Microvm => &["-machine", "microvm,acpi=on,rtc=on", "-global", "virtio-mmio.force-legacy=false"],
        }
    }

    /// A virtio device by what it does, such as `blk`, on the bus that this hardware has.
    fn virtio(self, what: &str) -> String {
        match self {
            Hardware::Q35 => format!("virtio-{what}-pci"),
            Hardware::Microvm => format!("virtio-{what}-device"),
        }
    }

    fn panic_device(self) -> &'static str {
        match self {
            Hardware::Q35 => "pvpanic-pci",
            Hardware::Microvm => "pvpanic",
        }
    }
}

/// One machine.
#[derive(Clone, Debug)]
pub struct Machine<'a> {
    /// Its name, for `ps`.
    pub name: &'a str,
    /// Its hardware.
    pub hardware: Hardware,
    /// The rate of the host's time stamp counter, kHz, which an emulated machine reads: it need not measure it.
    pub counter_khz: Option<u32>,
    /// Whether there is a config disk.
    pub config_disk: bool,
    /// The kernel.
    pub kernel: &'a Path,
    /// The root file system.
    pub root: &'a Path,
    /// Memory, MiB.
    pub memory_mb: u32,
    /// Processors.
    pub cpus: u32,
    /// The port of the API on 127.0.0.1.
    pub port: u16,
    /// How.
    pub accelerator: Accelerator,
    /// Words added to the kernel's command line.
    pub append: &'a str,
    /// Whether the one-time code was used, and its file is gone: the machine has the place of it all the same, because
    /// one that was suspended knows each file by its place.
    pub code_is_spent: bool,
    /// Files handed over by fw_cfg: the name below `opt/skerry/`, and the file in the cluster's folder.
    pub handed: &'a [(&'a str, &'a str)],
}

/// The kernel's command line: the root on the first disk, no word on the console but errors until init speaks.
const KERNEL_WORDS: &str = "console=ttyS0 root=/dev/vda ro rootfstype=erofs init=/usr/bin/init panic=-1 quiet";

/// A path inside an option: a comma would end it.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// What a machine of any purpose is started with: no devices but those named, a panic that ends it with failure.
fn common(
    hardware: Hardware,
    accelerator: Accelerator,
    memory_mb: u32,
    cpus: u32,
    kernel: &Path,
    root: &Path,
    append: &str,
) -> Vec<String> {
    let mut arguments: Vec<String> = ["-nodefaults", "-no-user-config", "-display", "none"]
        .into_iter()
        .chain(hardware.arguments().iter().copied())
        .chain(accelerator.arguments())
        .map(str::to_owned)
        .collect();
    let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
    add("-m", memory_mb.to_string());
    add("-smp", cpus.to_string());
    add("-kernel", kernel.display().to_string());
    let space = if append.is_empty() { "" } else { " " };
    add("-append", format!("{KERNEL_WORDS}{space}{append}"));
    add("-drive", format!("if=none,id=root,format=qcow2,readonly=on,file={}", escaped(root)));
    add("-device", format!("{},drive=root", hardware.virtio("blk")));
    add("-device", hardware.virtio("rng"));
    add("-device", hardware.panic_device().to_owned());
    add("-action", "panic=exit-failure".to_owned());
    arguments
}

impl Machine<'_> {
    /// The arguments of a cluster's machine. It starts stopped: the monitor lets it go once somebody listens.
    pub fn arguments(&self) -> Vec<String> {
        let hardware = self.hardware;
        let (memory_mb, cpus, append) = (self.memory_mb, self.cpus, self.kernel_words());
        let mut arguments = common(hardware, self.accelerator, memory_mb, cpus, self.kernel, self.root, &append);
        let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
        add("-name", format!("skerry-{}", self.name));
        add("-drive", format!("if=none,id=state,format=raw,discard=unmap,detect-zeroes=unmap,file={DISK}"));
        add("-device", format!("{},drive=state,serial=skerry-state", hardware.virtio("blk")));
        if self.config_disk {
            add("-drive", format!("if=none,id=config,format=raw,readonly=on,file={CONFIG_DISK}"));
            add("-device", format!("{},drive=config", hardware.virtio("blk")));
        }
        add("-netdev", format!("user,id={NETWORK},hostfwd=tcp:127.0.0.1:{}-:6443", self.port));
        add("-device", format!("{},netdev={NETWORK}", hardware.virtio("net")));
        add("-device", format!("{},free-page-reporting=on", hardware.virtio("balloon")));
        let code = if self.code_is_spent { "string=spent".to_owned() } else { format!("file={CODE}") };
        add("-fw_cfg", format!("name=opt/skerry/skerry.login.code,{code}"));
        add("-fw_cfg", format!("name=opt/skerry/skerry.store.key,file={STORE_KEY}"));
        for (name, file) in self.handed {
            add("-fw_cfg", format!("name=opt/skerry/{name},file={file}"));
        }
        // A file takes every byte at once. A socket that its reader does not empty in time refuses some, and the
        // device then says them twice.
        add("-chardev", format!("file,id=serial,path={SERIAL_LOG},append=on"));
        add("-serial", "chardev:serial".to_owned());
        add("-chardev", format!("socket,id=monitor,path={MONITOR},server=on,wait=off"));
        add("-mon", "chardev=monitor,mode=control".to_owned());
        arguments.push("-S".to_owned());
        arguments
    }

    /// Words added to the kernel's own. Without a timer to measure the time stamp counter by, a microvm on a busy host
    /// hung in 7 of 80 boots; under KVM the hypervisor tells the rate.
    fn kernel_words(&self) -> String {
        let rate = match (self.hardware, self.accelerator, self.counter_khz) {
            (_, Accelerator::Kvm, _) | (.., None) => String::new(),
            // This one has no clock to measure it by.
            (Hardware::Microvm, _, Some(khz)) => format!("tsc_early_khz={khz} {}", loops(khz)),
            (Hardware::Q35, _, Some(khz)) => loops(khz),
        };
        [rate.as_str(), self.append].into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// Ticks of the kernel's clock in a second, `CONFIG_HZ` of `kernel-config/`.
const TICKS: u64 = 100;

/// The loops of a busy wait in one tick, which are cycles of the counter. The kernel would find them out for each processor
/// but the first, because QEMU's own is one of AMD's whose counter it does not take to be constant; emulated, that is 0.15 s.
fn loops(khz: u32) -> String {
    format!("lpj={}", u64::from(khz) * 1000 / TICKS)
}

/// The arguments of a machine that only shows that it gets as far as init, on standard output.
pub fn probe(accelerator: Accelerator, kernel: &Path, root: &Path) -> Vec<String> {
    let mut arguments = common(Hardware::Q35, accelerator, PROBE_MEMORY_MB, 1, kernel, root, "");
    arguments.extend(["-serial", "stdio", "-monitor", "none", "-no-reboot"].map(str::to_owned));
    arguments
}

/// Enough for kernel and init.
const PROBE_MEMORY_MB: u32 = 256;

/// The version in `QEMU emulator version 7.2.22 (…)`.
pub fn version(text: &str) -> Option<(u32, u32)> {
    let number = text.split("version ").nth(1)?.split_whitespace().next()?;
    let mut parts = number.split('.').map(str::parse::<u32>);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine<'static> {
        Machine {
            name: "ci",
            hardware: Hardware::Q35,
            counter_khz: Some(2_000_000),
            config_disk: false,
            kernel: Path::new("/i,1/bzImage"),
            root: Path::new("/i,1/root.qcow2"),
            memory_mb: 1024,
            cpus: 2,
            port: 6444,
            accelerator: Accelerator::Tcg,
            append: "skerry.boot.on_failure=poweroff",
            code_is_spent: false,
            handed: &[("skerry.proxy.https", "proxy.https")],
        }
    }

    /// The values that an option is given.
    fn values<'a>(arguments: &'a [String], option: &str) -> Vec<&'a str> {
        arguments.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1].as_str()).collect()
    }

    #[test]
    fn the_machine_has_what_was_asked_for() {
        let arguments = machine().arguments();
        assert_eq!(values(&arguments, "-m"), ["1024"]);
        assert_eq!(values(&arguments, "-smp"), ["2"]);
        assert_eq!(values(&arguments, "-netdev"), ["user,id=net0,hostfwd=tcp:127.0.0.1:6444-:6443"]);
        assert_eq!(values(&arguments, "-accel"), ["tcg,thread=multi"]);
        assert!(values(&arguments, "-append")[0].ends_with(" quiet lpj=20000000 skerry.boot.on_failure=poweroff"));
        assert!(values(&arguments, "-device").contains(&"virtio-blk-pci,drive=state,serial=skerry-state"));
        let kvm = Machine { accelerator: Accelerator::Kvm, append: "", ..machine() };
        assert_eq!(values(&kvm.arguments(), "-cpu"), ["host"]);
        assert!(values(&kvm.arguments(), "-append")[0].ends_with(" quiet"));
    }

    #[test]
    fn the_root_is_the_first_disk() {
        let arguments = machine().arguments();
        let disks: Vec<&str> =
            values(&arguments, "-device").into_iter().filter(|d| d.starts_with("virtio-blk")).collect();
        assert_eq!(disks[0], "virtio-blk-pci,drive=root");
    }

    #[test]
    fn a_comma_in_a_path_does_not_end_an_option() {
        let arguments = machine().arguments();
        assert_eq!(values(&arguments, "-kernel"), ["/i,1/bzImage"]);
        assert!(values(&arguments, "-drive")[0].ends_with("file=/i,,1/root.qcow2"));
    }

    #[test]
    fn secrets_are_named_and_not_shown() {
        let arguments = machine().arguments();
        for value in values(&arguments, "-fw_cfg") {
            assert!(value.contains(",file="), "{value}");
        }
        assert_eq!(values(&arguments, "-fw_cfg").len(), 3);
    }

    #[test]
    fn a_code_that_was_used_leaves_its_place() {
        let spent = Machine { code_is_spent: true, ..machine() }.arguments();
        assert!(values(&spent, "-fw_cfg")[0].ends_with("login.code,string=spent"), "{spent:?}");
        assert_eq!(values(&spent, "-fw_cfg").len(), values(&machine().arguments(), "-fw_cfg").len());
    }

    #[test]
    fn a_microvm_has_the_same_devices_on_its_own_bus() {
        let count = |arguments: &[String]| values(arguments, "-device").len();
        let microvm = Machine { hardware: Hardware::Microvm, ..machine() };
        let arguments = microvm.arguments();
        assert_eq!(count(&arguments), count(&machine().arguments()));
        let on_pci = |device: &&str| device.contains("-pci");
        assert!(!values(&arguments, "-device").iter().any(on_pci), "{arguments:?}");
        assert!(values(&arguments, "-machine")[0].contains("acpi=on"));
    }

    #[test]
    fn an_emulated_machine_is_told_the_rate_of_its_counter() {
        let words = |hardware, accelerator| Machine { hardware, accelerator, append: "x", ..machine() }.kernel_words();
        assert_eq!(words(Hardware::Microvm, Accelerator::Tcg), "tsc_early_khz=2000000 lpj=20000000 x");
        assert_eq!(words(Hardware::Microvm, Accelerator::Kvm), "x");
        assert_eq!(words(Hardware::Q35, Accelerator::Tcg), "lpj=20000000 x");
    }

    #[test]
    fn a_config_disk_comes_after_the_root_and_the_state() {
        let arguments = Machine { config_disk: true, ..machine() }.arguments();
        let disks = values(&arguments, "-device").into_iter().filter(|d| d.starts_with("virtio-blk"));
        let disks: Vec<&str> = disks.filter_map(|d| d.split("drive=").nth(1)).collect();
        assert_eq!(disks, ["root", "state,serial=skerry-state", "config"]);
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)"), Some((7, 2)));
        assert_eq!(version("QEMU emulator version 10.0.0"), Some((10, 0)));
        assert_eq!(version("nonsense"), None);
    }
}
