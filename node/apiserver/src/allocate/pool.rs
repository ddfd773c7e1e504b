//! Pools: IPv4 addresses of a range and ports of a range, taken and given back. Pure.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Addresses at the beginning of the range that are not drawn by chance, so that they can be asked for: the API (.1),
/// DNS (.10) and what a user fixes. Upstream's rule for a /16.
const STATIC_MAX: u32 = 256;
/// Node ports, as upstream's `--service-node-port-range`.
const PORT_FIRST: u16 = 30_000;
const PORT_LAST: u16 = 32_767;
/// Ports at the beginning of the range that are drawn last, for the same reason.
const PORT_STATIC: u16 = 86;

/// Why something cannot be had.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Somebody has it.
    Taken,
    /// It is not of the range.
    Outside,
    /// Everything is given out.
    Empty,
}

/// The addresses of a range.
pub struct Addresses {
    first: u32,
    size: u32,
    cidr: String,
    taken: BTreeSet<u32>,
}

impl Addresses {
    /// The addresses of `10.96.0.0/16`.
    pub fn of(cidr: &str) -> Result<Addresses, String> {
        let wrong = || format!("the service range \"{cidr}\" is no IPv4 range such as 10.96.0.0/16");
        let (base, bits) = cidr.split_once('/').ok_or_else(wrong)?;
        let base: Ipv4Addr = base.parse().map_err(|_| wrong())?;
        let bits: u32 = bits.parse().ok().filter(|b| (8..=28).contains(b)).ok_or_else(wrong)?;
        let size = 1u32 << (32 - bits);
        Ok(Addresses { first: u32::from(base) & !(size - 1), size, cidr: cidr.to_owned(), taken: BTreeSet::new() })
    }

    /// The range as it was written.
    pub fn cidr(&self) -> &str {
        &self.cidr
    }

    /// Whether the range covers an address, be it one that is given out or the first or last, which is not.
    pub fn covers(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & !(self.size - 1) == self.first
    }

    /// Notes addresses that are in use.
    pub fn note(&mut self, addresses: impl IntoIterator<Item = Ipv4Addr>) {
        self.taken.extend(addresses.into_iter().map(u32::from));
    }

    /// Takes a wanted address.
    pub fn take(&mut self, address: Ipv4Addr) -> Result<(), Refusal> {
        let number = u32::from(address);
        if number <= self.first || number >= self.first + self.size - 1 {
            return Err(Refusal::Outside);
        }
        if self.taken.insert(number) { Ok(()) } else { Err(Refusal::Taken) }
    }

    /// Draws a free address, beginning at a place given by chance.
    pub fn draw(&mut self, chance: u32) -> Result<Ipv4Addr, Refusal> {
        let (low, high) = (1 + STATIC_MAX.min(self.size / 16), self.size - 2);
        let span = high - low + 1;
        let upper = (0..span).map(|i| low + (chance % span + i) % span);
        let mut candidates = upper.chain(1..low).map(|offset| self.first + offset);
        let free = candidates.find(|number| !self.taken.contains(number)).ok_or(Refusal::Empty)?;
        self.taken.insert(free);
        Ok(Ipv4Addr::from(free))
    }

    /// Gives addresses back.
    pub fn release(&mut self, addresses: impl IntoIterator<Item = Ipv4Addr>) {
        for address in addresses {
            self.taken.remove(&u32::from(address));
        }
    }
}

/// A node port and its protocol: the same number may serve TCP and UDP.
pub type Port = (u16, String);

/// The node ports.
#[derive(Default)]
pub struct Ports {
    taken: BTreeSet<Port>,
}

impl Ports {
    /// Notes ports that are in use.
    pub fn note(&mut self, ports: impl IntoIterator<Item = Port>) {
        self.taken.extend(ports);
    }

    /// Takes a wanted port. Another protocol of the same Service may have it already; of another Service it may not.
    pub fn take(&mut self, port: &Port, own: &[Port]) -> Result<(), Refusal> {
        if !(PORT_FIRST..=PORT_LAST).contains(&port.0) {
            return Err(Refusal::Outside);
        }
        let foreign = self.taken.iter().any(|taken| taken.0 == port.0 && !own.contains(taken));
        if foreign || self.taken.contains(port) {
            return Err(Refusal::Taken);
        }
        self.taken.insert(port.clone());
        Ok(())
    }

    /// Draws a free port.
    pub fn draw(&mut self, protocol: &str, chance: u32) -> Result<u16, Refusal> {
        let low = PORT_FIRST + PORT_STATIC;
        let span = u32::from(PORT_LAST - low) + 1;
        let upper = (0..span).map(|i| low + u16::try_from((chance % span + i) % span).unwrap_or(0));
        let free = upper.chain(PORT_FIRST..low).find(|port| !self.taken.iter().any(|taken| taken.0 == *port));
        let port = free.ok_or(Refusal::Empty)?;
        self.taken.insert((port, protocol.to_owned()));
        Ok(port)
    }

    /// Gives ports back.
    pub fn release(&mut self, ports: impl IntoIterator<Item = Port>) {
        for port in ports {
            self.taken.remove(&port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_drawn_above_the_static_ones_and_only_once() {
        let mut pool = Addresses::of("10.96.0.0/28").unwrap();
        let drawn: Vec<String> = std::iter::from_fn(|| pool.draw(0).ok()).map(|a| a.to_string()).collect();
        assert_eq!(drawn.len(), 14);
        assert_eq!(drawn[0], "10.96.0.2");
        assert_eq!(pool.draw(3), Err(Refusal::Empty));
        assert_eq!(pool.take("10.97.0.1".parse().unwrap()), Err(Refusal::Outside));
        assert_eq!(pool.take("10.96.0.5".parse().unwrap()), Err(Refusal::Taken));
        pool.release(["10.96.0.5".parse().unwrap()]);
        assert_eq!(pool.take("10.96.0.5".parse().unwrap()), Ok(()));
    }

    #[test]
    fn a_port_serves_two_protocols_of_one_service_only() {
        let mut pool = Ports::default();
        let (tcp, udp) = ((30_100, "TCP".to_owned()), (30_100, "UDP".to_owned()));
        assert_eq!(pool.take(&tcp, &[]), Ok(()));
        assert_eq!(pool.take(&udp, &[]), Err(Refusal::Taken));
        assert_eq!(pool.take(&udp, std::slice::from_ref(&tcp)), Ok(()));
        assert_eq!(pool.take(&(80, "TCP".to_owned()), &[]), Err(Refusal::Outside));
    }
}
