//! Endpoints: the older list of addresses behind a Service. Rules of `k8s.io/kubernetes/pkg/registry/core/endpoint`.

use super::place::Place;
use super::{address, labels_text};
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{Tree, meta, names};

/// How many addresses a table shows.
const SHOWN_MAX: usize = 3;

/// What is special about Endpoints.
pub const RULES: Rules = Rules { create_on_update: true, default, validate, cells: row, ..PLAIN };

fn default(object: &mut Tree) {
    for subset in object.get_mut("subsets").and_then(Tree::as_list_mut).into_iter().flatten() {
        for port in subset.get_mut("ports").and_then(Tree::as_list_mut).into_iter().flatten() {
            if port.str_at(&["protocol"]).unwrap_or_default().is_empty() {
                port.set("protocol", "TCP");
            }
        }
    }
}

fn validate(object: &Tree, faults: &mut Faults) {
    for subset in Place::root(object).at("subsets").items() {
        let (ready, waiting, ports) = (subset.at("addresses"), subset.at("notReadyAddresses"), subset.at("ports"));
        if ready.len() == 0 && waiting.len() == 0 {
            subset.required(faults, "must specify `addresses` or `notReadyAddresses`");
        }
        for one in ready.items().chain(waiting.items()) {
            if address::ip(&one.at("ip"), faults).is_some() {
                address::endpoint(&one.at("ip"), faults);
            }
            one.at("hostname").may_pass(faults, names::dns1123_label);
            if one.at("nodeName").given() {
                one.at("nodeName").invalid_for(faults, names::dns1123_subdomain(one.at("nodeName").text()));
            }
        }
        for port in ports.items() {
            if ports.len() > 1 {
                port.at("name").must_pass(faults, names::dns1123_label);
            } else {
                port.at("name").may_pass(faults, names::dns1123_label);
            }
            address::port(&port.at("port"), faults);
            port.at("protocol").must_be_one_of(faults, &["SCTP", "TCP", "UDP"]);
            if port.at("appProtocol").given() {
                port.at("appProtocol").invalid_for(faults, names::label_key(port.at("appProtocol").text()));
            }
        }
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let mut shown = Vec::new();
    for subset in object.list_at(&["subsets"]) {
        let ips = || subset.list_at(&["addresses"]).iter().filter_map(|a| a.str_at(&["ip"]));
        let ports = subset.list_at(&["ports"]);
        if ports.is_empty() {
            shown.extend(ips().map(str::to_owned));
        }
        for port in ports.iter().filter_map(|p| p.int_at(&["port"])) {
            shown.extend(
                ips().map(|ip| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }),
            );
        }
    }
    let text = labels_text::some_of(&shown, SHOWN_MAX, shown.len());
    let none = object.list_at(&["subsets"]).is_empty();
    let text = if none { "<none>".to_owned() } else { text };
    vec![Tree::text(meta::name(object)), Tree::text(text), cells::age(object, now)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_table_shows_three_addresses() {
        let ips = |n: i64| Tree::List((1..=n).map(|i| tree!({"ip": (format!("10.0.0.{i}"))})).collect());
        let text = |n| row(&tree!({"subsets": [{"addresses": (ips(n)), "ports": [{"port": 80}]}]}), 0)[1].clone();
        assert_eq!(text(1), Tree::text("10.0.0.1:80"));
        assert_eq!(text(5), Tree::text("10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more..."));
    }

    #[test]
    fn a_loopback_address_is_no_endpoint() {
        let mut faults = Faults::new();
        validate(&tree!({"subsets": [{"addresses": [{"ip": "127.0.0.1"}]}]}), &mut faults);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].path.to_string(), "subsets[0].addresses[0].ip");
    }
}
