//! The emulator as the supervisor holds it: started or taken over, let go, listened to, and judged when it has ended.

use super::{END, log, suspend};
use crate::cluster::ask::{End, Report};
use crate::cluster::emulator::{Accelerator, CODE, Hardware, LOG, MONITOR, Machine, SERIAL_LOG};
use crate::cluster::images::Image;
use crate::cluster::qmp::{Event, Monitor};
use crate::cluster::saved::{self, Identity};
use crate::cluster::settings::{Driver, Settings};
use crate::cluster::{Cluster, accelerator, life, outward, vmlinux};
use crate::exit::{Code, Failure};
use anyhow::{Context, Result, bail};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// How long the emulator may take to open its monitor; on a busy host it reads its firmware and the kernel first.
const OPEN_WAIT: Duration = Duration::from_secs(30);
/// Between two tries: nothing tells of its coming.
const OPEN_LOOK: Duration = Duration::from_millis(10);
/// How long the emulator may take to read the memory: gigabytes from a slow disk.
const TAKE_WAIT: Duration = Duration::from_secs(600);

/// How long the rate of the time stamp counter is measured for a machine whose clock it becomes: at a microsecond of
/// doubt, to 20 parts in a million.
const CLOCK_SPAN: Duration = Duration::from_millis(50);
/// The same for one that only waits by it.
const WAIT_SPAN: Duration = Duration::from_millis(5);

/// The emulator.
pub struct Emulator {
    /// Its monitor.
    pub monitor: Monitor,
    /// What it tells.
    pub events: mpsc::Receiver<Event>,
    /// Whether it will tell no more.
    pub is_silent: bool,
    /// Its serial line.
    pub serial: Serial,
    /// Its process.
    pub process: Process,
    pid: u32,
    is_child: bool,
    reason: String,
}

/// The serial line's log, which the emulator appends to.
pub struct Serial(AsyncFd<OwnedFd>);

impl Serial {
    fn watch() -> Result<Serial> {
        Ok(Serial(sys::watch::readable(sys::inotify::writes(Path::new(SERIAL_LOG))?)?))
    }

    /// Returns when something was said; what, is in the log.
    ///
    /// # Errors
    /// When the log can be watched no more.
    pub async fn said(&self) -> std::io::Result<()> {
        let mut guard = self.0.readable().await?;
        sys::inotify::changed(guard.get_inner())?;
        guard.clear_ready();
        Ok(())
    }
}

/// The emulator's process, also when it is not our child.
pub struct Process(AsyncFd<OwnedFd>);

impl Process {
    /// Returns when it has ended.
    pub async fn gone(&self) {
        if let Err(error) = self.0.readable().await {
            log(&format!("the emulator's process: {error}"));
        }
    }
}

impl Emulator {
    /// Starts it, stopped.
    ///
    /// # Errors
    /// In the emulator's own words when it does not start.
    pub async fn launch(cluster: &Cluster, settings: &Settings, accelerator: Accelerator) -> Result<(Self, Report)> {
        // A machine that boots makes memory of an earlier one worthless.
        saved::discard(cluster)?;
        clean(cluster, &[SERIAL_LOG, super::console::MILESTONES])?;
        Self::spawn(cluster, settings, accelerator, None).await
    }

    /// Starts it with the memory of a suspended machine, stopped. When this returns, the memory is in the emulator and
    /// nowhere else: whatever becomes of it, nobody goes on from there a second time.
    ///
    /// # Errors
    /// In the emulator's own words when it does not take the memory, which is then still there.
    pub async fn resume(cluster: &Cluster, settings: &Settings, accelerator: Accelerator) -> Result<(Self, Report)> {
        clean(cluster, &[])?;
        let memory = File::open(cluster.path(saved::MEMORY)).context("opening the saved memory")?;
        let (mut emulator, report) = Self::spawn(cluster, settings, accelerator, Some(memory)).await?;
        if let Err(error) = emulator.take_memory(cluster).await {
            emulator.give_up(cluster).await;
            return Err(error);
        }
        if let Err(error) = saved::discard(cluster) {
            emulator.give_up(cluster).await;
            return Err(error);
        }
        Ok((emulator, report))
    }

