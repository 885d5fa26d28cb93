//! Reads: the keys of a range as of a revision, filtered, sorted and cut as etcd does.

use std::cmp::Ordering;

use bytes::Bytes;

use super::{Mvcc, Version};
use crate::api::{Error, KeyValue, RangeRequest, RangeResponse, Revision, SortOrder, SortTarget};

impl Mvcc {
    /// Reads a range.
    ///
    /// # Errors
    ///
    /// [`Error::Compacted`] and [`Error::FutureRevision`] for a revision that is not to be had.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        self.check_revision(request.revision)?;
        Ok(self.range_at(request, self.revision))
    }

    /// Whether the store as of `revision` can be read; 0 is now and always can.
    pub(super) fn check_revision(&self, revision: Revision) -> Result<(), Error> {
        match revision {
            ..=0 => Ok(()),
            _ if revision > self.revision => Err(Error::FutureRevision),
            _ if revision < self.compact_revision => Err(Error::Compacted {
                compact_revision: self.compact_revision,
            }),
            _ => Ok(()),
        }
    }

    /// Reads a range whose revision was checked; `now` is what revision 0 means.
    pub(super) fn range_at(&self, request: &RangeRequest, now: Revision) -> RangeResponse {
        let at = if request.revision > 0 {
            request.revision
        } else {
            now
        };
        let mut response = RangeResponse {
            revision: now,
            ..RangeResponse::default()
        };
        if request.count_only {
            response.count = self.live(&request.range, at).count() as i64;
            return response;
        }

        // In the index's own order the first `limit` keys are the answer and the rest need only
        // be counted; any other order has to see them all first.
        let limit = usize::try_from(request.limit).unwrap_or(0);
        let in_order = matches!(
            (request.sort_target, request.sort_order),
            (SortTarget::Key, SortOrder::None | SortOrder::Ascend)
        );
        let collect = if in_order && limit > 0 {
            limit
        } else {
            usize::MAX
        };
        let mut found: Vec<(&Bytes, &Version)> = Vec::new();
        let mut passed = 0;
        for entry in self.live(&request.range, at) {
            // As in etcd, the count is of the range, before the revision bounds.
            response.count += 1;
            if within(request, entry.1) {
                passed += 1;
                if found.len() < collect {
                    found.push(entry);
                }
            }
        }
        if !in_order {
            sort(&mut found, request.sort_target, request.sort_order);
        }
        if limit > 0 {
            found.truncate(limit);
        }
        response.more = found.len() < passed;
        response.kvs = found
            .into_iter()
            .filter_map(|(key, version)| version.key_value(key))
            .map(|kv| {
                if request.keys_only {
                    KeyValue {
                        value: Bytes::new(),
                        ..kv
                    }
                } else {
                    kv
                }
            })
            .collect();
        response
    }
}

fn within(request: &RangeRequest, version: &Version) -> bool {
    let bounded =
        |revision, min, max| (min == 0 || revision >= min) && (max == 0 || revision <= max);
    bounded(
        version.mod_revision,
        request.min_mod_revision,
        request.max_mod_revision,
    ) && bounded(
        version.create_revision,
        request.min_create_revision,
        request.max_create_revision,
    )
}

/// Sorts entries that come in order of their keys; those that compare equal stay in it.
fn sort(found: &mut [(&Bytes, &Version)], target: SortTarget, order: SortOrder) {
    let compare = |a: &(&Bytes, &Version), b: &(&Bytes, &Version)| match target {
        SortTarget::Key => a.0.cmp(b.0),
        SortTarget::Version => a.1.version.cmp(&b.1.version),
        SortTarget::Create => a.1.create_revision.cmp(&b.1.create_revision),
        SortTarget::Mod => a.1.mod_revision.cmp(&b.1.mod_revision),
        SortTarget::Value => a.1.value.cmp(&b.1.value),
    };
    found.sort_by(|a, b| match order {
        // A target other than the key with no order means ascending, as in etcd.
        SortOrder::None | SortOrder::Ascend => compare(a, b),
        SortOrder::Descend => compare(b, a),
    });
    debug_assert!(found.is_sorted_by(|a, b| {
        let ordering = compare(a, b);
        ordering == Ordering::Equal
            || (ordering == Ordering::Greater) == (order == SortOrder::Descend)
    }));
}
