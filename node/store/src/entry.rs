//! What is stored: keys, values, and entries with their revisions, derived data and lazily made encodings.
//!
//! It must not know what the bytes mean.

use bytes::Bytes;
use std::any::Any;
use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The name of an entry, such as `/registry/pods/default/web`; ordered by bytes, cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Key(text.into())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Key(text.into())
    }
}

impl Deref for Key {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A stored value: its bytes without the revision, and where the reader splices the revision in on output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The serialised object without its revision.
    pub bytes: Bytes,
    /// Offset into `bytes` at which the revision goes; never beyond their end.
    pub splice: u32,
}

/// What a caller derived from a value (labels, fields), in a type that only the caller knows.
pub type Extra = Arc<dyn Any + Send + Sync>;

/// Derives the [`Extra`] of a value; called at most once per entry, when it is first asked for.
pub type Extract = Arc<dyn Fn(&Key, &Value) -> Extra + Send + Sync>;

/// One state of one key. Immutable but for what is derived from it and remembered.
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Value,
    /// The revision at which the key came into being.
    pub create_revision: u64,
    /// The revision of this state; for the final state of a deleted key, the revision of the deletion.
    pub mod_revision: u64,
    /// Encodings of this entry, made when first asked for.
    pub forms: Forms,
    extra: OnceLock<Extra>,
    extract: Extract,
}

impl Entry {
    /// An entry; without `extra` it is derived by `extract` on first use.
    pub(crate) fn new(
        key: Key,
        value: Value,
        revisions: (u64, u64),
        extra: Option<Extra>,
        extract: &Extract,
    ) -> Arc<Entry> {
        let slot = OnceLock::new();
        if let Some(extra) = extra {
            slot.get_or_init(|| extra);
        }
        let (create_revision, mod_revision) = revisions;
        let forms = Forms::default();
        Arc::new(Entry { key, value, create_revision, mod_revision, forms, extra: slot, extract: extract.clone() })
    }

    /// What the caller derives from the value; derived now if nobody asked before.
    pub fn extra(&self) -> &Extra {
        self.extra.get_or_init(|| (self.extract)(&self.key, &self.value))
    }

    /// [`Entry::extra`] as the caller's own type; `None` when it is of another type.
    pub fn extra_as<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.extra().downcast_ref()
    }

    /// The extra if it is already there, to hand it on with the same value.
    pub(crate) fn extra_if_made(&self) -> Option<Extra> {
        self.extra.get().cloned()
    }

    /// Bytes of memory that this entry answers for, without its forms.
    pub(crate) fn cost(&self) -> u64 {
        cost(&self.key, &self.value)
    }
}

/// Bytes of memory that a value under a key takes.
pub(crate) fn cost(key: &Key, value: &Value) -> u64 {
    (key.len() + value.bytes.len() + ENTRY_OVERHEAD_BYTES) as u64
}

/// Bytes of bookkeeping per entry: the struct, its allocation and its node in the map. An estimate for the limits.
const ENTRY_OVERHEAD_BYTES: usize = 256;

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key)
            .field("create_revision", &self.create_revision)
            .field("mod_revision", &self.mod_revision)
            .field("bytes", &self.value.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Forms kept per entry or event; a form beyond that is made anew each time. Callers have about six encodings (table,
/// metadata only, protobuf, watch frames), so eight leaves room without letting an entry grow for ever.
pub const FORMS_MAX: usize = 8;

/// Lazily made encodings, by a form number that the caller chooses.
#[derive(Default)]
pub struct Forms(Mutex<Vec<(u32, Bytes)>>);

impl Forms {
    /// The bytes of `form`, if they were made before.
    pub fn get(&self, form: u32) -> Option<Bytes> {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.iter().find(|(id, _)| *id == form).map(|(_, bytes)| bytes.clone())
    }

    /// The bytes of `form`, made by `make` when they are not there yet. `make` runs without a lock, so two callers may
    /// both make them at the same moment; the first to finish is kept.
    pub fn get_or_make(&self, form: u32, make: impl FnOnce() -> Bytes) -> Bytes {
        if let Some(bytes) = self.get(form) {
            return bytes;
        }
        let bytes = make();
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, first)) = made.iter().find(|(id, _)| *id == form) {
            return first.clone();
        }
        if made.len() < FORMS_MAX {
            made.push((form, bytes.clone()));
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn extra_is_derived_once_and_only_when_asked_for() {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        let extract: Extract = Arc::new(|key, _| {
            CALLS.fetch_add(1, Ordering::Relaxed);
            Arc::new(key.len())
        });
        let value = Value { bytes: Bytes::from_static(b"{}"), splice: 1 };
        let entry = Entry::new("/a/b".into(), value, (2, 3), None, &extract);
        assert_eq!(CALLS.load(Ordering::Relaxed), 0);
        assert_eq!(entry.extra_as::<usize>(), Some(&4));
        assert_eq!(entry.extra_as::<usize>(), Some(&4));
        assert!(entry.extra_as::<String>().is_none());
        assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_form_is_made_once_and_their_number_is_bounded() {
        let forms = Forms::default();
        for form in 0..100 {
            assert_eq!(forms.get_or_make(form, || Bytes::from(vec![form as u8])), vec![form as u8]);
        }
        assert_eq!(forms.get_or_make(0, || unreachable!("it is kept")), vec![0]);
        assert_eq!((0..100).filter(|form| forms.get(*form).is_some()).count(), FORMS_MAX);
    }
}