    /// Reads the memory that is the emulator's standard input.
    async fn take_memory(&mut self, cluster: &Cluster) -> Result<()> {
        suspend::tell_of_migration(&self.monitor).await?;
        self.monitor.run("migrate-incoming", json!({"uri": "fd:0"})).await?;
        let taken = async {
            loop {
                let Some(event) = self.events.recv().await else { return Err(refused(cluster)) };
                match event.data["status"].as_str() {
                    Some("completed") if event.name == "MIGRATION" => return Ok(()),
                    Some("failed") if event.name == "MIGRATION" => bail!("the emulator does not take the memory"),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(TAKE_WAIT, taken).await.context("the emulator reads the memory without end")?
    }

    /// Ends one that must not run.
    async fn give_up(&self, cluster: &Cluster) {
        let _ = nix::sys::signal::kill(pid_of(self.pid), nix::sys::signal::Signal::SIGKILL);
        self.process.gone().await;
        forget(cluster);
    }

    async fn spawn(
        cluster: &Cluster,
        settings: &Settings,
        accelerator: Accelerator,
        memory: Option<File>,
    ) -> Result<(Self, Report)> {
        let append = |name: &str| {
            let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(cluster.path(name));
            opened.with_context(|| format!("opening {}", cluster.path(name).display()))
        };
        append(SERIAL_LOG)?;
        let words = append(LOG)?;
        let mut command = match settings.driver {
            Driver::Qemu => qemu(cluster, settings, accelerator)?,
            Driver::Virtualbox => virtualbox(cluster)?,
        };
        command.current_dir(&cluster.folder);
        match memory {
            None => command.stdin(Stdio::null()),
            Some(memory) => command.args(["-incoming", "defer"]).stdin(memory),
        };
        command.stdout(words.try_clone()?).stderr(words);
        let started_ms = life::now_ms();
        // An emulated guest is up sooner on small pages: a large one is cleared as a whole at its first touch, and gone from
        // the caches when it is used. But keeping the memory and taking it up again are half a second longer each, so that
        // is for the machine which is chosen for its first start.
        let is_for_first_start = accelerator == Accelerator::Tcg && settings.hardware == Hardware::Microvm;
        sys::process::allow_large_pages(!is_for_first_start)?;
        let pid = sys::launch::start_detached(&mut command)?;
        let running = life::Running::of(pid, started_ms, accelerator)?;
        running.write(cluster)?;
        let opened = Self::open(cluster, pid, true).await;
        if opened.is_err() {
            // What does not listen would run on unseen.
            let _ = nix::sys::signal::kill(pid_of(pid), nix::sys::signal::Signal::SIGKILL);
            forget(cluster);
        }
        Ok((opened?, report(&running, settings)))
    }

    /// Takes over one that runs.
    ///
    /// # Errors
    /// When it does not run any more or does not listen.
    pub async fn attach(cluster: &Cluster, settings: &Settings) -> Result<(Self, Report)> {
        let Some(running) = life::Running::read(cluster).filter(life::Running::is_alive) else {
            bail!(Failure::new(Code::NoCluster, format!("cluster {:?} is not running", cluster.name)));
        };
        log("taking over a machine that runs");
        let emulator = Self::open(cluster, running.pid, false).await?;
        emulator.settle(cluster).await?;
        let mut report = report(&running, settings);
        let status = emulator.monitor.run("query-status", json!({})).await?;
        if status["status"] == "io-error" {
            report.paused = Some("the host's disk was full or failed: skerry start tries again".to_owned());
        }
        Ok((emulator, report))
    }

    /// Brings a machine to run whose supervisor died while it started it, saved its memory or took that back.
    async fn settle(&self, cluster: &Cluster) -> Result<()> {
        let status = self.monitor.run("query-status", json!({})).await?;
        match status["status"].as_str().unwrap_or_default() {
            "inmigrate" => {
                // It has not run yet: whoever comes next may begin again.
                self.give_up(cluster).await;
                bail!("the machine was about to go on from its memory when its supervisor died");
            }
            "prelaunch" | "paused" | "finish-migrate" | "postmigrate" => {
                suspend::take_back(&self.monitor, cluster).await
            }
            _ => saved::discard(cluster),
        }
    }

    async fn open(cluster: &Cluster, pid: u32, is_child: bool) -> Result<Self> {
        let process = Process(sys::watch::readable(sys::process::open_pidfd(pid)?)?);
        let connect = async {
            loop {
                // It may be there and not listen yet.
                match UnixStream::connect(MONITOR).await {
                    Ok(stream) => return Monitor::over(stream).await,
                    Err(_) => tokio::time::sleep(OPEN_LOOK).await,
                }
            }
        };
        let (monitor, events) = tokio::select! {
            monitor = tokio::time::timeout(OPEN_WAIT, connect) => monitor.context("the emulator opens no monitor")?,
            () = process.gone() => Err(refused(cluster)),
        }?;
        let (serial, is_silent, reason) = (Serial::watch()?, false, String::new());
        Ok(Emulator { monitor, events, is_silent, serial, process, pid, is_child, reason })
    }

    /// Lets the machine run. One that was taken over runs already, and does not mind.
    ///
    /// # Errors
    /// When the emulator is gone.
    pub async fn go_on(&self) -> Result<()> {
        if self.is_child {
            self.monitor.run("cont", json!({})).await?;
        }
        Ok(())
    }

    /// Keeps what an event tells of the end.
    pub fn note(&mut self, event: &Event) {
        match event.name.as_str() {
            "GUEST_PANICKED" => "guest-panic".clone_into(&mut self.reason),
            "SHUTDOWN" if self.reason.is_empty() => {
                event.data["reason"].as_str().unwrap_or_default().clone_into(&mut self.reason);
            }
            _ => {}
        }
    }

    /// How it ended. Events that came with the end are looked at first.
    pub fn end(&mut self, cluster: &Cluster) -> End {
        while let Ok(event) = self.events.try_recv() {
            self.note(&event);
        }
        let status = self.is_child.then(|| waitpid(pid_of(self.pid), Some(WaitPidFlag::WNOHANG))).and_then(Result::ok);
        judge(&self.reason, status, || last_words(cluster))
    }
}

/// How an emulator ended, by the reason that it told and its exit status, which only a parent knows.
fn judge(reason: &str, status: Option<WaitStatus>, words: impl FnOnce() -> String) -> End {
    match (reason, status) {
        ("guest-panic", _) => End::Panicked,
        ("guest-shutdown" | "guest-reset", None | Some(WaitStatus::Exited(_, 0))) => End::PoweredOff,
        ("host-qmp-quit", _) => End::Cut,
        ("host-signal", _) | (_, Some(WaitStatus::Signaled(..))) => End::Killed,
        (_, Some(WaitStatus::Exited(_, code))) => {
            let words = words();
            End::Failed(if words.is_empty() { format!("the emulator ended with {code}") } else { words })
        }
        // Not our child, and it told nothing: it was ended from outside.
        _ => End::Killed,
    }
}

/// The machine in QEMU.
fn qemu(cluster: &Cluster, settings: &Settings, accelerator: Accelerator) -> Result<Command> {
    let emulator = accelerator::Emulator::find()?;
    let image = Image::find(Some(&settings.image))?;
    let (kernel, span) = match settings.hardware {
        Hardware::Q35 => (image.kernel(), WAIT_SPAN),
        Hardware::Microvm => (vmlinux::of(&image)?, CLOCK_SPAN),
    };
    let counter_khz = if accelerator == Accelerator::Tcg { sys::clock::counter_khz(span) } else { None };
    let machine = Machine {
        name: &cluster.name,
        hardware: settings.hardware,
        counter_khz,
        config_disk: settings.manifests.is_some(),
        kernel: &kernel,
        root: &image.root(),
        memory_mb: settings.memory_mb,
        cpus: settings.cpus,
        port: settings.port,
        accelerator,
        append: &settings.words(),
        code_is_spent: !cluster.path(CODE).exists(),
        handed: &outward::handed(cluster),
    };
    Identity::of(cluster, settings, accelerator, &emulator, &image)?.launched(cluster)?;
    let mut command = Command::new(&emulator.program);
    command.args(machine.arguments());
    Ok(command)
}

/// The machine in VirtualBox, behind this program, which opens the monitor that VirtualBox has none of.
fn virtualbox(cluster: &Cluster) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("asking where this program lies")?);
    command.arg(crate::commands::VIRTUALBOX_MACHINE).arg(crate::virtualbox::name(&cluster.name));
    Ok(command)
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX))
}

