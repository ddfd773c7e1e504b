//! Whether a cluster's machine runs, and the supervisor to talk to: found, or started anew when it has crashed.

use super::ask::{End, Report, Supervisor};
use super::emulator::Accelerator;
use super::{Cluster, lock, saved};
use crate::exit::{Code, Failure};
use crate::supervisor::{END, LOCK, LOG, Order};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often a supervisor is looked for that exists and does not answer: in all, as long as starting one may take.
const REACH_TRIES: u32 = 100;
/// Between two tries.
const REACH_AGAIN: Duration = Duration::from_millis(50);

/// The process of the machine.
pub const RUNNING: &str = "running.json";

/// The wall clock, milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A machine's process, so that it is known again and never confused with a later one of its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its number.
    pub pid: u32,
    /// When the kernel started it, in its own ticks since the host booted.
    ticks: u64,
    /// The host's boot, since numbers and ticks begin anew with it.
    boot: String,
    /// When it was started, milliseconds since 1970.
    pub started_ms: u64,
    /// How it runs.
    pub accelerator: Accelerator,
}

impl Running {
    /// A process that was just started.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn of(pid: u32, started_ms: u64, accelerator: Accelerator) -> Result<Running> {
        let ticks = ticks(pid).context("the emulator ended at once")?;
        Ok(Running { pid, ticks, boot: boot(), started_ms, accelerator })
    }

    /// The one that a cluster's folder names.
    pub fn read(cluster: &Cluster) -> Option<Running> {
        serde_json::from_slice(&std::fs::read(cluster.path(RUNNING)).ok()?).ok()
    }

    /// Writes it into the cluster's folder.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write(&self, cluster: &Cluster) -> Result<()> {
        let text = serde_json::to_vec(self).expect("plain fields always are JSON");
        pki::folder::replace(&cluster.path(RUNNING), &text, 0o600)
    }

    /// Whether this very process still runs.
    pub fn is_alive(&self) -> bool {
        self.boot == boot() && ticks(self.pid) == Some(self.ticks)
    }
}

fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// When a process was started; none when it is gone, or as good as gone.
fn ticks(pid: u32) -> Option<u64> {
    ticks_of(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `PF_EXITING` of the kernel's `include/linux/sched.h`: to give back its memory takes a process a while.
const EXITING: u64 = 0x4;

/// Of proc_pid_stat(5): fields 3 (state), 9 (flags) and 22 (start time).
fn ticks_of(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let is_reaped_soon = matches!(fields.first(), Some(&("Z" | "X")));
    let flags: u64 = fields.get(6)?.parse().ok()?;
    if is_reaped_soon || flags & EXITING != 0 {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// The supervisor of a cluster whose machine runs; none when it does not run. One that crashed is replaced.
///
/// # Errors
/// When a machine runs that cannot be taken over.
pub async fn reach(cluster: &Cluster) -> Result<Option<Supervisor>> {
    let runs = || Running::read(cluster).is_some_and(|running| running.is_alive());
    for _ in 0..REACH_TRIES {
        if let Some(mut supervisor) = Supervisor::connect(cluster).await? {
            // One that is just being killed still takes connections and answers none; one whose machine has ended says
            // its last words, or has not heard of it yet.
            match supervisor.ask::<Report>(&json!({"do": "status"})).await {
                Ok(report) if report.end.is_none() && runs() => return Ok(Some(supervisor)),
                Ok(_) | Err(_) => {}
            }
        }
        if lock(&cluster.path(LOCK))?.is_none() {
            // Another command is starting one, or an old one is about to be gone: nobody can start one before.
            tokio::time::sleep(REACH_AGAIN).await;
            continue;
        }
        if !runs() {
            return Ok(None);
        }
        match supervise(cluster, Order::Attach) {
            Ok(()) => {}
            Err(_) if !runs() => return Ok(None),
            Err(error) if Failure::of_kind(&error, Code::Taken) => {}
            Err(error) => return Err(error),
        }
    }
    bail!(
        "the supervisor of cluster {:?} does not answer; its words are in {}",
        cluster.name,
        cluster.path(LOG).display()
    )
}

/// The supervisor of a cluster whose machine must be running.
///
/// # Errors
/// `NoCluster` when it is not; the message says how it ended.
pub async fn running(cluster: &Cluster) -> Result<Supervisor> {
    if let Some(supervisor) = reach(cluster).await? {
        return Ok(supervisor);
    }
    if saved::exists(cluster) {
        let failure = Failure::new(Code::NoCluster, format!("cluster {:?} {}", cluster.name, saved::WORDS));
        bail!(failure.advice(format!("skerry start --name {} lets it go on", cluster.name)));
    }
    let how = last_end(cluster).map(|end| format!(": the machine {}", end.words())).unwrap_or_default();
    let failure = Failure::new(Code::NoCluster, format!("cluster {:?} is not running{how}", cluster.name));
    bail!(failure.advice(format!("skerry start --name {}", cluster.name)))
}

/// How the last machine ended, when that is known.
pub fn last_end(cluster: &Cluster) -> Option<End> {
    match std::fs::read(cluster.path(END)) {
        Ok(text) => serde_json::from_slice(&text).ok(),
        // It was running when its host or its supervisor ended, and is not any more.
        Err(_) => Running::read(cluster).map(|_| End::Killed),
    }
}

/// Starts a supervisor, detached from this command, and waits until it answers.
///
/// # Errors
/// What the supervisor says when it cannot.
pub fn supervise(cluster: &Cluster, order: Order) -> Result<()> {
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(cluster.path(LOG));
    let log = log.with_context(|| format!("opening {}", cluster.path(LOG).display()))?;
    // What supervisors say is little; a log that has grown all the same begins anew.
    const LOG_BYTES_MAX: u64 = 1 << 20;
    if log.metadata()?.len() > LOG_BYTES_MAX {
        log.set_len(0)?;
    }
    let (told, tells) = std::io::pipe().context("making a pipe")?;
    let program = std::env::current_exe().context("asking where this program lies")?;
    let mut command = Command::new(program);
    command.args(["supervise", &cluster.name]).current_dir(&cluster.folder);
    match order {
        Order::Attach => {}
        Order::Launch(accelerator) => drop(command.args(["--launch", accelerator.word()])),
        Order::Resume(accelerator) => drop(command.args(["--launch", accelerator.word(), "--resume"])),
    }
    command.stdin(Stdio::null()).stdout(tells).stderr(log);
    sys::launch::start_detached(&mut command)?;
    // Our end of the pipe goes with the command, so that its end is seen.
    drop(command);
    let mut line = String::new();
    BufReader::new(told).read_line(&mut line).context("listening to the supervisor")?;
    let answer: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
    if answer["ok"] == true {
        return Ok(());
    }
    match Failure::from_json(&answer) {
        Some(failure) => Err(failure.into()),
        None => bail!("the supervisor died; its last words are in {}", cluster.path(LOG).display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_again_and_not_confused_with_another() {
        let mine = Running::of(std::process::id(), 0, Accelerator::Tcg).unwrap();
        assert!(mine.is_alive());
        assert!(!Running { ticks: mine.ticks + 1, ..mine.clone() }.is_alive());
        assert!(!Running { boot: "another".to_owned(), ..mine }.is_alive());
    }

    #[test]
    fn a_process_that_gives_back_its_memory_is_gone() {
        let stat = |state: &str, flags: u64| {
            format!("7 (qemu) x) {state} 1 7 7 0 -1 {flags} 0 0 0 0 1 1 0 0 20 0 5 0 4711 99 9 9 9")
        };
        assert_eq!(ticks_of(&stat("S", 0x0040_0140)), Some(4711));
        assert_eq!(ticks_of(&stat("R", 0x0040_0144)), None, "it is exiting");
        assert_eq!(ticks_of(&stat("Z", 0x0040_0140)), None, "nobody has reaped it");
        assert_eq!(ticks_of("7 (qemu) S 1"), None);
    }
}
