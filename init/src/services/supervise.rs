//! The life of one service: wait for what it needs, start it, see it become ready, see it end, wait, start again.

use super::backoff::{Backoff, TRIES_MAX};
use super::demand::Door;
use super::{Order, PATH, Ready, Service, Start, State, Surroundings, rest};
use super::{hashing, outward};
use crate::boot::Failure;
use crate::children::{Running, output_pipe};
use crate::config::Config;
use crate::console::Console;
use crate::logs::lines::{Lines, is_fatal};
use crate::logs::ring::Ring;
use crate::phases::cgroups;
use crate::readiness::Readiness;
use serde_json::Map;
use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use sys::launch::{Launch, Streams};
use sys::process::{End, Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, timeout};

/// How long a process may take to vanish after SIGKILL before its supervisor stops waiting: one stuck in a device
/// must not stop the machine from ending.
const KILL_WAIT: Duration = Duration::from_secs(2);
/// Lines of a service's log that the console shows when it dies.
const LAST_WORDS_LINES: usize = 5;

/// What ended a run.
enum Outcome {
    /// The process ended by itself.
    Ended(End),
    /// It was ended to be started anew.
    Restart,
    /// It was ended because nobody used it.
    Rest,
    /// It was ended for good.
    Stop,
}

/// Runs `service` until it is stopped for good.
pub async fn run(
    service: &'static Service,
    around: Surroundings,
    log: Rc<RefCell<Ring>>,
    orders: Rc<tokio::sync::Mutex<mpsc::Receiver<Order>>>,
) -> io::Result<()> {
    let mut orders = orders.lock().await;
    let door = match service.start {
        Start::Boot => None,
        Start::Connection(path) => Some(Door::open(Path::new(path))?),
    };
    end_leftover(service, &around)?;
    let mut backoff = Backoff::default();
    let mut was_ready = false;
    loop {
        if !wait_for_turn(service, &around, door.as_ref(), &mut orders).await? {
            break;
        }
        let began = Instant::now();
        let outcome = match start(service, &around, door.as_ref(), &log) {
            Ok(running) => watch(service, &around, door.as_ref(), running, &mut orders, &mut was_ready).await,
            Err(e) => {
                log.borrow_mut().add(format!("init: {e}").as_bytes());
                around.console.say(&format!("init: {e}"));
                Outcome::Ended(End::Exited(127))
            }
        };
        around.readiness.clear(service.name);
        around.services.update(service.name, |entry| entry.pid = None);
        let wait = match outcome {
            Outcome::Stop => break,
            Outcome::Rest => {
                if let Err(e) = rest::give_back(PathBuf::from(cgroups::SYSTEM).join(service.name)).await {
                    around.console.say(&format!("init: give back the memory of {}: {e}", service.name));
                }
                continue;
            }
            Outcome::Restart => Duration::ZERO,
            Outcome::Ended(end) => {
                let wait = backoff.ended(began.elapsed());
                report_end(service, &around, &log.borrow(), end, wait);
                if backoff.ends() == TRIES_MAX && service.vital && !around.readiness.has("ready") {
                    tell_failed(service, &around, end);
                }
                wait
            }
        };
        around.services.update(service.name, |entry| {
            entry.state = State::Restarting;
            entry.restarts += 1;
        });
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            order = orders.recv() => if !matches!(order, Some(Order::Restart)) { break },
        }
    }
    around.services.update(service.name, |entry| entry.state = State::Stopped);
    Ok(())
}

/// A supervisor that panicked has left its process behind; two of one service must not run.
fn end_leftover(service: &Service, around: &Surroundings) -> io::Result<()> {
    let left = around.services.entries.borrow_mut().get_mut(service.name).and_then(|entry| entry.pid.take());
    match left {
        Some(pid) => sys::process::signal(pid, Kind::SIGKILL).map(drop),
        None => Ok(()),
    }
}

/// Waits for what the service needs and for its first caller. `false` when it is to stop instead.
async fn wait_for_turn(
    service: &Service,
    around: &Surroundings,
    door: Option<&Door>,
    orders: &mut mpsc::Receiver<Order>,
) -> io::Result<bool> {
    let turn = async {
        if let Some(door) = door {
            around.services.update(service.name, |entry| entry.state = State::Sleeping);
            door.knock().await?;
        }
        around.services.update(service.name, |entry| entry.state = State::Waiting);
        if service.settings.is_none() {
            around.readiness.wait_for(service.needs).await;
        }
        Ok(true)
    };
    let stop = async {
        // There is nothing to restart yet.
        while let Some(Order::Restart) = orders.recv().await {}
        Ok(false)
    };
    tokio::select! {
        turn = turn => turn,
        stop = stop => stop,
    }
}

