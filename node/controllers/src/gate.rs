//! A gate at which whatever nobody waits for stands until the machine is up: while it starts, every processor is busy
//! with what somebody does wait for.
//!
//! It must not know when that is.

use std::sync::Arc;
use tokio::sync::watch;

/// The gate, open unless it was made closed. Once open it stays open. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate {
    is_open: Arc<watch::Sender<bool>>,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate { is_open: Arc::new(watch::Sender::new(true)) }
    }
}

impl Gate {
    /// One that somebody will open.
    #[must_use]
    pub fn closed() -> Gate {
        Gate { is_open: Arc::new(watch::Sender::new(false)) }
    }

    /// Lets everybody pass from now on.
    pub fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// Returns once it is open.
    pub async fn passed(&self) {
        // The sender lives in this very gate.
        let _ = self.is_open.subscribe().wait_for(|is_open| *is_open).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn it_holds_up_until_it_is_opened() {
        let gate = Gate::closed();
        assert!(gate.passed().now_or_never().is_none());
        gate.clone().open();
        assert!(gate.passed().now_or_never().is_some() && Gate::default().passed().now_or_never().is_some());
    }
}
