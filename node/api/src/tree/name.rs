//! Field names, shared: the same few thousand names occur in every object, so each is kept once.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock, RwLock};

/// Names kept in the shared table. The built-in kinds have about 2,500; labels and custom resources add to it. Beyond
/// this, a name is a string of its own, so that hostile input cannot fill the memory.
const INTERNED_MAX: usize = 16_384;

/// Longer names are not shared, bytes. The longest built-in name has 47.
const INTERNED_LEN_MAX: usize = 64;

/// A field name: cheap to clone, compared as a string.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

fn table() -> &'static RwLock<HashSet<Arc<str>>> {
    static TABLE: OnceLock<RwLock<HashSet<Arc<str>>>> = OnceLock::new();
    TABLE.get_or_init(RwLock::default)
}

impl Name {
    /// The shared form of a name.
    #[must_use]
    pub fn new(text: &str) -> Name {
        if text.len() > INTERNED_LEN_MAX {
            return Name(text.into());
        }
        // A poisoned lock only means that another thread panicked between two whole insertions; the set is sound.
        let found = table().read().unwrap_or_else(|e| e.into_inner()).get(text).cloned();
        if let Some(shared) = found {
            return Name(shared);
        }
        let mut names = table().write().unwrap_or_else(|e| e.into_inner());
        if let Some(shared) = names.get(text) {
            return Name(shared.clone());
        }
        let fresh: Arc<str> = text.into();
        if names.len() < INTERNED_MAX {
            names.insert(fresh.clone());
        }
        Name(fresh)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Name {
        Name::new(text)
    }
}

impl From<String> for Name {
    fn from(text: String) -> Name {
        Name::new(&text)
    }
}

impl From<&Name> for Name {
    fn from(name: &Name) -> Name {
        name.clone()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
