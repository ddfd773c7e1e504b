//! The end of the machine, with a limit on every wait: services from the bottom of the table up, then whatever still
//! runs, then the file systems, then the power.

use crate::boot::Boot;
use crate::console::Console;
use crate::services::{Order, Services, TABLE};
use serde_json::{Map, json};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use sys::process;
use tokio::time::timeout;

/// How the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Off, cleanly: an emulator ends with 0.
    PowerOff,
    /// Anew.
    Restart,
    /// A kernel panic on purpose, after everything was saved. The panic device (pvpanic) tells the hypervisor, so
    /// QEMU with `-action panic=exit-failure` ends with 1 and nobody takes the end for a clean one.
    Crash,
    /// Off, with this value for QEMU's `isa-debug-exit`, after everything was saved; a crash where there is none.
    Fail(u8),
}

/// A wish that the machine end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// How.
    pub kind: Kind,
    /// At whose wish, for the serial line.
    pub why: String,
}

/// What a supervisor needs beyond its service's own limit: SIGKILL's wait and a little.
const STOP_EXTRA: Duration = Duration::from_secs(3);
/// How long processes that no supervisor knows (shims, what runs in containers) may take to end after SIGTERM.
const REST_TERM_WAIT: Duration = Duration::from_secs(5);
/// And to vanish after SIGKILL.
const REST_KILL_WAIT: Duration = Duration::from_secs(2);
/// The whole end takes at most this, whatever hangs.
const END_WAIT: Duration = Duration::from_secs(75);

const fn stops_s() -> u64 {
    let mut sum = 0;
    let mut at = 0;
    while at < TABLE.len() {
        sum += TABLE[at].stop_wait.as_secs() + STOP_EXTRA.as_secs();
        at += 1;
    }
    sum
}
const _: () = assert!(stops_s() + REST_TERM_WAIT.as_secs() + REST_KILL_WAIT.as_secs() < END_WAIT.as_secs());

/// Ends the machine. Does not return.
pub async fn end(boot: &Boot, ending: Ending) -> ! {
    let console = &boot.console;
    force_after(END_WAIT, ending.kind);
    let mut fields = Map::new();
    fields.insert("kind".into(), json!(word(ending.kind)));
    if let Kind::Fail(value) = ending.kind {
        fields.insert("exit".into(), json!(2 * u32::from(value) + 1));
    }
    fields.insert("why".into(), json!(ending.why));
    console.milestone("shutdown", fields);
    stop_services(&boot.services, console).await;
    for (kind, wait) in [(process::Kind::SIGTERM, REST_TERM_WAIT), (process::Kind::SIGKILL, REST_KILL_WAIT)] {
        if let Err(e) = process::signal_all(kind) {
            console.say(&format!("init: {e}"));
        }
        match timeout(wait, boot.children.all_gone()).await {
            Ok(Ok(())) => break,
            Ok(Err(e)) => console.say(&format!("init: {e}")),
            Err(_) => console.say(&format!("init: processes still run {} s after {kind}", wait.as_secs())),
        }
    }
    for entry in boot.services.entries.borrow().values() {
        entry.log.borrow_mut().close();
    }
    unmount_all(console);
    sys::power::sync();
    console.flush();
    cut(ending.kind, console)
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::PowerOff => "poweroff",
        Kind::Restart => "restart",
        Kind::Crash => "crash",
        Kind::Fail(_) => "fail",
    }
}

async fn stop_services(services: &Services, console: &Console) {
    for service in TABLE.iter().rev() {
        let orders = services.entries.borrow().get(service.name).map(|entry| entry.orders.clone());
        let Some(orders) = orders else { continue };
        let stopped = async {
            // A supervisor that has gone already is stopped.
            if orders.send(Order::Stop).await.is_ok() {
                orders.closed().await;
            }
        };
        if timeout(service.stop_wait + STOP_EXTRA, stopped).await.is_err() {
            console.say(&format!("init: {} could not be stopped in time", service.name));
        }
    }
}

/// A thread of its own ends the machine should the orderly way hang.
fn force_after(wait: Duration, kind: Kind) {
    let forced = std::thread::Builder::new().name("end".to_owned()).spawn(move || {
        std::thread::sleep(wait);
        cut(kind, &Console::default())
    });
    if let Err(e) = forced {
        eprintln!("init: no thread to watch over the end: {e}");
    }
}

/// The last call. If even that fails, PID 1 ends, which the kernel answers with a panic.
fn cut(kind: Kind, console: &Console) -> ! {
    if let Kind::Fail(value) = kind {
        console.say(&format!("init: {}; ending by a crash", sys::power::debug_exit(value)));
        console.flush();
    }
    let failure = match kind {
        Kind::PowerOff => sys::power::power_off(),
        Kind::Restart => sys::power::restart(),
        Kind::Crash | Kind::Fail(_) => sys::power::crash(),
    };
    console.say(&format!("init: {failure}"));
    console.flush();
    std::process::exit(1)
}

fn unmount_all(console: &Console) {
    let table = match std::fs::read("/proc/self/mountinfo") {
        Ok(table) => table,
        Err(e) => return console.say(&format!("init: read /proc/self/mountinfo: {e}")),
    };
    for target in to_unmount(&table) {
        if let Err(e) = sys::mount::unmount(&target, false) {
            // In use by something that would not die: what counts is that nothing unwritten is left.
            let instead = sys::mount::remount_read_only(&target);
            if target == Path::new("/var") {
                console.say(&format!("init: {e}; {}", if instead.is_ok() { "made read-only" } else { "synced only" }));
            }
        }
    }
}

/// What is unmounted, in order: the youngest first, and not what the end itself stands on.
fn to_unmount(mountinfo: &[u8]) -> Vec<PathBuf> {
    const KEPT: &[&str] = &["/proc", "/sys", "/dev", "/run"];
    let targets = mountinfo.split(|byte| *byte == b'\n').filter_map(|line| {
        let field = line.split(|byte| *byte == b' ').nth(4)?;
        Some(PathBuf::from(std::ffi::OsString::from_vec(unescaped(field))))
    });
    let mut targets: Vec<PathBuf> = targets
        .filter(|target| target != Path::new("/"))
        // Below /run lie containers' root file systems, which hold the state disk.
        .filter(|target| {
            !KEPT.iter().any(|kept| target == Path::new(kept) || (*kept != "/run" && target.starts_with(kept)))
        })
        .collect();
    targets.reverse();
    targets
}

/// The kernel writes blanks and the like as a backslash and three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'\\').then(|| after.get(..3)).flatten();
        let byte = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 8).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_youngest_mount_goes_first_and_the_kernel_s_own_stay() {
        let table = b"1 0 0:1 / / ro - erofs x ro\n2 1 0:2 / /proc rw - proc p rw\n3 1 0:3 / /run rw - tmpfs r rw\n\
            4 1 0:4 / /var rw - ext4 v rw\n5 1 0:4 /host/mnt /mnt rw - ext4 v rw\n\
            6 3 0:5 / /run/containerd/a\\040b rw - overlay o rw\n7 2 0:6 / /sys/fs/cgroup rw - cgroup2 c rw\n";
        let want = ["/run/containerd/a b", "/mnt", "/var"].map(PathBuf::from);
        assert_eq!(to_unmount(table), want);
    }

    #[test]
    fn a_backslash_that_is_no_escape_stays() {
        assert_eq!(unescaped(b"a\\134b\\x\\0"), b"a\\b\\x\\0");
    }
}
