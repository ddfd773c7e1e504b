//! Starts a supervisor for every service of the table, in two phases: those that are given their settings when they can
//! have them begin while the machine is set up, the others after that.

use crate::boot::{Boot, Failure, Phase};
use crate::logs::{self, ring::Ring};
use crate::services::{Entry, Service, State, Surroundings, TABLE, supervise};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use tokio::sync::mpsc;

/// The phase of those that begin early.
pub const EARLY: Phase =
    Phase { name: "early", run: |boot| Box::pin(async { start(boot, |service| service.settings.is_some()) }) };
/// The phase of all others.
pub const PHASE: Phase = Phase {
    name: "services",
    run: |boot| {
        Box::pin(async {
            boot.readiness.set(SET_UP);
            start(boot, |_| true)
        })
    },
};

/// What becomes ready when all phases before this one are done.
pub const SET_UP: &str = "set-up";

/// Orders that wait for one supervisor: a user types them.
const ORDERS_QUEUE: usize = 4;

/// Starts what a machine whose boot failed can still have: the shell of a debug image.
pub fn start_for_diagnosis(boot: &Boot) -> Result<(), Failure> {
    start(boot, |service| service.for_diagnosis)
}

fn start(boot: &Boot, chosen: fn(&Service) -> bool) -> Result<(), Failure> {
    let around = Surroundings {
        config: Rc::new(boot.config.clone()),
        console: boot.console.clone(),
        children: boot.children.clone(),
        readiness: boot.readiness.clone(),
        services: boot.services.clone(),
        failed: boot.failed.clone(),
    };
    let runs = |service: &Service| boot.services.entries.borrow().contains_key(service.name);
    for service in TABLE.iter().filter(|service| chosen(service) && (service.wanted)(&boot.config) && !runs(service)) {
        let (sender, orders) = mpsc::channel(ORDERS_QUEUE);
        let log = Rc::new(RefCell::new(Ring::new(Path::new(logs::FOLDER), service.name)));
        let entry =
            Entry { state: State::Waiting, pid: None, restarts: 0, last_end: None, log: log.clone(), orders: sender };
        boot.services.entries.borrow_mut().insert(service.name, entry);
        let orders = Rc::new(tokio::sync::Mutex::new(orders));
        let around = around.clone();
        crate::guard::keep_running(service.name, boot.console.clone(), move || {
            supervise::run(service, around.clone(), log.clone(), orders.clone())
        });
    }
    Ok(())
}
