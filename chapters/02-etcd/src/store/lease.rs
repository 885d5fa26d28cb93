//! Leases: keys that go when nobody renews them.

use std::time::Instant;

use bytes::Bytes;

use super::Store;
use crate::api::{Error, LeaseId, LeaseStatus};
use crate::mvcc::Command;
use crate::random;

impl Store {
    /// Makes a lease and returns its id. An `id` of 0 lets the store choose one.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseExists`], or a time that is too long.
    pub async fn lease_grant(&self, id: LeaseId, ttl_seconds: i64) -> Result<LeaseId, Error> {
        self.check_quota(&Command::LeaseGrant { id, ttl_seconds })?;
        loop {
            let choice = if id == 0 {
                (random::u64() >> 1) as i64
            } else {
                id
            };
            match self
                .submit(Command::LeaseGrant {
                    id: choice,
                    ttl_seconds,
                })
                .await
            {
                Err(Error::LeaseExists) if id == 0 => continue,
                answer => return answer.map(|_| choice),
            }
        }
    }

    /// Ends a lease and deletes the keys that hang on it.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseNotFound`].
    pub async fn lease_revoke(&self, id: LeaseId) -> Result<(), Error> {
        self.submit(Command::LeaseRevoke(id)).await.map(|_| ())
    }

    /// Makes a lease last its whole time again, and returns that in seconds. As in etcd this is
    /// not logged: after a restart every lease lasts its whole time.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseNotFound`], also if its time is up.
    pub fn lease_keep_alive(&self, id: LeaseId) -> Result<i64, Error> {
        let shared = &self.handle.shared;
        let ttl_seconds = shared
            .read()
            .lease(id)
            .map(|(ttl, _)| ttl)
            .ok_or(Error::LeaseNotFound)?;
        if !shared.deadlines().renew(id, ttl_seconds, Instant::now()) {
            return Err(Error::LeaseNotFound);
        }
        shared.counts.leases_renewed.add(1);
        Ok(ttl_seconds)
    }

    /// A lease as it stands.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseNotFound`].
    pub fn lease_time_to_live(&self, id: LeaseId) -> Result<LeaseStatus, Error> {
        let shared = &self.handle.shared;
        let (granted_ttl_seconds, keys) = {
            let state = shared.read();
            let (ttl, keys) = state.lease(id).ok_or(Error::LeaseNotFound)?;
            (ttl, keys.map(Bytes::copy_from_slice).collect())
        };
        let deadline = shared.deadlines().end(id).ok_or(Error::LeaseNotFound)?;
        let left = deadline.saturating_duration_since(Instant::now());
        Ok(LeaseStatus {
            id,
            granted_ttl_seconds,
            // Whole ones, as in etcd: a lease just granted for 60 s has 59.
            ttl_seconds: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            keys,
        })
    }

    /// All leases.
    pub fn leases(&self) -> Vec<LeaseId> {
        self.handle
            .shared
            .read()
            .leases()
            .map(|(id, _)| id)
            .collect()
    }
}
