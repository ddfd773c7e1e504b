//! Opens the control socket: early, so that a machine whose boot failed can still be asked what happened.

use crate::boot::Phase;
use crate::control::{self, Control};

/// The phase.
pub const PHASE: Phase = Phase {
    name: "control",
    run: |boot| {
        Box::pin(async {
            let control = Control {
                console: boot.console.clone(),
                readiness: boot.readiness.clone(),
                services: boot.services.clone(),
                network: boot.network.clone(),
                endings: boot.endings.clone(),
            };
            crate::guard::keep_running("control", boot.console.clone(), move || control::serve(control.clone()));
            Ok(())
        })
    },
};
