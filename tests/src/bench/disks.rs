//! Disks as other hypervisors boot them, without the host command: from power-on, firmware included, until the node is
//! Ready. Each boot has a copy of its own that it forgets, so that all of them make a new cluster.

use super::Bench;
use super::figures::spread;
use crate::harness::{Emulated, firmware};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// The firmware that starts the disk.
const LANES: &[(&str, bool)] = &[("BIOS", false), ("UEFI", true)];

pub fn measure(bench: &mut Bench) {
    for (name, by_uefi) in LANES {
        let mut times = Vec::new();
        for number in 1..=bench.wish.boots {
            times.extend(bench.attempt(&format!("boot {number} of the disk by {name}"), |bench| boot(bench, *by_uefi)));
        }
        if let Some(text) = spread(&times) {
            bench.note(
                format!(
                    "power-on to Ready (looked at every half second), disk by {name}, min / median / max of {}",
                    times.len()
                ),
                text,
            );
        }
    }
}

fn boot(bench: &mut Bench, by_uefi: bool) -> Result<Duration> {
    bench.forget_machine();
    let disk = bench.built.image.join("skerry.qcow2");
    ensure!(disk.exists(), "{} is missing: skerry build --format qcow2", disk.display());
    let mut arguments: Vec<String> =
        ["-M", "q35", "-nic", "user,model=virtio-net-pci", "-drive"].map(str::to_owned).into();
    arguments.push(format!("if=virtio,format=qcow2,snapshot=on,file={}", disk.display()));
    if by_uefi {
        arguments.extend(["-bios".to_owned(), firmware().display().to_string()]);
    }
    let began = Instant::now();
    let mut machine = Emulated::start(&arguments);
    machine.reaches("ready");
    let took = began.elapsed();
    let code = machine.press();
    ensure!(code == Some(0), "it ended with {code:?}");
    Ok(took)
}
