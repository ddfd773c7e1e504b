//! Runs VBoxManage: found, looked at, obeyed. What is asked of it is decided elsewhere.

use super::{CONFIG, DISK, Desired, Observed, State, name, plan, settings};
use crate::build::disk::{iso, vdi};
use crate::cluster::Cluster;
use crate::cluster::emulator::{CODE, SERIAL_LOG, STORE_KEY};
use crate::cluster::settings::Settings;
use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use anyhow::{Context, Result, anyhow, bail};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program.
const PROGRAM: &str = "VBoxManage";
/// Names the program for those who keep it elsewhere.
const VARIABLE: &str = "SKERRY_VBOXMANAGE";
/// The oldest version that knows the words of the plan.
const VERSION_MIN: (u32, u32) = (7, 0);
/// The disk image in an image folder.
const IMAGE: &str = "skerry.vdi";
/// The label by which the machine finds its settings.
const LABEL: &str = "SKERRY";
/// How VBoxManage says that there is no such machine.
const UNKNOWN: &str = "VBOX_E_OBJECT_NOT_FOUND";

/// VirtualBox on this host.
#[derive(Clone, Debug)]
pub struct VirtualBox {
    program: PathBuf,
    /// Its version, whole.
    pub version: String,
}

impl VirtualBox {
    /// Finds it.
    ///
    /// # Errors
    /// `HostLacks` when there is none or it is too old.
    pub fn find() -> Result<VirtualBox> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let named = std::env::var_os(VARIABLE).map(PathBuf::from);
        let program = named
            .or_else(|| std::env::split_paths(&path).map(|folder| folder.join(PROGRAM)).find(|path| path.is_file()));
        let advice = "install VirtualBox 7.0 or newer (https://www.virtualbox.org), or leave --driver out";
        let Some(program) = program else {
            bail!(Failure::new(Code::HostLacks, format!("{PROGRAM} is not in PATH")).advice(advice));
        };
        let found = VirtualBox { program, version: String::new() };
        let said = found.run(&["--version".to_owned()])?;
        // Warnings about a missing kernel driver come first.
        let version = said.lines().last().unwrap_or_default().trim().to_owned();
        let mut numbers = version.split('.').map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= VERSION_MIN => Ok(VirtualBox { version, ..found }),
            _ => {
                let why = format!("{} is of version {version:?}; 7.0 or newer is needed", found.program.display());
                bail!(Failure::new(Code::HostLacks, why).advice(advice))
            }
        }
    }

    /// The program that runs a machine without a window, beside this one.
    pub fn headless(&self) -> PathBuf {
        self.program.with_file_name("VBoxHeadless")
    }

    /// Runs one command line; what it prints.
    ///
    /// # Errors
    /// In VirtualBox's own words.
    pub fn run(&self, line: &[String]) -> Result<String> {
        let output = Command::new(&self.program).args(line).stdin(Stdio::null()).output();
        let output = output.map_err(|error| {
            Failure::new(Code::HostLacks, format!("starting {}: {error}", self.program.display()))
                .advice(format!("check the installation of VirtualBox, and {VARIABLE} if it is set"))
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let line = line.iter().take(2).cloned().collect::<Vec<_>>().join(" ");
        Err(anyhow!(
            Failure::new(Code::HostLacks, format!("VirtualBox refuses {line:?}: {}", words(&said)))
                .advice(format!("try the same by hand: {PROGRAM} {line} …"))
        ))
    }

    /// What VirtualBox says of a machine; none when it does not know it.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn look(&self, machine: &str) -> Result<Option<Observed>> {
        let line = ["showvminfo", machine, "--machinereadable"].map(str::to_owned);
        match self.run(&line) {
            Ok(text) => Ok(Some(Observed::parse(&text))),
            Err(error) if error.to_string().contains(UNKNOWN) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What a complaint says, without the parts for VirtualBox's own developers.
fn words(said: &str) -> String {
    let errors: Vec<&str> = said
        .lines()
        .filter_map(|line| line.split_once("error: "))
        .map(|(_, text)| text.trim())
        .filter(|text| !text.starts_with("Context:"))
        .collect();
    if errors.is_empty() { said.trim().to_owned() } else { errors.join("; ") }
}

/// What a start has made so far in VirtualBox, to be taken back when it goes wrong.
#[derive(Debug, Default)]
pub struct Made {
    machine: Option<(VirtualBox, String)>,
}

impl Made {
    /// Takes back.
    ///
    /// # Errors
    /// In VirtualBox's own words.
    pub fn undo(&mut self) -> Result<()> {
        match self.machine.take() {
            // The first command may have been the one that failed.
            Some((virtualbox, machine)) if virtualbox.look(&machine)?.is_some() => remove(&virtualbox, &machine),
            _ => Ok(()),
        }
    }
}

/// Makes the machine, or brings it in line with the settings; and its disks. `made` knows what must be undone.
///
/// # Errors
/// `Refused` for an image without a disk or words for the kernel, `Taken` when the machine runs, else VirtualBox's words.
pub fn prepare(cluster: &Cluster, config: &Settings, made: &mut Made, interrupt: &Interrupt) -> Result<()> {
    let virtualbox = VirtualBox::find()?;
    let desired = Desired {
        name: name(&cluster.name),
        folder: cluster.folder.clone(),
        memory_mb: config.memory_mb,
        cpus: config.cpus,
        port: config.port,
        serial: cluster.path(SERIAL_LOG),
    };
    let observed = virtualbox.look(&desired.name)?;
    if let Some(State::Busy(state)) = observed.as_ref().map(Observed::state) {
        let failure = Failure::new(Code::Taken, format!("VirtualBox says that {:?} is {state}", desired.name));
        bail!(failure.advice(format!("{PROGRAM} controlvm {} poweroff, then try again", desired.name)));
    }
    settings_disk(cluster, config)?;
    system_disk(cluster, config)?;
    if observed.is_none() {
        made.machine = Some((virtualbox.clone(), desired.name.clone()));
    }
    for line in plan(&desired, observed.as_ref()) {
        // Ctrl-C ends VBoxManage, too: then that is what happened, and not what it says.
        virtualbox.run(&line).or_else(|error| interrupt.check().map_err(Into::into).and(Err(error)))?;
        interrupt.check()?;
    }
    let file = cluster.path(DISK).display().to_string();
    let size = config.disk_bytes.to_string();
    if vdi::size(&mut File::open(cluster.path(DISK))?)? < config.disk_bytes {
        virtualbox.run(&["modifymedium", "disk", &file, "--resizebyte", &size].map(str::to_owned))?;
    }
    Ok(())
}

/// The settings of this boot, for the owner's eyes alone.
fn settings_disk(cluster: &Cluster, config: &Settings) -> Result<()> {
    let read = |name: &str| {
        let path = cluster.path(name);
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    let text = settings(&read(CODE)?, &read(STORE_KEY)?, &config.words())
        .map_err(|why| Failure::new(Code::Usage, format!("--append: {why}")).advice("give it skerry.* words only"))?;
    let disk = iso::data(LABEL, &[("SKERRY.TOML;1", text.as_bytes())])?;
    pki::folder::replace(&cluster.path(CONFIG), &disk, 0o600)
}

/// A copy of the image's disk with an id of its own, once: it holds the state, too.
fn system_disk(cluster: &Cluster, config: &Settings) -> Result<()> {
    let place = cluster.path(DISK);
    if place.exists() {
        return Ok(());
    }
    let image = config.image.join(IMAGE);
    check(&image, &config.image)?;
    let fresh = tempfile::NamedTempFile::new_in(&cluster.folder)?;
    std::fs::copy(&image, fresh.path()).with_context(|| format!("copying {}", image.display()))?;
    let id = u128::from_be_bytes(pki::key::random::<16>()?);
    let mut file: File = OpenOptions::new().read(true).write(true).open(fresh.path())?;
    vdi::rename(&mut file, id & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62)).map_err(|error| {
        Failure::new(Code::Refused, format!("{}: {error:#}", image.display()))
            .advice("build or download the image again")
    })?;
    file.sync_all()?;
    fresh.persist(&place).with_context(|| format!("making {}", place.display()))?;
    Ok(())
}

/// A download that broke off is found before VirtualBox sees it.
fn check(file: &Path, folder: &Path) -> Result<()> {
    let found = file.metadata().map(|about| about.len()).ok();
    let manifest = crate::build::Manifest::read(folder);
    let wanted = manifest.and_then(|manifest| manifest.files.get(IMAGE).map(|entry| entry.size));
    let (message, advice) = match (found, wanted) {
        (None, _) => (format!("{} is missing", file.display()), "skerry build --format vdi makes it"),
        (Some(found), Some(wanted)) if found != wanted => {
            (format!("{} has {found} bytes instead of {wanted}", file.display()), "build or download the image again")
        }
        _ => return Ok(()),
    };
    bail!(Failure::new(Code::Refused, message).advice(advice))
}

/// Removes a cluster's machine with its disks; one that VirtualBox does not know is gone already.
///
/// # Errors
/// In VirtualBox's own words.
pub fn forget(cluster: &Cluster) -> Result<()> {
    let virtualbox = VirtualBox::find()?;
    let machine = name(&cluster.name);
    if virtualbox.look(&machine)?.is_some() { remove(&virtualbox, &machine) } else { Ok(()) }
}

fn remove(virtualbox: &VirtualBox, machine: &str) -> Result<()> {
    virtualbox.run(&["unregistervm", machine, "--delete"].map(str::to_owned)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_without_what_only_developers_read() {
        let said = "VBoxManage: error: Could not find a registered machine named 'x'\n\
                    VBoxManage: error: Details: code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001), component VirtualBoxWrap\n\
                    VBoxManage: error: Context: \"FindMachine()\" at line 3248 of file VBoxManageInfo.cpp\n";
        assert_eq!(
            words(said),
            "Could not find a registered machine named 'x'; Details: code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001), \
             component VirtualBoxWrap"
        );
        assert_eq!(words("plain\n"), "plain");
    }
}
