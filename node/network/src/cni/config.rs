//! What the plugin is told: the network configuration from standard input, the attachment from the environment, and
//! the file that `node` writes for containerd.

use super::reply::{Code, Failure, VERSIONS, newest};
use crate::cidr::Cidr;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The program's name, by which containerd finds it.
pub const PLUGIN: &str = "skerry-cni";
/// The network's name.
pub const NETWORK: &str = "skerry";
/// The configuration's file name; containerd takes the first of its folder.
pub const CONFIG_FILE: &str = "10-skerry.conflist";
/// Where leases are kept. They end with the machine's run, as the pods' network namespaces do.
const STATE: &str = "/run/skerry/cni";
/// The bridge.
const BRIDGE: &str = "cni0";
/// Bytes of a link's name.
const LINK_NAME_BYTES_MAX: usize = 15;

/// A port of the machine that leads to a pod. containerd writes the fields with capitals (go-cni gives them no names for
/// JSON, and plugins in Go do not mind), the convention is without.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortMapping {
    /// The machine's port; 0 for none.
    #[serde(alias = "HostPort")]
    pub host_port: u16,
    /// The pod's port.
    #[serde(alias = "ContainerPort")]
    pub container_port: u16,
    /// Its protocol in small letters; TCP when empty.
    #[serde(alias = "Protocol")]
    pub protocol: String,
    /// The machine's address; every one when empty.
    #[serde(rename = "hostIP", alias = "HostIP")]
    pub host_ip: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Runtime {
    port_mappings: Vec<PortMapping>,
}

/// An attachment that containerd still knows, in GC.
#[derive(Debug, Deserialize)]
pub struct Known {
    /// The pod's sandbox.
    #[serde(rename = "containerID")]
    pub container: String,
    /// The link inside.
    #[serde(rename = "ifname")]
    pub interface: String,
}

/// The network configuration.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The version that the answer is to have.
    #[serde(default)]
    pub cni_version: String,
    /// The bridge's name.
    #[serde(default = "bridge")]
    pub bridge: String,
    /// Bytes of the largest packet; 0 takes the bridge's.
    #[serde(default)]
    pub mtu: u32,
    /// The node's ranges, at most one of each family.
    #[serde(default)]
    pub ranges: Vec<Cidr>,
    /// Where leases are kept.
    #[serde(default = "state")]
    pub state: PathBuf,
    #[serde(default)]
    runtime_config: Runtime,
    /// What is still in use, in GC; nothing in other commands. An engine without any says `null`, as Go writes a list
    /// that was never begun.
    #[serde(rename = "cni.dev/valid-attachments", default, deserialize_with = "listed")]
    pub known: Option<Vec<Known>>,
}

fn listed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Known>>, D::Error> {
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or_default()))
}

fn bridge() -> String {
    BRIDGE.to_owned()
}

fn state() -> PathBuf {
    STATE.into()
}

