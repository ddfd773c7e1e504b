//! The network: `lo`, the link with the node's own address, the outer link. The outer link comes up in the
//! background, so that the disk need not wait for it; the milestone `network` says when.

use crate::boot::{BROKEN_IMAGE, Boot, Failure, Phase};
use crate::config::Config;
use crate::config::keys::{self, ADDRESS, CLUSTER_LINK as CLUSTER_KEY, DNS, GATEWAY, NODE_INDEX};
use crate::console::Console;
use crate::net::links::{Link, Links};
use crate::net::{self, CLUSTER_LINK, CLUSTER_PREFIX, Network, Outer, dhcp, resolver};
use crate::readiness::Readiness;
use serde_json::{Map, json};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;

/// The phase.
pub const PHASE: Phase = Phase { name: "network", run: |boot| Box::pin(run(boot)) };

/// How long the boot waits for DHCP before it takes QEMU's user network for granted. Emulators answer within
/// milliseconds; the client goes on asking, and a later answer replaces the guess.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// Changes of the outer link that wait to be applied: they come minutes apart.
const CHANGES_QUEUE: usize = 4;
/// After an error of its socket the DHCP client starts anew after this long.
const RESTART_WAIT: Duration = Duration::from_secs(10);

async fn run(boot: &mut Boot) -> Result<(), Failure> {
    let broken = |e: std::io::Error| Failure::new(e.to_string(), BROKEN_IMAGE);
    let links = Links::connect().map_err(broken)?;
    let all = links.list().await.map_err(broken)?;
    if let Some(lo) = all.iter().find(|link| link.name == "lo") {
        links.up(lo).await.map_err(broken)?;
    }
    let cards: Vec<&Link> = all.iter().filter(|link| link.is_card).collect();
    let cluster = match choose_cluster(boot.config.text(&CLUSTER_KEY), &cards)? {
        Some(card) => links.rename(card, CLUSTER_LINK).await.map_err(broken)?,
        None => links.add_dummy(CLUSTER_LINK).await.map_err(broken)?,
    };
    let own = net::node_address(boot.config.number(&NODE_INDEX));
    links.add_address(&cluster, own, CLUSTER_PREFIX).await.map_err(broken)?;
    links.up(&cluster).await.map_err(broken)?;
    resolver::write(Path::new(resolver::PATH), None).map_err(broken)?;
    let Some(card) = cards.first().filter(|card| card.index != cluster.index).map(|card| (*card).clone()) else {
        boot.console.say("init: no network card, so the machine reaches nobody outside");
        boot.readiness.set("network");
        boot.console.milestone("network", fields(own, None, "none"));
        return Ok(());
    };
    links.up(&card).await.map_err(broken)?;
    let outer = Outside {
        links,
        card,
        own,
        console: boot.console.clone(),
        readiness: boot.readiness.clone(),
        network: boot.network.clone(),
    };
    match fixed(&boot.config)? {
        Some(settings) => outer.apply(&settings, "fixed").await.map_err(broken),
        None => {
            let dns = dns_override(&boot.config);
            let hostname = super::hostname::name_of(&boot.config);
            crate::guard::keep_running("dhcp", boot.console.clone(), move || {
                outer.clone().follow_dhcp(hostname.clone(), dns.clone())
            });
            Ok(())
        }
    }
}

/// The card that becomes `cluster0`; `None` for a dummy.
fn choose_cluster<'a>(wanted: &str, cards: &[&'a Link]) -> Result<Option<&'a Link>, Failure> {
    match (wanted, cards.get(1)) {
        ("dummy", _) | ("auto", None) => Ok(None),
        (_, Some(card)) => Ok(Some(card)),
        (_, None) => Err(Failure::new(
            "skerry.network.cluster=nic, but the machine has no second network card",
            "attach a second card (QEMU: -netdev dgram or stream), or leave the key out",
        )),
    }
}

fn dns_override(config: &Config) -> Vec<Ipv4Addr> {
    keys::list(config.text(&DNS)).filter_map(|address| address.parse().ok()).collect()
}

/// The settings of a fixed address; `None` for DHCP.
fn fixed(config: &Config) -> Result<Option<Outer>, Failure> {
    let Some((address, prefix)) = keys::network(config.text(&ADDRESS)) else { return Ok(None) };
    let gateway = keys::list(config.text(&GATEWAY)).next().and_then(|address| address.parse().ok());
    Ok(Some(Outer { address, prefix, gateway, dns: dns_override(config), domain: None }))
}

