//! The power button while the machine still boots.

use crate::harness::{Built, Emulated};
use crate::runner::{Lone, lone};

/// All of them.
pub const LONE: &[Lone] = lone![button_pressed_while_the_machine_boots_ends_it];

fn button_pressed_while_the_machine_boots_ends_it() {
    let image = Built::find().expect("it was found before").image;
    let (kernel, root) = (image.join("bzImage").display().to_string(), image.join("root.qcow2").display().to_string());
    // Nobody answers on its network, so that it is still waiting for that when the button is pressed.
    let fixed = "-machine q35 -device pvpanic-pci -action panic=exit-failure -no-reboot \
        -netdev hubport,hubid=0,id=n -device virtio-net-pci,netdev=n -kernel";
    let mut arguments: Vec<String> = fixed.split_whitespace().map(str::to_owned).collect();
    arguments.extend([
        kernel,
        "-append".to_owned(),
        "console=ttyS0 root=/dev/vda rootfstype=erofs ro init=/usr/bin/init panic=-1 quiet skerry.disk.kind=memory"
            .to_owned(),
        "-drive".to_owned(),
        format!("if=virtio,format=qcow2,readonly=on,file={root}"),
    ]);
    let mut machine = Emulated::start(&arguments);
    machine.reaches("init");
    assert_eq!(machine.press(), Some(0), "{}", machine.serial());
    let reached = machine.milestones();
    assert!(reached.iter().any(|milestone| milestone["why"] == "power button"), "{reached:?}");
    assert!(!reached.iter().any(|milestone| milestone["skerry"] == "network"), "pressed too late: {reached:?}");
}
