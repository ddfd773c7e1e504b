//! Who has which address: one small file for each attachment, under one lock.
//!
//! The files live in memory (`/run`): they are as old as the pods' network namespaces, which end with the machine's
//! run, so nothing is ever left over from before and nothing need be flushed to a disk.

use super::config::{Attachment, PortMapping};
use super::reply::{Code, Failure};
use crate::cidr::Cidr;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

const LOCK: &str = "lock";
/// Remembers the address given last, so that a fresh pod does not get one that others may still be sending to.
const LAST: &str = "last-";
const SUFFIX: &str = ".json";

/// What one attachment has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The pod's sandbox.
    pub container: String,
    /// The link inside.
    pub interface: String,
    /// The link outside.
    pub host_link: String,
    /// Its addresses with their networks, at most one of each family.
    pub addresses: Vec<Cidr>,
    /// Its host ports.
    pub ports: Vec<PortMapping>,
}

/// All leases of this machine, locked against other runs of the plugin as long as this lives.
pub struct Leases {
    folder: PathBuf,
    _lock: Flock<File>,
}

fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let what = format!("{what} {}", path.display());
    move |why| Failure::new(Code::Io, what, why)
}

/// The outer link's name: stable for an attachment, and short enough for a link.
#[must_use]
pub fn host_link(container: &str, interface: &str) -> String {
    // FNV-1a: spreads names, need not withstand anybody; a clash is refused by the kernel.
    let hash = container.bytes().chain([0]).chain(interface.bytes());
    let hash = hash.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("veth{:010x}", hash & 0xff_ffff_ffff)
}

impl Leases {
    /// Opens the folder and waits for whoever has it.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(folder: &Path) -> Result<Leases, Failure> {
        fs::create_dir_all(folder).map_err(failed("make the folder of leases", folder))?;
        let path = folder.join(LOCK);
        let file = File::create(&path).map_err(failed("open", &path))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, e)| Failure::new(Code::Io, format!("lock {}", path.display()), e))?;
        Ok(Leases { folder: folder.to_owned(), _lock: lock })
    }

    fn path(&self, container: &str, interface: &str) -> PathBuf {
        self.folder.join(format!("{container}@{interface}{SUFFIX}"))
    }

    /// Every lease. A file that cannot be read as one is told and left alone.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn all(&self) -> Result<Vec<Lease>, Failure> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed("read", &self.folder))? {
            let path = entry.map_err(failed("read", &self.folder))?.path();
            if !path.to_string_lossy().ends_with(SUFFIX) {
                continue;
            }
            let text = fs::read(&path).map_err(failed("read", &path))?;
            match serde_json::from_slice(&text) {
                Ok(lease) => all.push(lease),
                Err(why) => eprintln!("skerry-cni: {} is no lease and is ignored: {why}", path.display()),
            }
        }
        Ok(all)
    }

    /// The lease of an attachment.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn find(&self, attachment: &Attachment) -> Result<Option<Lease>, Failure> {
        let path = self.path(&attachment.container, &attachment.interface);
        match fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed("read", &path)(e)),
        }
    }

    /// A lease of the next free address of each range, not yet kept.
    ///
    /// # Errors
    /// A range is full.
    pub fn draw(&self, attachment: &Attachment, ranges: &[Cidr], ports: Vec<PortMapping>) -> Result<Lease, Failure> {
        let used: BTreeSet<IpAddr> = self.all()?.iter().flat_map(|l| &l.addresses).map(|own| own.address).collect();
        let mut addresses = Vec::new();
        for range in ranges {
            let address = next(*range, &used, self.last(*range)).ok_or_else(|| {
                let why =
                    format!("all {} addresses are in use; delete pods or give the node a larger range", used.len());
                Failure::new(Code::Later, format!("take an address from {range}"), why)
            })?;
            addresses.push(Cidr { address, prefix: range.prefix });
        }
        Ok(Lease {
            container: attachment.container.clone(),
            interface: attachment.interface.clone(),
            host_link: host_link(&attachment.container, &attachment.interface),
            addresses,
            ports,
        })
    }

    fn last_path(&self, range: Cidr) -> PathBuf {
        self.folder.join(format!("{LAST}{}", if range.address.is_ipv4() { 4 } else { 6 }))
    }

    fn last(&self, range: Cidr) -> Option<IpAddr> {
        fs::read_to_string(self.last_path(range)).ok()?.parse().ok()
    }

    /// Keeps a lease.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, lease: &Lease) -> Result<(), Failure> {
        let path = self.path(&lease.container, &lease.interface);
        let fresh = path.with_extension("new");
        let text = serde_json::to_vec(lease).map_err(|e| Failure::new(Code::Io, "encode a lease", e))?;
        fs::write(&fresh, text).map_err(failed("write", &fresh))?;
        fs::rename(&fresh, &path).map_err(failed("write", &path))?;
        for own in &lease.addresses {
            let path = self.last_path(*own);
            fs::write(&path, own.address.to_string()).map_err(failed("write", &path))?;
        }
        Ok(())
    }

    /// Gives a lease back; one that is gone is fine.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn end(&self, container: &str, interface: &str) -> Result<(), Failure> {
        let path = self.path(container, interface);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(e)),
            _ => Ok(()),
        }
    }
}

