//! What the process works by: the command line over the machine's settings over the defaults. Pure: the file comes in
//! as text, complaints go out as values.
//!
//! It must not open anything.

mod keys;

use crate::arguments::Arguments;
use crate::verdict::Wanted;
use anyhow::{Context, Result, anyhow, bail};
use pki::login::Code;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;
use store::EnvelopeKey;

pub use keys::Given;

/// Where a machine keeps the store, keys and certificates.
const MACHINE_DATA: &str = "/var/lib/skerry/node";
/// Where a machine's container engine listens.
const CONTAINERD: &str = "/run/containerd/containerd.sock";
/// Node n has the address 10.250.0.n on link `cluster0`.
const NODES: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 0);
/// Node n has the pods 10.244.(n-1).0/24.
const PODS: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 0);
/// Bits of a node's share of the pod addresses.
const NODE_SHARE_BITS: u8 = 24;

/// Seconds that Jobs may take whose end is the end of the machine, when init did not say.
const CI_TIMEOUT_S: u32 = 900;

/// What the process works by. Not `Debug`: it holds secrets.
#[derive(Clone)]
pub struct Settings {
    /// Folder of the store, keys and certificates.
    pub data: PathBuf,
    /// Where the API listens.
    pub bind: IpAddr,
    /// The API's port.
    pub port: u16,
    /// Where pods and other nodes reach this machine.
    pub advertise: IpAddr,
    /// The node's name.
    pub name: String,
    /// Addresses of Services.
    pub service_cidr: String,
    /// This node's share of the pod addresses.
    pub pod_share: (Ipv4Addr, u8),
    /// The cluster's DNS domain.
    pub domain: String,
    /// Where the host is reached from here; pods find it as `host.skerry.internal`.
    pub host: Option<IpAddr>,
    /// Whether pods run here.
    pub kubelet: bool,
    /// Whether this is the appliance, with PID 1 of ours below it.
    pub machine: bool,
    /// The socket of the container engine, where there is one.
    pub containerd: Option<PathBuf>,
    /// The CRI socket of the engine that runs the pods.
    pub runtime: PathBuf,
    /// Whether Docker is beside the pods.
    pub docker: bool,
    /// Whether it answers on TCP without being asked to later.
    pub docker_tcp: bool,
    /// Where an administrator's kubeconfig is written.
    pub kubeconfig_out: Option<PathBuf>,
    /// The one-time code for the first login, if the host chose one.
    pub login_code: Option<Code>,
    /// A file with that code, which goes before it.
    pub login_file: Option<PathBuf>,
    /// Keys for values on disk; the first one seals.
    pub store_keys: Vec<EnvelopeKey>,
    /// The Jobs whose end is the end of the machine.
    pub verdict: Option<Wanted>,
    /// What to log.
    pub log: String,
}

impl Settings {
    /// Merges. The second part of the answer says what was wrong with the file and is not followed.
    ///
    /// # Errors
    /// When a value makes going on unsafe or impossible; names the flag or key.
    pub fn merge(arguments: Arguments, file: Option<&str>) -> Result<(Settings, Vec<String>)> {
        let machine = file.is_some();
        let (given, mut complaints) = Given::read(file.unwrap_or_default())?;
        let data = arguments.data.or_else(|| machine.then(|| MACHINE_DATA.into()));
        let bind =
            arguments.bind.unwrap_or(if machine { Ipv4Addr::UNSPECIFIED.into() } else { Ipv4Addr::LOCALHOST.into() });
        let index = given.number("node.index", 1, 254)?.unwrap_or(1);
        let index = u8::try_from(index).context("skerry.node.index")?;
        let name = arguments.name.or_else(|| given.text("node.name").map(str::to_owned));
        let docker = machine && given.flag("docker.enabled")?.unwrap_or(true);
        let docker_tcp = docker && given.flag("docker.tcp")?.unwrap_or(false);
        let settings = Settings {
            docker,
            docker_tcp,
            runtime: runtime(given.text("node.runtime"))?,
            data: data.ok_or_else(|| anyhow!("--data is missing: name the folder of the store"))?,
            bind,
            port: arguments.port.unwrap_or(6443),
            advertise: advertise(arguments.advertise, bind, index),
            name: name.unwrap_or_else(|| default_name(index)),
            service_cidr: arguments.service_cidr.unwrap_or_else(|| "10.96.0.0/16".to_owned()),
            pod_share: pod_share(index),
            domain: "cluster.local".to_owned(),
            host: given.text("host.address").map(str::parse).transpose().context("skerry.host.address")?,
            kubelet: !arguments.no_kubelet,
            machine,
            containerd: arguments.containerd.or_else(|| machine.then(|| CONTAINERD.into())),
            kubeconfig_out: arguments.kubeconfig_out,
            login_code: given.text("login.code").map(Code::parse).transpose().context("skerry.login.code")?,
            login_file: arguments.login_code,
            store_keys: given
                .text("store.key")
                .map(parse_store_key)
                .transpose()
                .context("skerry.store.key")?
                .into_iter()
                .collect(),
            verdict: verdict(&given, &mut complaints)?,
            log: arguments.log.or_else(|| given.text("node.log").map(str::to_owned)).unwrap_or_else(|| "info".into()),
        };
        Ok((settings, complaints))
    }

