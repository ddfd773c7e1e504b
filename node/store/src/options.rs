//! The parameters of a store: limits, keys, the clock, and how to derive what callers look up.

use crate::entry::Extract;
use crate::envelope::EnvelopeKey;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A clock that only goes forward, as the time since any fixed point.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Parameters of [`crate::Store::open`].
#[derive(Clone)]
pub struct Options {
    /// Derives an entry's extra from its value.
    pub extract: Extract,
    /// Ages history.
    pub clock: Clock,
    /// Keys for values on disk: the first seals, all open; none means plaintext.
    pub keys: Vec<EnvelopeKey>,
    /// History younger than this is kept, within the two limits below.
    pub history_age: Duration,
    /// Events that are kept however old they are, so that an idle store does not forget the little that happened.
    pub history_events_min: usize,
    /// Events kept at most.
    pub history_events_max: usize,
    /// Bytes of superseded values kept at most for history.
    pub history_bytes_max: u64,
    /// Bytes of keys and newest values; a write that would exceed it fails with `Full`.
    pub bytes_max: u64,
}

/// Paginated lists are promised five minutes; upstream compacts etcd at that pace, too.
pub const HISTORY_AGE: Duration = Duration::from_secs(5 * 60);
/// A thousand events are a few hundred kilobytes.
pub const HISTORY_EVENTS_MIN: usize = 1_000;
/// Five minutes at 300 writes a second.
pub const HISTORY_EVENTS_MAX: usize = 100_000;
/// A share of a small machine's memory that history may take.
pub const HISTORY_BYTES_MAX: u64 = 64 << 20;
/// RAM is the database, so this bounds the memory of a machine that has a gigabyte or two.
pub const BYTES_MAX: u64 = 512 << 20;

const _: () = assert!(HISTORY_EVENTS_MIN < HISTORY_EVENTS_MAX);
const _: () = assert!(HISTORY_BYTES_MAX < BYTES_MAX);

impl Options {
    /// The defaults, with `extract`, plaintext values and the machine's monotonic clock.
    pub fn new(extract: Extract) -> Options {
        let start = Instant::now();
        Options {
            extract,
            clock: Arc::new(move || start.elapsed()),
            keys: Vec::new(),
            history_age: HISTORY_AGE,
            history_events_min: HISTORY_EVENTS_MIN,
            history_events_max: HISTORY_EVENTS_MAX,
            history_bytes_max: HISTORY_BYTES_MAX,
            bytes_max: BYTES_MAX,
        }
    }
}

impl Default for Options {
    /// Without anything derived from values.
    fn default() -> Options {
        Options::new(Arc::new(|_, _| Arc::new(())))
    }
}
