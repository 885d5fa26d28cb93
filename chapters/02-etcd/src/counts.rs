//! What the store counts of its own work, for whoever looks after it.
//!
//! To count is one addition in memory that nobody waits for. What is counted together need not be
//! seen together: whoever reads may find a put whose bytes are not yet there.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::api::{RequestOp, ResponseOp, TxnRequest, TxnResponse};
use crate::mvcc::{Applied, Command};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        if more > 0 {
            self.0.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// What it is.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many kinds of durations are told apart by [`Durations`].
pub const BUCKETS: usize = 15;

/// Durations, counted by their length: up to 1 ms, 2 ms, 4 ms, …, 8192 ms, and longer.
#[derive(Debug)]
pub struct Durations {
    buckets: [Counter; BUCKETS],
    nanos: Counter,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            buckets: array::from_fn(|_| Counter::default()),
            nanos: Counter::default(),
        }
    }
}

impl Durations {
    /// The longest duration of a bucket in seconds; none for the last.
    pub fn bound(bucket: usize) -> Option<f64> {
        (bucket < BUCKETS - 1).then(|| f64::from(1 << bucket) / 1000.0)
    }

    /// Counts one.
    pub fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let millis = nanos.div_ceil(1_000_000).max(1);
        // The first power of two that is not less.
        let bucket = u64::BITS - (millis - 1).leading_zeros();
        self.buckets[(bucket as usize).min(BUCKETS - 1)].add(1);
        self.nanos.add(nanos);
    }

    /// How many there were in each bucket.
    pub fn counts(&self) -> [u64; BUCKETS] {
        array::from_fn(|bucket| self.buckets[bucket].get())
    }

    /// All of them together, in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.nanos.get() as f64 / 1e9
    }
}

/// What a store has done since it was opened.
#[derive(Debug, Default)]
pub struct Counts {
    /// Keys that were put.
    pub puts: Counter,
    /// Bytes of their keys and values.
    pub put_bytes: Counter,
    /// Ranges that were deleted, and keys that went with their lease.
    pub deletes: Counter,
    /// Ranges that were read.
    pub ranges: Counter,
    /// Transactions of more than one step.
    pub txns: Counter,
    /// Leases that were granted.
    pub leases_granted: Counter,
    /// Leases that have ended.
    pub leases_revoked: Counter,
    /// Those of them whose time was up.
    pub leases_expired: Counter,
    /// Keep-alives of leases.
    pub leases_renewed: Counter,
    /// Commands that were written, those of the past included.
    pub applied: Counter,
    /// Commands that could not be written.
    pub failed: Counter,
    /// Bytes that were written to the log.
    pub log_bytes: Counter,
    /// The log's syncs.
    pub syncs: Durations,
    /// The writing of checkpoints.
    pub checkpoints: Durations,
}

/// The steps of a transaction.
#[derive(Default)]
struct Steps {
    puts: u64,
    put_bytes: u64,
    deletes: u64,
    ranges: u64,
}

impl Steps {
    fn of(&mut self, request: &TxnRequest, response: &TxnResponse) {
        let ops = if response.succeeded {
            &request.success
        } else {
            &request.failure
        };
        for (op, response) in ops.iter().zip(&response.responses) {
            match (op, response) {
                (RequestOp::Put(put), _) => {
                    self.puts += 1;
                    self.put_bytes += (put.key.len() + put.value.len()) as u64;
                }
                (RequestOp::DeleteRange(_), _) => self.deletes += 1,
                (RequestOp::Range(_), _) => self.ranges += 1,
                (RequestOp::Txn(request), ResponseOp::Txn(response)) => self.of(request, response),
                (RequestOp::Txn(_), _) => {}
            }
        }
    }
}

impl Counts {
    /// Counts a transaction that was carried out.
    pub(crate) fn txn(&self, request: &TxnRequest, response: &TxnResponse) {
        let mut steps = Steps::default();
        steps.of(request, response);
        self.puts.add(steps.puts);
        self.put_bytes.add(steps.put_bytes);
        self.deletes.add(steps.deletes);
        self.ranges.add(steps.ranges);
        let is_many = steps.puts + steps.deletes + steps.ranges > 1;
        self.txns.add(is_many.into());
    }

    /// Counts a command that was applied, of a lease with so many keys if it ended one.
    pub(crate) fn applied(&self, command: &Command, applied: &Applied, lease_keys: usize) {
        match (command, applied) {
            (Command::Txn(request), Applied::Txn(response)) => self.txn(request, response),
            (Command::LeaseGrant { .. }, _) => self.leases_granted.add(1),
            (Command::LeaseRevoke(_), _) => {
                self.leases_revoked.add(1);
                self.deletes.add(lease_keys as u64);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_holds_it() {
        let bucket = |nanos| {
            let durations = Durations::default();
            durations.observe(Duration::from_nanos(nanos));
            let counts = durations.counts();
            counts.iter().position(|count| *count == 1)
        };
        assert_eq!(bucket(0), Some(0));
        assert_eq!(bucket(1_000_000), Some(0));
        assert_eq!(bucket(1_000_001), Some(1));
        assert_eq!(bucket(2_000_000), Some(1));
        assert_eq!(bucket(2_000_001), Some(2));
        assert_eq!(bucket(8_192_000_000), Some(13));
        assert_eq!(bucket(8_192_000_001), Some(14));
        assert_eq!(Durations::bound(13), Some(8.192));
        assert_eq!(Durations::bound(14), None);
    }
}
