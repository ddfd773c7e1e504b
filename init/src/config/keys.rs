//! The table of keys that init itself understands: one line a key.

use std::net::Ipv4Addr;

/// What a value must look like.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `yes`, `no`, `true`, `false`, `1` or `0`.
    Flag,
    /// A whole number within bounds, both included.
    Number(u32, u32),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A host name: labels of a-z, 0-9 and '-', at most 63 letters in all; or empty.
    HostName,
    /// A name without blanks, at most this long; or empty.
    Word(usize),
    /// `dhcp`, or an IPv4 address with its prefix length.
    Network,
    /// An IPv4 address; or empty.
    Address,
    /// IPv4 addresses with commas between them; or empty.
    Addresses,
    /// The address of a proxy, `http://…` or `https://…`; or empty.
    Proxy,
    /// Words with commas between them; or empty.
    Words,
}

/// What happens on a bad value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The default (or a source of lower precedence) holds.
    Default,
    /// The machine does not boot: going on could touch the wrong thing.
    Stop,
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// The whole name.
    pub name: &'static str,
    /// What its values look like.
    pub kind: Kind,
    /// Its value when nobody gives one.
    pub default: &'static str,
    /// What a bad value does.
    pub on_bad: Fallback,
    /// Whether `node` gets it too.
    pub for_node: bool,
}

/// The parts that init reads itself.
pub const OWN_PARTS: &[&str] = &["boot", "disk", "network", "docker", "host", "proxy", "registry", "ci"];
/// The parts that init hands to `node` as they are; `node` says which of their keys it does not know.
pub const PASSED_PARTS: &[&str] = &["node", "login", "store", "api", "cluster"];

macro_rules! keys {
    ($($constant:ident = $name:literal, $kind:expr, $default:literal, $on_bad:ident, $for_node:literal, $what:literal;)*) => {
        $(
            #[doc = $what]
            pub const $constant: Key = Key {
                name: $name, kind: $kind, default: $default, on_bad: Fallback::$on_bad, for_node: $for_node,
            };
        )*
        /// Every key that init understands.
        pub const KEYS: &[Key] = &[$($constant),*];
    };
}

keys! {
    ON_FAILURE = "skerry.boot.on_failure", Kind::Choice(&["hold", "poweroff"]), "hold", Default, false,
        "What follows a failed phase: stay up for diagnosis, or end the machine as a crash.";
    SKIP = "skerry.boot.skip", Kind::Words, "", Stop, false, "Phases to leave out, for diagnosis.";
    SHELL = "skerry.boot.shell", Kind::Word(16), "", Default, false,
        "The terminal (such as ttyS0) that gets a shell, in an image that has one.";
    DISK = "skerry.disk.kind", Kind::Choice(&["disk", "memory", "auto"]), "disk", Stop, false,
        "Whether state lives on the state disk or is lost at power-off; `auto` takes a disk if there is one.";
    DISK_NAME = "skerry.disk.name", Kind::Word(20), "skerry-state", Stop, false,
        "The state disk's virtio serial number, partition name or file system label.";
    DISK_REPAIR = "skerry.disk.repair", Kind::Choice(&["safe", "all"]), "safe", Stop, false,
        "Whether a check of the state disk repairs only what loses nothing, or everything.";
    ADDRESS = "skerry.network.address", Kind::Network, "dhcp", Default, false, "The address of the outer link.";
    GATEWAY = "skerry.network.gateway", Kind::Addresses, "", Default, false, "The default gateway of a fixed address.";
    DNS = "skerry.network.dns", Kind::Addresses, "", Default, false,
        "Name servers, instead of those that DHCP names.";
    CLUSTER_LINK = "skerry.network.cluster", Kind::Choice(&["auto", "dummy", "nic"]), "auto", Default, false,
        "What `cluster0` is: the second network card if there is one, always a dummy, always the card.";
    NODE_NAME = "skerry.node.name", Kind::HostName, "", Stop, true, "The node's name; by default skerry, skerry-2, ...";
    NODE_INDEX = "skerry.node.index", Kind::Number(1, 254), "1", Stop, true, "Node n has the address 10.250.0.n.";
    DOCKER = "skerry.docker.enabled", Kind::Flag, "yes", Default, true, "Whether Docker's socket is opened.";
    DOCKER_IDLE = "skerry.docker.idle", Kind::Number(0, 86_400), "300", Default, false,
        "Seconds without a connection or a container after which Docker sleeps again; 0 for never.";
    DOCKER_TCP = "skerry.docker.tcp", Kind::Flag, "no", Default, true,
        "Whether Docker also answers on TCP 2376, with client certificates.";
    HOST = "skerry.host.address", Kind::Address, "10.0.2.2", Default, true,
        "Where the host is reached, as host.skerry.internal; by default as in QEMU's user network.";
    PROXY_HTTP = "skerry.proxy.http", Kind::Proxy, "", Default, false,
        "The proxy by which images are fetched over HTTP. It may hold a password.";
    PROXY_HTTPS = "skerry.proxy.https", Kind::Proxy, "", Default, false,
        "The proxy by which images are fetched over HTTPS. It may hold a password.";
    PROXY_NOT = "skerry.proxy.not", Kind::Words, "", Default, false,
        "Names and ranges that are reached without the proxy, beside the cluster's own.";
    INSECURE = "skerry.registry.insecure", Kind::Words, "", Default, false,
        "Registries, as HOST:PORT, that speak plain HTTP.";
    CI_JOB = "skerry.ci.job", Kind::Words, "", Stop, true,
        "Jobs (`namespace/name`) whose end is the end of the machine; the emulator's exit code is their verdict.";
    CI_TIMEOUT = "skerry.ci.timeout", Kind::Number(1, 86_400), "900", Default, true,
        "Seconds since the kernel started after which those Jobs have taken too long.";
}