fn start(
    service: &Service,
    around: &Surroundings,
    door: Option<&Door>,
    log: &Rc<RefCell<Ring>>,
) -> io::Result<Running> {
    let cgroup = PathBuf::from(cgroups::SYSTEM).join(service.name);
    std::fs::create_dir_all(&cgroup)
        .map_err(|e| io::Error::new(e.kind(), format!("make the cgroup {}: {e}", cgroup.display())))?;
    if let Err(e) = std::fs::write(cgroup.join("cpu.weight"), service.cpu_weight.to_string()) {
        around.console.say(&format!("init: set the CPU weight of {}: {e}", service.name));
    }
    let streams = match (service.terminal)(&around.config) {
        Some(path) => Streams::Terminal(path.into()),
        None => {
            let (output, writer) = output_pipe()?;
            let (console, log) = (around.console.clone(), log.clone());
            tokio::task::spawn_local(capture(service.name, output, log, console));
            Streams::Captured(writer)
        }
    };
    let listen = door.map(Door::socket).transpose()?;
    let command = command(service, listen.is_some(), &around.config);
    let input = service
        .settings
        .map(|file| hand_over(service.needs, Path::new(file), around.readiness.clone(), around.console.clone()));
    let input = input.transpose()?;
    let launch = Launch { command, cgroup: Some(cgroup), streams, input, listen };
    let running = around.children.start(launch)?;
    let pid = running.pid;
    if let Err(e) = std::fs::write(format!("/proc/{pid}/oom_score_adj"), service.oom_score.to_string()) {
        around.console.say(&format!("init: set the OOM score of {}: {e}", service.name));
    }
    around.services.update(service.name, |entry| {
        entry.state = State::Starting;
        entry.pid = Some(pid);
    });
    Ok(running)
}

/// The pipe by which a service gets its settings once it has what it `needs`.
fn hand_over(
    needs: &'static [&'static str],
    file: &'static Path,
    readiness: Readiness,
    console: Console,
) -> io::Result<OwnedFd> {
    let (reader, writer) = io::pipe()?;
    let mut writer = pipe::Sender::from_owned_fd(writer.into())?;
    tokio::task::spawn_local(async move {
        readiness.wait_for(needs).await;
        let handed = async { writer.write_all(&std::fs::read(file)?).await }.await;
        // One that has ended meanwhile reads nothing, and its end is told by who watches it.
        if let Err(e) = handed
            && e.kind() != io::ErrorKind::BrokenPipe
        {
            console.say(&format!("init: hand over {}: {e}", file.display()));
        }
    });
    Ok(reader.into())
}

/// A passed socket must be announced with the process's own id, which only the process knows: init itself, run as a
/// program, does that and turns into the service.
fn command(service: &Service, passes_socket: bool, config: &Config) -> Command {
    let mut command = if passes_socket {
        let mut command = Command::new("/proc/self/exe");
        command.args([crate::trampoline::WORD, service.program]);
        command
    } else {
        Command::new(service.program)
    };
    command.args(service.arguments).env_clear().env("PATH", PATH).env("HOME", "/root").current_dir("/");
    command.envs(service.environment.iter().copied());
    command.envs(outward::environment(service.name, config));
    command.envs(hashing::environment(service.name));
    command
}

/// Sees the process become ready and end, and carries out orders meanwhile.
async fn watch(
    service: &'static Service,
    around: &Surroundings,
    door: Option<&Door>,
    mut running: Running,
    orders: &mut mpsc::Receiver<Order>,
    was_ready: &mut bool,
) -> Outcome {
    let ready = async {
        match service.ready {
            Ready::Started => Ok(()),
            Ready::Socket(path) => sys::listening::accepts(Path::new(path)).await,
        }
    };
    let mut ready = std::pin::pin!(ready);
    let mut waits = true;
    let mut unused = std::pin::pin!(unused(service, around, door));
    loop {
        tokio::select! {
            end = &mut running.end => return Outcome::Ended(end.unwrap_or(End::Killed(0))),
            result = &mut ready, if waits => {
                waits = false;
                match result {
                    Ok(()) => announce(service, around, was_ready),
                    Err(e) => around.console.say(&format!("init: wait for {}: {e}", service.name)),
                }
            }
            () = &mut unused => {
                end(service, around, &mut running).await;
                return Outcome::Rest;
            }
            order = orders.recv() => {
                end(service, around, &mut running).await;
                return if matches!(order, Some(Order::Restart)) { Outcome::Restart } else { Outcome::Stop };
            }
        }
    }
}