    /// The first address of the Service range, which the API has inside the cluster.
    ///
    /// # Errors
    /// When the range is no IPv4 one.
    pub fn first_service_address(&self) -> Result<Ipv4Addr> {
        self.service_address(1)
    }

    /// The nth address of the Service range.
    ///
    /// # Errors
    /// When the range is no IPv4 one.
    pub fn service_address(&self, n: u32) -> Result<Ipv4Addr> {
        let base = self.service_cidr.split('/').next().and_then(|ip| ip.parse::<Ipv4Addr>().ok());
        let base = base
            .ok_or_else(|| anyhow!("--service-cidr {}: give an IPv4 range such as 10.96.0.0/16", self.service_cidr))?;
        Ok(Ipv4Addr::from(u32::from(base) + n))
    }
}

/// The engine that runs the pods: the machine's own containerd, or another by its socket.
fn runtime(given: Option<&str>) -> Result<PathBuf> {
    let socket = match given {
        None | Some("containerd") => return Ok(CONTAINERD.into()),
        Some(other) => PathBuf::from(other.strip_prefix("unix://").unwrap_or(other)),
    };
    if !socket.is_absolute() {
        bail!("skerry.node.runtime={}: give containerd, or the whole path of a CRI socket", socket.display());
    }
    Ok(socket)
}

/// The Jobs whose verdict is waited for; none when no key names any. Init has read the keys already.
fn verdict(given: &Given, complaints: &mut Vec<String>) -> Result<Option<Wanted>> {
    let Some(jobs) = given.text("ci.job") else { return Ok(None) };
    let limit = given.number("ci.timeout", 1, 86_400)?.unwrap_or(CI_TIMEOUT_S);
    let wanted = Wanted::parse(jobs, Duration::from_secs(limit.into()));
    // A verdict that nobody can give is told all the same: the Job of that name is not there.
    let wanted = wanted.unwrap_or_else(|error| {
        complaints.push(format!("skerry.ci.job: {error}"));
        Wanted { jobs: vec![(String::new(), jobs.to_owned())], limit: Duration::from_secs(limit.into()) }
    });
    Ok(Some(wanted))
}

/// As init names a machine that nobody named.
fn default_name(index: u8) -> String {
    if index == 1 { "skerry".to_owned() } else { format!("skerry-{index}") }
}

/// The address that Endpoints of the API show, which may not be a loopback one: by default the fixed internal address
/// of the node.
fn advertise(wanted: Option<IpAddr>, bind: IpAddr, index: u8) -> IpAddr {
    let usable = |ip: &IpAddr| !ip.is_loopback() && !ip.is_unspecified();
    wanted.or(Some(bind).filter(usable)).unwrap_or_else(|| Ipv4Addr::from(u32::from(NODES) + u32::from(index)).into())
}

fn pod_share(index: u8) -> (Ipv4Addr, u8) {
    let share = 1 << (32 - NODE_SHARE_BITS);
    (Ipv4Addr::from(u32::from(PODS) + u32::from(index - 1) * share), NODE_SHARE_BITS)
}

