//! The end of the machine: power off, reboot, crash; and what the three-finger salute does.

use crate::said;
use nix::sys::reboot::{RebootMode, reboot, set_cad_enabled};
use std::io::{self, Seek, SeekFrom, Write};

/// Flushes every file system to its disk.
pub fn sync() {
    nix::unistd::sync();
}

/// Cuts the power at once. Call `sync` first. Returns only on failure.
pub fn power_off() -> io::Error {
    said("power off", reboot(RebootMode::RB_POWER_OFF).expect_err("does not return"))
}

/// Restarts the machine at once. Call `sync` first. Returns only on failure.
pub fn restart() -> io::Error {
    said("restart", reboot(RebootMode::RB_AUTOBOOT).expect_err("does not return"))
}

/// Panics the kernel, so that a hypervisor sees an unclean end. Returns only on failure.
pub fn crash() -> io::Error {
    match std::fs::write("/proc/sysrq-trigger", "c") {
        Ok(()) => io::Error::other("the kernel did not crash when asked to"),
        Err(e) => said("write to /proc/sysrq-trigger", e),
    }
}

/// Where QEMU's `isa-debug-exit` listens unless it is told otherwise. On no hypervisor that the machine runs under has
/// this port another meaning.
const DEBUG_EXIT_PORT: u64 = 0x501;

/// Ends an emulator that has the device `isa-debug-exit` with the exit code `2 * value + 1`, at once. Call [`sync`]
/// first. Returns where there is no such device, and says so.
pub fn debug_exit(value: u8) -> io::Error {
    let write = || -> io::Result<()> {
        let mut ports = std::fs::OpenOptions::new().write(true).open("/dev/port")?;
        ports.seek(SeekFrom::Start(DEBUG_EXIT_PORT))?;
        ports.write_all(&[value])
    };
    match write() {
        Ok(()) => io::Error::other("the emulator has no device isa-debug-exit"),
        Err(e) => said("write to /dev/port", e),
    }
}

/// Ctrl-Alt-Del sends SIGINT to PID 1 instead of resetting the machine.
pub fn ctrl_alt_del_to_init() -> io::Result<()> {
    set_cad_enabled(false).map_err(|e| said("take over Ctrl-Alt-Del", e))
}
