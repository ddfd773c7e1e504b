//! Runs VBoxManage: found, looked at, obeyed. What is asked of it is decided elsewhere.

use super::{CONFIG, DISK, Desired, Observed, State, name, plan, settings};
use crate::build::disk::{iso, vdi};
use crate::cluster::emulator::{CODE, SERIAL_LOG, STORE_KEY};
use crate::cluster::settings::Settings;
use crate::cluster::{Cluster, outward};
use crate::config_disk::{self, Entry};
use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use anyhow::{Context, Result, anyhow, bail};
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program.
const PROGRAM: &str = "VBoxManage";
/// Names the program for those who keep it elsewhere.
const VARIABLE: &str = "SKERRY_VBOXMANAGE";
/// The oldest version that knows the words of the plan.
const VERSION_MIN: (u32, u32) = (7, 0);
/// The CD in an image folder.
const IMAGE: &str = "skerry.iso";
/// The file that the machine takes as more certificate authorities; all else that is handed over is a value.
const AUTHORITIES: &str = "ca.pem";
/// The one disk of clusters that were made when the state lay on the same disk as the system.
const OLD_DISK: &str = "disk.vdi";
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
    /// `HostLacks` when there is none, it is too old, or only half of it is there.
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
        let why = match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= VERSION_MIN => {
                if found.headless().is_file() {
                    return Ok(VirtualBox { version, ..found });
                }
                format!("{} is missing, which belongs to VirtualBox", found.headless().display())
            }
            _ => format!("{} is of version {version:?}; 7.0 or newer is needed", found.program.display()),
        };
        bail!(Failure::new(Code::HostLacks, why).advice(advice))
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
        // Ctrl-C goes to the whole group, and may have ended VBoxManage before this program has heard of it.
        if output.status.signal() == Some(nix::libc::SIGINT) {
            bail!(Failure::new(Code::Interrupted, "interrupted"));
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

/// Makes the machine, or brings it in line with the settings; its state disk, once; and the CD with its settings and
/// `manifests`. `made` knows what must be undone.
///
/// # Errors
/// `Refused` for an image without a CD, a state disk that is not there any more or words for the kernel, `Taken` when
/// the machine runs, else VirtualBox's words.
pub fn prepare(
    cluster: &Cluster,
    config: &Settings,
    manifests: Vec<Entry>,
    made: &mut Made,
    interrupt: &Interrupt,
) -> Result<()> {
    let virtualbox = VirtualBox::find()?;
    let desired = Desired {
        name: name(&cluster.name),
        folder: cluster.folder.clone(),
        system: config.image.join(IMAGE),
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
    check(&desired.system, &config.image)?;
    state_disk(cluster, config)?;
    settings_cd(cluster, config, manifests)?;
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

/// What the machine is told at this boot, for the owner's eyes alone.
fn settings_cd(cluster: &Cluster, config: &Settings, manifests: Vec<Entry>) -> Result<()> {
    let mut values = Vec::new();
    let mut entries = manifests;
    let known = [("skerry.login.code", CODE), ("skerry.store.key", STORE_KEY)];
    for (name, file) in known.into_iter().chain(outward::handed(cluster)) {
        let path = cluster.path(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        if name == AUTHORITIES {
            entries.push(Entry { place: name.to_owned(), content: text.into_bytes() });
        } else {
            values.push((name, text));
        }
    }
    let text = settings(&values, &config.words())
        .map_err(|why| Failure::new(Code::Usage, format!("--append: {why}")).advice("give it skerry.* words only"))?;
    entries.push(Entry { place: "skerry.toml".to_owned(), content: text.into_bytes() });
    config_disk::write_cd(&cluster.path(CONFIG), &entries)
}

/// Makes the state disk of a new cluster, blank and with an id of its own. One that was there and is not any more is not
/// made anew: the state is on it.
fn state_disk(cluster: &Cluster, config: &Settings) -> Result<()> {
    let place = cluster.path(DISK);
    if place.exists() {
        return Ok(());
    }
    if cluster.exists() {
        let (why, advice) = if cluster.path(OLD_DISK).exists() {
            let why = format!("cluster {:?} was made when VirtualBox's disk held the system, too", cluster.name);
            (why, String::new())
        } else {
            (format!("the state disk {} is missing", place.display()), "restore it from a copy, or ".to_owned())
        };
        let advice =
            format!("{advice}skerry delete --name {} and start anew: what is in it is lost then", cluster.name);
        bail!(Failure::new(Code::Refused, why).advice(advice));
    }
    let mut fresh = tempfile::NamedTempFile::new_in(&cluster.folder)?;
    let random = u128::from_be_bytes(pki::key::random::<16>()?);
    // RFC 9562, version 4.
    let id = random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    vdi::blank(config.disk_bytes, id, fresh.as_file_mut()).with_context(|| format!("making {}", place.display()))?;
    fresh.as_file().sync_all()?;
    fresh.persist(&place).with_context(|| format!("making {}", place.display()))?;
    Ok(())
}

/// A download that broke off is found before VirtualBox sees it.
fn check(file: &Path, folder: &Path) -> Result<()> {
    let found = file.metadata().map(|about| about.len()).ok();
    let manifest = crate::build::Manifest::read(folder);
    let wanted = manifest.and_then(|manifest| manifest.files.get(IMAGE).map(|entry| entry.size));
    let again = "build or download the image again";
    let (message, advice) = match (found, wanted) {
        (None, _) => (format!("{} is missing", file.display()), "skerry build --format iso makes it"),
        (Some(found), Some(wanted)) if found != wanted => {
            (format!("{} has {found} bytes instead of {wanted}", file.display()), again)
        }
        _ => match File::open(file).map_err(Into::into).and_then(|mut file| iso::check(&mut file)) {
            Ok(()) => return Ok(()),
            Err(error) => (format!("{}: {error:#}", file.display()), again),
        },
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
