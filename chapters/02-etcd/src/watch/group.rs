//! Watches that one reader reads.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Notify;

use super::{Id, check_kept};
use crate::api::{Error, EventKind, Revision, WatchBatch, WatchRequest};
use crate::mvcc::Mvcc;
use crate::store::Shared;

/// Most events in a batch, give or take the last revision's.
const BATCH_EVENTS: usize = 1000;

/// Most changes looked at in one go while the store is locked against writing.
const SCAN_CHANGES: usize = 10_000;

/// Watches that are read together: those of one client's stream. Dropping it ends them.
pub struct Watches {
    shared: Arc<Shared>,
    group: u32,
    bell: Arc<Notify>,
    ids: HashMap<i64, Id>,
}

impl Watches {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let (group, bell) = shared.watchers().add_group();
        Self {
            shared,
            group,
            bell,
            ids: HashMap::new(),
        }
    }

    /// Whether there is a watch of that name.
    pub fn contains(&self, name: i64) -> bool {
        self.ids.contains_key(&name)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Adds a watch by a name that none of the others has.
    ///
    /// # Errors
    ///
    /// [`Error::Compacted`] if the revision to begin at is no longer kept.
    pub fn add(&mut self, name: i64, mut request: WatchRequest) -> Result<(), Error> {
        // Nothing is written while this is held: no change falls between what is read from the
        // history and what is rung for.
        let state = self.shared.read();
        if request.start_revision == 0 {
            request.start_revision = state.revision() + 1;
        }
        check_kept(&state, request.start_revision)?;
        // Before all revisions is from the first on.
        request.start_revision = request.start_revision.max(1);
        let mut pending = 0;
        if request.start_revision <= state.revision() {
            pending = request.start_revision;
        }
        let id = self
            .shared
            .watchers()
            .add(self.group, name, request, pending);
        self.ids.insert(name, id);
        Ok(())
    }

    /// Ends a watch; false if there is none of that name.
    pub fn remove(&mut self, name: i64) -> bool {
        let id = self.ids.remove(&name);
        id.is_some_and(|id| {
            self.shared.watchers().remove(id);
            true
        })
    }

    /// Waits until [`Watches::read`] may have something. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] once the store is closed.
    pub async fn ready(&self) -> Result<(), Error> {
        while !self.shared.watchers().is_ready(self.group) {
            self.shared.check_open()?;
            self.bell.notified().await;
        }
        Ok(())
    }

    /// What one of the watches has to tell, by its name: changes in order, one or more revisions,
    /// each whole. None if there is nothing to tell for now.
    ///
    /// A watch whose changes were forgotten before it read them has [`Error::Compacted`] to tell,
    /// and is ended.
    pub fn read(&mut self) -> Option<(i64, Result<WatchBatch, Error>)> {
        loop {
            let (name, told) = self.read_one()?;
            match told {
                Ok(None) => {}
                Ok(Some(batch)) => return Some((name, Ok(batch))),
                Err(error) => {
                    self.remove(name);
                    return Some((name, Err(error)));
                }
            }
        }
    }

    /// The revision up to which everything has been told; none if something waits to be read.
    pub fn progress(&self) -> Option<Revision> {
        let state = self.shared.read();
        let is_ready = self.shared.watchers().is_ready(self.group);
        (!is_ready).then(|| state.revision())
    }

    /// Reads what one watch has pending, or a part of it. None without one; and none told if there
    /// was nothing for it.
    fn read_one(&self) -> Option<(i64, Result<Option<WatchBatch>, Error>)> {
        let state = self.shared.read();
        let mut watchers = self.shared.watchers();
        let (id, slot) = watchers.take_ready(self.group)?;
        let (name, from) = (slot.name, slot.pending);
        slot.pending = 0;
        if let Err(error) = check_kept(&state, from) {
            return Some((name, Err(error)));
        }
        let (batch, rest) = read(&state, slot, from);
        if let Some(rest) = rest {
            watchers.put_back(id, rest);
        }
        Some((name, Ok(batch)))
    }
}

/// Reads the changes from `from` on that are a watcher's; returns where it has to go on, if that
/// is not all.
fn read(
    state: &Mvcc,
    slot: &super::Slot,
    from: Revision,
) -> (Option<WatchBatch>, Option<Revision>) {
    let mut events = Vec::new();
    let mut revision = state.revision();
    let mut rest = None;
    let mut last = 0;
    for (scanned, change) in state.changes(from).enumerate() {
        let full = events.len() >= BATCH_EVENTS || scanned >= SCAN_CHANGES;
        // ANCHOR: exercise-02.4
        if full && change.mod_revision != last {
            (revision, rest) = (last, Some(change.mod_revision));
            break;
        }
        last = change.mod_revision;
        // A watch may begin at a revision that is still to come.
        if last >= slot.start_revision && slot.watches(change.key()) {
            let event = state.event(change, slot.prev_kv);
            let unwanted = match event.kind {
                EventKind::Put => slot.no_put,
                EventKind::Delete => slot.no_delete,
            };
            if !unwanted {
                events.push(event);
            }
        }
        // ANCHOR_END: exercise-02.4
    }
    let batch = (!events.is_empty()).then_some(WatchBatch { revision, events });
    (batch, rest)
}

impl Drop for Watches {
    fn drop(&mut self) {
        let ids = self.ids.values().copied();
        self.shared.end_watches(self.group, ids);
    }
}
