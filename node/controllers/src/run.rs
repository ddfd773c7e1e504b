//! Runs every controller of the table; one that panics is started again, the others go on meanwhile.
//!
//! It must not know what any of them does.

use crate::context::{Clock, Context, Settings};
use crate::{CONTROLLERS, Controller};
use client::backoff::Backoff;
use client::events::Face;
use client::{Client, Informers, Recorder};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The user who reads for all controllers.
pub const READER: &str = "system:kube-controller-manager";

/// Waits before a controller that panicked runs again.
pub const RESTART: Backoff = Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(30) };

/// Runs all controllers until told to stop. `connect` makes a client for a user.
pub async fn run(connect: impl Fn(&str) -> Client, clock: Clock, settings: Settings, stop: CancellationToken) {
    let informers = Arc::new(Informers::new(connect(READER), stop.clone()));
    let settings = Arc::new(settings);
    let mut running = tokio::task::JoinSet::new();
    for controller in CONTROLLERS {
        let client = connect(&format!("system:serviceaccount:kube-system:{}", controller.account));
        let context = Context {
            events: Recorder::new(client.clone(), controller.name, "", Face::Core, clock.clone()),
            client,
            informers: informers.clone(),
            clock: clock.clone(),
            settings: settings.clone(),
            stop: stop.clone(),
        };
        running.spawn(supervise(controller, context));
    }
    while running.join_next().await.is_some() {}
}

async fn supervise(controller: &'static Controller, context: Context) {
    if controller.waits {
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = context.settings.up.passed() => (),
        }
    }
    let mut failures = 0;
    loop {
        // Each life has its own token, so that what a dead one left behind ends too.
        let stop = context.stop.child_token();
        let life = tokio::spawn((controller.start)(Context { stop: stop.clone(), ..context.clone() })).await;
        stop.cancel();
        let Err(error) = life else { return };
        if context.stop.is_cancelled() {
            return;
        }
        failures += 1;
        tracing::error!(controller = controller.name, %error, failures, "a controller died and is started again");
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = tokio::time::sleep(RESTART.after(failures)) => (),
        }
    }
}
