//! The machine's name, and the file that tells names on the machine itself.

use crate::boot::{BROKEN_IMAGE, Boot, Failure, Phase};
use crate::config::Config;
use crate::config::keys::{HOST, NODE_INDEX, NODE_NAME};
use crate::net;

/// The phase.
pub const PHASE: Phase = Phase { name: "hostname", run: |boot| Box::pin(async { run(boot) }) };

/// The name of this node: as given, or `skerry` for the first and `skerry-n` for node n.
pub fn name_of(config: &Config) -> String {
    match (config.text(&NODE_NAME), config.number(&NODE_INDEX)) {
        ("", 1) => "skerry".to_owned(),
        ("", n) => format!("skerry-{n}"),
        (name, _) => name.to_owned(),
    }
}

/// The name by which everything in the machine finds the host.
pub const HOST_NAME: &str = "host.skerry.internal";

/// The text of `/etc/hosts`.
fn hosts(name: &str, address: std::net::Ipv4Addr, host: &str) -> String {
    let host = if host.is_empty() { String::new() } else { format!("{host} {HOST_NAME}\n") };
    format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{host}{address} {name}\n")
}

fn run(boot: &mut Boot) -> Result<(), Failure> {
    let name = name_of(&boot.config);
    let broken = |e: std::io::Error| Failure::new(e.to_string(), BROKEN_IMAGE);
    sys::namespace::set_hostname(&name).map_err(broken)?;
    std::fs::write("/run/hostname", format!("{name}\n")).map_err(broken)?;
    let own = net::node_address(boot.config.number(&NODE_INDEX));
    std::fs::write("/run/hosts", hosts(&name, own, boot.config.text(&HOST))).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    #[test]
    fn a_node_is_named_by_its_number_unless_told_otherwise() {
        let named = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            name_of(&Config::merge(vec![(Source::FwCfg, pairs)]).0)
        };
        assert_eq!(named(&[]), "skerry");
        assert_eq!(named(&[("skerry.node.index", "3")]), "skerry-3");
        assert_eq!(named(&[("skerry.node.index", "3"), ("skerry.node.name", "db")]), "db");
        assert_eq!(hosts("db", net::node_address(3), "").lines().last(), Some("10.250.0.3 db"));
        let lines = hosts("db", net::node_address(3), "10.0.2.2");
        assert!(lines.contains("\n10.0.2.2 host.skerry.internal\n"), "{lines}");
    }
}
