//! Whether this host carries out the machine's instructions itself. A device file says little: it may not open, and
//! below another hypervisor it may open and still not work. So a probe machine must reach init, once for each boot of
//! the host, emulator and kernel.

use super::emulator::{self, Accelerator, PACKAGE, PROGRAM, VERSION_MIN};
use super::images::Image;
use super::{milestones, place};
use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// A processor that works takes below one second to init; one that is emulated below takes longer than translation.
const PROBE_WAIT: Duration = Duration::from_secs(6);
/// What an earlier probe found.
const CACHE: &str = "accelerator.json";
/// Who may use the processor's help.
const DEVICE: &str = "/dev/kvm";

/// What a user can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// KVM where it works.
    Auto,
    /// KVM or failure.
    Kvm,
    /// Translation.
    Tcg,
}

/// The emulator of this host.
pub struct Emulator {
    /// Where it is.
    pub program: PathBuf,
    /// Its version, whole.
    pub version: String,
}

impl Emulator {
    /// Finds it.
    ///
    /// # Errors
    /// `HostLacks` when there is none or it is too old.
    pub fn find() -> Result<Emulator> {
        let advice = format!("apt-get install {PACKAGE} (or the package of that name in your distribution)");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = std::env::split_paths(&path).map(|folder| folder.join(PROGRAM)).find(|path| path.is_file());
        let Some(program) = program else {
            let failure = Failure::new(Code::HostLacks, format!("{PROGRAM} is not in PATH"));
            bail!(failure.advice(advice));
        };
        let output = std::process::Command::new(&program).arg("--version").stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("running {}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().next().unwrap_or_default().to_owned();
        match emulator::version(&line) {
            Some(version) if version >= VERSION_MIN => {
                let version = line.trim_start_matches("QEMU emulator version ").to_owned();
                Ok(Emulator { program, version })
            }
            _ => {
                let (major, minor) = VERSION_MIN;
                let shown =
                    if line.is_empty() { "does not say its version".to_owned() } else { format!("says {line:?}") };
                let failure = format!("{} {shown}; version {major}.{minor} or newer is needed", program.display());
                bail!(Failure::new(Code::HostLacks, failure).advice(advice))
            }
        }
    }
}

/// What a probe was made with, and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    host_boot: String,
    emulator: String,
    boots: String,
    works: bool,
}

/// The accelerator to use.
///
/// # Errors
/// `HostLacks` when KVM was asked for and does not work.
pub async fn choose(choice: Choice, emulator: &Emulator, image: &Image, interrupt: &Interrupt) -> Result<Accelerator> {
    let denied = std::fs::OpenOptions::new().read(true).write(true).open(DEVICE).err();
    let works = match (choice, &denied) {
        (Choice::Tcg, _) | (Choice::Auto, Some(_)) => false,
        (Choice::Kvm, Some(error)) => {
            let failure = Failure::new(Code::HostLacks, format!("{DEVICE} cannot be used: {error}"));
            bail!(failure.advice("join the group kvm, enable nested virtualisation, or leave --accel out"));
        }
        (Choice::Auto | Choice::Kvm, None) => cached(emulator, image, interrupt).await?,
    };
    match (works, choice) {
        (true, _) => Ok(Accelerator::Kvm),
        (false, Choice::Kvm) => {
            let wait = PROBE_WAIT.as_secs();
            let failure = format!("a machine with KVM did not reach its first program in {wait} s on this host");
            bail!(Failure::new(Code::HostLacks, failure).advice("leave --accel out: the machine is then emulated"))
        }
        (false, _) => Ok(Accelerator::Tcg),
    }
}

/// Whether KVM works: by an earlier probe under the same circumstances, or a new one.
async fn cached(emulator: &Emulator, image: &Image, interrupt: &Interrupt) -> Result<bool> {
    let hash = |name: &str| image.manifest.files.get(name).map(|entry| entry.sha256.clone()).unwrap_or_default();
    // Init is in the root file system: a probe of one without it says nothing of another.
    let programs = format!("{} {}", hash(crate::build::KERNEL), hash(crate::build::ROOT));
    let host_boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    let wanted = Found { host_boot, emulator: emulator.version.clone(), boots: programs, works: false };
    let file = place::cache().map(|folder| folder.join(CACHE)).ok();
    let known = file.as_deref().and_then(read);
    if let Some(known) = known.filter(|known| Found { works: known.works, ..wanted.clone() } == *known) {
        return Ok(known.works);
    }
    let works = tokio::select! {
        works = boots(Accelerator::Kvm, emulator, image, PROBE_WAIT) => works?,
        () = interrupt.wait() => { interrupt.check()?; false }
    };
    if let Some(file) = file {
        // A cache that cannot be written costs a probe the next time, nothing else.
        drop(keep(&file, &Found { works, ..wanted }));
    }
    Ok(works)
}

fn read(file: &Path) -> Option<Found> {
    serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()
}

fn keep(file: &Path, found: &Found) -> Result<()> {
    std::fs::create_dir_all(file.parent().context("a file in a folder")?)?;
    pki::folder::replace(file, serde_json::to_string(found)?.as_bytes(), 0o600)
}

/// Whether a machine gets as far as init in this time.
///
/// # Errors
/// When the emulator cannot be run.
pub async fn boots(accelerator: Accelerator, emulator: &Emulator, image: &Image, wait: Duration) -> Result<bool> {
    let mut command = tokio::process::Command::new(&emulator.program);
    command.args(emulator::probe(accelerator, &image.kernel(), &image.root()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("running {}", emulator.program.display()))?;
    let mut serial = child.stdout.take().context("its standard output is a pipe")?;
    let reaches_init = async {
        let mut lines = milestones::Lines::default();
        let mut bytes = [0; 4096];
        loop {
            match serial.read(&mut bytes).await {
                Ok(0) | Err(_) => return false,
                Ok(count) => {
                    let mut found = lines.push(&bytes[..count]).into_iter().filter_map(|l| milestones::read(&l, 0));
                    if found.any(|milestone| milestone.name == "init") {
                        return true;
                    }
                }
            }
        }
    };
    let works = tokio::time::timeout(wait, reaches_init).await.unwrap_or(false);
    child.kill().await.context("ending the probe machine")?;
    Ok(works)
}