/// A key of 32 bytes, in hexadecimal. Never shown, not even in an error.
///
/// # Errors
/// When it is none.
pub fn parse_store_key(text: &str) -> Result<EnvelopeKey> {
    let mut secret = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        bail!("the store's key has {} letters instead of 64 hexadecimal ones", text.len());
    }
    for (byte, pair) in secret.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).context("the store's key")?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| anyhow!("the store's key is not hexadecimal"))?;
    }
    Ok(EnvelopeKey { id: 1, secret })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn refused(flags: &[&str], file: Option<&str>) -> String {
        merge(flags, file).map(|_| ()).unwrap_err().to_string()
    }

    fn merge(flags: &[&str], file: Option<&str>) -> Result<(Settings, Vec<String>)> {
        let all = std::iter::once("node").chain(flags.iter().copied());
        Settings::merge(Arguments::try_parse_from(all).unwrap(), file)
    }

    #[test]
    fn flags_go_before_the_file_and_the_file_before_defaults() {
        let file = "[node]\nname = \"rock\"\nindex = \"3\"\n";
        let (settings, complaints) = merge(&["--config", "x", "--port", "7443"], Some(file)).unwrap();
        assert_eq!((settings.name.as_str(), settings.port, settings.machine), ("rock", 7443, true));
        assert_eq!(settings.advertise, IpAddr::from([10, 250, 0, 3]));
        assert_eq!(settings.pod_share, (Ipv4Addr::new(10, 244, 2, 0), 24));
        assert!(complaints.is_empty(), "{complaints:?}");
        let (settings, _) = merge(&["--config", "x", "--name", "other"], Some(file)).unwrap();
        assert_eq!(settings.name, "other");
    }

    #[test]
    fn a_folder_alone_makes_a_control_plane_on_loopback() {
        let (settings, _) = merge(&["--data", "/tmp/x"], None).unwrap();
        assert_eq!(settings.bind, IpAddr::from(Ipv4Addr::LOCALHOST));
        assert_eq!(settings.advertise, IpAddr::from([10, 250, 0, 1]));
        assert!(!settings.machine);
    }

    #[test]
    fn an_unknown_key_is_named_and_left_alone() {
        let (_, complaints) = merge(&["--config", "x"], Some("[node]\nnmae = \"x\"\n[frob]\na = \"1\"\n")).unwrap();
        assert_eq!(complaints.len(), 2);
        assert!(
            complaints[1].contains("skerry.node.nmae") && complaints[1].contains("skerry.node.name"),
            "{complaints:?}"
        );
    }

    #[test]
    fn the_engine_is_containerd_or_another_by_its_socket() {
        let of = |value: &str| merge(&["--data", "/x"], Some(&format!("[node]\nruntime = \"{value}\"\n")));
        assert_eq!(of("").unwrap().0.runtime, PathBuf::from(CONTAINERD));
        assert_eq!(of("containerd").unwrap().0.runtime, PathBuf::from(CONTAINERD));
        assert_eq!(of("unix:///run/crio/crio.sock").unwrap().0.runtime, PathBuf::from("/run/crio/crio.sock"));
        let error = of("crio").map(drop).unwrap_err().to_string();
        assert!(error.contains("skerry.node.runtime"), "{error}");
    }

    #[test]
    fn docker_is_in_machines_only_and_on_tcp_when_asked_for() {
        let of = |file: Option<&str>| {
            let (settings, complaints) = merge(&["--data", "/x"], file).unwrap();
            assert!(complaints.is_empty(), "{complaints:?}");
            (settings.docker, settings.docker_tcp)
        };
        assert_eq!(of(None), (false, false));
        assert_eq!(of(Some("")), (true, false));
        assert_eq!(of(Some("[docker]\ntcp = \"yes\"\n")), (true, true));
        assert_eq!(of(Some("[docker]\ntcp = \"yes\"\nenabled = \"no\"\n")), (false, false));
    }

    #[test]
    fn jobs_are_named_by_a_key_and_a_name_that_is_none_is_said() {
        let (settings, _) = merge(&["--config", "x"], Some("[ci]\njob = \"ci/e2e\"\ntimeout = \"60\"\n")).unwrap();
        assert_eq!(settings.verdict, Some(Wanted::parse("ci/e2e", Duration::from_secs(60)).unwrap()));
        let (settings, complaints) = merge(&["--config", "x"], Some("[ci]\njob = \"a/b/c\"\n")).unwrap();
        assert!(settings.verdict.is_some() && complaints[0].contains("skerry.ci.job"), "{complaints:?}");
    }

    #[test]
    fn a_key_that_cannot_be_read_stops_the_node_and_is_not_shown() {
        let secret = "zz".repeat(32);
        let error = refused(&["--config", "x"], Some(&format!("[store]\nkey = \"{secret}\"\n")));
        assert!(error.contains("store.key") && !error.contains("zz"), "{error}");
        assert!(merge(&["--config", "x"], Some("[login]\ncode = \"UUUU\"\n")).is_err());
        assert!(merge(&["--config", "x"], Some("[node]\nindex = \"0\"\n")).is_err());
    }
}
