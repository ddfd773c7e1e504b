//! The shop of `shop/*.yaml`, opened: what the steps of the main job stand in.

use crate::harness::{Machine, eventually, get};
use std::net::SocketAddr;
use std::time::Duration;

/// Everything starting at once, emulated: five pods with their images unpacked.
pub const OPEN: Duration = Duration::from_secs(600);
/// The same in kubectl's words.
pub const OPEN_TEXT: &str = "--timeout=590s";

/// The folder of the manifests.
pub fn manifests() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/machine/shop")
}

/// Opens the shop, if it is not open already, and gives the address of its door.
pub fn open(machine: &Machine) -> SocketAddr {
    machine.load_images();
    machine.kubectl(&["apply", "-f", manifests()]);
    settled(machine);
    machine.kubectl_within(OPEN, &["wait", "-n", "shop", "--for=condition=Complete", "job/fill", OPEN_TEXT]);
    machine.door("shop/front", 80)
}

/// Waits until both tiers are as their objects say, and pods that were on their way out are gone.
pub fn settled(machine: &Machine) {
    for tier in ["statefulset/store", "deployment/front"] {
        machine.kubectl_within(OPEN, &["rollout", "status", "-n", "shop", tier, OPEN_TEXT]);
    }
    let going = "jsonpath={range .items[?(@.metadata.deletionTimestamp)]}{.metadata.name} {end}";
    eventually("pods that were replaced go", OPEN, || {
        let left = machine.kubectl(&["get", "pods", "-n", "shop", "-o", going]);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

/// What the shop answers.
pub fn ask(door: SocketAddr, path: &str) -> String {
    let reply = get(door, path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(reply.code, 200, "{path}: {reply:?}");
    reply.body
}

/// The pods of the front.
pub fn fronts(machine: &Machine) -> Vec<String> {
    let names = machine.kubectl(&["get", "pods", "-n", "shop", "-l", "app=front", "-o", "name"]);
    names.lines().map(str::to_owned).collect()
}

/// The pod with all rights on the machine, running; made once.
pub fn wrench(machine: &Machine) {
    machine.load_images();
    machine.kubectl(&["apply", "-f", concat!(env!("CARGO_MANIFEST_DIR"), "/machine/wrench.yaml")]);
    let wait = ["wait", "-n", "kube-system", "--for=condition=Ready", "pod/wrench", OPEN_TEXT];
    machine.kubectl_within(OPEN, &wait);
}
