//! A new version of the front comes and goes while visitors are in the shop, and none of them notices.

use crate::harness::{Load, Machine};
use crate::runner::{Step, steps};
use crate::shop;

/// In this order.
pub const STEPS: &[Step] = steps![a_rolling_update_fails_no_request, an_undone_rollout_fails_no_request];

fn a_rolling_update_fails_no_request(machine: &Machine) {
    let door = shop::open(machine);
    let visitors = Load::on(door, "/version");
    machine.kubectl(&["set", "image", "-n", "shop", "deployment/front", "nginx=shop.local/front:v2"]);
    shop::settled(machine);
    visitors.saw_only(&["200 v1", "200 v2"]);
    assert_eq!(shop::ask(door, "/version"), "v2");
    assert_eq!(shop::ask(door, "/goods/apple"), "12");
}

fn an_undone_rollout_fails_no_request(machine: &Machine) {
    let door = machine.door("shop/front", 80);
    let visitors = Load::on(door, "/version");
    machine.kubectl(&["rollout", "undo", "-n", "shop", "deployment/front"]);
    shop::settled(machine);
    visitors.saw_only(&["200 v1", "200 v2"]);
    assert_eq!(shop::ask(door, "/version"), "v1");
    assert_eq!(
        machine.value("shop", "deployment/front", "{.spec.template.spec.containers[0].image}"),
        "shop.local/front:v1"
    );
}
