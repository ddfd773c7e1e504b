//! The power goes while objects are being written; whatever was acknowledged is there afterwards.

use crate::harness::{Machine, post};
use crate::runner::{Step, steps};
use crate::shop;
use std::collections::BTreeSet;

/// Leaves the shop as it was.
pub const STEPS: &[Step] = steps![what_was_acknowledged_survives_a_power_cut_and_the_shop_serves_again];

/// Objects written right before the power goes.
const LAST_WORDS: usize = 8;

fn what_was_acknowledged_survives_a_power_cut_and_the_shop_serves_again(machine: &Machine) {
    let door = shop::open(machine);
    let sold = post(door, "/sold/apple").expect("the shop sells").body;
    for number in 0..LAST_WORDS {
        let name = format!("last-words-{number}");
        machine.kubectl(&["create", "configmap", "-n", "shop", &name, "--from-literal=said=this"]);
    }
    let before = objects(machine);
    machine.cut_power();
    machine.start();
    let lost: Vec<String> = before.difference(&objects(machine)).cloned().collect();
    assert!(lost.is_empty(), "lost: {lost:#?}");
    let door = shop::open(machine);
    assert_eq!(shop::ask(door, "/goods/apple"), "12");
    let next = post(door, "/sold/apple").expect("the shop sells").body;
    assert_eq!(next.parse::<u32>().ok(), sold.parse::<u32>().ok().map(|sold| sold + 1), "{sold} then {next}");
}

/// Every lasting object of the cluster by kind, place, name and identity.
fn objects(machine: &Machine) -> BTreeSet<String> {
    let kinds = "namespaces,nodes,configmaps,secrets,serviceaccounts,services,deployments,replicasets,statefulsets,jobs,\
                 persistentvolumeclaims,persistentvolumes,storageclasses,clusterroles,clusterrolebindings,pods";
    let one = "{.kind} {.metadata.namespace}/{.metadata.name} {.metadata.uid}{\"\\n\"}";
    let path = format!("jsonpath={{range .items[*]}}{one}{{end}}");
    machine.kubectl(&["get", kinds, "-A", "-o", &path]).lines().map(str::to_owned).collect()
}
