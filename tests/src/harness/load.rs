//! Visitors of the shop while something happens to it: they ask without a pause and remember every failure.

use super::http;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Visitors at a time.
const VISITORS: usize = 2;
/// Between two requests of one visitor: a steady rate that leaves the machine its processors.
const PACE: Duration = Duration::from_millis(100);

/// What a visitor got, and how often.
type Tally = BTreeMap<String, usize>;

/// Visitors that are at it.
pub struct Load {
    enough: Arc<AtomicBool>,
    visitors: Vec<JoinHandle<Tally>>,
}

impl Load {
    /// Sends visitors to a path.
    pub fn on(server: SocketAddr, path: &'static str) -> Load {
        let enough = Arc::new(AtomicBool::new(false));
        let visit = |_| {
            let enough = enough.clone();
            std::thread::spawn(move || {
                let mut tally = Tally::new();
                while !enough.load(Ordering::Relaxed) {
                    let got = match http::get(server, path) {
                        Ok(reply) => format!("{} {}", reply.code, reply.body),
                        Err(error) => format!("failed: {error}"),
                    };
                    *tally.entry(got).or_default() += 1;
                    std::thread::sleep(PACE);
                }
                tally
            })
        };
        let visitors = (0..VISITORS).map(visit).collect();
        Load { enough, visitors }
    }

    /// Calls the visitors home. Fails unless every answer they got is one of `good`, such as `200 v1`, and they got any.
    pub fn saw_only(mut self, good: &[&str]) {
        self.enough.store(true, Ordering::Relaxed);
        let mut all = Tally::new();
        for visitor in self.visitors.drain(..) {
            for (got, count) in visitor.join().expect("a visitor does not panic") {
                *all.entry(got).or_default() += count;
            }
        }
        let bad: Tally =
            all.iter().filter(|(got, _)| !good.contains(&got.as_str())).map(|(k, v)| (k.clone(), *v)).collect();
        assert!(bad.is_empty(), "visitors got {bad:?} among {} answers", all.values().sum::<usize>());
        assert!(!all.is_empty(), "no visitor got any answer");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Also when a step fails in between: nobody goes on asking.
        self.enough.store(true, Ordering::Relaxed);
    }
}
