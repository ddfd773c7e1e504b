//! Time and chance as parameters of the server, so that tests decide them.

use jiff::Timestamp;
use std::sync::Arc;

/// The time of day.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A source of random bytes.
pub trait Random: Send + Sync {
    /// Fills a buffer.
    fn fill(&self, bytes: &mut [u8]);
}

/// The kernel's random numbers.
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        use ring::rand::SecureRandom;
        ring::rand::SystemRandom::new().fill(bytes).expect("the kernel gives random numbers once it has booted");
    }
}

/// A random UUID of version 4.
#[must_use]
pub fn uid(random: &dyn Random) -> String {
    let mut b = [0u8; 16];
    random.fill(&mut b);
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Letters that make no words by chance, as `k8s.io/apimachinery/pkg/util/rand` has them.
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LEN: usize = 5;
/// A generated name is cut to this before the suffix, as `k8s.io/apiserver/pkg/storage/names` does.
const GENERATED_BASE_MAX: usize = 63 - SUFFIX_LEN;

/// A name made from a `generateName`.
#[must_use]
pub fn generated_name(base: &str, random: &dyn Random) -> String {
    let mut b = [0u8; SUFFIX_LEN];
    random.fill(&mut b);
    let suffix: String = b.iter().map(|x| char::from(SUFFIX_LETTERS[usize::from(*x) % SUFFIX_LETTERS.len()])).collect();
    let cut = base.char_indices().map(|(i, c)| i + c.len_utf8()).take_while(|end| *end <= GENERATED_BASE_MAX).last();
    format!("{}{suffix}", &base[..cut.unwrap_or(0)])
}

/// A time as metadata has it: RFC 3339 in seconds.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The clock and chance that the server runs on.
#[derive(Clone)]
pub struct World {
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub random: Arc<dyn Random>,
}

impl World {
    /// The machine's own.
    #[must_use]
    pub fn system() -> World {
        World { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) }
    }

    /// Now, as metadata has it.
    #[must_use]
    pub fn stamp(&self) -> String {
        rfc3339(self.clock.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Zero;
    impl Random for Zero {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    #[test]
    fn names_are_generated_within_their_limit() {
        assert_eq!(generated_name("web-", &Zero), "web-bbbbb");
        assert_eq!(generated_name(&"x".repeat(100), &Zero).len(), 63);
        assert_eq!(uid(&Zero), "00000000-0000-4000-8000-000000000000");
    }
}