/// Reads a flag.
pub fn flag(text: &str) -> Option<bool> {
    match text {
        "yes" | "true" | "1" => Some(true),
        "no" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// Whether a text is what programs take for a proxy.
fn is_proxy(text: &str) -> bool {
    let rest = ["http://", "https://", "socks5://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let place = rest.map(|rest| rest.rsplit_once('@').map_or(rest, |(_, place)| place));
    place.is_some_and(|place| !place.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control()))
}

/// Reads an IPv4 address with a prefix length.
pub fn network(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, length) = text.split_once('/')?;
    let length: u8 = length.parse().ok()?;
    (1..=32).contains(&length).then_some((address.parse().ok()?, length))
}

/// Reads a list with commas; the empty text is the empty list.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

impl Kind {
    /// Whether `value` will do; the error says what would.
    pub fn check(self, value: &str) -> Result<(), String> {
        let label = |l: &str| {
            let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            edge(l.chars().next()) && edge(l.chars().last()) && l.chars().all(plain)
        };
        let word = |w: &str| !w.contains(|c: char| c.is_whitespace() || c.is_control());
        let (good, want) = match self {
            Kind::Flag => (flag(value).is_some(), "yes or no".to_owned()),
            Kind::Number(min, max) => {
                let good = value.parse::<u32>().is_ok_and(|n| (min..=max).contains(&n));
                (good, format!("a number from {min} to {max}"))
            }
            Kind::Choice(words) => (words.contains(&value), format!("one of {}", words.join(", "))),
            Kind::HostName => {
                let good = value.is_empty() || (value.len() <= 63 && value.split('.').all(label));
                (good, "a host name of at most 63 letters a-z, digits and '-'".to_owned())
            }
            Kind::Word(max) => (value.len() <= max && word(value), format!("a word of at most {max} letters")),
            Kind::Network => {
                let good = value == "dhcp" || network(value).is_some();
                (good, "dhcp, or an address such as 192.0.2.7/24".to_owned())
            }
            Kind::Address => (value.is_empty() || value.parse::<Ipv4Addr>().is_ok(), "an IPv4 address".to_owned()),
            Kind::Proxy => (value.is_empty() || is_proxy(value), "an address such as http://proxy:3128".to_owned()),
            Kind::Addresses => {
                let good = list(value).all(|a| a.parse::<Ipv4Addr>().is_ok());
                (good, "IPv4 addresses with commas between them".to_owned())
            }
            Kind::Words => (word(value), "words with commas between them".to_owned()),
        };
        if good { Ok(()) } else { Err(want) }
    }
}
