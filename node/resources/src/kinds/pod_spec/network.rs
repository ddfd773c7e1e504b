//! Faults of ports, DNS and host names.

use super::Holder;
use crate::kinds::place::{Place, out_of_range};
use crate::rules::Faults;
use api::{FieldError, Tree};
use std::net::IpAddr;

const PORT_MAX: i64 = 65535;
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARS_MAX: usize = 2048;
/// Longest host name that Linux takes, bytes.
const HOSTNAME_MAX: usize = 64;
const NOT_AN_ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const UNDERSCORED: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?(\\.[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?)*')";

/// What is wrong with the name of a port.
pub(in crate::kinds) fn port_name(name: &str) -> Vec<String> {
    const LONGEST: usize = 15;
    let mut wrong = Vec::new();
    let mut fault = |bad: bool, why: &str| {
        if bad {
            wrong.push(why.to_owned());
        }
    };
    let plain = !name.is_empty() && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
    fault(name.len() > LONGEST, "must be no more than 15 bytes");
    fault(!plain, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    fault(!name.bytes().any(|c| c.is_ascii_lowercase()), "must contain at least one letter (a-z)");
    fault(name.contains("--"), "must not contain consecutive hyphens");
    fault(name.starts_with('-') || name.ends_with('-'), "must not begin or end with a hyphen");
    wrong
}

/// A port by number or by name.
pub(super) fn port_or_name(port: &Place, faults: &mut Faults) {
    match port.value {
        Tree::Text(name) => port.invalid_for(faults, port_name(name)),
        value => {
            let number = value.as_int().unwrap_or_default();
            if !(1..=PORT_MAX).contains(&number) {
                faults.push(FieldError::invalid(port.path.clone(), number, out_of_range(1, PORT_MAX)));
            }
        }
    }
}

/// Faults of a container's ports.
pub(super) fn container_ports(ports: &Place, faults: &mut Faults) {
    let mut names = Vec::new();
    for port in ports.items() {
        let name = port.at("name");
        if !name.text().is_empty() {
            let wrong = port_name(name.text());
            if wrong.is_empty() && names.contains(&name.text()) {
                name.duplicate(faults);
            }
            name.invalid_for(faults, wrong);
            names.push(name.text());
        }
        if port.at("containerPort").must(faults, "") {
            port.at("containerPort").within(faults, 1, PORT_MAX);
        }
        if port.at("hostPort").int().unwrap_or_default() != 0 {
            port.at("hostPort").within(faults, 1, PORT_MAX);
        }
        port.at("protocol").must_be_one_of(faults, &["TCP", "UDP", "SCTP"]);
    }
}

/// No two containers may have the same port of the node.
pub(super) fn unique_host_ports<'a>(containers: impl Iterator<Item = Place<'a>>, faults: &mut Faults) {
    let mut seen = Vec::new();
    for port in containers.flat_map(|container| container.at("ports").items()) {
        let host = port.at("hostPort");
        let number = host.int().unwrap_or_default();
        if number == 0 {
            continue;
        }
        let shown = format!("{}/{}/{number}", port.at("protocol").text(), port.at("hostIP").text());
        if seen.contains(&shown) {
            faults.push(FieldError::duplicate(host.path.clone(), shown.as_str()));
        }
        seen.push(shown);
    }
}

/// On the node's network a container's port is the node's port.
pub(super) fn host_ports(spec: &Place, holder: Holder, faults: &mut Faults) {
    if !spec.at("hostNetwork").yes() {
        return;
    }
    for port in spec.at("containers").items().flat_map(|container| container.at("ports").items()) {
        let host = port.at("hostPort").int().unwrap_or_default();
        let demanded = host != 0 || holder != Holder::Template;
        if demanded && host != port.at("containerPort").int().unwrap_or_default() {
            let why = "must match `containerPort` when `hostNetwork` is true";
            faults.push(FieldError::invalid(port.path.field("hostPort"), host, why));
        }
    }
}

/// An address; leading zeros of old are let pass.
pub(in crate::kinds) fn address(address: &Place, faults: &mut Faults) {
    let plain: Vec<&str> = address
        .text()
        .split('.')
        .map(|part| match part.trim_start_matches('0') {
            "" if !part.is_empty() => "0",
            trimmed => trimmed,
        })
        .collect();
    let readable = |text: &str| text.parse::<IpAddr>().is_ok();
    if !readable(address.text()) && !readable(&plain.join(".")) {
        address.invalid(faults, NOT_AN_ADDRESS);
    }
}

/// Faults of the DNS settings.
pub(super) fn dns(config: &Place, policy: &str, faults: &mut Faults) {
    let servers = config.at("nameservers");
    if policy == "None" {
        if !config.given() {
            return config.required(faults, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if servers.len() == 0 {
            return servers.required(faults, "must provide at least one DNS nameserver when `dnsPolicy` is None");
        }
    }
    if servers.len() > NAMESERVERS_MAX {
        servers.invalid(faults, format!("must not have more than {NAMESERVERS_MAX} nameservers"));
    }
    servers.items().for_each(|server| address(&server, faults));
    let searches = config.at("searches");
    if searches.len() > SEARCHES_MAX {
        searches.invalid(faults, format!("must not have more than {SEARCHES_MAX} search paths"));
    }
    let chars: usize = searches.items().map(|s| s.text().len() + 1).sum();
    if chars > SEARCH_CHARS_MAX + 1 {
        let why = "characters (including spaces) in the search list";
        searches.invalid(faults, format!("must not have more than {SEARCH_CHARS_MAX} {why}"));
    }
    for search in searches.items().filter(|s| s.text() != ".") {
        let name = search.text().strip_suffix('.').unwrap_or(search.text());
        if !underscored(name) {
            faults.push(FieldError::invalid(search.path.clone(), name, UNDERSCORED));
        }
    }
    for option in config.at("options").items().filter(|o| o.at("name").text().is_empty()) {
        option.required(faults, "must not be empty");
    }
}

/// Whether a text is a subdomain, where underscores are allowed.
fn underscored(name: &str) -> bool {
    api::names::dns1123_subdomain(&name.replace('_', "a")).is_empty()
}

/// Faults of the override of the host name.
pub(super) fn hostname(spec: &Place, faults: &mut Faults) {
    let name = spec.at("hostnameOverride");
    if !name.given() {
        return;
    }
    if spec.at("setHostnameAsFQDN").yes() {
        name.forbidden(faults, "may not be specified when setHostnameAsFQDN is true");
    }
    if spec.at("hostNetwork").yes() {
        name.forbidden(faults, "may not be specified when hostNetwork is true");
    }
    if name.text().len() > HOSTNAME_MAX {
        faults.push(FieldError::too_long(name.path.clone(), HOSTNAME_MAX));
    }
    name.invalid_for(faults, api::names::dns1123_subdomain(name.text()));
}

/// Faults of lines for `/etc/hosts`.
pub(super) fn aliases(aliases: &Place, faults: &mut Faults) {
    for alias in aliases.items() {
        address(&alias.at("ip"), faults);
        for name in alias.at("hostnames").items() {
            name.invalid_for(faults, api::names::dns1123_subdomain(name.text()));
        }
    }
}
