//! What may be wrong with a Service, in the words of `pkg/apis/core/validation`.

use super::{external, headless, kind, needs_health_check, texts};
use crate::kinds::address;
use crate::kinds::place::{IMMUTABLE, Place};
use crate::rules::Faults;
use api::{FieldError, Tree, meta, names, tree};

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES: &[&str] = &["Cluster", "Local"];
const DISTRIBUTIONS: &[&str] = &["PreferClose", "PreferSameZone", "PreferSameNode"];
/// Longest time that a client may stay with its pod, seconds.
const CLIENT_IP_SECONDS_MAX: i64 = 86400;
const BALANCER_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const ONCE: &str = "may not change once set";

/// Faults of a Service whose addresses are allocated.
pub fn object(object: &Tree, faults: &mut Faults) {
    let root = Place::root(object);
    let spec = root.at("spec");
    if let (Some(mode), Some(hints)) =
        (meta::annotation(object, TOPOLOGY_MODE), meta::annotation(object, TOPOLOGY_HINTS))
        && mode != hints
    {
        let path = root.down(&["metadata", "annotations"]).path.key(TOPOLOGY_MODE);
        let why = format!("must match annotations[{TOPOLOGY_HINTS}] when both are specified");
        faults.push(FieldError::invalid(path, mode, why));
    }
    by_type(object, &spec, faults);
    ports(&spec, faults);
    spec.at("selector").labels(faults);
    affinity(&spec, faults);
    addresses(object, &spec, faults);
    for ip in spec.at("externalIPs").items() {
        if address::ip(&ip, faults).is_some() {
            address::endpoint(&ip, faults);
        }
    }
    spec.at("type").must_be_one_of(faults, TYPES);
    node_ports(&spec, faults);
    balancer(object, &spec, faults);
    traffic(object, &spec, faults);
}

fn by_type(object: &Tree, spec: &Place, faults: &mut Faults) {
    if spec.at("ports").len() == 0 && !headless(object) && kind(object) != "ExternalName" {
        spec.at("ports").required(faults, "");
    }
    match kind(object) {
        of @ ("LoadBalancer" | "NodePort") if headless(object) => {
            let path = spec.at("clusterIPs").path.index(0);
            faults.push(FieldError::invalid(path, "None", format!("may not be set to 'None' for {of} services")));
        }
        "ExternalName" => {
            for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if !spec.at(field).value.is_empty() {
                    spec.at(field).forbidden(faults, "may not be set for ExternalName services");
                }
            }
            let name = spec.at("externalName");
            let text = name.text().strip_suffix('.').unwrap_or(name.text());
            if text.is_empty() {
                name.required(faults, "");
            }
            for why in names::dns1123_subdomain(text).into_iter().filter(|_| !text.is_empty()) {
                faults.push(FieldError::invalid(name.path.clone(), text, why));
            }
        }
        _ => {}
    }
}

fn ports(spec: &Place, faults: &mut Faults) {
    let mut seen = Vec::new();
    let ports = spec.at("ports");
    for port in ports.items() {
        let name = port.at("name");
        if ports.len() > 1 && name.text().is_empty() {
            name.required(faults, "");
        } else if !name.text().is_empty() {
            name.invalid_for(faults, names::dns1123_label(name.text()));
            if seen.contains(&name.text()) {
                name.duplicate(faults);
            }
            seen.push(name.text());
        }
        address::port(&port.at("port"), faults);
        port.at("protocol").must_be_one_of(faults, PROTOCOLS);
        address::port_or_name(&port.at("targetPort"), faults);
        if port.at("appProtocol").given() {
            port.at("appProtocol").invalid_for(faults, names::label_key(port.at("appProtocol").text()));
        }
    }
}

fn affinity(spec: &Place, faults: &mut Faults) {
    let (affinity, config) = (spec.at("sessionAffinity"), spec.at("sessionAffinityConfig"));
    affinity.must_be_one_of(faults, &["ClientIP", "None"]);
    let timeout = config.down(&["clientIP", "timeoutSeconds"]);
    match (affinity.text(), timeout.int()) {
        ("ClientIP", None) => {
            let absent = [config.clone(), config.at("clientIP"), timeout].into_iter().find(|p| !p.given());
            if let Some(place) = absent {
                place.required(faults, "when session affinity type is ClientIP");
            }
        }
        ("ClientIP", Some(seconds)) if seconds <= 0 || seconds > CLIENT_IP_SECONDS_MAX => {
            timeout.invalid(faults, format!("must be greater than 0 and less than {CLIENT_IP_SECONDS_MAX}"));
        }
        ("None", _) if config.given() => {
            config.forbidden(faults, "must not be set when session affinity is None");
        }
        _ => {}
    }
}

