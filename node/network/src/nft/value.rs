//! Keys and values of sets: typed, ordered, and as the bytes that the kernel compares.

use std::fmt;
use std::net::IpAddr;

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The protocol's number in an IP header.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }

    /// The protocol of this name, in the API's capitals or in small letters. No name is TCP.
    #[must_use]
    pub fn named(name: &str) -> Option<Protocol> {
        match name {
            "" | "TCP" | "tcp" => Some(Protocol::Tcp),
            "UDP" | "udp" => Some(Protocol::Udp),
            "SCTP" | "sctp" => Some(Protocol::Sctp),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        })
    }
}

/// The type of one part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// An address of the table's family.
    Address,
    /// A transport protocol.
    Protocol,
    /// A port.
    Port,
    /// Any 32-bit number.
    Mark,
}

/// One part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// An address.
    Address(IpAddr),
    /// A transport protocol.
    Protocol(Protocol),
    /// A port.
    Port(u16),
    /// Any 32-bit number.
    Mark(u32),
}

impl Value {
    /// As the kernel compares it: addresses and ports in network order, numbers in the machine's.
    pub(crate) fn bytes(self) -> Vec<u8> {
        match self {
            Value::Address(IpAddr::V4(four)) => four.octets().to_vec(),
            Value::Address(IpAddr::V6(six)) => six.octets().to_vec(),
            Value::Protocol(protocol) => vec![protocol.number()],
            Value::Port(port) => port.to_be_bytes().to_vec(),
            Value::Mark(mark) => mark.to_ne_bytes().to_vec(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Address(address) => write!(f, "{address}"),
            Value::Protocol(protocol) => write!(f, "{protocol}"),
            Value::Port(port) => write!(f, "{port}"),
            Value::Mark(mark) => write!(f, "{mark:#x}"),
        }
    }
}

/// A whole key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub Vec<Value>);

impl Key {
    /// As the kernel compares it: a part alone as it is, several each filled up to four bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        concat(&self.0)
    }
}

/// Parts one behind the other, each filled up to four bytes when there are several.
pub(crate) fn concat(values: &[Value]) -> Vec<u8> {
    if let [one] = values {
        return one.bytes();
    }
    let mut all = Vec::new();
    for value in values {
        all.extend(value.bytes());
        all.resize(all.len().next_multiple_of(4), 0);
    }
    all
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, value) in self.0.iter().enumerate() {
            write!(f, "{}{value}", if place == 0 { "" } else { " . " })?;
        }
        Ok(())
    }
}

/// What a key leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Nothing: the element of a set.
    Member,
    /// On in this chain.
    Goto(String),
    /// Dropped.
    Drop,
    /// Values.
    Values(Vec<Value>),
}
