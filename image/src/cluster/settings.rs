//! What a cluster was made with, kept in its folder; and how a command line changes it. Pure but for reading and
//! writing the one file.

use super::Cluster;
use super::emulator::Hardware;
use crate::exit::{Code, Failure};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The file's name; its presence is what makes a folder a cluster.
pub const FILE: &str = "cluster.json";
/// The shape of the file; a higher one was written by a newer program.
const FORMAT: u32 = 1;

/// Memory of a machine that nobody chose, MiB.
pub const MEMORY_MB: u32 = 2048;
/// Below this nobody has seen the machine come up, MiB: with this much it was seen to become ready, empty.
pub const MEMORY_MB_MIN: u32 = 256;
/// Processors of a machine that nobody chose.
pub const CPUS: u32 = 2;
/// What the emulator's machine type takes.
pub const CPUS_MAX: u32 = 255;
/// The size of a state disk that nobody chose, bytes. The file is sparse.
pub const DISK_BYTES: u64 = 20 << 30;
/// Below this nothing but the system fits, bytes.
pub const DISK_BYTES_MIN: u64 = 1 << 30;

/// What runs the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// QEMU.
    #[default]
    Qemu,
    /// VirtualBox, by VBoxManage.
    Virtualbox,
}

/// What a cluster was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    format: u32,
    /// Memory, MiB.
    pub memory_mb: u32,
    /// Processors.
    pub cpus: u32,
    /// Size of the state disk, bytes.
    pub disk_bytes: u64,
    /// Port of the API on 127.0.0.1.
    pub port: u16,
    /// Folder of the image.
    pub image: PathBuf,
    /// Words added to the kernel's command line.
    #[serde(default)]
    pub append: String,
    /// Registries, as `HOST:PORT`, that speak plain HTTP.
    #[serde(default)]
    pub insecure: Vec<String>,
    /// The CRI socket of the container engine of the pods, on the machine; none for its own containerd.
    #[serde(default)]
    pub runtime: Option<String>,
    /// What runs the machine.
    #[serde(default)]
    pub driver: Driver,
    /// The hardware.
    #[serde(default)]
    pub hardware: Hardware,
    /// The folder of manifests that are applied at each boot.
    #[serde(default)]
    pub manifests: Option<PathBuf>,
}

/// What a command line asks for; nothing leaves things as they are.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Memory, MiB.
    pub memory_mb: Option<u32>,
    /// Processors.
    pub cpus: Option<u32>,
    /// Size of the state disk, bytes.
    pub disk_bytes: Option<u64>,
    /// Words added to the kernel's command line.
    pub append: Option<String>,
    /// Registries that speak plain HTTP; one that is empty means none.
    pub insecure: Vec<String>,
    /// The container engine of the pods: `containerd`, or the path of a CRI socket on the machine.
    pub runtime: Option<String>,
    /// What runs the machine.
    pub driver: Option<Driver>,
    /// The hardware.
    pub hardware: Option<Hardware>,
    /// The folder of manifests; an empty path means none.
    pub manifests: Option<PathBuf>,
}

/// The word for the machine's own engine.
const CONTAINERD: &str = "containerd";
/// The longest path of a socket (unix(7), `sun_path`).
const SOCKET_BYTES_MAX: usize = 107;

impl Settings {
    /// The settings of a new cluster.
    pub fn new(port: u16, image: PathBuf) -> Settings {
        Settings {
            format: FORMAT,
            memory_mb: MEMORY_MB,
            cpus: CPUS,
            disk_bytes: DISK_BYTES,
            port,
            image,
            append: String::new(),
            insecure: Vec::new(),
            runtime: None,
            driver: Driver::default(),
            hardware: Hardware::default(),
            manifests: None,
        }
    }