fn report(running: &life::Running, settings: &Settings) -> Report {
    Report {
        pid: running.pid,
        supervisor: std::process::id(),
        accelerator: running.accelerator,
        started_ms: running.started_ms,
        port: settings.port,
        memory_mb: settings.memory_mb,
        cpus: settings.cpus,
        paused: None,
        milestones: Vec::new(),
        forwards: Vec::new(),
        unreachable: Vec::new(),
        end: None,
    }
}

/// Removes what an earlier machine left, and what it said unless it goes on.
fn clean(cluster: &Cluster, more: &[&str]) -> Result<()> {
    for name in [MONITOR, LOG, END, life::RUNNING].iter().chain(more) {
        match std::fs::remove_file(cluster.path(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", cluster.path(name).display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The machine does not run any more.
pub fn forget(cluster: &Cluster) {
    match std::fs::remove_file(cluster.path(life::RUNNING)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => log(&format!("{}: {error}", life::RUNNING)),
        _ => {}
    }
}

/// The last line of the emulator's own complaints.
fn last_words(cluster: &Cluster) -> String {
    let text = std::fs::read_to_string(cluster.path(LOG)).unwrap_or_default();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

/// Why an emulator ended before it listened.
fn refused(cluster: &Cluster) -> anyhow::Error {
    let words = last_words(cluster);
    let shown = if words.is_empty() { "it said nothing".to_owned() } else { words };
    // "Could not set up host forwarding rule" is how it says that a port is taken.
    let (code, advice) = if shown.contains("host forwarding rule") {
        (Code::Taken, "another program has just taken the port: try again".to_owned())
    } else if shown.contains("Cannot allocate memory") || shown.contains("cannot set up guest memory") {
        (Code::HostLacks, "start it with less --memory".to_owned())
    } else {
        (Code::BootFailed, format!("its words are in {}", cluster.path(LOG).display()))
    };
    Failure::new(code, format!("the emulator does not start: {shown}")).advice(advice).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        let exited = |code| Some(WaitStatus::Exited(Pid::from_raw(1), code));
        let end = |reason: &str, status| judge(reason, status, String::new);
        assert_eq!(end("guest-shutdown", exited(0)), End::PoweredOff);
        assert_eq!(end("guest-shutdown", None), End::PoweredOff);
        assert_eq!(end("guest-panic", exited(1)), End::Panicked);
        assert_eq!(end("host-qmp-quit", exited(0)), End::Cut);
        assert_eq!(end("host-signal", exited(0)), End::Killed);
        let killed = WaitStatus::Signaled(Pid::from_raw(1), nix::sys::signal::Signal::SIGKILL, false);
        assert_eq!(end("", Some(killed)), End::Killed);
        assert_eq!(end("", None), End::Killed);
        assert_eq!(judge("", exited(1), || "no room".to_owned()), End::Failed("no room".to_owned()));
        assert_eq!(end("", exited(1)), End::Failed("the emulator ended with 1".to_owned()));
    }
}