fn addresses(object: &Tree, spec: &Place, faults: &mut Faults) {
    if kind(object) == "ExternalName" {
        return;
    }
    let (ip, ips, families) = (spec.at("clusterIP"), spec.at("clusterIPs"), spec.at("ipFamilies"));
    let listed = texts(object, &["spec", "clusterIPs"]);
    match (ip.text(), listed.first()) {
        ("", Some(_)) => ips.invalid(faults, "must be empty when `clusterIP` is not specified"),
        ("", None) => {}
        (_, None) => ips.required(faults, ""),
        (ip, Some(first)) if *first != ip => ips.invalid(faults, "first value must match `clusterIP`"),
        _ => {}
    }
    let mut seen = Vec::new();
    for family in families.items() {
        family.one_of(faults, &["IPv4", "IPv6"]);
        if seen.contains(&family.text()) {
            family.duplicate(faults);
        }
        seen.push(family.text());
    }
    let policy = spec.at("ipFamilyPolicy");
    if policy.given() {
        policy.one_of(faults, &["PreferDualStack", "RequireDualStack", "SingleStack"]);
    }
    let before = faults.len();
    let mut parsed = Vec::new();
    for (i, ip) in ips.items().enumerate() {
        if i == 0 && ip.text() == "None" {
            if listed.len() > 1 {
                ips.invalid(faults, "'None' must be the first and only value");
            }
        } else {
            parsed.extend(address::ip(&ip, faults));
        }
    }
    let broken = faults.len() > before;
    if listed.len() > 2 {
        ips.invalid(faults, "may only hold up to 2 values");
    }
    if broken {
        return;
    }
    if listed.len() > 1 && parsed.iter().all(|ip| ip.is_ipv4() == parsed[0].is_ipv4()) {
        ips.invalid(faults, "may specify no more than one IP for each IP family");
    }
    for (i, (ip, family)) in parsed.iter().zip(&seen).enumerate().filter(|_| !headless(object)) {
        if (*family == "IPv4") != ip.is_ipv4() {
            let path = ips.path.index(i);
            let article = if *family == "IPv4" { "IPv4" } else { "IPv6" };
            let why = format!("expected an {article} value as indicated by `ipFamilies[{i}]`");
            faults.push(FieldError::invalid(path, listed[i], why));
        }
    }
}

fn node_ports(spec: &Place, faults: &mut Faults) {
    let (mut nodes, mut ports) = (Vec::new(), Vec::new());
    for port in spec.at("ports").items() {
        let (node, protocol) = (port.at("nodePort"), port.at("protocol").text());
        if let Some(number) = node.int().filter(|n| *n != 0) {
            if spec.at("type").text() == "ClusterIP" {
                node.forbidden(faults, "may not be used when `type` is 'ClusterIP'");
            }
            if nodes.contains(&(protocol, number)) {
                node.duplicate(faults);
            }
            nodes.push((protocol, number));
        }
        let number = port.at("port").int().unwrap_or_default();
        if ports.contains(&(protocol, number)) {
            faults.push(FieldError::duplicate(port.path.clone(), tree!({"port": number, "protocol": protocol})));
        }
        ports.push((protocol, number));
    }
}

fn balancer(object: &Tree, spec: &Place, faults: &mut Faults) {
    let is_balancer = kind(object) == "LoadBalancer";
    let ranges = spec.at("loadBalancerSourceRanges");
    // Upstream writes this path with a capital letter.
    let path = spec.path.field("LoadBalancerSourceRanges");
    if ranges.len() > 0 {
        if !is_balancer {
            faults.push(FieldError::forbidden(path.clone(), BALANCER_ONLY));
        }
        for (i, range) in ranges.items().enumerate() {
            let value = Tree::text(range.text().trim());
            address::cidr(&Place { value: &value, path: path.index(i) }, faults);
        }
    } else if let Some(text) = meta::annotation(object, SOURCE_RANGES) {
        let path = Place::root(object).down(&["metadata", "annotations"]).path.key(SOURCE_RANGES);
        if !is_balancer {
            faults.push(FieldError::forbidden(path.clone(), BALANCER_ONLY));
        }
        for range in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
            let value = Tree::text(range);
            address::cidr(&Place { value: &value, path: path.clone() }, faults);
        }
    }
    let allocate = spec.at("allocateLoadBalancerNodePorts");
    if allocate.given() && !is_balancer {
        allocate.forbidden(faults, BALANCER_ONLY);
    }
    let class = spec.at("loadBalancerClass");
    if class.given() && is_balancer {
        class.invalid_for(faults, names::label_key(class.text()));
    } else if class.given() {
        class.forbidden(faults, BALANCER_ONLY);
    }
}

