//! Leases: keys that go when their owner is no longer heard of.
//!
//! The core knows which keys hang on which lease. It has no clock: when a lease's time is up the
//! shell says so with [`super::Command::LeaseRevoke`], which is logged like any other write.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::{Mvcc, Version};
use crate::api::{Error, LeaseId};

/// The longest time a lease can be granted for, as in etcd.
pub const TTL_SECONDS_MAX: i64 = 9_000_000_000;

/// The shortest, as in etcd: one and a half times as long as its members take to elect a leader,
/// so that a lease does not end only because there is none.
pub const TTL_SECONDS_MIN: i64 = 2;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) ttl_seconds: i64,
    keys: BTreeSet<ByKey>,
}

/// A key by its newest version, which is in memory anyway.
#[derive(Debug, Clone)]
struct ByKey(Version);

impl Borrow<[u8]> for ByKey {
    fn borrow(&self) -> &[u8] {
        self.0.key()
    }
}

impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key().cmp(other.0.key())
    }
}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for ByKey {}

impl Mvcc {
    /// All leases with the seconds each was granted for, by id.
    pub fn leases(&self) -> impl Iterator<Item = (LeaseId, i64)> {
        self.leases
            .iter()
            .map(|(id, lease)| (*id, lease.ttl_seconds))
    }

    /// The seconds a lease was granted for and the keys that hang on it.
    pub fn lease(&self, id: LeaseId) -> Option<(i64, impl Iterator<Item = &[u8]>)> {
        self.leases.get(&id).map(|lease| {
            let keys = lease.keys.iter().map(|version| version.0.key());
            (lease.ttl_seconds, keys)
        })
    }

    pub(super) fn lease_grant(&mut self, id: LeaseId, ttl_seconds: i64) -> Result<(), Error> {
        if ttl_seconds > TTL_SECONDS_MAX {
            return Err(Error::Invalid("etcdserver: too large lease TTL"));
        }
        if id == 0 || self.leases.contains_key(&id) {
            return Err(Error::LeaseExists);
        }
        self.leases
            .insert(id, Lease::new(ttl_seconds.max(TTL_SECONDS_MIN)));
        Ok(())
    }

    pub(super) fn lease_revoke(&mut self, id: LeaseId) -> Result<(), Error> {
        let lease = self.leases.remove(&id).ok_or(Error::LeaseNotFound)?;
        let next = self.revision + 1;
        for version in &lease.keys {
            self.delete(version.0.key(), next);
        }
        Ok(())
    }

    /// Hangs a key on its newest version's lease, if that has one.
    pub(super) fn lease_attach(&mut self, version: &Version) {
        if let Some(lease) = self.lease_mut(version.lease) {
            lease.keys.replace(ByKey(version.clone()));
        }
    }

    pub(super) fn lease_detach(&mut self, id: LeaseId, key: &[u8]) {
        if let Some(lease) = self.lease_mut(id) {
            lease.keys.remove(key);
        }
    }

    fn lease_mut(&mut self, id: LeaseId) -> Option<&mut Lease> {
        match id {
            0 => None,
            id => self.leases.get_mut(&id),
        }
    }
}

impl Lease {
    pub(super) fn new(ttl_seconds: i64) -> Self {
        Self {
            ttl_seconds,
            keys: BTreeSet::new(),
        }
    }
}