/// The first free address after `last`, around the range. The network's own, the gateway's and, in IPv4, the
/// broadcast address are never given.
fn next(range: Cidr, used: &BTreeSet<IpAddr>, last: Option<IpAddr>) -> Option<IpAddr> {
    let is_pods = |address: IpAddr| {
        range.contains(address)
            && address > crate::setup::gateway(range).address
            && !(address.is_ipv4() && address == range.last())
            && !used.contains(&address)
    };
    let begin = last
        .filter(|last| range.contains(*last))
        .map_or(0, |last| u64::try_from(crate::cidr::number(last) - crate::cidr::number(range.network())).unwrap_or(0));
    // Of as many places as are used, and the four that pods never get, one more must be free.
    let tries = used.len() as u64 + 5;
    let after = (1..=tries).filter_map(|step| range.nth(begin + step));
    let from_start = (0..=tries).filter_map(|step| range.nth(step));
    after.chain(from_start).find(|address| is_pods(*address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_of(range: &str, used: &[&str], last: &str) -> Option<String> {
        let used = used.iter().map(|text| text.parse().unwrap()).collect();
        next(range.parse().unwrap(), &used, last.parse().ok()).map(|address| address.to_string())
    }

    #[test]
    fn addresses_go_around_the_range_and_skip_what_pods_never_get() {
        assert_eq!(next_of("10.1.0.0/29", &[], "").unwrap(), "10.1.0.2");
        assert_eq!(next_of("10.1.0.0/29", &["10.1.0.2"], "10.1.0.2").unwrap(), "10.1.0.3");
        assert_eq!(next_of("10.1.0.0/29", &["10.1.0.5"], "10.1.0.6").unwrap(), "10.1.0.2");
        assert_eq!(next_of("10.1.0.0/29", &[], "10.9.0.6").unwrap(), "10.1.0.2");
        assert_eq!(next_of("10.1.0.0/30", &["10.1.0.2"], "10.1.0.2"), None);
        assert_eq!(next_of("fd00::/64", &["fd00::2"], "fd00::2").unwrap(), "fd00::3");
    }

    #[test]
    fn a_full_range_is_told_and_a_lease_given_back_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let leases = Leases::open(folder.path()).unwrap();
        let pod =
            |name: &str| Attachment { container: name.to_owned(), interface: "eth0".to_owned(), netns: String::new() };
        let range = ["10.1.0.0/29".parse().unwrap()];
        for n in 0..5 {
            leases.keep(&leases.draw(&pod(&format!("p{n}")), &range, Vec::new()).unwrap()).unwrap();
        }
        assert_eq!(leases.draw(&pod("p9"), &range, Vec::new()).unwrap_err().code, Code::Later);
        let freed = leases.find(&pod("p3")).unwrap().unwrap();
        leases.end("p3", "eth0").unwrap();
        leases.end("p3", "eth0").unwrap();
        assert_eq!(leases.draw(&pod("p9"), &range, Vec::new()).unwrap().addresses, freed.addresses);
        assert_eq!(host_link("p9", "eth0").len(), 14);
    }
}