fn traffic(object: &Tree, spec: &Place, faults: &mut Faults) {
    let (outside, inside) = (spec.at("externalTrafficPolicy"), spec.at("internalTrafficPolicy"));
    if external(object) {
        outside.must_be_one_of(faults, POLICIES);
    } else if !outside.text().is_empty() {
        outside.invalid(faults, "may only be set for externally-accessible services");
    }
    let health = spec.at("healthCheckNodePort");
    match health.int().unwrap_or_default() {
        0 if needs_health_check(object) => health.required(faults, ""),
        0 => {}
        _ if needs_health_check(object) => address::port(&health, faults),
        _ => health
            .invalid(faults, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"),
    }
    if inside.given() {
        inside.one_of(faults, POLICIES);
    }
    let distribution = spec.at("trafficDistribution");
    if distribution.given() {
        distribution.one_of(faults, DISTRIBUTIONS);
    }
}

/// Faults of a change: what was allocated stays.
pub fn change(object: &Tree, old: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    let external_name = kind(object) == "ExternalName" || kind(old) == "ExternalName";
    if !(external_name || headless(object) && headless(old)) {
        moved(&spec, old, "clusterIPs", faults);
    }
    if !external_name && !headless(object) && !headless(old) {
        moved(&spec, old, "ipFamilies", faults);
    }
    let class = spec.at("loadBalancerClass");
    if kind(object) == "LoadBalancer"
        && kind(old) == "LoadBalancer"
        && class.text() != old.str_at(&["spec", "loadBalancerClass"]).unwrap_or_default()
    {
        class.invalid(faults, ONCE);
    }
    let health = spec.at("healthCheckNodePort");
    if needs_health_check(object)
        && needs_health_check(old)
        && health.int() != old.int_at(&["spec", "healthCheckNodePort"])
    {
        health.forbidden(faults, IMMUTABLE);
    }
}

/// A list of allocated values may grow, and lose its second value when the policy says so.
fn moved(spec: &Place, old: &Tree, field: &str, faults: &mut Faults) {
    let place = spec.at(field);
    let before = texts(old, &["spec", field]);
    let now: Vec<&str> = place.value.as_list().unwrap_or_default().iter().filter_map(Tree::as_str).collect();
    let singular = if field == "clusterIPs" { "clusterIP" } else { "ipFamily" };
    let mut fault = |i: usize, why: &str| {
        faults.push(FieldError::invalid(place.path.index(i), place.value.clone(), why));
    };
    if before.len() == now.len() {
        for i in (0..now.len()).filter(|i| before[*i] != now[*i]) {
            fault(if field == "clusterIPs" { i } else { 0 }, ONCE);
        }
        return;
    }
    match (before.first(), now.first()) {
        (Some(_), None) => fault(0, &format!("primary {singular} can not be unset")),
        (Some(was), Some(is)) if was != is => fault(0, ONCE),
        _ => {}
    }
    let policy = spec.at("ipFamilyPolicy");
    if before.len() > now.len() && now.len() == 1 && policy.text() != "SingleStack" {
        policy.invalid(faults, format!("must be set to 'SingleStack' when releasing the secondary {singular}"));
    }
}

/// Faults of a status: only load balancers have addresses there.
pub fn status(object: &Tree, _old: &Tree, faults: &mut Faults) {
    let ingress = Place::root(object).down(&["status", "loadBalancer", "ingress"]);
    if kind(object) != "LoadBalancer" && ingress.len() > 0 {
        return ingress.forbidden(faults, "may only be used when `spec.type` is 'LoadBalancer'");
    }
    for item in ingress.items() {
        let (ip, mode, host) = (item.at("ip"), item.at("ipMode"), item.at("hostname"));
        if !ip.text().is_empty() {
            address::ip(&ip, faults);
        }
        match (ip.text().is_empty(), mode.given()) {
            (false, false) => mode.required(faults, "must be specified when `ip` is set"),
            (true, true) => mode.forbidden(faults, "may not be specified when `ip` is not set"),
            (false, true) => mode.one_of(faults, &["Proxy", "VIP"]),
            (true, false) => {}
        }
        host.may_pass(faults, names::dns1123_subdomain);
        if address::parse_sloppy(host.text()).is_some() {
            host.invalid(faults, "must be a DNS name, not an IP address");
        }
    }
}

/// What a client should know (`pkg/api/service/warnings.go`).
pub fn warnings(object: &Tree) -> Vec<String> {
    let mut warnings = Vec::new();
    let text = |field: &str| object.str_at(&["spec", field]).unwrap_or_default();
    let external_ips = !object.list_at(&["spec", "externalIPs"]).is_empty();
    let headless = kind(object) == "ClusterIP" && text("clusterIP") == "None";
    if meta::annotation(object, TOPOLOGY_HINTS).is_some() {
        warnings.push(format!("annotation {TOPOLOGY_HINTS} is deprecated, please use {TOPOLOGY_MODE} instead"));
    }
    let ignored = [
        ("spec.loadBalancerIP", !text("loadBalancerIP").is_empty()),
        ("spec.externalIPs", external_ips),
        ("spec.SessionAffinity", text("sessionAffinity") != "None"),
    ];
    for (field, _) in ignored.into_iter().filter(|(_, set)| headless && *set) {
        warnings.push(format!("{field} is ignored for headless services"));
    }
    let external_name = kind(object) == "ExternalName";
    if external_ips && !headless && !external_name {
        warnings.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned());
    }
    if external_name && external_ips {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if !external_name && !text("externalName").is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if text("trafficDistribution") == "PreferClose" {
        warnings.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned());
    }
    warnings
}
