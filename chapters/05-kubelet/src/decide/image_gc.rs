//! Which images go when the disk fills up: pure.
//!
//! ```text
//!  used  0 %                        80 %   85 %        100 %
//!        ├───────────────────────────┼──────┼────────────┤
//!                                    low    high
//!        nothing is removed ────────────────┤ images go, those unused the longest first,
//!                                    ├──────┤ until so much is used
//! ```
//!
//! An image that a container stands on stays, ended containers' too; so does one that came less
//! than two minutes ago, as whoever pulled it may be about to start it; and one that is pinned.
//!
//! Upstream: `pkg/kubelet/images/image_gc_manager.go`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::eviction::Supply;
use crate::runtime::Image;

/// When images are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// From how many percent of the disk on; with 100 never.
    pub high_threshold_percent: u8,
    /// Down to how many.
    pub low_threshold_percent: u8,
    /// How long an image must have been there.
    pub min_age: SignedDuration,
}

impl Policy {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// Which flag it is.
    pub fn validate(&self) -> Result<(), String> {
        let (high, low) = (self.high_threshold_percent, self.low_threshold_percent);
        if high > 100 {
            return Err(format!(
                "--image-gc-high-threshold: {high} must be in range [0-100]"
            ));
        }
        if low >= high {
            return Err(format!(
                "--image-gc-low-threshold: {low} must be below --image-gc-high-threshold, {high}"
            ));
        }
        Ok(())
    }

    /// How many bytes are to be freed of the disk that holds images; `None` if none.
    pub fn bytes_to_free(&self, disk: &Supply) -> Option<u64> {
        let capacity = u128::from(disk.capacity);
        let available = u128::from(disk.available).min(capacity);
        let used_percent = 100 - (available * 100).checked_div(capacity)?;
        if self.high_threshold_percent == 100 || used_percent < self.high_threshold_percent.into() {
            return None;
        }
        let kept_free = capacity * u128::from(100 - self.low_threshold_percent) / 100;
        u64::try_from(kept_free.saturating_sub(available)).ok()
    }
}

/// What is known of the images of a node. Ids, and when they came and were last used.
#[derive(Debug, Default)]
pub struct Records {
    records: BTreeMap<String, Record>,
    /// The node has been looked at before.
    looked: bool,
}

#[derive(Debug)]
struct Record {
    /// `None`: before this kubelet first looked.
    first_detected: Option<Timestamp>,
    /// `None`: not since this kubelet looks.
    last_used: Option<Timestamp>,
    size_bytes: u64,
    pinned: bool,
}

impl Records {
    /// Takes note of what is there, and of what containers stand on.
    pub fn detect(&mut self, images: &[Image], used: &BTreeSet<String>, now: Timestamp) {
        let first_detected = self.looked.then_some(now);
        self.looked = true;
        for image in images {
            let record = self.records.entry(image.id.clone()).or_insert(Record {
                first_detected,
                last_used: None,
                size_bytes: 0,
                pinned: false,
            });
            if used.contains(&image.id) {
                record.last_used = Some(now);
            }
            record.size_bytes = image.size_bytes;
            record.pinned = image.pinned;
        }
        let is_there = |id: &String| images.iter().any(|image| image.id == *id);
        self.records.retain(|id, _| is_there(id));
    }

    /// The images that may go, with their sizes, the first to go first. To be asked at the time of
    /// the last [`Records::detect`]: what was used then is in use.
    pub fn removable(&self, policy: &Policy, now: Timestamp) -> Vec<(String, u64)> {
        let may_go = self.records.iter().filter(|(_, record)| {
            let is_old = |at: Timestamp| now.duration_since(at) >= policy.min_age;
            let in_use = record.last_used.is_some_and(|used| used >= now);
            !record.pinned && !in_use && record.first_detected.is_none_or(is_old)
        });
        let mut may_go: Vec<_> = may_go.collect();
        // `None` is before all times. Of two alike the first by id, so that tests are told apart.
        may_go.sort_by_key(|(_, record)| (record.last_used, record.first_detected));
        may_go
            .into_iter()
            .map(|(id, record)| (id.clone(), record.size_bytes))
            .collect()
    }

    /// An image was removed.
    pub fn removed(&mut self, id: &str) {
        self.records.remove(id);
    }
}

/// What is said when images alone do not make room.
pub fn not_enough(wanted: u64, freed: u64) -> String {
    format!(
        "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, \
         but only found {freed} bytes eligible to free."
    )
}
