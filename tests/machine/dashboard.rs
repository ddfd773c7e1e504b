//! The dashboard and `skerry why` on the booted machine: what needs containers that run.

use crate::harness::{Browser, Machine};
use crate::runner::{Step, steps};
use crate::shop;
use std::time::Duration;

/// In any order.
pub const STEPS: &[Step] =
    steps![the_dashboard_follows_the_logs_of_several_pods_and_opens_a_shell, why_names_the_image_that_cannot_be_had,];

/// One answer of the page, emulated.
const SOON: Duration = Duration::from_secs(120);

fn the_dashboard_follows_the_logs_of_several_pods_and_opens_a_shell(machine: &Machine) {
    let door = shop::open(machine);
    let (_serving, url) = machine.dashboard();
    let mut browser = Browser::start(1280, 800);
    browser.open(&url);
    browser.until("document.querySelector('aside nav a')", SOON);
    browser.value("location.hash = '#/object/apps/deployments/shop/front/logs'");
    browser.until("document.querySelectorAll('[role=log] .line').length > 2", SOON);
    shop::ask(door, "/goods/plum?seen=there");
    browser.shows("seen=there", SOON);
    browser.value("location.hash = '#/object/-/pods/shop/store-0/shell'");
    browser.until("document.activeElement?.classList.contains('xterm-helper-textarea')", SOON);
    browser.types("echo $((6*7))-done");
    browser.press(&["Enter"]);
    browser.until("document.querySelector('.xterm-rows').innerText.includes('42-done')", SOON);
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

fn why_names_the_image_that_cannot_be_had(machine: &Machine) {
    machine.kubectl(&["run", "lost", "--image=shop.local/nowhere:v9", "--image-pull-policy=Never"]);
    let said = crate::harness::eventually("skerry why tells of the image", SOON, || {
        let said = machine.why("default", "pod/lost");
        if said.contains("shop.local/nowhere:v9 is not on the node") { Ok(said) } else { Err(said) }
    });
    assert!(said.contains("skerry image load"), "{said}");
    machine.kubectl(&["delete", "pod", "lost", "--now"]);
}