/// Returns when a service that was woken may sleep again.
async fn unused(service: &Service, around: &Surroundings, door: Option<&Door>) {
    let (Some(rest), Some(door)) = (&service.rest, door) else {
        return std::future::pending().await;
    };
    if let Err(e) = rest::unused(rest, (rest.after)(&around.config), door).await {
        around.console.say(&format!("init: see whether {} is used: {e}; it stays awake", service.name));
        std::future::pending().await
    }
}

fn announce(service: &'static Service, around: &Surroundings, was_ready: &mut bool) {
    around.services.update(service.name, |entry| entry.state = State::Running);
    around.readiness.set(service.name);
    if service.milestone && !*was_ready {
        around.console.milestone(service.name, Map::new());
    }
    *was_ready |= service.milestone;
}

/// SIGTERM, a limited wait, SIGKILL. Only to the process itself: what it left behind (containerd's shims) lives on.
async fn end(service: &Service, around: &Surroundings, running: &mut Running) {
    for (kind, wait) in [(Kind::SIGTERM, service.stop_wait), (Kind::SIGKILL, KILL_WAIT)] {
        if let Err(e) = sys::process::signal(running.pid, kind) {
            around.console.say(&format!("init: stop {}: {e}", service.name));
        }
        if timeout(wait, &mut running.end).await.is_ok() {
            return;
        }
        around.console.say(&format!("init: {} did not end within {} s of {kind}", service.name, wait.as_secs()));
    }
}

fn report_end(service: &Service, around: &Surroundings, log: &Ring, end: End, wait: Duration) {
    let text = end.to_string();
    around.services.update(service.name, |entry| entry.last_end = Some(text.clone()));
    around.console.say(&format!("init: {} ended with {text}; again in {} ms", service.name, wait.as_millis()));
    if !end.is_success() {
        let last: Vec<&str> = log.last().collect();
        for line in &last[last.len().saturating_sub(LAST_WORDS_LINES)..] {
            around.console.say(&format!("{}: {line}", service.name));
        }
    }
}

fn tell_failed(service: &'static Service, around: &Surroundings, end: End) {
    let reason = format!("{} was started {TRIES_MAX} times and ended with {end}", service.program);
    let advice = format!("see the lines of {} above, or {}/{}.log", service.name, crate::logs::FOLDER, service.name);
    // Full means that another service has failed already: the first is the one that is told.
    drop(around.failed.try_send((service.name, Failure::new(reason, advice))));
}

/// Takes everything that a service writes until it and its heirs have closed the pipe.
async fn capture(name: &'static str, mut output: pipe::Receiver, log: Rc<RefCell<Ring>>, console: Console) {
    let mut lines = Lines::default();
    let mut piece = vec![0; 16 * 1024];
    loop {
        let length = match output.read(&mut piece).await {
            Ok(0) => break,
            Ok(length) => length,
            Err(e) => {
                log.borrow_mut().add(format!("init: read the output of {name}: {e}").as_bytes());
                break;
            }
        };
        for line in lines.push(&piece[..length]) {
            let text = String::from_utf8_lossy(&line);
            if is_fatal(&text) {
                console.say(&format!("{name}: {text}"));
            }
            log.borrow_mut().add(&line);
        }
    }
    if let Some(rest) = lines.rest() {
        log.borrow_mut().add(&rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_handed_over_whole_and_not_before_what_is_needed_is_there() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
            let readiness = Readiness::default();
            let reader = hand_over(&["disk"], file, readiness.clone(), Console::default()).unwrap();
            let mut reader = pipe::Receiver::from_owned_fd(reader).unwrap();
            tokio::task::yield_now().await;
            let early = reader.try_read(&mut [0]).unwrap_err();
            assert_eq!(early.kind(), io::ErrorKind::WouldBlock);
            readiness.set("disk");
            let mut got = String::new();
            reader.read_to_string(&mut got).await.unwrap();
            assert_eq!(got, std::fs::read_to_string(file).unwrap());
        });
    }
}
