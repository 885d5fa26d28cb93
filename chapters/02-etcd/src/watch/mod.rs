//! Watches: a watcher is a cursor into the history, and a bell that rings when there is more.
//!
//! A server that sends each change to a queue per watcher must decide what to do when a queue is
//! full. Here there are no queues. A change that a watcher wishes to hear of only sets its
//! `pending` revision, if that is not set, and rings; the watcher, when it gets to it, reads the
//! history from there. So a slow watcher costs no memory and misses nothing, one that asks for a
//! past revision is no special case, and many changes are read as one batch. The one thing that
//! can happen to it is that a compaction forgets what it has not read: [`Error::Compacted`].
//!
//! Which watchers a change concerns is asked of [`Watchers`], at the cost of those it concerns.
//! Watches of one client are read together, as [`Watches`]: a thousand of them are one bell.

mod group;
mod segments;
mod slots;

use std::sync::Arc;

pub use group::Watches;
use slots::Slot;
pub use slots::Watchers;

use crate::api::{Error, Revision, WatchBatch, WatchRequest};
use crate::mvcc::Mvcc;
use crate::store::Shared;

/// A watcher's place among all.
type Id = u32;

/// One watch. Dropping it ends it.
pub struct Watcher {
    watches: Watches,
}

/// What the one watch of a [`Watcher`] is called.
const NAME: i64 = 0;

impl Watcher {
    pub(crate) fn new(shared: Arc<Shared>, request: WatchRequest) -> Result<Self, Error> {
        let mut watches = Watches::new(shared);
        watches.add(NAME, request)?;
        Ok(Self { watches })
    }

    /// The next changes, in order: one or more revisions, each whole.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Compacted`] if changes that were not read yet were forgotten;
    /// [`Error::Storage`] once the store is closed.
    pub async fn recv(&mut self) -> Result<WatchBatch, Error> {
        loop {
            if let Some((_, told)) = self.watches.read() {
                return told;
            }
            self.watches.ready().await?;
        }
    }

    /// The revision up to which everything has been told, if nothing waits to be read.
    pub fn progress(&self) -> Option<Revision> {
        self.watches.progress()
    }
}

fn check_kept(state: &Mvcc, from: Revision) -> Result<(), Error> {
    match state.compact_revision() {
        compact_revision @ 1.. if from < compact_revision => {
            Err(Error::Compacted { compact_revision })
        }
        _ => Ok(()),
    }
}
