//! Ctrl-C and SIGTERM as a value: long work asks between steps and undoes itself. A second one ends the process.

use crate::exit::{Code, Failure};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Says whether the user wants to stop. Cheap to clone.
#[derive(Clone)]
pub struct Interrupt {
    seen: watch::Receiver<bool>,
}

impl Interrupt {
    /// Starts to listen; from now on the first SIGINT or SIGTERM only sets the value.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn listen(runtime: &Handle) -> std::io::Result<Interrupt> {
        let _inside = runtime.enter();
        let mut interrupts = signal(SignalKind::interrupt())?;
        let mut terminations = signal(SignalKind::terminate())?;
        let (sender, seen) = watch::channel(false);
        runtime.spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupts.recv() => (),
                    _ = terminations.recv() => (),
                }
                if sender.send_replace(true) {
                    std::process::exit(Code::Interrupted as i32);
                }
            }
        });
        Ok(Interrupt { seen })
    }

    /// One that never comes: for tests, for work that may simply be killed, and for work that undoes an interrupted one.
    pub fn never() -> Interrupt {
        Interrupt { seen: watch::channel(false).1 }
    }

    /// Whether it has come.
    pub fn is_set(&self) -> bool {
        *self.seen.borrow()
    }

    /// Returns once it has come.
    pub async fn wait(&self) {
        let mut seen = self.seen.clone();
        if seen.wait_for(|seen| *seen).await.is_err() {
            // Nobody listens for signals, as in tests: then it never comes.
            std::future::pending().await
        }
    }

    /// The failure to return once it has come.
    ///
    /// # Errors
    /// `Interrupted` when the user wants to stop.
    pub fn check(&self) -> Result<(), Failure> {
        if self.is_set() { Err(Failure::new(Code::Interrupted, "interrupted")) } else { Ok(()) }
    }
}
