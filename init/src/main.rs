//! PID 1 of the appliance: mounts, cgroups, network, state disk, services. Knows no Kubernetes.
//!
//! It boots by the table of phases, then waits for the wish to end. It never ends by itself: a panic anywhere is
//! caught, and the kernel's answer to the death of PID 1 (a panic) is kept for ends that must not look clean.

mod boot;
mod button;
mod children;
mod config;
mod console;
mod control;
mod disk;
mod guard;
mod logs;
mod net;
mod phases;
mod power;
mod readiness;
mod screen;
mod services;
mod shim;
mod trampoline;
mod verdict;

use boot::{Boot, Failure, PHASES};
use button::Button;
use power::{Ending, Kind};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// How often the last resort looks for processes to reap.
const LAST_RESORT_LOOK: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let started = sys::clock::since_start();
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    if std::path::Path::new(&name).file_name().is_some_and(|name| name == shim::NAME) {
        return shim::run(&arguments.collect::<Vec<_>>());
    }
    if arguments.next().is_some_and(|first| first == trampoline::WORD) {
        return trampoline::become_program(arguments);
    }
    if std::process::id() != 1 {
        eprintln!("init: this is the first process of a machine; it does nothing when started by hand");
        return ExitCode::from(2);
    }
    let lived = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => tokio::task::LocalSet::new().block_on(&runtime, live(started)),
            Err(e) => eprintln!("init: start the event loop: {e}"),
        }
    }));
    if let Err(panic) = lived {
        eprintln!("init: panicked: {}", boot::panic_text(panic.as_ref()));
    }
    last_resort()
}

/// What is left when the event loop itself is gone: services run on, nobody becomes a zombie, the machine can be
/// looked at.
fn last_resort() -> ! {
    eprintln!("init: this is a bug; the machine runs on without supervision until it is reset");
    loop {
        while let Ok(Some(_)) = sys::process::reap_one() {}
        std::thread::sleep(LAST_RESORT_LOOK);
    }
}

async fn live(started: Duration) {
    let (endings, mut asked) = mpsc::channel(1);
    let (failed, mut failures) = mpsc::channel(1);
    let mut boot = Boot {
        started,
        console: console::Console::default(),
        config: config::Config::default(),
        children: children::Children::default(),
        readiness: readiness::Readiness::default(),
        services: services::Services::default(),
        network: net::Network::default(),
        failed,
        endings: endings.clone(),
    };
    let children = boot.children.clone();
    guard::keep_running("reaper", boot.console.clone(), move || children.clone().reap());
    // Before the phases: a machine that is told to end while it boots ends then.
    listen(&boot);
    let mut has_failed = false;
    let booted = tokio::select! {
        booted = boot::run(PHASES, &mut boot) => Some(booted),
        ending = asked.recv() => { drop(endings.try_send(ending.expect("we hold a sender"))); None }
    };
    if let Some(Err((phase, failure))) = booted {
        has_failed = true;
        report(&boot, phase, &failure);
        if let Err(failure) = phases::services::start_for_diagnosis(&boot) {
            boot.console.say(&format!("init: {}", failure.reason));
        }
    }
    loop {
        let ending = tokio::select! {
            ending = asked.recv() => ending.expect("we hold a sender"),
            Some((service, failure)) = failures.recv() => {
                has_failed = true;
                report(&boot, service, &failure);
                continue;
            }
        };
        // The end of a machine whose boot failed never looks like a clean one, unless it came up after all.
        let is_bad = has_failed && !boot.readiness.has("ready");
        let is_off = ending.kind == Kind::PowerOff;
        let kind = if is_bad && is_off { verdict::of_failed_boot(&boot.config) } else { ending.kind };
        power::end(&boot, Ending { kind, ..ending }).await;
    }
}

/// Listens for wishes that come from outside: the power button, Ctrl-Alt-Del, signals.
fn listen(boot: &Boot) {
    let endings = boot.endings.clone();
    // Here and not in the task, which has its turn when a phase first waits: by then the milestone `init` may be out, and
    // whoever waits for that may have pressed.
    let mut first = Some(Button::listen());
    guard::keep_running("power button", boot.console.clone(), move || {
        let (endings, button) = (endings.clone(), first.take().unwrap_or_else(Button::listen));
        async move {
            let Some(button) = button? else { return Ok(()) };
            loop {
                button.pressed().await?;
                ask(&endings, Kind::PowerOff, "power button");
            }
        }
    });
    for (number, kind, why) in
        [(SignalKind::interrupt(), Kind::Restart, "Ctrl-Alt-Del"), (SignalKind::terminate(), Kind::PowerOff, "SIGTERM")]
    {
        let endings = boot.endings.clone();
        guard::keep_running(why, boot.console.clone(), move || {
            let endings = endings.clone();
            async move {
                let mut heard = signal(number)?;
                while heard.recv().await.is_some() {
                    ask(&endings, kind, why);
                }
                Ok(())
            }
        });
    }
}

fn ask(endings: &mpsc::Sender<Ending>, kind: Kind, why: &str) {
    // Full means that the machine is about to end already.
    drop(endings.try_send(Ending { kind, why: why.to_owned() }));
}

/// Says what failed and what to do, and ends the machine if it was told to.
fn report(boot: &Boot, phase: &str, failure: &Failure) {
    boot.console.milestone("failed", failure.fields(phase));
    if verdict::is_asked_for(&boot.config) {
        ask(&boot.endings, verdict::of_failed_boot(&boot.config), "a failed boot, where a verdict is waited for");
    } else if boot.config.text(&config::keys::ON_FAILURE) == "poweroff" {
        ask(&boot.endings, Kind::Crash, "a failed boot, as skerry.boot.on_failure says");
    } else {
        boot.console.say("init: the machine stays up for diagnosis; skerry.boot.on_failure=poweroff would end it");
    }
}
