//! The process of a pod's sandbox: holds the namespaces, reaps what the pod's containers leave behind when they share
//! its process namespace, and ends when told to. It must know nothing else: it runs once for every pod.

use nix::sys::signal::{SigSet, Signal};
use std::process::ExitCode;

fn main() -> ExitCode {
    let heard = SigSet::from_iter([Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM]);
    if let Err(e) = heard.thread_block() {
        eprintln!("pause: block signals: {e}");
        return ExitCode::FAILURE;
    }
    loop {
        match heard.wait() {
            // One SIGCHLD may stand for many children.
            Ok(Signal::SIGCHLD) => while let Ok(Some(_)) = sys::process::reap_one() {},
            Ok(_) => return ExitCode::SUCCESS,
            Err(e) => {
                eprintln!("pause: wait for a signal: {e}");
                return ExitCode::FAILURE;
            }
        }
    }
}
