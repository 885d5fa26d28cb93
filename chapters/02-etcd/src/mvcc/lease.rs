//! Leases: keys that go when their owner is no longer heard of.
//!
//! The core knows which keys hang on which lease. It has no clock: when a lease's time is up the
//! shell says so with [`super::Command::LeaseRevoke`], which is logged like any other write.

use bytes::Bytes;

use super::{Lease, Mvcc};
use crate::api::{Error, LeaseId};

/// The longest time a lease can be granted for, as in etcd.
pub const TTL_SECONDS_MAX: i64 = 9_000_000_000;

impl Mvcc {
    /// All leases with the seconds each was granted for, by id.
    pub fn leases(&self) -> impl Iterator<Item = (LeaseId, i64)> {
        self.leases
            .iter()
            .map(|(id, lease)| (*id, lease.ttl_seconds))
    }

    /// The seconds a lease was granted for and the keys that hang on it.
    pub fn lease(&self, id: LeaseId) -> Option<(i64, impl Iterator<Item = &Bytes>)> {
        self.leases
            .get(&id)
            .map(|lease| (lease.ttl_seconds, lease.keys.iter()))
    }

    pub(super) fn lease_grant(&mut self, id: LeaseId, ttl_seconds: i64) -> Result<(), Error> {
        if ttl_seconds > TTL_SECONDS_MAX {
            return Err(Error::Invalid("etcdserver: too large lease TTL"));
        }
        if id == 0 || self.leases.contains_key(&id) {
            return Err(Error::LeaseExists);
        }
        let ttl_seconds = ttl_seconds.max(1);
        self.leases.insert(
            id,
            Lease {
                ttl_seconds,
                keys: Default::default(),
            },
        );
        Ok(())
    }

    pub(super) fn lease_revoke(&mut self, id: LeaseId) -> Result<(), Error> {
        let lease = self.leases.remove(&id).ok_or(Error::LeaseNotFound)?;
        let next = self.revision + 1;
        for key in &lease.keys {
            self.delete(key, id, next);
        }
        Ok(())
    }

    pub(super) fn lease_attach(&mut self, id: LeaseId, key: &Bytes) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.keys.insert(key.clone());
        }
    }

    pub(super) fn lease_detach(&mut self, id: LeaseId, key: &Bytes) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.keys.remove(key);
        }
    }
}
