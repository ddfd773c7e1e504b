//! EndpointSlices: the addresses behind a Service, in portions. Rules of
//! `k8s.io/kubernetes/pkg/registry/discovery/endpointslice`.

use super::place::Place;
use super::{address, labels_text};
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{FieldError, Tree, meta, names};

const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20000;
const HINTS_MAX: usize = 8;
const TOPOLOGY_MAX: usize = 16;
/// How many addresses or ports a table shows.
const SHOWN_MAX: usize = 3;

/// What is special about EndpointSlices.
pub const RULES: Rules = Rules {
    generation: true,
    default,
    on_create: drop_topology,
    on_update,
    validate,
    validate_update,
    warnings,
    cells: row,
    ..PLAIN
};

fn default(object: &mut Tree) {
    for port in object.get_mut("ports").and_then(Tree::as_list_mut).into_iter().flatten() {
        if port.get("name").is_none_or(Tree::is_null) {
            port.set("name", "");
        }
        if port.get("protocol").is_none_or(Tree::is_null) {
            port.set("protocol", "TCP");
        }
    }
}

/// The topology of the beta version cannot be written any more.
fn drop_topology(object: &mut Tree) {
    for endpoint in object.get_mut("endpoints").and_then(Tree::as_list_mut).into_iter().flatten() {
        endpoint.remove("deprecatedTopology");
    }
}

fn on_update(object: &mut Tree, old: &Tree) {
    if object.get("endpoints") != old.get("endpoints") {
        drop_topology(object);
    }
}

fn too_many(place: &Place, max: usize, faults: &mut Faults) -> bool {
    let over = place.len() > max;
    if over {
        faults.push(FieldError::too_many(place.path.clone(), place.len(), max));
    }
    over
}

fn validate(object: &Tree, faults: &mut Faults) {
    let root = Place::root(object);
    root.at("addressType").must_be_one_of(faults, &["FQDN", "IPv4", "IPv6"]);
    ports(&root.at("ports"), faults);
    let endpoints = root.at("endpoints");
    if too_many(&endpoints, ENDPOINTS_MAX, faults) {
        return;
    }
    for endpoint in endpoints.items() {
        let list = endpoint.at("addresses");
        if list.len() == 0 {
            list.required(faults, "must contain at least 1 address");
        }
        too_many(&list, ADDRESSES_MAX, faults);
        for one in list.items() {
            reachable(&one, &list, root.at("addressType").text(), faults);
        }
        let (node, host) = (endpoint.at("nodeName"), endpoint.at("hostname"));
        if node.given() {
            node.invalid_for(faults, names::dns1123_subdomain(node.text()));
        }
        if host.given() {
            host.invalid_for(faults, names::dns1123_label(host.text()));
        }
        let topology = endpoint.at("deprecatedTopology");
        too_many(&topology, TOPOLOGY_MAX, faults);
        topology.labels(faults);
        for (field, check) in
            [("forZones", names::label_value as fn(&str) -> Vec<String>), ("forNodes", names::dns1123_subdomain)]
        {
            hints(&endpoint.at("hints").at(field), check, faults);
        }
    }
}

fn reachable(one: &Place, list: &Place, of: &str, faults: &mut Faults) {
    match of {
        "IPv4" | "IPv6" => {
            let v4 = of == "IPv4";
            let ip = if v4 { address::ip(one, faults) } else { address::canonical_ip(one, faults) };
            let Some(ip) = ip else { return };
            if ip.is_ipv4() != v4 {
                let why = format!("must be an {of} address");
                faults.push(FieldError::invalid(list.path.clone(), one.text(), why));
            }
            address::endpoint(one, faults);
        }
        "FQDN" if one.must(faults, "") => {
            let name = one.text().strip_suffix('.').unwrap_or(one.text());
            let wrong = names::dns1123_subdomain(name);
            if !wrong.is_empty() {
                one.invalid(faults, wrong.join(","));
            } else if !name.contains('.') {
                one.invalid(faults, "should be a domain with at least two segments separated by dots");
            }
        }
        _ => {}
    }
}

fn hints(list: &Place, check: fn(&str) -> Vec<String>, faults: &mut Faults) {
    if too_many(list, HINTS_MAX, faults) {
        return;
    }
    let mut seen = Vec::new();
    for name in list.items().map(|item| item.at("name")) {
        if seen.contains(&name.text()) {
            name.duplicate(faults);
        }
        seen.push(name.text());
        name.invalid_for(faults, check(name.text()));
    }
}

fn ports(list: &Place, faults: &mut Faults) {
    if too_many(list, PORTS_MAX, faults) {
        return;
    }
    let mut seen = std::collections::HashSet::new();
    for port in list.items() {
        let (name, protocol) = (port.at("name"), port.at("appProtocol"));
        name.may_pass(faults, names::dns1123_label);
        if !seen.insert(name.text()) {
            name.duplicate(faults);
        }
        port.at("protocol").must_be_one_of(faults, &["SCTP", "TCP", "UDP"]);
        if protocol.given() {
            protocol.invalid_for(faults, names::label_key(protocol.text()));
        }
    }
}

fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    Place::root(object).at("addressType").unchanged(faults, old.get("addressType").unwrap_or(&Tree::Null));
}

fn warnings(object: &Tree) -> Vec<String> {
    let old = object.str_at(&["addressType"]) == Some("FQDN");
    if old { vec!["spec.addressType: FQDN endpoints are deprecated".to_owned()] } else { Vec::new() }
}

fn shown(items: &[String]) -> Tree {
    let text = labels_text::some_of(items, SHOWN_MAX, items.len());
    Tree::text(if text.is_empty() { "<unset>".to_owned() } else { text })
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let port = |port: &Tree| match (port.int_at(&["port"]), port.str_at(&["name"])) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => "*".to_owned(),
    };
    let ports: Vec<String> = object.list_at(&["ports"]).iter().map(port).collect();
    let endpoints = object.list_at(&["endpoints"]).iter();
    let addresses = endpoints.flat_map(|e| e.list_at(&["addresses"])).filter_map(Tree::as_str);
    let addresses: Vec<String> = addresses.map(str::to_owned).collect();
    vec![
        Tree::text(meta::name(object)),
        Tree::text(object.str_at(&["addressType"]).unwrap_or_default()),
        shown(&ports),
        shown(&addresses),
        cells::age(object, now),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn the_address_type_stays() {
        let (mut object, mut faults) = (tree!({"addressType": "IPv4"}), Faults::new());
        let old = object.clone();
        object.set("addressType", "IPv6");
        validate_update(&object, &old, &mut faults);
        assert_eq!(faults[0].to_string(), "addressType: Invalid value: \"IPv6\": field is immutable");
    }

    #[test]
    fn addresses_are_of_the_slices_type() {
        let mut faults = Faults::new();
        let object =
            tree!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["fd00::1"]}, {}]});
        validate(&object, &mut faults);
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "endpoints[1].addresses: Invalid value: \"fd00::1\": must be an IPv4 address",
                "endpoints[2].addresses: Required value: must contain at least 1 address"
            ]
        );
    }
}
