//! What both collectors look at: the disk as it is now, and for each image when it came and when it was last used. Only
//! this remembers that; after a restart the memory begins anew.

use super::garbage::{Disk, Image};
use super::{Digest, Fault};
use jiff::Timestamp;
use std::collections::HashMap;
use std::path::Path;

/// An image as an engine tells of it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name for the plan.
    pub id: Digest,
    /// Bytes.
    pub size: u64,
    /// Whether a container uses it.
    pub in_use: bool,
    /// Whether it is never collected.
    pub pinned: bool,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    detected: Timestamp,
    used: Option<Timestamp>,
}

/// When images were seen first and used last.
#[derive(Debug, Default)]
pub struct Memory(HashMap<Digest, Seen>);

impl Memory {
    /// The images that there are now, with what is remembered of them. Those that went are forgotten.
    pub fn of(&mut self, found: &[Found], now: Timestamp) -> Vec<Image> {
        self.0.retain(|id, _| found.iter().any(|image| image.id == *id));
        let one = |Found { id, size, in_use, pinned }: &Found| {
            let seen = self.0.entry(id.clone()).or_insert(Seen { detected: now, used: None });
            if *in_use {
                seen.used = Some(now);
            }
            let Seen { detected, used } = *seen;
            Image { id: id.clone(), size: *size, detected, used, in_use: *in_use, pinned: *pinned }
        };
        found.iter().map(one).collect()
    }
}

/// The disk that a folder lies on.
///
/// # Errors
/// When there is no such folder.
pub fn disk(folder: &Path) -> Result<Disk, Fault> {
    let stat = nix::sys::statvfs::statvfs(folder)
        .map_err(|error| Fault::Failed { call: "statvfs", message: format!("{}: {error}", folder.display()) })?;
    let block = stat.fragment_size();
    Ok(Disk { capacity: stat.blocks() * block, available: stat.blocks_available() * block })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_keep_when_they_came_and_were_used_until_they_go() {
        let id = Digest::parse(&format!("sha256:{}", "a".repeat(64))).unwrap();
        let found = |in_use| [Found { id: id.clone(), size: 1, in_use, pinned: false }];
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut memory = Memory::default();
        assert_eq!(
            (memory.of(&found(false), at(1))[0].detected, memory.of(&found(false), at(2))[0].used),
            (at(1), None)
        );
        memory.of(&found(true), at(3));
        let idle = &memory.of(&found(false), at(4))[0];
        assert_eq!((idle.detected, idle.used, idle.in_use), (at(1), Some(at(3)), false));
        assert!(memory.of(&[], at(5)).is_empty());
        assert_eq!(memory.of(&found(false), at(6))[0].detected, at(6), "it was forgotten");
    }
}
