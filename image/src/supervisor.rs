//! The process beside a running machine: it owns the emulator, hears the serial line, lets ports follow Services, and
//! answers commands. One for each cluster, detached from whoever started it.
//!
//! It dies with the machine, and the machine with it only when asked: should it crash, the emulator runs on and the next
//! command starts another supervisor, which finds monitor, serial line and process as they are.

mod console;
mod control;
mod emulator;
mod follow;
pub mod forwards;
mod services;
mod suspend;

use crate::cluster::ask::{End, Report};
use crate::cluster::emulator::Accelerator;
use crate::cluster::settings::Settings;
use crate::cluster::{self, Cluster, access};
use crate::exit::{Code, Failure};
use anyhow::{Context, Result, bail};
use console::Console;
use emulator::Emulator;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};

/// Held as long as the supervisor lives.
pub const LOCK: &str = "supervisor.lock";
/// What supervisors have to say.
pub const LOG: &str = "supervisor.log";
/// How the last machine ended.
pub const END: &str = "end.json";
/// Lines of the serial line that a slow reader may be behind.
const LINES_BEHIND: usize = 1024;
/// The serial line is read this long after it said something: it comes a letter at a time.
const SETTLE: Duration = Duration::from_millis(20);

/// What is done at the beginning.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// Start the machine.
    Launch(Accelerator),
    /// Let the suspended machine go on.
    Resume(Accelerator),
    /// Take over one that runs.
    Attach,
}

/// All causes of activity.
enum Event {
    /// The serial line said something.
    Serial(std::io::Result<()>),
    /// Time to read what it said.
    Settled,
    /// The emulator tells something.
    Emulator(Option<cluster::qmp::Event>),
    /// The emulator is gone.
    Ended,
    /// Services have changed.
    Services(BTreeMap<String, Value>),
    /// Somebody has logged in.
    Credentials,
    /// A port shall lead to Docker's.
    Docker,
}

/// What commands and the main loop share.
#[derive(Clone)]
pub struct Shared {
    /// The present state, watched by commands.
    pub report: watch::Sender<Report>,
    /// The emulator's monitor.
    pub monitor: cluster::qmp::Monitor,
    /// Lines of the serial line, as they come.
    pub lines: broadcast::Sender<String>,
    /// Wakes the main loop when credentials were written.
    pub credentials: mpsc::Sender<()>,
    /// Wakes the main loop when a port shall lead to Docker's.
    pub docker: mpsc::Sender<()>,
    /// How far the memory is on its way to the disk.
    pub saving: suspend::Saving,
}

/// Runs until the machine has ended. `ready` is called once commands can be answered.
///
/// # Errors
/// When the machine cannot be started or found.
pub async fn run(cluster: &Cluster, order: Order, ready: impl FnOnce()) -> Result<()> {
    let Some(_lock) = cluster::lock(&cluster.path(LOCK))? else {
        bail!(Failure::new(Code::Taken, format!("cluster {:?} has a supervisor already", cluster.name)));
    };
    let settings = Settings::read(cluster)?;
    let listener = control::listen(cluster)?;
    let (mut emulator, mut report) = match order {
        Order::Launch(accelerator) => Emulator::launch(cluster, &settings, accelerator).await?,
        Order::Resume(accelerator) => Emulator::resume(cluster, &settings, accelerator).await?,
        Order::Attach => Emulator::attach(cluster, &settings).await?,
    };
    let mut console = Console::open(cluster, report.started_ms)?;
    report.milestones = console.known();
    let mut follow = follow::Follow::take_over(&emulator.monitor, report.port).await;
    let (credentials, mut logged_in) = mpsc::channel(1);
    let (docker, mut docker_wanted) = mpsc::channel(1);
    let shared = Shared {
        report: watch::Sender::new(report),
        monitor: emulator.monitor.clone(),
        lines: broadcast::Sender::new(LINES_BEHIND),
        credentials,
        docker,
        saving: suspend::Saving::of(cluster),
    };
    let commands = tokio::spawn(control::serve(listener, shared.clone()));
    let mut services = services::Watch::default();
    if access::entry(cluster)?.is_some() && !matches!(order, Order::Launch(_)) {
        services.start(cluster)?;
    }
    emulator.go_on().await?;
    ready();
    let mut settle = None;
    let mut known = None;
    let end = loop {
        let event = tokio::select! {
            said = emulator.serial.said() => Event::Serial(said),
            () = settled(settle) => Event::Settled,
            event = emulator.events.recv(), if !emulator.is_silent => Event::Emulator(event),
            () = emulator.process.gone() => Event::Ended,
            changed = services.changed() => Event::Services(changed),
            Some(()) = logged_in.recv() => Event::Credentials,
            Some(()) = docker_wanted.recv() => Event::Docker,
        };
        match event {
            Event::Serial(Err(error)) => return Err(error).context("watching the serial line"),
            Event::Serial(Ok(())) => settle = settle.or_else(|| Some(tokio::time::Instant::now() + SETTLE)),
            Event::Settled => {
                settle = None;
                hear(&mut console, &shared);
            }
            Event::Emulator(None) => emulator.is_silent = true,
            Event::Emulator(Some(event)) => {
                emulator.note(&event);
                match event.name.as_str() {
                    "RESET" => restarted(&mut console, &shared),
                    "BLOCK_IO_ERROR" => pause(&shared, Some(out_of_space(&event.data))),
                    "RESUME" => pause(&shared, None),
                    "MIGRATION" => shared.saving.hear(&event.data),
                    _ => {}
                }
            }
            Event::Ended => break emulator.end(cluster),
            Event::Services(objects) => {
                adjust(&mut follow, &shared, &objects).await;
                known = Some(objects);
            }
            Event::Docker => {
                follow.want_docker();
                // Without them the ports of Services would seem to be nobody's; they are about to come.
                if let Some(objects) = &known {
                    adjust(&mut follow, &shared, objects).await;
                }
            }
            Event::Credentials => services.start(cluster).unwrap_or_else(|error| log(&format!("services: {error:#}"))),
        }
    };
    hear(&mut console, &shared);
    let end = shared.saving.end(end);
    finish(cluster, &shared, end, commands).await
}

