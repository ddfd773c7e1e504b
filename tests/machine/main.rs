//! The booted machine, seen from outside: `skerry`, `kubectl` and HTTP, as its users have it.
//!
//! A scenario boots one machine and walks through its steps in order, since a boot costs more than a step. Run it by
//! `cargo test -p tests --features machine --test machine`, with a part of a scenario's or step's name to take fewer.
//! What must be built before, `tests::harness` says when it is missing.

mod button;
mod ci;
mod dashboard;
mod disk;
mod docker;
mod engine;
mod faults;
mod lifecycle;
mod listeners;
mod local;
mod metrics;
mod microvm;
mod odd;
mod power;
mod rolling;
mod runner;
mod serve;
mod shop;
mod smoke;
mod streams;
mod suspend;
mod virtualbox;

use runner::Scenario;
use tests::harness;

/// Every scenario. In `shop`, what takes the shop away comes last.
const SCENARIOS: &[Scenario] = &[
    Scenario { name: "smoke", arguments: &[], on_demand: None, parts: &[smoke::STEPS] },
    Scenario { name: "microvm", arguments: microvm::ARGUMENTS, on_demand: None, parts: &[microvm::STEPS] },
    Scenario { name: "suspend", arguments: &[], on_demand: None, parts: &[suspend::STEPS] },
    Scenario { name: "docker", arguments: docker::ARGUMENTS, on_demand: None, parts: &[docker::STEPS] },
    Scenario { name: "metrics", arguments: &[], on_demand: None, parts: &[metrics::STEPS] },
    Scenario {
        name: "engine",
        arguments: engine::ARGUMENTS,
        on_demand: Some("scripts/crio builds its engine"),
        parts: &[engine::STEPS],
    },
    Scenario { name: "local", arguments: &[], on_demand: None, parts: &[local::STEPS] },
    Scenario {
        name: "shop",
        arguments: &[],
        on_demand: None,
        parts: &[
            listeners::STEPS,
            serve::STEPS,
            odd::STEPS,
            streams::STEPS,
            dashboard::STEPS,
            lifecycle::STEPS,
            rolling::STEPS,
            faults::STEPS,
            power::STEPS,
            lifecycle::CLOSING,
        ],
    },
];

/// Tests that start machines of their own.
const LONE: &[&[runner::Lone]] = &[button::LONE, ci::LONE, disk::LONE, virtualbox::LONE];

fn main() -> std::process::ExitCode {
    runner::run(SCENARIOS, LONE, &std::env::args().skip(1).collect::<Vec<_>>())
}
