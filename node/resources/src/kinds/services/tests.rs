//! Facts about Services.

use super::*;
use crate::rules::Faults;
use api::tree;

fn service() -> Tree {
    let mut object = tree!({"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}], "clusterIP": "10.96.0.9"}});
    default(&mut object);
    (RULES.on_create)(&mut object);
    object
}

fn faults(object: &Tree) -> Vec<String> {
    let mut faults = Faults::new();
    (RULES.validate)(object, &mut faults);
    faults.iter().map(ToString::to_string).collect()
}

fn faults_of_change(object: &Tree, old: &Tree) -> Vec<String> {
    let mut faults = Faults::new();
    (RULES.validate_update)(object, old, &mut faults);
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn a_port_is_all_that_a_client_must_give() {
    let object = service();
    assert_eq!(
        object.at(&["spec"]),
        Some(&tree!({"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], "clusterIP": "10.96.0.9",
            "clusterIPs": ["10.96.0.9"], "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"}))
    );
    assert_eq!(faults(&object), [""; 0]);
}

#[test]
fn bad_services_are_refused_by_field() {
    let mut object = service();
    object.set_at(&["spec", "ports"], tree!([{"port": 0, "protocol": "TCP", "targetPort": "Web"}, {"port": 1, "protocol": "X", "targetPort": 1, "name": "a"}]));
    assert_eq!(
        faults(&object),
        [
            "spec.ports[0].name: Required value",
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[0].targetPort: Invalid value: \"Web\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            "spec.ports[1].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
        ]
    );
}

#[test]
fn an_update_without_addresses_keeps_them() {
    let old = service();
    let mut object = old.clone();
    object.remove_at(&["spec", "clusterIP"]);
    object.remove_at(&["spec", "clusterIPs"]);
    (RULES.on_update)(&mut object, &old);
    assert_eq!(object, old);
    object.set_at(&["spec", "clusterIP"], "10.96.0.10");
    (RULES.on_update)(&mut object, &old);
    assert_eq!(
        faults_of_change(&object, &old),
        ["spec.clusterIPs[0]: Invalid value: [\"10.96.0.10\"]: may not change once set"]
    );
}

#[test]
fn turning_into_an_external_name_drops_addresses_and_node_ports() {
    let mut old = service();
    old.set_at(&["spec", "type"], "NodePort");
    old.at_mut(&["spec", "ports"]).and_then(Tree::as_list_mut).expect("ports")[0].set("nodePort", 30000);
    default(&mut old);
    let mut object = old.clone();
    object.set_at(&["spec", "type"], "ExternalName");
    object.set_at(&["spec", "externalName"], "example.com");
    (RULES.on_update)(&mut object, &old);
    assert_eq!(faults(&object), [""; 0]);
    assert_eq!(object.at(&["spec", "clusterIPs"]), None);
    assert_eq!(object.at(&["spec", "externalTrafficPolicy"]), None);
    assert_eq!(object.list_at(&["spec", "ports"])[0].get("nodePort"), None);
}

#[test]
fn a_row_has_the_columns_of_kubectl() {
    let mut object = service();
    object.set_at(&["spec", "selector"], tree!({"app": "a"}));
    let row = row(&object, 0);
    assert_eq!(row[..5], ["a", "ClusterIP", "10.96.0.9", "<none>", "80/TCP"].map(Tree::text));
    assert_eq!(row[6], Tree::text("app=a"));
}
