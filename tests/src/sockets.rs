//! The kernel's tables of sockets, read: who listens where. Pure; the text comes from `/proc/net` of some machine.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A socket that takes connections, or datagrams from anybody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// `tcp`, `tcp6`, `udp` or `udp6`.
    pub protocol: String,
    /// Where it is bound.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} port {}", self.protocol, self.address, self.port)
    }
}

/// `TCP_LISTEN`, and for datagrams `TCP_CLOSE`, which stands for "not connected" (proc_pid_net(5)).
const STATES: &[(&str, &str)] = &[("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")];

/// The listeners of one table. `protocol` is the table's file name.
///
/// # Errors
/// Names the line that is malformed.
pub fn listeners(protocol: &str, table: &str) -> Result<Vec<Listener>, String> {
    let (_, state) = STATES.iter().find(|(name, _)| *name == protocol).ok_or(format!("no table {protocol}"))?;
    let mut found = Vec::new();
    for line in table.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(local), Some(is)) = (words.get(1), words.get(3)) else { return Err(format!("a short line: {line}")) };
        if is != state {
            continue;
        }
        let (address, port) = local.split_once(':').ok_or(format!("no port: {line}"))?;
        let address = address_of(address).ok_or(format!("no address: {line}"))?;
        let port = u16::from_str_radix(port, 16).map_err(|_| format!("no port: {line}"))?;
        found.push(Listener { protocol: protocol.to_owned(), address, port });
    }
    Ok(found)
}

/// Words of 32 bits in hexadecimal, each in the byte order of the machine, which is a PC.
fn address_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::swap_bytes);
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bits = 0u128;
            for at in [0, 8, 16, 24] {
                bits = bits << 32 | u128::from(word(at)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bits)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn check(protocol: &str, line: &str, wanted: &[&str]) {
        let found = listeners(protocol, &format!("{HEAD}{line}\n")).unwrap();
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn only_listening_sockets_are_listeners() {
        check("tcp", "   0: 0100007F:192B 00000000:0000 0A 0:0", &["tcp 127.0.0.1 port 6443"]);
        check("tcp", "   0: 0100007F:192B 0100007F:0001 01 0:0", &[]);
        check("udp", "   0: 0A00600A:0035 00000000:0000 07 0:0", &["udp 10.96.0.10 port 53"]);
        let any = "   0: 00000000000000000000000000000000:280A 00000000000000000000000000000000:0000 0A 0:0";
        check("tcp6", any, &["tcp6 :: port 10250"]);
        let local = "   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 0:0";
        check("tcp6", local, &["tcp6 ::1 port 22"]);
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        assert!(listeners("tcp", &format!("{HEAD}   0: nonsense\n")).unwrap_err().contains("nonsense"));
        assert!(listeners("sctp", HEAD).is_err());
    }
}
