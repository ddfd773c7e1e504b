//! Runs scenarios: boots a machine for each, walks through its steps, reports as `cargo test` does. A step that fails
//! does not keep the later ones from being tried; it knows no step.

use crate::harness::Machine;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

/// One observable behaviour.
pub struct Step {
    /// A fact, in words.
    pub name: &'static str,
    /// Panics when it is none.
    pub run: fn(&Machine),
}

/// Steps that share one machine.
pub struct Scenario {
    /// Also the machine's name.
    pub name: &'static str,
    /// More arguments of `skerry start`.
    pub arguments: &'static [&'static str],
    /// Why it is left out unless it is asked for by name.
    pub on_demand: Option<&'static str>,
    /// Steps by theme, in order.
    pub parts: &'static [&'static [Step]],
}

/// A test that starts whatever machines it needs by itself.
pub struct Lone {
    /// A fact, in words.
    pub name: &'static str,
    /// Panics when it is none.
    pub run: fn(),
}

/// Lone tests by the names of their functions.
macro_rules! lone {
    ($($test:ident),* $(,)?) => { &[$($crate::runner::Lone { name: stringify!($test), run: $test }),*] };
}
pub(crate) use lone;

/// Steps by the names of their functions.
macro_rules! steps {
    ($($step:ident),* $(,)?) => { &[$($crate::runner::Step { name: stringify!($step), run: $step }),*] };
}
pub(crate) use steps;

/// Runs what the arguments choose: words that are part of `scenario::step`; flags of `cargo test` are passed over.
pub fn run(scenarios: &[Scenario], lone: &[&[Lone]], arguments: &[String]) -> ExitCode {
    let words: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let only_list = arguments.iter().any(|word| word == "--list");
    let wanted = |full: &str| words.is_empty() || words.iter().any(|word| full.contains(word.as_str()));
    let (mut passed, mut failed, mut left_out) = (0, Vec::new(), 0);
    let began = Instant::now();
    let mut ignored = 0;
    for scenario in scenarios {
        if let (Some(why), true, false) = (scenario.on_demand, words.is_empty(), only_list) {
            println!("scenario {} ... ignored: {why}", scenario.name);
            ignored += scenario.parts.iter().map(|steps| steps.len()).sum::<usize>();
            continue;
        }
        let mut steps = Vec::new();
        for step in scenario.parts.iter().copied().flatten() {
            let full = format!("{}::{}", scenario.name, step.name);
            if wanted(&full) { steps.push((full, step)) } else { left_out += 1 }
        }
        if only_list {
            steps.iter().for_each(|(full, _)| println!("{full}: test"));
            continue;
        }
        if !steps.is_empty() {
            let before = failed.len();
            walk(scenario, &steps, &mut failed);
            passed += steps.len() - (failed.len() - before);
        }
    }
    for test in lone.iter().copied().flatten() {
        let full = format!("alone::{}", test.name);
        match (wanted(&full), only_list) {
            (true, false) => {
                let began = Instant::now();
                let is_good = catch_unwind(test.run).is_ok();
                let word = if is_good { "ok" } else { "FAILED" };
                println!("test {full} ... {word} ({:.1}s)", began.elapsed().as_secs_f64());
                if is_good { passed += 1 } else { failed.push(full) }
            }
            (true, true) => println!("{full}: test"),
            (false, _) => left_out += 1,
        }
    }
    if only_list {
        return ExitCode::SUCCESS;
    }
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    failed.iter().for_each(|full| println!("failed: {full}"));
    let (bad, took) = (failed.len(), began.elapsed().as_secs_f64());
    println!(
        "\ntest result: {verdict}. {passed} passed; {bad} failed; {ignored} ignored; 0 measured; {left_out} filtered out; \
         finished in {took:.2}s"
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One machine's life.
fn walk(scenario: &Scenario, steps: &[(String, &Step)], failed: &mut Vec<String>) {
    let began = Instant::now();
    // A panic has printed its words already; what is left is to count it.
    let name = scenario.name;
    let Ok(machine) = catch_unwind(|| Machine::boot_with(name, scenario.arguments)) else {
        println!("machine {name} did not boot");
        failed.extend(steps.iter().map(|(full, _)| full.clone()));
        return;
    };
    println!("machine {name} is up after {:.1}s", began.elapsed().as_secs_f64());
    let before = failed.len();
    for (full, step) in steps {
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (step.run)(&machine)));
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test {full} ... {word} ({:.1}s)", began.elapsed().as_secs_f64());
        if outcome.is_err() {
            failed.push(full.clone());
        }
    }
    if failed.len() > before {
        machine.keep_logs();
    }
}
