//! The store as the API server uses it: this one in its own process, or an etcd cluster's.
//!
//! The two behave the same but for what a network adds: [`Error::Unavailable`]. An enum and not a
//! trait, so that a read of the store in process costs what it costs without.

use crate::api::*;
use crate::remote::{Client, RemoteWatcher};
use crate::{Store, Watcher};

/// A store.
#[derive(Clone)]
pub enum Backend {
    /// In this process.
    Embedded(Store),
    /// Real members elsewhere.
    Remote(Client),
}

impl Backend {
    /// Reads a range.
    ///
    /// # Errors
    ///
    /// As [`Store::range`], and [`Error::Unavailable`].
    pub async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        match self {
            Self::Embedded(store) => store.range(&request),
            Self::Remote(client) => client.range(request).await,
        }
    }

    /// Runs a transaction.
    ///
    /// # Errors
    ///
    /// As [`Store::txn`]; after [`Error::Unavailable`] it may have happened or not.
    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Error> {
        match self {
            Self::Embedded(store) => store.txn(request).await,
            Self::Remote(client) => client.txn(request).await,
        }
    }

    /// Hears of changes, with no gap and none told twice.
    ///
    /// # Errors
    ///
    /// As [`Store::watch`].
    pub fn watch(&self, request: WatchRequest) -> Result<BackendWatcher, Error> {
        Ok(match self {
            Self::Embedded(store) => BackendWatcher::Embedded(store.watch(request)?),
            Self::Remote(client) => BackendWatcher::Remote(Box::new(client.watch(request))),
        })
    }

    /// Forgets what only revisions before `revision` can see.
    ///
    /// # Errors
    ///
    /// As [`Store::compact`], and [`Error::Unavailable`].
    pub async fn compact(&self, revision: Revision) -> Result<(), Error> {
        match self {
            Self::Embedded(store) => store.compact(revision).await,
            Self::Remote(client) => client.compact(revision).await,
        }
    }

    /// Makes a lease; an `id` of 0 lets the store choose one.
    ///
    /// # Errors
    ///
    /// As [`Store::lease_grant`], and [`Error::Unavailable`].
    pub async fn lease_grant(&self, id: LeaseId, ttl_seconds: i64) -> Result<LeaseId, Error> {
        match self {
            Self::Embedded(store) => store.lease_grant(id, ttl_seconds).await,
            Self::Remote(client) => client.lease_grant(id, ttl_seconds).await,
        }
    }

    /// The revision of the last write.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn revision(&self) -> Result<Revision, Error> {
        match self {
            Self::Embedded(store) => Ok(store.revision()),
            Self::Remote(client) => client.revision().await,
        }
    }

    /// Bytes that the store takes on disk, as far as that is known.
    pub async fn size_bytes(&self) -> Option<u64> {
        match self {
            Self::Embedded(store) => Some(store.size_bytes()),
            Self::Remote(client) => client.size_bytes().await,
        }
    }
}

/// A watch of a [`Backend`]. Dropping it ends it.
pub enum BackendWatcher {
    /// Of the store in this process.
    Embedded(Watcher),
    /// Of members elsewhere.
    Remote(Box<RemoteWatcher>),
}

impl BackendWatcher {
    /// The next changes, in order: one or more revisions, each whole.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// As [`Watcher::recv`] and [`RemoteWatcher::recv`].
    pub async fn recv(&mut self) -> Result<WatchBatch, Error> {
        match self {
            Self::Embedded(watcher) => watcher.recv().await,
            Self::Remote(watcher) => watcher.recv().await,
        }
    }
}
