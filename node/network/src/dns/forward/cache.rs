//! What other resolvers said, for as long as they said. Pure: time comes in.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Entries kept. At about 500 bytes each that is 2 MB, and pods of one machine ask for fewer names.
pub const ENTRIES_MAX: usize = 4096;
/// The longest that an answer is kept, in seconds: what changed outside is seen within it. CoreDNS's `cache 30` is as
/// short because it keeps the cluster's own names too.
pub const POSITIVE_SECONDS_MAX: u32 = 300;
/// The longest that "there is no such name" is kept, in seconds.
pub const NEGATIVE_SECONDS_MAX: u32 = 30;
/// How long "there is no such name" is kept when nobody said, in seconds.
pub const NEGATIVE_SECONDS: u32 = 5;

/// What was asked. Two clients who differ in nothing of this get the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// In lower case.
    pub name: Name,
    /// The type of record.
    pub asked: RecordType,
    /// The class.
    pub class: DNSClass,
    /// Whether signatures are wanted.
    pub dnssec_ok: bool,
    /// Whether the resolver's own check of signatures is unwanted.
    pub checking_disabled: bool,
}

struct Entry {
    message: Arc<Message>,
    since: Instant,
    until: Instant,
}

/// The cache; oldest entries leave first.
#[derive(Default)]
pub struct Cache {
    entries: HashMap<Key, Entry>,
    order: VecDeque<Key>,
}

impl Cache {
    /// What is known, with the seconds gone by taken off.
    #[must_use]
    pub fn get(&self, key: &Key, now: Instant) -> Option<Arc<Message>> {
        let entry = self.entries.get(key).filter(|entry| now < entry.until)?;
        let age = u32::try_from((now - entry.since).as_secs()).unwrap_or(u32::MAX);
        if age == 0 {
            return Some(entry.message.clone());
        }
        let mut message = Message::clone(&entry.message);
        let sections = [&mut message.answers, &mut message.authorities, &mut message.additionals];
        for record in sections.into_iter().flatten() {
            record.ttl = record.ttl.saturating_sub(age);
        }
        Some(Arc::new(message))
    }

    /// Keeps an answer for as long as it may be kept.
    pub fn put(&mut self, key: Key, message: Arc<Message>, now: Instant) {
        let seconds = seconds(&message);
        if seconds == 0 {
            return;
        }
        let entry = Entry { message, since: now, until: now + Duration::from_secs(u64::from(seconds)) };
        if self.entries.insert(key.clone(), entry).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > ENTRIES_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.entries.remove(&oldest);
            }
        }
    }

    /// Forgets everything: other resolvers may know other names.
    pub fn clear(&mut self) {
        *self = Cache::default();
    }
}

/// For how long an answer may be kept; 0 for not at all (failures, truncated answers).
fn seconds(message: &Message) -> u32 {
    if message.metadata.truncation {
        return 0;
    }
    match message.metadata.response_code {
        ResponseCode::NoError if !message.answers.is_empty() => {
            message.answers.iter().map(|r| r.ttl).min().unwrap_or(0).min(POSITIVE_SECONDS_MAX)
        }
        ResponseCode::NoError | ResponseCode::NXDomain => {
            let said = message.authorities.iter().find_map(|record| match &record.data {
                RData::SOA(soa) => Some(soa.minimum.min(record.ttl)),
                _ => None,
            });
            said.unwrap_or(NEGATIVE_SECONDS).min(NEGATIVE_SECONDS_MAX)
        }
        _ => 0,
    }
}
