//! A controller's surroundings for tests: a server in memory and a clock that stands still.
//!
//! It must not be used outside tests.

use crate::context::{Clock, Context, Settings};
use client::events::Face;
use client::fake::Fake;
use client::{Informers, Recorder};
use serde_json::json;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Turns of the scheduler without a write after which a server counts as quiet.
const QUIET_TURNS: usize = 500;

/// Surroundings on a server; cancel the token to end what uses them.
pub fn context(server: &Fake) -> (Context, CancellationToken) {
    let stop = CancellationToken::new();
    let clock: Clock = Arc::new(|| "2026-01-01T00:00:00Z".parse().expect("a fixed time"));
    let context = Context {
        client: server.client(),
        informers: Arc::new(Informers::new(server.client(), stop.clone())),
        events: Recorder::new(server.client(), "test", "test", Face::Core, clock.clone()),
        clock,
        settings: Arc::new(Settings { root_ca_pem: "pem".to_owned(), ..Settings::default() }),
        stop: stop.clone(),
    };
    (context, stop)
}

/// Has a server tell that it serves these namespaced resources of the core (plural, kind), with every verb that a
/// controller asks for.
pub fn serves(server: &Fake, resources: &[(&str, &str)]) {
    let resource = |(plural, kind): &(&str, &str)| {
        json!({"resource": plural, "responseKind": {"kind": kind}, "scope": "Namespaced",
            "verbs": ["list", "watch", "delete", "get"]})
    };
    let resources: Vec<_> = resources.iter().map(resource).collect();
    server.answer("/api", json!({"items": [{"versions": [{"version": "v1", "resources": resources}]}]}));
    server.answer("/apis", json!({"items": []}));
}

/// Lets every task run until the server has seen no write for a good while of turns.
pub async fn until_writes_end(server: &Fake) {
    let mut seen = usize::MAX;
    while server.writes().len() != seen {
        seen = server.writes().len();
        for _ in 0..QUIET_TURNS {
            tokio::task::yield_now().await;
        }
    }
}
