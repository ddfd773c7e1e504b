//! Ports of 127.0.0.1 on the host: whether one is free, and the next that is.

use crate::exit::{Code, Failure};
use anyhow::{Result, bail};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// The API's port when it is free.
pub const API: u16 = 6443;
/// Ports that are tried after the wanted one.
pub const TRIES: u16 = 100;

/// A transport of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// The word that the emulator's monitor uses.
    pub fn word(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }
}

/// Whether this user can listen on a port now.
pub fn is_free(protocol: Protocol, port: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port);
    match protocol {
        Protocol::Tcp => TcpListener::bind(address).is_ok(),
        Protocol::Udp => UdpSocket::bind(address).is_ok(),
    }
}

/// The port for an API: exactly the one asked for, else the preferred or one after it that `is_free` and that no other
/// cluster keeps for itself.
///
/// # Errors
/// `Taken`.
pub fn choose(asked: Option<u16>, preferred: u16, kept: &[u16], is_free: impl Fn(u16) -> bool) -> Result<u16> {
    if let Some(port) = asked {
        if is_free(port) {
            return Ok(port);
        }
        let failure = Failure::new(Code::Taken, format!("port {port} of 127.0.0.1 is taken"));
        bail!(failure.advice("choose another --port, or leave it out for the next free one"));
    }
    let found =
        (0..=TRIES).filter_map(|n| preferred.checked_add(n)).find(|port| !kept.contains(port) && is_free(*port));
    found.ok_or_else(|| {
        let failure = Failure::new(
            Code::Taken,
            format!("ports {preferred} to {} are all taken", preferred.saturating_add(TRIES)),
        );
        failure.advice("choose another with --port").into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_free_port_is_taken_unless_one_was_asked_for() {
        let free = |port| ![6443, 6445].contains(&port);
        assert_eq!(choose(None, 6443, &[], free).unwrap(), 6444);
        assert_eq!(choose(None, 6443, &[6444], free).unwrap(), 6446);
        assert_eq!(choose(Some(7000), 6443, &[7000], free).unwrap(), 7000);
        let failure = Failure::of(choose(Some(6443), 6443, &[], free).unwrap_err());
        assert_eq!(failure.code, Code::Taken);
        assert_eq!(Failure::of(choose(None, 65_500, &[], |_| false).unwrap_err()).code, Code::Taken);
    }

    #[test]
    fn a_port_with_a_listener_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(Protocol::Tcp, port));
        drop(listener);
        assert!(is_free(Protocol::Tcp, port));
    }
}