    /// These settings with what was asked for.
    ///
    /// # Errors
    /// `Usage` for values out of bounds, `Refused` for a disk that would lose its end.
    pub fn with(mut self, wish: &Wish, is_new: bool) -> Result<Settings> {
        if let Some(driver) = wish.driver.filter(|driver| *driver != self.driver) {
            if !is_new {
                let failure = Failure::new(Code::Refused, "the cluster was made for another --driver");
                bail!(failure.advice("leave --driver out, or give the new cluster another --name"));
            }
            self.driver = driver;
        }
        let smaller = wish.disk_bytes.filter(|bytes| !is_new && *bytes < self.disk_bytes);
        if smaller.is_some() {
            let is = self.disk_bytes >> 30;
            let failure =
                Failure::new(Code::Refused, format!("the state disk has {is} GiB and cannot be made smaller"));
            bail!(failure.advice("leave --disk out, or skerry delete the cluster and start a new one"));
        }
        self.memory_mb = bounded("--memory", "MiB", wish.memory_mb.unwrap_or(self.memory_mb), MEMORY_MB_MIN, u32::MAX)?;
        self.cpus = bounded("--cpus", "processors", wish.cpus.unwrap_or(self.cpus), 1, CPUS_MAX)?;
        let least = u32::try_from(DISK_BYTES_MIN >> 20).expect("a small constant");
        let disk_mb = wish.disk_bytes.unwrap_or(self.disk_bytes) >> 20;
        let disk_mb = u32::try_from(disk_mb).unwrap_or(u32::MAX);
        self.disk_bytes = u64::from(bounded("--disk", "MiB", disk_mb, least, u32::MAX - 1)?) << 20;
        if let Some(append) = &wish.append {
            self.append.clone_from(append);
        }
        if !wish.insecure.is_empty() {
            self.insecure = wish.insecure.iter().filter(|host| !host.is_empty()).cloned().collect();
            for host in &self.insecure {
                check_registry(host)?;
            }
        }
        if let Some(runtime) = &wish.runtime {
            self.runtime = socket(runtime)?;
        }
        if let Some(hardware) = wish.hardware {
            self.hardware = hardware;
        }
        if let Some(folder) = &wish.manifests {
            self.manifests = (!folder.as_os_str().is_empty()).then(|| folder.clone());
        }
        self.fits_driver()?;
        Ok(self)
    }

    /// VirtualBox has hardware of its own.
    fn fits_driver(&self) -> Result<()> {
        if (self.driver, self.hardware) == (Driver::Virtualbox, Hardware::Microvm) {
            let failure = Failure::new(Code::Usage, "--machine microvm goes with --driver qemu only");
            bail!(failure.advice("leave one of them out"));
        }
        Ok(())
    }

    /// The words for the kernel's command line, those of settings among them.
    pub fn words(&self) -> String {
        let runtime = self.runtime.iter().map(|socket| format!("skerry.node.runtime={socket}"));
        let words: Vec<String> =
            [self.append.clone()].into_iter().filter(|text| !text.is_empty()).chain(runtime).collect();
        words.join(" ")
    }

    /// Reads those of a cluster.
    ///
    /// # Errors
    /// `Refused` when the file is damaged or of a newer program.
    pub fn read(cluster: &Cluster) -> Result<Settings> {
        let path = cluster.path(FILE);
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let advice = "skerry delete removes the cluster with its data";
        let read: Settings = serde_json::from_str(&text).map_err(|error| {
            Failure::new(Code::Refused, format!("{} is damaged: {error}", path.display())).advice(advice)
        })?;
        if read.format > FORMAT {
            bail!(
                Failure::new(Code::Refused, format!("{} was written by a newer skerry", path.display()))
                    .advice(format!("use that one, or {advice}"))
            );
        }
        Ok(read)
    }

    /// Writes them, whole or not at all.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write(&self, cluster: &Cluster) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("plain fields always are JSON");
        pki::folder::replace(&cluster.path(FILE), text.as_bytes(), 0o600)
    }
}

/// A registry is written as images name it.
fn check_registry(host: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    if host.starts_with(|c: char| c.is_ascii_alphanumeric()) && host.chars().all(plain) {
        return Ok(());
    }
    let failure = Failure::new(Code::Usage, format!("--insecure-registry: {host:?} is no registry"));
    bail!(failure.advice("write it as images name it, such as host.skerry.internal:5000"))
}

/// A container engine as `--runtime` names it: none for the machine's own.
fn socket(text: &str) -> Result<Option<String>> {
    if text == CONTAINERD {
        return Ok(None);
    }
    let path = text.strip_prefix("unix://").unwrap_or(text);
    let is_path = path.starts_with('/') && path.len() <= SOCKET_BYTES_MAX && path.chars().all(|c| c.is_ascii_graphic());
    if is_path && !path.contains(['"', '\\']) {
        return Ok(Some(path.to_owned()));
    }
    let failure = Failure::new(Code::Usage, format!("--runtime {text}: no container engine"));
    bail!(failure.advice("give containerd, or the whole path of a CRI socket on the machine"))
}

fn bounded(flag: &str, unit: &str, value: u32, min: u32, max: u32) -> Result<u32> {
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    let bounds = if max >= u32::MAX - 1 { format!("at least {min}") } else { format!("between {min} and {max}") };
    bail!(Failure::new(Code::Usage, format!("{flag}: {value} {unit} will not do; it takes {bounds} {unit}")))
}

/// Memory as it is typed: bare numbers are MiB.
///
/// # Errors
/// Says what will do.
pub fn memory(text: &str) -> Result<u64, String> {
    at_least(bytes(text, 1 << 20)?, u64::from(MEMORY_MB_MIN) << 20)
}

