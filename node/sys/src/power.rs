//! The end of the machine: power off, reboot, crash; and what the three-finger salute does.

use crate::said;
use nix::sys::reboot::{RebootMode, reboot, set_cad_enabled};
use std::io;

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

/// Ctrl-Alt-Del sends SIGINT to PID 1 instead of resetting the machine.
pub fn ctrl_alt_del_to_init() -> io::Result<()> {
    set_cad_enabled(false).map_err(|e| said("take over Ctrl-Alt-Del", e))
}
