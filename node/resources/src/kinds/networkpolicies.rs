//! NetworkPolicies: which traffic pods take. Rules of `k8s.io/kubernetes/pkg/registry/networking/networkpolicy`.

use super::place::Place;
use super::{address, labels_text};
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{FieldError, Tree, meta};

/// What is special about NetworkPolicies.
pub const RULES: Rules = Rules { generation: true, default, validate, cells: row, ..PLAIN };

const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

fn default(object: &mut Tree) {
    for (direction, _) in DIRECTIONS {
        let rules = object.at_mut(&["spec", direction]).and_then(Tree::as_list_mut).into_iter().flatten();
        for port in rules.filter_map(|rule| rule.get_mut("ports")).filter_map(Tree::as_list_mut).flatten() {
            if port.get("protocol").is_none_or(Tree::is_null) {
                port.set("protocol", "TCP");
            }
        }
    }
    if object.list_at(&["spec", "policyTypes"]).is_empty() {
        let egress = !object.list_at(&["spec", "egress"]).is_empty();
        let types = if egress { vec!["Ingress", "Egress"] } else { vec!["Ingress"] };
        object.set_at(&["spec", "policyTypes"], types);
    }
}

fn validate(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    spec.at("podSelector").label_selector(faults);
    for (direction, peers) in DIRECTIONS {
        for rule in spec.at(direction).items() {
            rule.at("ports").items().for_each(|port| of_port(&port, faults));
            rule.at(peers).items().for_each(|peer| of_peer(&peer, faults));
        }
    }
    let types = spec.at("policyTypes");
    if types.len() > 2 {
        return types.invalid(faults, "may not specify more than two policyTypes");
    }
    types.items().for_each(|of| of.one_of(faults, &["Ingress", "Egress"]));
}

fn of_port(place: &Place, faults: &mut Faults) {
    let (protocol, port, end) = (place.at("protocol"), place.at("port"), place.at("endPort"));
    if protocol.given() {
        protocol.one_of(faults, &["TCP", "UDP", "SCTP"]);
    }
    if port.given() {
        address::port_or_name(&port, faults);
    }
    match (port.int(), end.int()) {
        (_, None) => {}
        (Some(first), Some(last)) => {
            if last < first {
                faults.push(FieldError::invalid(end.path.clone(), first, "must be greater than or equal to `port`"));
            }
            address::port(&end, faults);
        }
        (None, Some(_)) if port.given() => end.invalid(faults, "may not be specified when `port` is non-numeric"),
        (None, Some(_)) => end.invalid(faults, "may not be specified when `port` is not specified"),
    }
}

fn of_peer(peer: &Place, faults: &mut Faults) {
    let (pods, namespaces, block) = (peer.at("podSelector"), peer.at("namespaceSelector"), peer.at("ipBlock"));
    pods.label_selector(faults);
    namespaces.label_selector(faults);
    if block.given() && block.at("cidr").must(faults, "") {
        let range = address::cidr(&block.at("cidr"), faults);
        for except in block.at("except").items() {
            let part = address::cidr(&except, faults);
            if let (Some(range), Some(part)) = (range, part)
                && (!range.contains(part.ip) || range.bits >= part.bits)
            {
                except.invalid(faults, "must be a strict subset of `cidr`");
            }
        }
    }
    let selectors = pods.given() || namespaces.given();
    if !selectors && !block.given() {
        peer.required(faults, "must specify a peer");
    } else if selectors && block.given() {
        peer.forbidden(faults, "may not specify both ipBlock and another peer");
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let selector = labels_text::selector(object.at(&["spec", "podSelector"]));
    vec![Tree::text(meta::name(object)), selector, cells::age(object, now)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_policy_with_egress_rules_is_of_both_types() {
        let mut object = tree!({"spec": {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]}});
        default(&mut object);
        assert_eq!(object.at(&["spec", "policyTypes"]), Some(&tree!(["Ingress", "Egress"])));
        assert_eq!(object.list_at(&["spec", "egress"])[0].list_at(&["ports"])[0].str_at(&["protocol"]), Some("TCP"));
    }

    #[test]
    fn exceptions_lie_within_their_block() {
        let mut faults = Faults::new();
        let block = tree!({"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "11.0.0.0/16"]});
        validate(&tree!({"spec": {"ingress": [{"from": [{"ipBlock": block}]}]}}), &mut faults);
        let texts: Vec<String> = faults.iter().map(|fault| fault.path.to_string()).collect();
        assert_eq!(texts, ["spec.ingress[0].from[0].ipBlock.except[1]"]);
    }
}