/// The version in a configuration that may be broken otherwise.
#[must_use]
pub fn version_of(input: &[u8]) -> String {
    let whole: Option<serde_json::Value> = serde_json::from_slice(input).ok();
    let version = whole.as_ref().and_then(|whole| whole["cniVersion"].as_str());
    version.filter(|version| VERSIONS.contains(version)).unwrap_or(newest()).to_owned()
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// What is wrong with which field.
    pub fn read(input: &[u8]) -> Result<Config, Failure> {
        let config: Config = serde_json::from_slice(input)
            .map_err(|e| Failure::new(Code::Decode, "read the network configuration", e))?;
        if !VERSIONS.contains(&config.cni_version.as_str()) {
            let why = format!("it must be one of {}", VERSIONS.join(", "));
            return Err(Failure::new(Code::Version, format!("cniVersion is {:?}", config.cni_version), why));
        }
        let of = |four: bool| config.ranges.iter().filter(|range| range.address.is_ipv4() == four).count();
        if config.ranges.is_empty() || of(true) > 1 || of(false) > 1 {
            let why = "it must have one range of addresses, or one of each family, such as [\"10.244.0.0/24\"]";
            return Err(Failure::new(Code::Config, "ranges cannot be used", why));
        }
        if let Some(small) = config.ranges.iter().find(|range| range.nth(3).is_none()) {
            let why = "it must have room for the gateway and two pods";
            return Err(Failure::new(Code::Config, format!("the range {small} in ranges is too small"), why));
        }
        if config.bridge.is_empty() || config.bridge.len() > LINK_NAME_BYTES_MAX {
            let why = format!("it must have 1 to {LINK_NAME_BYTES_MAX} characters");
            return Err(Failure::new(Code::Config, format!("bridge is {:?}", config.bridge), why));
        }
        for port in config.ports() {
            if crate::nft::Protocol::named(&port.protocol).is_none() {
                let what = format!("protocol of host port {} is {:?}", port.host_port, port.protocol);
                return Err(Failure::new(Code::Config, what, "it must be tcp, udp or sctp"));
            }
            if !port.host_ip.is_empty() && port.host_ip.parse::<IpAddr>().is_err() {
                let what = format!("hostIP of host port {} is {:?}", port.host_port, port.host_ip);
                return Err(Failure::new(Code::Config, what, "it must be an IP address or empty"));
            }
        }
        Ok(config)
    }

    /// The host ports of the pod.
    pub fn ports(&self) -> impl Iterator<Item = &PortMapping> {
        self.runtime_config.port_mappings.iter().filter(|port| port.host_port != 0)
    }
}

/// One pod's link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The pod's sandbox.
    pub container: String,
    /// The link inside.
    pub interface: String,
    /// The path of the pod's network namespace; empty when it is gone.
    pub netns: String,
}

impl Attachment {
    /// Reads it from the environment.
    ///
    /// # Errors
    /// A variable that is missing or cannot be a name.
    pub fn of(environment: &BTreeMap<String, String>, needs_netns: bool) -> Result<Attachment, Failure> {
        let read = |name: &str| environment.get(name).cloned().unwrap_or_default();
        let attachment =
            Attachment { container: read("CNI_CONTAINERID"), interface: read("CNI_IFNAME"), netns: read("CNI_NETNS") };
        let is_name = |text: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric()) && text.bytes().all(fits)
        };
        let wrong = |name: &str, value: &str, rule: &str| {
            Err(Failure::new(Code::Environment, format!("{name} is {value:?}"), rule))
        };
        if !is_name(&attachment.container) {
            return wrong(
                "CNI_CONTAINERID",
                &attachment.container,
                "it must begin with a letter or digit and have only those, '_', '.' and '-'",
            );
        }
        if !is_name(&attachment.interface) || attachment.interface.len() > LINK_NAME_BYTES_MAX {
            return wrong("CNI_IFNAME", &attachment.interface, "it must be the name of a link, such as eth0");
        }
        if needs_netns && attachment.netns.is_empty() {
            return wrong("CNI_NETNS", "", "it must be the path of the pod's network namespace");
        }
        Ok(attachment)
    }
}

/// Writes the configuration for containerd into a folder, in one step. `ranges` are the node's, at most one of each
/// family.
///
/// # Errors
/// The folder or file could not be written.
pub fn write_config(folder: &Path, ranges: &[Cidr]) -> io::Result<()> {
    let list = json!({
        "cniVersion": newest(),
        "name": NETWORK,
        "plugins": [{
            "type": PLUGIN,
            "bridge": BRIDGE,
            "ranges": ranges,
            "capabilities": {"portMappings": true},
        }],
    });
    let said = |path: &Path, e: io::Error| io::Error::new(e.kind(), format!("write {}: {e}", path.display()));
    fs::create_dir_all(folder).map_err(|e| said(folder, e))?;
    // containerd looks at names that end in .conflist, .conf and .json only.
    let (path, fresh) = (folder.join(CONFIG_FILE), folder.join(format!("{CONFIG_FILE}.new")));
    fs::write(&fresh, format!("{list:#}\n")).map_err(|e| said(&fresh, e))?;
    fs::rename(&fresh, &path).map_err(|e| said(&path, e))
}
