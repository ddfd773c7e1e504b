//! nftables as data: tables, chains, sets and rules in our own few words, the difference between two states, and the
//! one place where they become netlink messages.
//!
//! It must not know Services or pods.

pub(crate) mod encode;
mod kernel;
mod plan;
mod value;

pub use kernel::{ELEMENTS_PER_MESSAGE_MAX, Kernel, SEND_BUFFER_BYTES, Tables};
pub use plan::{Op, Plan, plan, sweep};
pub use value::{Data, Key, Protocol, Type, Value};

use crate::cidr::Cidr;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Which packets a table sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// Four-byte words of an address.
    pub(crate) fn words(self) -> usize {
        match self {
            Family::V4 => 1,
            Family::V6 => 4,
        }
    }
}

/// The mark of packets whose source is to be masked on their way out; kube-proxy's bit, so that tools that know it
/// understand it.
pub const MASQUERADE_MARK: u32 = 0x4000;

/// Where a base chain hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Filter, as early as possible: before connection tracking.
    RawPrerouting,
    /// Filter, just before destinations are rewritten.
    BeforeNatPrerouting,
    /// Filter, just before destinations of the machine's own packets are rewritten.
    BeforeNatOutput,
    /// Filter on the way in.
    FilterInput,
    /// Filter on the way through.
    FilterForward,
    /// Filter on the way out.
    FilterOutput,
    /// Rewrites destinations of what comes in.
    NatPrerouting,
    /// Rewrites destinations of the machine's own packets.
    NatOutput,
    /// Rewrites sources of what goes out.
    NatPostrouting,
}

/// A part of a packet that makes up a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Source address.
    Source,
    /// Destination address.
    Destination,
    /// Transport protocol.
    Protocol,
    /// Destination port.
    Port,
}

/// Names one port of one Service by its first frontend, inside keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Front {
    /// The cluster address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

/// What [`Part::Stick`] and [`Part::PickSticky`] remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// Map: front, policy, source address to the backend's address and port; dynamic.
    pub memory: String,
    /// How long a source is remembered after its last new connection.
    pub timeout: Duration,
}

/// How one of `count` backends is picked from a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The service port.
    pub front: Front,
    /// Sets policies of one front apart.
    pub policy: u32,
    /// Map: front, policy, number from 0 to address and port.
    pub backends: String,
    /// How many there are.
    pub count: u32,
}

/// One match or action; a rule is a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The connection's first packet.
    New,
    /// The destination was rewritten.
    Rewritten,
    /// The transport protocol is this.
    Protocol(Protocol),
    /// The source is in this range.
    From(Cidr),
    /// The source is not in this range.
    NotFrom(Cidr),
    /// The destination is in this range.
    To(Cidr),
    /// The destination is not in this range.
    NotTo(Cidr),
    /// The destination is an address of this machine.
    ToLocal,
    /// The source is an address of this machine.
    FromLocal,
    /// It came in by this link.
    In(String),
    /// It came in by another link than this.
    NotIn(String),
    /// It goes out by another link than this.
    NotOut(String),
    /// A set has the packet's key.
    Lookup(Vec<Field>, String),
    /// Goes where a map sends the packet's key; on, when it has none.
    Dispatch(Vec<Field>, String),
    /// Rewrites the destination to what a map has for the packet's key; no match when it has none.
    DnatByMap(Vec<Field>, String),
    /// Rewrites the destination to a random backend.
    DnatPick(Pick),
    /// Rewrites the destination to the backend that this source had before. Backends that are gone are taken
    /// out of the memory with [`Tables::forget`].
    Stick(Pick, Sticky),
    /// Rewrites the destination to a random backend and remembers it for this source.
    PickSticky(Pick, Sticky),
    /// Has the source masked later.
    Mark,
    /// Is to have its source masked; takes the mark off.
    TakeMark,
    /// Masks the source.
    Masquerade,
    /// Runs a chain and comes back.
    Jump(String),
    /// Goes on in a chain.
    Goto(String),
    /// Leaves the chain.
    Return,
    /// Drops silently.
    Drop,
    /// Answers "port unreachable".
    Reject,
    /// Answers TCP by its own reset; the rule must ask for TCP before.
    Reset,
}

/// One rule.
pub type Rule = Vec<Part>;

/// One chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Where it hangs; nothing for a chain that is jumped to.
    pub hook: Option<Hook>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// The shape of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The parts of a key.
    pub key: Vec<Type>,
    /// What a key leads to; nothing for a set, an empty list for a verdict.
    pub data: Option<Vec<Type>>,
    /// Elements that packets may add, at most; nothing for a set that only we fill.
    pub dynamic_max: Option<u32>,
}

/// A whole table. `elements` has a list for every set that we fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    /// The packets it sees.
    pub family: Family,
    /// Its name.
    pub table: &'static str,
    /// Sets and maps by name.
    pub sets: BTreeMap<String, Set>,
    /// Chains by name.
    pub chains: BTreeMap<String, Chain>,
    /// Elements by set, then key.
    pub elements: BTreeMap<String, BTreeMap<Key, Data>>,
}

impl Ruleset {
    /// An empty table.
    #[must_use]
    pub fn new(family: Family, table: &'static str) -> Ruleset {
        Ruleset { family, table, sets: BTreeMap::new(), chains: BTreeMap::new(), elements: BTreeMap::new() }
    }

    /// Adds a set or a map that we fill.
    pub fn set(&mut self, name: &str, key: &[Type], data: Option<&[Type]>) {
        let set = Set { key: key.to_vec(), data: data.map(<[Type]>::to_vec), dynamic_max: None };
        self.sets.insert(name.to_owned(), set);
        self.elements.entry(name.to_owned()).or_default();
    }

    /// Adds a base chain.
    pub fn base(&mut self, name: &str, hook: Hook, rules: Vec<Rule>) {
        self.chains.insert(name.to_owned(), Chain { hook: Some(hook), rules });
    }

    /// Adds a chain that is jumped to.
    pub fn chain(&mut self, name: &str, rules: Vec<Rule>) {
        self.chains.insert(name.to_owned(), Chain { hook: None, rules });
    }

    /// Adds an element; the first one of a key stays, as with conflicting frontends upstream.
    pub fn element(&mut self, set: &str, key: Key, data: Data) {
        self.elements.entry(set.to_owned()).or_default().entry(key).or_insert(data);
    }
}
