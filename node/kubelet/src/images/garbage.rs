//! Which images go when the disk fills. Thresholds and order as upstream's `pkg/kubelet/images/image_gc_manager.go`:
//! the longest unused go first, and never one in use, pinned, or just come. Pure.

use super::Digest;
use jiff::{SignedDuration, Timestamp};

/// When to begin and when to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Percent of the disk in use at which images go: `imageGCHighThresholdPercent`.
    pub high_percent: u64,
    /// Percent of the disk in use down to which they go: `imageGCLowThresholdPercent`.
    pub low_percent: u64,
    /// How long an image stays in any case after it came: `imageMinimumGCAge`.
    pub age_min: SignedDuration,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { high_percent: 85, low_percent: 80, age_min: SignedDuration::from_mins(2) }
    }
}

/// The disk that images are on, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// All of it.
    pub capacity: u64,
    /// What is left of it.
    pub available: u64,
}

/// An image as the plan sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Which.
    pub id: Digest,
    /// Bytes that its removal may free.
    pub size: u64,
    /// When it was seen first.
    pub detected: Timestamp,
    /// When a container was last seen to use it; `None` for never.
    pub used: Option<Timestamp>,
    /// Whether a container uses it now.
    pub in_use: bool,
    /// Whether it must stay.
    pub pinned: bool,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to remove, in this order, until `wanted` bytes are free.
    pub remove: Vec<Digest>,
    /// Bytes to be freed.
    pub wanted: u64,
    /// Bytes that `remove` frees, as far as sizes tell.
    pub freed: u64,
}

impl Plan {
    /// Whether what may go does not suffice: worth an event for people.
    #[must_use]
    pub fn falls_short(&self) -> bool {
        self.freed < self.wanted
    }
}

/// Decides.
#[must_use]
pub fn plan(disk: Disk, images: &[Image], policy: &Policy, now: Timestamp) -> Plan {
    let low = disk.available.min(disk.capacity);
    // In u128, for percentages of large disks.
    let of_capacity = |percent: u64| (u128::from(disk.capacity) * u128::from(percent) / 100) as u64;
    if disk.capacity == 0 || disk.capacity - low < of_capacity(policy.high_percent) {
        return Plan::default();
    }
    let wanted = of_capacity(100 - policy.low_percent.min(100)).saturating_sub(low);
    let mut candidates: Vec<&Image> = images
        .iter()
        .filter(|image| !image.in_use && !image.pinned)
        .filter(|image| image.used.is_none_or(|used| used < now))
        .filter(|image| now.duration_since(image.detected) >= policy.age_min)
        .collect();
    candidates.sort_by(|a, b| (a.used, a.detected, &a.id).cmp(&(b.used, b.detected, &b.id)));
    let mut plan = Plan { wanted, ..Plan::default() };
    for image in candidates {
        if plan.freed >= wanted {
            break;
        }
        plan.freed += image.size;
        plan.remove.push(image.id.clone());
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 10_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Unused, of 10 bytes, seen and last used long ago.
    fn image(name: &str, used: i64) -> Image {
        let id = Digest::of(name.as_bytes());
        Image { id, size: 10, detected: at(1), used: Some(at(used)), in_use: false, pinned: false }
    }

    fn check(available: u64, images: &[Image], wanted: &[&str]) {
        let plan = plan(Disk { capacity: 100, available }, images, &Policy::default(), at(NOW));
        let wanted: Vec<Digest> = wanted.iter().map(|name| Digest::of(name.as_bytes())).collect();
        assert_eq!(plan.remove, wanted);
    }

    #[test]
    fn nothing_goes_below_the_high_threshold() {
        check(16, &[image("a", 5)], &[]);
        check(100, &[image("a", 5)], &[]);
    }

    #[test]
    fn the_longest_unused_go_until_the_low_threshold() {
        let never = Image { used: None, ..image("never", 0) };
        check(15, &[image("new", 9), image("old", 5), never.clone()], &["never"]);
        check(5, &[image("new", 9), image("old", 5), never.clone()], &["never", "old"]);
        check(0, &[image("new", 9), image("old", 5), never], &["never", "old"]);
    }

    #[test]
    fn what_is_used_pinned_or_just_came_stays_however_full_the_disk_is() {
        let images = [
            Image { in_use: true, ..image("used", 5) },
            Image { pinned: true, ..image("pinned", 5) },
            Image { detected: at(NOW - 119), ..image("young", 5) },
            image("now", NOW),
        ];
        check(0, &images, &[]);
        let plan = plan(Disk { capacity: 100, available: 0 }, &images, &Policy::default(), at(NOW));
        assert!(plan.falls_short());
        assert_eq!(plan.wanted, 20);
    }

    #[test]
    fn a_disk_that_tells_nonsense_loses_nothing() {
        let images = [image("a", 5)];
        assert_eq!(plan(Disk { capacity: 0, available: 0 }, &images, &Policy::default(), at(NOW)), Plan::default());
        assert_eq!(plan(Disk { capacity: 10, available: 99 }, &images, &Policy::default(), at(NOW)), Plan::default());
    }
}