/// Brings the forwards in line with what is wanted, and tells of them.
async fn adjust(follow: &mut follow::Follow, shared: &Shared, objects: &BTreeMap<String, Value>) {
    let (forwards, unreachable) = follow.adjust(&shared.monitor, objects).await;
    shared.report.send_modify(|report| (report.forwards, report.unreachable) = (forwards, unreachable));
}

/// Waits until an instant, or for ever.
async fn settled(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Reads what the serial line said.
fn hear(console: &mut Console, shared: &Shared) {
    match console.read() {
        Ok(heard) => {
            for line in heard.lines {
                // Nobody listens most of the time.
                drop(shared.lines.send(line));
            }
            if !heard.milestones.is_empty() {
                shared.report.send_modify(|report| report.milestones.extend(heard.milestones));
            }
        }
        Err(error) => log(&format!("serial line: {error:#}")),
    }
}

/// The guest boots anew in the same emulator.
fn restarted(console: &mut Console, shared: &Shared) {
    hear(console, shared);
    console.forget();
    shared.report.send_modify(|report| report.milestones.clear());
}

fn pause(shared: &Shared, why: Option<String>) {
    shared.report.send_modify(|report| report.paused = why);
}

fn out_of_space(data: &Value) -> String {
    match data["nospace"].as_bool() {
        Some(true) => "the host's disk is full: free some space, then skerry start".to_owned(),
        _ => format!(
            "the host's disk fails ({}): skerry start tries again",
            data["reason"].as_str().unwrap_or("unknown")
        ),
    }
}

/// Notes how the machine ended, and tells those who watch.
async fn finish(cluster: &Cluster, shared: &Shared, end: End, commands: tokio::task::JoinHandle<()>) -> Result<()> {
    /// How long commands may take to read the last report.
    const LAST_WORDS: Duration = Duration::from_secs(2);
    let text = serde_json::to_string(&end).context("writing how the machine ended")?;
    // A full disk must not keep the end from those who wait for it.
    if let Err(error) = pki::folder::replace(&cluster.path(END), text.as_bytes(), 0o600) {
        log(&format!("noting the end: {error:#}"));
    }
    emulator::forget(cluster);
    shared.report.send_modify(|report| {
        report.forwards.clear();
        report.unreachable.clear();
        report.end = Some(end);
    });
    // Who connects from now on finds nobody, and so the machine stopped.
    match std::fs::remove_file(cluster.path(cluster::ask::SOCKET)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => log(&format!("control socket: {error}")),
        _ => {}
    }
    commands.abort();
    let told = async {
        while shared.report.receiver_count() > 0 {
            shared.report.closed().await;
        }
    };
    if tokio::time::timeout(LAST_WORDS, told).await.is_err() {
        log("a command did not read the last report");
    }
    Ok(())
}

/// One line in the supervisor's own log, which is its standard error. On a full disk it is lost, and nothing else.
pub fn log(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}: {line}", jiff::Timestamp::now());
}