/// The size of a disk as it is typed: bare numbers are GiB.
///
/// # Errors
/// Says what will do.
pub fn disk(text: &str) -> Result<u64, String> {
    at_least(bytes(text, 1 << 30)?, DISK_BYTES_MIN)
}

fn at_least(size: u64, least: u64) -> Result<u64, String> {
    if size >= least { Ok(size) } else { Err(format!("give at least {} MiB", least >> 20)) }
}

/// Bytes written as `512M`, `20G` or `20GiB`; powers of 1024. A bare number is of `bare` bytes.
pub fn bytes(text: &str, bare: u64) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => bare,
        "m" | "mb" | "mi" | "mib" => 1 << 20,
        "g" | "gb" | "gi" | "gib" => 1 << 30,
        "t" | "tb" | "ti" | "tib" => 1 << 40,
        _ => return Err("write a size as 2048M or 20G".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "write a size as 2048M or 20G".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "that is more than there is".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new(6443, PathBuf::from("/image"))
    }

    #[test]
    fn what_nobody_asks_for_stays() {
        assert_eq!(settings().with(&Wish::default(), true).unwrap(), settings());
        let wish = Wish { memory_mb: Some(512), cpus: Some(1), ..Wish::default() };
        let made = settings().with(&wish, true).unwrap();
        assert_eq!((made.memory_mb, made.cpus, made.disk_bytes), (512, 1, DISK_BYTES));
    }

    #[test]
    fn a_disk_grows_and_never_shrinks() {
        let grown = settings().with(&Wish { disk_bytes: Some(30 << 30), ..Wish::default() }, false).unwrap();
        assert_eq!(grown.disk_bytes, 30 << 30);
        let wish = Wish { disk_bytes: Some(10 << 30), ..Wish::default() };
        assert_eq!(settings().with(&wish, true).unwrap().disk_bytes, 10 << 30);
        assert_eq!(Failure::of(settings().with(&wish, false).unwrap_err()).code, Code::Refused);
    }

    #[test]
    fn another_engine_is_named_by_its_socket_and_stays_until_containerd_is_asked_for() {
        let wish = |runtime: &str| Wish { runtime: Some(runtime.to_owned()), ..Wish::default() };
        let other = settings().with(&wish("unix:///run/crio/crio.sock"), true).unwrap();
        assert_eq!(other.words(), "skerry.node.runtime=/run/crio/crio.sock");
        let kept = other.with(&Wish { append: Some("a b".to_owned()), ..Wish::default() }, false).unwrap();
        assert_eq!(kept.words(), "a b skerry.node.runtime=/run/crio/crio.sock");
        assert_eq!(kept.with(&wish("containerd"), false).unwrap().words(), "a b");
        for bad in ["crio", "", "/run/a b", "tcp://x"] {
            assert_eq!(Failure::of(settings().with(&wish(bad), true).unwrap_err()).code, Code::Usage, "{bad}");
        }
    }

    #[test]
    fn hardware_and_manifests_stay_until_others_are_asked_for() {
        let wish = Wish { hardware: Some(Hardware::Microvm), manifests: Some("/m".into()), ..Wish::default() };
        let made = settings().with(&wish, true).unwrap().with(&Wish::default(), false).unwrap();
        assert_eq!((made.hardware, made.manifests.as_deref()), (Hardware::Microvm, Some("/m".as_ref())));
        let other = Wish { driver: Some(Driver::Virtualbox), ..Wish::default() };
        assert_eq!(Failure::of(made.clone().with(&other, true).unwrap_err()).code, Code::Usage);
        let none = Wish { manifests: Some(PathBuf::new()), ..Wish::default() };
        assert_eq!(made.with(&none, false).unwrap().manifests, None);
        let both = Wish { manifests: Some("/m".into()), ..other };
        assert!(settings().with(&both, true).unwrap().manifests.is_some());
    }

    #[test]
    fn values_out_of_bounds_name_the_flag() {
        for (wish, flag) in [
            (Wish { memory_mb: Some(64), ..Wish::default() }, "--memory"),
            (Wish { cpus: Some(0), ..Wish::default() }, "--cpus"),
            (Wish { cpus: Some(999), ..Wish::default() }, "--cpus"),
            (Wish { disk_bytes: Some(1), ..Wish::default() }, "--disk"),
        ] {
            let failure = Failure::of(settings().with(&wish, true).unwrap_err());
            assert_eq!(failure.code, Code::Usage);
            assert!(failure.message.starts_with(flag), "{}", failure.message);
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(bytes("20G", 1), Ok(20 << 30));
        assert_eq!(bytes("512MiB", 1), Ok(512 << 20));
        assert_eq!(bytes("2048", 1 << 20), Ok(2048 << 20));
        for bad in ["", "G", "-1G", "1.5G", "20K", "99999999999999T"] {
            assert!(bytes(bad, 1).is_err(), "{bad}");
        }
    }
}
