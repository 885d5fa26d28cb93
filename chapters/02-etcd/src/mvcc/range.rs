//! Reads: the keys of a range as of a revision, filtered, sorted and cut as etcd does.

use std::cmp::Ordering;

use super::{Mvcc, Version};
use crate::api::{
    Error, KeyValue, KeyValueRef, RangeRequest, RangeResponse, Revision, SortOrder, SortTarget,
};

/// What a read finds, still in its place. None of the versions is a deletion.
#[derive(Debug, Clone)]
pub struct Selection<'a> {
    /// The store's revision.
    pub revision: Revision,
    /// The keys. `keys_only` is for whoever passes them on to heed.
    pub versions: Vec<&'a Version>,
    /// There are more than `limit`.
    pub more: bool,
    /// How many there are in all, whatever the limit.
    pub count: i64,
}

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

    /// Finds what a read asks for, for an answer that is made of it in place.
    ///
    /// # Errors
    ///
    /// As [`Mvcc::range`].
    pub fn select(&self, request: &RangeRequest) -> Result<Selection<'_>, Error> {
        self.check_revision(request.revision)?;
        Ok(self.select_at(request, self.revision))
    }

    /// Whether the store as of `revision` can be read; 0 is now and always can.
    pub(super) fn check_revision(&self, revision: Revision) -> Result<(), Error> {
        self.check_sound()?;
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
        let selection = self.select_at(request, now);
        let key_value = |version: &Version| {
            if request.keys_only {
                let kv = version.key_value_ref()?;
                Some(KeyValue::from(KeyValueRef { value: &[], ..kv }))
            } else {
                version.key_value()
            }
        };
        RangeResponse {
            revision: now,
            kvs: selection
                .versions
                .into_iter()
                .filter_map(key_value)
                .collect(),
            more: selection.more,
            count: selection.count,
        }
    }

    fn select_at(&self, request: &RangeRequest, now: Revision) -> Selection<'_> {
        let at = if request.revision > 0 {
            request.revision
        } else {
            now
        };
        let mut selection = Selection {
            revision: now,
            versions: Vec::new(),
            more: false,
            count: 0,
        };
        // As in etcd, the count is of the range, before the revision bounds.
        let count = || self.index.count(&request.range, at) as i64;
        if request.count_only {
            selection.count = count();
            return selection;
        }

        // In the index's own order the first `limit` keys are the answer; any other order has to
        // see them all first.
        let limit = match usize::try_from(request.limit) {
            Ok(limit) if limit > 0 => limit,
            _ => usize::MAX,
        };
        let in_order = matches!(
            (request.sort_target, request.sort_order),
            (SortTarget::Key, SortOrder::None | SortOrder::Ascend)
        );
        let mut found = self
            .live(&request.range, at)
            .filter(|version| within(request, version));
        let versions = &mut selection.versions;
        if in_order {
            versions.extend(found.by_ref().take(limit));
            selection.more = found.next().is_some();
        } else {
            versions.extend(found);
            sort(versions, request.sort_target, request.sort_order);
            selection.more = versions.len() > limit;
            versions.truncate(limit);
        }
        let all = !selection.more && !bounded(request);
        selection.count = if all {
            selection.versions.len() as i64
        } else {
            count()
        };
        selection
    }
}

/// Whether a read has bounds that a key in range may be outside of.
fn bounded(request: &RangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
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

/// Sorts versions that come in order of their keys; those that compare equal stay in it.
fn sort(found: &mut [&Version], target: SortTarget, order: SortOrder) {
    let compare = |a: &&Version, b: &&Version| match target {
        SortTarget::Key => a.key().cmp(b.key()),
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => a.value().cmp(&b.value()),
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
