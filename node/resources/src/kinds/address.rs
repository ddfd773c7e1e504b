//! IP addresses, address ranges and ports as the API accepts them. Rules and words of
//! `k8s.io/apimachinery/pkg/util/validation` with strict parsing. It must not know any kind.

use super::place::Place;
use crate::rules::Faults;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name of a port, bytes.
const PORT_NAME_MAX: usize = 15;

/// An address range: its first part and the bits that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address as it was written.
    pub ip: IpAddr,
    /// How many leading bits count.
    pub bits: u8,
}

impl Cidr {
    /// The address without the bits that do not count.
    pub fn network(&self) -> IpAddr {
        match self.ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask))
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask))
            }
        }
    }

    /// Whether an address lies in the range.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.ip.is_ipv4() == ip.is_ipv4() && Cidr { ip, bits: self.bits }.network() == self.network()
    }
}

/// An address of four numbers that may have leading zeros, which old clients wrote.
fn with_zeros(text: &str) -> Option<IpAddr> {
    let parts = text.split('.').map(|part| if part.len() > 1 { part.trim_start_matches('0') } else { part });
    let parts: Vec<&str> = parts.map(|part| if part.is_empty() { "0" } else { part }).collect();
    if text.split('.').any(str::is_empty) { None } else { parts.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::V4) }
}

/// An address, leading zeros allowed.
pub fn parse_sloppy(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| with_zeros(text))
}

fn mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some())
}

/// Demands an address.
pub fn ip(place: &Place, faults: &mut Faults) -> Option<IpAddr> {
    let whys = |text: &str| match (text.parse::<IpAddr>(), parse_sloppy(text)) {
        (_, None) => Err("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        (Err(_), Some(_)) => Err("must not have leading 0s"),
        (Ok(ip), _) if mapped(ip) => Err("must not be an IPv4-mapped IPv6 address"),
        (Ok(ip), _) => Ok(ip),
    };
    whys(place.text()).map_err(|why| place.invalid(faults, why)).ok()
}

/// Demands an address in the one form that it has.
pub fn canonical_ip(place: &Place, faults: &mut Faults) -> Option<IpAddr> {
    let ip = ip(place, faults)?;
    if ip.to_string() != place.text() {
        place.invalid(faults, format!("must be in canonical form (\"{ip}\")"));
        return None;
    }
    Some(ip)
}

fn split(text: &str, parse: fn(&str) -> Option<IpAddr>) -> Option<Cidr> {
    let (ip, bits) = text.split_once('/')?;
    let ip = parse(ip)?;
    let digits = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
    let bits = bits.parse::<u8>().ok().filter(|_| digits)?;
    (bits <= if ip.is_ipv4() { 32 } else { 128 }).then_some(Cidr { ip, bits })
}

/// An address range, leading zeros allowed.
pub fn parse_cidr(text: &str) -> Option<Cidr> {
    split(text, parse_sloppy)
}

/// Demands an address range.
pub fn cidr(place: &Place, faults: &mut Faults) -> Option<Cidr> {
    let text = place.text();
    let zeros = text.split_once('/').is_some_and(|(_, bits)| bits.len() > 1 && bits.starts_with('0'));
    let why = match (split(text, |ip| ip.parse().ok()), parse_cidr(text)) {
        (_, None) => "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        (Some(_), _) if zeros => "must not have leading 0s in IP or prefix length",
        (None, Some(_)) => "must not have leading 0s in IP or prefix length",
        (Some(range), _) if mapped(range.ip) => "must not have an IPv4-mapped IPv6 address",
        (Some(range), _) if range.network() != range.ip => "must not have bits set beyond the prefix length",
        (Some(range), _) => return Some(range),
    };
    place.invalid(faults, why);
    None
}

/// Demands an address range in the one form that it has.
pub fn canonical_cidr(place: &Place, faults: &mut Faults) -> Option<Cidr> {
    let range = cidr(place, faults)?;
    let canonical = format!("{}/{}", range.ip, range.bits);
    if canonical != place.text() {
        place.invalid(faults, format!("must be in canonical form (\"{canonical}\")"));
        return None;
    }
    Some(range)
}

/// Demands an address at which an endpoint can be reached.
pub fn endpoint(place: &Place, faults: &mut Faults) {
    let text = place.text();
    let Some(ip) = parse_sloppy(text) else {
        return place.invalid(faults, "must be a valid IP address");
    };
    let (link_local, multicast) = match ip.to_canonical() {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.is_unicast_link_local(), ip.segments()[0] & 0xff0f == 0xff02),
    };
    if ip.is_unspecified() {
        place.invalid(faults, format!("may not be unspecified ({text})"));
    }
    if ip.to_canonical().is_loopback() {
        place.invalid(faults, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    if link_local {
        place.invalid(faults, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if multicast {
        place.invalid(faults, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

/// Demands a port number.
pub fn port(place: &Place, faults: &mut Faults) {
    if place.given() {
        place.within(faults, 1, 65535);
    } else {
        faults.push(api::FieldError::invalid(place.path.clone(), 0, super::place::out_of_range(1, 65535)));
    }
}

/// What is wrong with the name of a port.
pub fn port_name(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > PORT_NAME_MAX {
        wrong.push(format!("must be no more than {PORT_NAME_MAX} bytes"));
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        wrong.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|b| b.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        wrong.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        wrong.push("must not begin or end with a hyphen".to_owned());
    }
    wrong
}

/// Demands a port number or the name of a port.
pub fn port_or_name(place: &Place, faults: &mut Faults) {
    match place.value.as_str() {
        Some(name) => place.invalid_for(faults, port_name(name)),
        None => port(place, faults),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::Tree;

    fn check(text: &str, demand: impl Fn(&Place, &mut Faults), expected: &str) {
        let (tree, mut faults) = (Tree::text(text), Faults::new());
        demand(&Place::root(&tree), &mut faults);
        let details: Vec<_> = faults.into_iter().map(|fault| fault.detail).collect();
        assert_eq!(details.join("|"), expected, "{text}");
    }

    #[test]
    fn addresses_are_taken_in_strict_form_only() {
        let demand = |p: &Place, f: &mut Faults| _ = ip(p, f);
        check("10.0.0.1", demand, "");
        check("fd00::1", demand, "");
        check("010.0.0.1", demand, "must not have leading 0s");
        check("::ffff:1.2.3.4", demand, "must not be an IPv4-mapped IPv6 address");
        check("300.0.0.1", demand, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        check("FD00::1", |p, f| _ = canonical_ip(p, f), "must be in canonical form (\"fd00::1\")");
    }

    #[test]
    fn ranges_have_no_bits_beyond_their_length() {
        let demand = |p: &Place, f: &mut Faults| _ = cidr(p, f);
        check("10.0.0.0/8", demand, "");
        check("0.0.0.0/0", demand, "");
        check("10.0.0.1/8", demand, "must not have bits set beyond the prefix length");
        check("10.0.0.0/33", demand, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
        let range = parse_cidr("10.1.0.0/16").expect("a range");
        assert!(range.contains("10.1.2.3".parse().expect("an address")));
        assert!(!range.contains("10.2.2.3".parse().expect("an address")));
    }

    #[test]
    fn endpoints_are_reachable_from_elsewhere() {
        check("127.0.0.1", endpoint, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
        check("169.254.1.1", endpoint, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
        check("10.0.0.1", endpoint, "");
    }
}
