//! Names that are not the cluster's, asked of the machine's resolvers.
//!
//! One question goes out however many clients wait for it. It must not know where the list of resolvers comes from.

mod breaker;
mod cache;
mod exchange;

pub use breaker::{PAUSE_FIRST, PAUSE_MAX, SILENCES_MAX};
pub use cache::{ENTRIES_MAX, Key, NEGATIVE_SECONDS, NEGATIVE_SECONDS_MAX, POSITIVE_SECONDS_MAX};
pub use exchange::{STRAY_PACKETS_MAX, TCP_WAIT, UDP_WAIT};

use arc_swap::ArcSwap;
use breaker::Breaker;
use cache::Cache;
use hickory_proto::op::{Message, OpCode, ResponseCode};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

/// Different questions that are out at once, each with its own socket: what one machine's pods can want, and far from
/// the limit of open files. CoreDNS's `max_concurrent` is 1000 for a whole cluster.
pub const QUESTIONS_MAX: usize = 512;
/// Rounds over the list of resolvers for one question. With [`UDP_WAIT`] a client has its answer before the five
/// seconds in which its own C library asks again.
pub const ROUNDS: usize = 2;
/// Resolvers that are used, as many as C libraries use (`MAXNS`).
pub const RESOLVERS_MAX: usize = 3;

struct Resolver {
    address: SocketAddr,
    breaker: Mutex<Breaker>,
}

type Flight = watch::Receiver<Option<Arc<Message>>>;

/// The forwarder.
pub struct Forwarder {
    resolvers: ArcSwap<Vec<Resolver>>,
    cache: Mutex<Cache>,
    flights: Mutex<HashMap<Key, Flight>>,
    slots: Arc<Semaphore>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Forwarder {
    fn default() -> Forwarder {
        Forwarder {
            resolvers: ArcSwap::default(),
            cache: Mutex::default(),
            flights: Mutex::default(),
            slots: Arc::new(Semaphore::new(QUESTIONS_MAX)),
        }
    }
}

impl Forwarder {
    /// Uses these resolvers from now on; what the others said is forgotten.
    pub fn use_resolvers(&self, addresses: &[SocketAddr]) {
        let wanted = &addresses[..addresses.len().min(RESOLVERS_MAX)];
        if self.resolvers() == wanted {
            return;
        }
        tracing::info!(resolvers = ?wanted, "names outside of the cluster are asked of these resolvers");
        let fresh = wanted.iter().map(|a| Resolver { address: *a, breaker: Mutex::default() }).collect();
        self.resolvers.store(Arc::new(fresh));
        lock(&self.cache).clear();
    }

    /// The resolvers in use.
    #[must_use]
    pub fn resolvers(&self) -> Vec<SocketAddr> {
        self.resolvers.load().iter().map(|r| r.address).collect()
    }

    /// What is known without asking anybody.
    #[must_use]
    pub fn known(&self, key: &Key) -> Option<Arc<Message>> {
        lock(&self.cache).get(key, Instant::now())
    }

    /// Asks; a failure is an answer too.
    pub async fn resolve(self: &Arc<Forwarder>, key: Key) -> Arc<Message> {
        if let Some(known) = self.known(&key) {
            return known;
        }
        let mut flight = {
            let mut flights = lock(&self.flights);
            match flights.get(&key) {
                Some(flight) => flight.clone(),
                None => {
                    let Ok(slot) = self.slots.clone().try_acquire_owned() else {
                        tracing::warn!(limit = QUESTIONS_MAX, "too many names are being asked for; one was refused");
                        return failure();
                    };
                    let (sender, flight) = watch::channel(None);
                    flights.insert(key.clone(), flight.clone());
                    let landing = Landing { forwarder: self.clone(), key };
                    // A task of its own: the client who asked first may leave, others wait too.
                    tokio::spawn(async move {
                        let answer = landing.forwarder.ask(&landing.key).await;
                        drop(landing);
                        drop(slot);
                        sender.send_replace(Some(answer));
                    });
                    flight
                }
            }
        };
        match flight.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone().unwrap_or_else(failure),
            Err(_) => failure(),
        }
    }

    async fn ask(&self, key: &Key) -> Arc<Message> {
        let resolvers = self.resolvers.load_full();
        let mut worst = None;
        for resolver in std::iter::repeat_n(resolvers.iter(), ROUNDS).flatten() {
            if !lock(&resolver.breaker).may_ask(Instant::now()) {
                continue;
            }
            match exchange::ask(resolver.address, key).await {
                Ok(answer) => {
                    lock(&resolver.breaker).heard();
                    let answer = Arc::new(answer);
                    match answer.metadata.response_code {
                        ResponseCode::NoError | ResponseCode::NXDomain => {
                            lock(&self.cache).put(key.clone(), answer.clone(), Instant::now());
                            return answer;
                        }
                        // This one cannot; the next may.
                        _ => worst = Some(answer),
                    }
                }
                Err(error) => {
                    if lock(&resolver.breaker).silent(Instant::now()) {
                        let resolver = resolver.address;
                        tracing::warn!(%resolver, %error, "a resolver does not answer and is left alone for a while");
                    }
                }
            }
        }
        worst.unwrap_or_else(failure)
    }
}

/// Takes the flight off the list however it ends.
struct Landing {
    forwarder: Arc<Forwarder>,
    key: Key,
}

impl Drop for Landing {
    fn drop(&mut self) {
        lock(&self.forwarder.flights).remove(&self.key);
    }
}

fn failure() -> Arc<Message> {
    Arc::new(Message::error_msg(0, OpCode::Query, ResponseCode::ServFail))
}

#[cfg(test)]
mod tests;
