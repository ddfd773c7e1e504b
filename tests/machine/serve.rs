//! The shop serves: names, secrets, volumes and ports do what they are for.

use crate::harness::{Machine, eventually};
use crate::runner::{Step, steps};
use crate::shop;
use std::collections::BTreeSet;
use std::time::Duration;

/// In this order.
pub const STEPS: &[Step] = steps![
    the_front_serves_what_the_job_put_into_the_store,
    every_front_gets_its_share_of_the_visitors,
    a_service_and_a_pod_of_a_set_are_found_by_their_names,
    a_secret_is_in_the_environment_and_in_a_file,
    the_store_has_its_own_volume,
];

/// Until each of three pods has been chosen at random.
const SHARE: Duration = Duration::from_secs(120);

fn the_front_serves_what_the_job_put_into_the_store(machine: &Machine) {
    let door = shop::open(machine);
    assert_eq!(door.port(), 30080, "the NodePort is the port of the host too");
    assert_eq!(shop::ask(door, "/goods/apple"), "12");
    assert_eq!(shop::ask(door, "/version"), "v1");
    assert_eq!(machine.value("shop", "deployment/front", "{.status.readyReplicas}"), "3");
    assert_eq!(machine.kubectl(&["logs", "-n", "shop", "job/fill", "--tail=1"]), "filled\n");
}

fn every_front_gets_its_share_of_the_visitors(machine: &Machine) {
    let door = shop::open(machine);
    let wanted: BTreeSet<String> =
        shop::fronts(machine).iter().map(|name| name.trim_start_matches("pod/").to_owned()).collect();
    let mut seen = BTreeSet::new();
    eventually("all fronts answer", SHARE, || {
        seen.insert(shop::ask(door, "/who"));
        if seen == wanted { Ok(()) } else { Err(format!("{seen:?} of {wanted:?}")) }
    });
}

fn a_service_and_a_pod_of_a_set_are_found_by_their_names(machine: &Machine) {
    shop::open(machine);
    let address = machine.value("shop", "service/store", "{.spec.clusterIP}");
    let pod = machine.value("shop", "pod/store-0", "{.status.podIP}");
    let names = [("store.shop.svc.cluster.local", address), ("store-0.store-pods.shop.svc.cluster.local", pod)];
    for (name, address) in names {
        let found = machine.kubectl(&["exec", "-n", "shop", "deployment/front", "--", "nslookup", "-type=a", name]);
        assert!(found.contains(&format!("Address: {address}\n")), "{name} is {address}: {found}");
    }
}

fn a_secret_is_in_the_environment_and_in_a_file(machine: &Machine) {
    shop::open(machine);
    let look = "echo $REDISCLI_AUTH; cat /etc/store/secret/auth.conf";
    let seen = machine.kubectl(&["exec", "-n", "shop", "store-0", "--", "sh", "-c", look]);
    assert_eq!(seen, "low-tide\nrequirepass low-tide\n");
}

fn the_store_has_its_own_volume(machine: &Machine) {
    shop::open(machine);
    assert_eq!(machine.value("shop", "pvc/data-store-0", "{.status.phase}"), "Bound");
    let files = machine.kubectl(&["exec", "-n", "shop", "store-0", "--", "ls", "/data/appendonlydir"]);
    assert!(files.contains("appendonly.aof"), "{files}");
}
