//! Measures the booted machine: how fast, how small, how quiet. Nothing here asserts a time.
//!
//! A part is one file and one line of `PARTS`. What fails is told, and the other parts are measured all the same.

mod boot;
mod conditions;
mod dashboard;
mod disks;
mod docker;
mod figures;
mod host;
mod icount;
mod idle;
mod memory;
mod plain;
mod pods;
mod sizes;
mod smallest;
mod watch;

use crate::harness::{Built, Machine};
use anyhow::Result;
use figures::Figure;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// One thing to measure.
pub struct Part {
    /// The word that chooses it.
    pub name: &'static str,
    /// What it measures.
    pub about: &'static str,
    measure: fn(&mut Bench) -> Result<()>,
}

/// All of them, in this order: those that only want a machine share the last one that `boot` has booted.
pub const PARTS: &[Part] = &[
    Part { name: "sizes", about: "sizes of the image and of our programs", measure: sizes::measure },
    Part { name: "dashboard", about: "the dashboard in a browser with 10,000 pods", measure: dashboard::measure },
    Part { name: "icount", about: "time to init in instructions", measure: icount::measure },
    Part { name: "smallest", about: "the smallest memory that gets ready", measure: smallest::measure },
    Part { name: "boot", about: "milestones after power-on, and the first pod", measure: boot::measure },
    Part { name: "host", about: "starts, stops, and Services on localhost", measure: host::measure },
    Part { name: "idle", about: "host CPU of the idle machine", measure: idle::measure },
    Part { name: "memory", about: "memory of the idle machine and its processes", measure: memory::measure },
    Part { name: "pods", about: "start latency of 1 and of 20 pods", measure: pods::measure },
    Part { name: "docker", about: "from a build to its pod, and images on their way in", measure: docker::measure },
];

/// After what happened last, until a machine is called idle: start-up work and its timers are through by then.
const QUIET: Duration = Duration::from_secs(60);
/// The machine's name.
const NAME: &str = "bench";

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Boots of each kind.
    pub boots: u16,
    /// Memory of the machine, MiB; what `skerry start` takes by itself when nobody says.
    pub memory_mb: Option<u32>,
}

/// A run.
pub struct Bench {
    built: Built,
    wish: Wish,
    part: &'static str,
    figures: Vec<Figure>,
    failures: Vec<String>,
    machine: Option<Machine>,
    touched: Instant,
}

/// What came of a run.
pub struct Outcome {
    /// The table, in Markdown.
    pub text: String,
    /// What failed; empty when all is well.
    pub failures: Vec<String>,
}

/// Measures these parts.
///
/// # Errors
/// When nothing can be measured, because something has not been built.
pub fn run(parts: &[&Part], wish: Wish) -> Result<Outcome> {
    let built = Built::find()?;
    let mut conditions = conditions::of(&built);
    let (figures, failures) = (Vec::new(), Vec::new());
    let mut bench = Bench { built, wish, part: "", figures, failures, machine: None, touched: Instant::now() };
    for part in parts {
        bench.part = part.name;
        bench.attempt(part.about, part.measure);
    }
    if let Some(machine) = &bench.machine {
        conditions.extend(conditions::of_machine(&machine.status()));
    }
    let text = figures::table(&conditions, &bench.figures, &bench.failures);
    Ok(Outcome { text, failures: bench.failures })
}

impl Bench {
    /// Does a step. An error or a panic of the harness is noted, and none is returned.
    fn attempt<T>(&mut self, what: &str, step: impl FnOnce(&mut Bench) -> Result<T>) -> Option<T> {
        eprintln!("== {}: {what}", self.part);
        let why = match catch_unwind(AssertUnwindSafe(|| step(self))) {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) => format!("{error:#}"),
            // What `panic!` carries, with or without arguments.
            Err(panic) => match panic.downcast::<String>() {
                Ok(text) => *text,
                Err(other) => other.downcast_ref::<&str>().copied().unwrap_or("a panic").to_owned(),
            },
        };
        eprintln!("!! {}: {what}: {why}", self.part);
        self.failures.push(format!("{}: {what}: {why}", self.part));
        None
    }

    /// Notes a figure.
    fn note(&mut self, what: impl Into<String>, value: impl Into<String>) {
        let figure = Figure { what: what.into(), value: value.into(), part: self.part };
        eprintln!("   {}: {}", figure.what, figure.value);
        self.figures.push(figure);
    }

    /// The machine, booted if there is none.
    fn machine(&mut self) -> &Machine {
        let machine = self.machine.take().unwrap_or_else(|| {
            let memory = self.wish.memory_mb.map(|mb| format!("{mb}M"));
            let arguments: Vec<&str> = memory.iter().flat_map(|memory| ["--memory", memory]).collect();
            let machine = Machine::boot_with(NAME, &arguments);
            self.touched = Instant::now();
            machine
        });
        self.machine.insert(machine)
    }

    /// Deletes the machine, so that the next one is new.
    fn forget_machine(&mut self) {
        self.machine = None;
    }

    /// Something was done to the machine: it is not idle.
    fn touch(&mut self) {
        self.touched = Instant::now();
    }

    /// Leaves the machine alone until it is idle.
    fn quieten(&self) {
        std::thread::sleep(QUIET.saturating_sub(self.touched.elapsed()));
    }
}
