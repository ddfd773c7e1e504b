//! Answers in the words of the CNI specification.

use super::lease::Lease;
use crate::setup::gateway;
use serde_json::{Value, json};
use std::fmt::Display;

/// Versions spoken, the oldest first.
pub const VERSIONS: [&str; 4] = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// The newest version spoken.
#[must_use]
pub fn newest() -> &'static str {
    "1.1.0"
}

/// Error codes of the specification that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A version that we do not speak.
    Version = 1,
    /// Whatever is in the environment is wrong.
    Environment = 4,
    /// A file or the kernel.
    Io = 5,
    /// The configuration is not what it should be.
    Decode = 6,
    /// A value of the configuration.
    Config = 7,
    /// Full at the moment.
    Later = 11,
    /// ADD could not be served now.
    Unavailable = 50,
    /// A host port that somebody else has.
    PortTaken = 100,
    /// CHECK found something missing.
    Missing = 101,
}

/// A failed command.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// What callers tell apart.
    pub code: Code,
    /// What was attempted.
    pub what: String,
    /// Why it failed, and what to do.
    pub why: String,
}

impl Failure {
    /// A failure of an attempt.
    pub fn new(code: Code, what: impl Display, why: impl Display) -> Failure {
        Failure { code, what: what.to_string(), why: why.to_string() }
    }

    /// As it is printed.
    #[must_use]
    pub fn json(&self, version: &str) -> Value {
        json!({
            "cniVersion": version,
            "code": self.code as u32,
            "msg": format!("skerry-cni: {}", self.what),
            "details": self.why,
        })
    }
}

/// A kernel's refusal.
pub fn refused(what: impl Display) -> impl FnOnce(String) -> Failure {
    move |why| Failure::new(Code::Io, what, why)
}

/// The result of ADD.
#[must_use]
pub fn added(version: &str, lease: &Lease, bridge: &str, macs: [String; 3], sandbox: &str) -> Value {
    let [bridge_mac, host_mac, pod_mac] = macs;
    let ip = |address: &crate::cidr::Cidr| {
        let mut ip = json!({"address": address, "gateway": gateway(*address).address, "interface": 2});
        if version.starts_with("0.") {
            ip["version"] = json!(if address.address.is_ipv4() { "4" } else { "6" });
        }
        ip
    };
    let route = |address: &crate::cidr::Cidr| {
        let everything = if address.address.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        json!({"dst": everything, "gw": gateway(*address).address})
    };
    json!({
        "cniVersion": version,
        "interfaces": [
            {"name": bridge, "mac": bridge_mac},
            {"name": lease.host_link, "mac": host_mac},
            {"name": lease.interface, "mac": pod_mac, "sandbox": sandbox},
        ],
        "ips": lease.addresses.iter().map(ip).collect::<Vec<_>>(),
        "routes": lease.addresses.iter().map(route).collect::<Vec<_>>(),
        "dns": {},
    })
}