fn fields(own: Ipv4Addr, outer: Option<&Outer>, by: &str) -> Map<String, serde_json::Value> {
    let mut fields = Map::new();
    fields.insert("by".into(), json!(by));
    fields.insert("address".into(), json!(own.to_string()));
    if let Some(outer) = outer {
        fields.insert("outer".into(), json!(format!("{}/{}", outer.address, outer.prefix)));
    }
    fields
}

/// What is needed to set the outer link up.
#[derive(Clone)]
struct Outside {
    links: Links,
    card: Link,
    own: Ipv4Addr,
    console: Console,
    readiness: Readiness,
    network: Network,
}

impl Outside {
    async fn apply(&self, outer: &Outer, by: &str) -> std::io::Result<()> {
        self.links.configure(&self.card, outer).await?;
        resolver::write(Path::new(resolver::PATH), Some(outer))?;
        let settings = (self.card.name.clone(), outer.clone());
        let before = self.network.outer.replace(Some(settings.clone()));
        self.readiness.set("network");
        // A renewal that changes nothing is no news.
        if before.as_ref() != Some(&settings) {
            self.console.milestone("network", fields(self.own, Some(outer), by));
        }
        Ok(())
    }

    async fn follow_dhcp(self, hostname: String, dns: Vec<Ipv4Addr>) -> std::io::Result<()> {
        let (changes, mut changed) = mpsc::channel(CHANGES_QUEUE);
        let asks = async {
            loop {
                let mut number = [0; 4];
                // Before the pool is ready the card's own address is as good a number as any.
                if !matches!(sys::entropy::ready_bytes(&mut number), Ok(Some(()))) {
                    number.copy_from_slice(&self.card.mac[2..]);
                }
                match dhcp::keep(&self.card, &hostname, u32::from_be_bytes(number), &changes).await {
                    Ok(()) => return,
                    Err(e) => self.console.say(&format!("init: DHCP on {}: {e}", self.card.name)),
                }
                tokio::time::sleep(RESTART_WAIT).await;
            }
        };
        let applies = async {
            match tokio::time::timeout(ANSWER_WAIT, changed.recv()).await {
                Ok(Some(first)) => self.change(first, &dns).await?,
                Ok(None) => return Ok(()),
                Err(_) => {
                    let (card, wait_s) = (&self.card.name, ANSWER_WAIT.as_secs());
                    self.console.say(&format!(
                        "init: nobody answered DHCP on {card} within {wait_s} s; taking QEMU's user network for granted"
                    ));
                    self.apply(&with_dns(net::fallback(), &dns), "fallback").await?;
                }
            }
            while let Some(change) = changed.recv().await {
                self.change(change, &dns).await?;
            }
            Ok(())
        };
        tokio::select! {
            () = asks => Ok(()),
            ended = applies => ended,
        }
    }

    async fn change(&self, change: Option<Outer>, dns: &[Ipv4Addr]) -> std::io::Result<()> {
        match change {
            Some(outer) => self.apply(&with_dns(outer, dns), "dhcp").await,
            None => {
                self.console.say(&format!("init: the address of {} has run out", self.card.name));
                self.network.outer.replace(None);
                resolver::write(Path::new(resolver::PATH), None)?;
                self.links.drop_addresses_but(&self.card, None).await
            }
        }
    }
}

/// Name servers that the user named go before those of the network.
fn with_dns(outer: Outer, dns: &[Ipv4Addr]) -> Outer {
    if dns.is_empty() { outer } else { Outer { dns: dns.to_vec(), ..outer } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(index: u32) -> Link {
        Link { index, name: format!("eth{}", index - 2), mac: [0; 6], is_card: true }
    }

    #[test]
    fn the_second_card_joins_nodes_unless_told_otherwise() {
        let (first, second) = (card(2), card(3));
        let chosen = |wanted, cards: &[&Link]| choose_cluster(wanted, cards).map(|link| link.map(|link| link.index));
        assert_eq!(chosen("auto", &[&first]), Ok(None));
        assert_eq!(chosen("auto", &[&first, &second]), Ok(Some(3)));
        assert_eq!(chosen("dummy", &[&first, &second]), Ok(None));
        assert!(chosen("nic", &[&first]).unwrap_err().advice.contains("second card"));
    }
}
