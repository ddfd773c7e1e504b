//! Ranges of addresses as text writes them: `10.244.0.0/24`.
//!
//! It must not know what the ranges are for.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address with the number of leading bits that count. The address is kept whole, so that one value can also say
/// "this address in that network".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    /// The address.
    pub address: IpAddr,
    /// Bits that count, 0 to 32 or 128.
    pub prefix: u8,
}

/// Bits of an address of this family.
#[must_use]
pub fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// An address as a number.
#[must_use]
pub fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => u128::from(u32::from(four)),
        IpAddr::V6(six) => u128::from(six),
    }
}

impl Cidr {
    /// One address in a network of `prefix` bits.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Cidr {
        Cidr { address, prefix: prefix.min(bits(address)) }
    }

    /// The bits that count, as a number.
    fn mask(&self) -> u128 {
        let all = bits(self.address);
        let ones = if all == 32 { u128::from(u32::MAX) } else { u128::MAX };
        ones & !(1u128.checked_shl(u32::from(all - self.prefix)).map_or(ones, |host| host - 1))
    }

    /// The network's mask as an address, `255.255.255.0` for a `/24`.
    #[must_use]
    pub fn netmask(&self) -> IpAddr {
        self.with(self.mask())
    }

    fn with(&self, number: u128) -> IpAddr {
        match self.address {
            // The number of an IPv4 address never has more than 32 bits here.
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
        }
    }

    /// The network's first address.
    #[must_use]
    pub fn network(&self) -> IpAddr {
        self.with(number(self.address) & self.mask())
    }

    /// The address `offset` places after the network's first one; nothing outside the network.
    #[must_use]
    pub fn nth(&self, offset: u64) -> Option<IpAddr> {
        let wanted = (number(self.address) & self.mask()).checked_add(u128::from(offset))?;
        let found = (wanted <= number(self.last())).then(|| self.with(wanted))?;
        self.contains(found).then_some(found)
    }

    /// The network's last address.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        let ones = if self.address.is_ipv4() { u128::from(u32::MAX) } else { u128::MAX };
        self.with(number(self.address) & self.mask() | (ones & !self.mask()))
    }

    /// Whether an address is in the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && number(address) & self.mask() == number(self.address) & self.mask()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Cidr, String> {
        let wrong = || format!("{text:?} is not a range of addresses such as 10.244.0.0/24");
        let (address, prefix) = text.trim().split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        if prefix > bits(address) { Err(wrong()) } else { Ok(Cidr { address, prefix }) }
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Cidr, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_knows_its_ends_and_its_members() {
        let range = cidr("10.244.3.7/24");
        assert_eq!(range.network().to_string(), "10.244.3.0");
        assert_eq!(range.last().to_string(), "10.244.3.255");
        assert_eq!(range.netmask().to_string(), "255.255.255.0");
        assert_eq!(range.nth(1).unwrap().to_string(), "10.244.3.1");
        assert_eq!(range.nth(256), None);
        assert!(range.contains("10.244.3.99".parse().unwrap()));
        assert!(!range.contains("10.244.4.0".parse().unwrap()));
        assert!(cidr("0.0.0.0/0").contains("1.2.3.4".parse().unwrap()));
        assert!(!cidr("0.0.0.0/0").contains("::1".parse().unwrap()));
        assert_eq!(cidr("fd00:10:244::/64").nth(1).unwrap().to_string(), "fd00:10:244::1");
        assert_eq!(cidr("::/0").last().to_string(), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    }

    #[test]
    fn what_is_no_range_is_refused_by_name() {
        for text in ["10.0.0.0", "10.0.0.0/33", "a/8", "fd00::/129"] {
            assert!(text.parse::<Cidr>().unwrap_err().contains(text));
        }
    }
}
