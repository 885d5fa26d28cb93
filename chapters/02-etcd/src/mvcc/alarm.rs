//! Alarms: what is wrong with the store, and what is refused while it is.
//!
//! They are part of the state: raised and lowered by commands in the log, so that a restart does
//! not forget them and a write that was refused is refused again when the log is replayed.
//! Upstream: `server/etcdserver/apply` (the capped and the corrupt applier) and
//! `server/storage/quota.go`.

use super::{Command, Mvcc};
use crate::api::{Alarm, Error, PutRequest, RequestOp, TxnRequest};

/// What a key costs beside its own bytes, in etcd's reckoning.
const PUT_OVERHEAD_BYTES: u64 = 256;

/// What a lease costs.
const LEASE_BYTES: u64 = 64;

impl Mvcc {
    /// The alarms that are raised.
    pub fn alarms(&self) -> impl Iterator<Item = Alarm> {
        self.alarms.iter().copied()
    }

    pub(super) fn set_alarm(&mut self, alarm: Alarm, is_raised: bool) {
        if is_raised {
            self.alarms.insert(alarm);
        } else {
            self.alarms.remove(&alarm);
        }
    }

    /// Whether a write is let through by the alarms.
    pub(super) fn check_alarms(&self, command: &Command) -> Result<(), Error> {
        if self.alarms.is_empty() || matches!(command, Command::Alarm { .. }) {
            return Ok(());
        }
        self.check_sound()?;
        if cost(command) > 0 && self.alarms.contains(&Alarm::NoSpace) {
            return Err(Error::NoSpace);
        }
        Ok(())
    }

    /// Whether what the store holds is to be trusted.
    pub(super) fn check_sound(&self) -> Result<(), Error> {
        match self.alarms.contains(&Alarm::Corrupt) {
            true => Err(Error::Corrupt),
            false => Ok(()),
        }
    }
}

/// Bytes of the quota that a write may take; 0 for one that needs none.
pub fn cost(command: &Command) -> u64 {
    match command {
        Command::Txn(txn) => cost_txn(txn),
        Command::LeaseGrant { .. } => LEASE_BYTES,
        Command::Compact(_) | Command::LeaseRevoke(_) | Command::Alarm { .. } => 0,
    }
}

/// Which branch runs is not known yet: the dearer one counts.
fn cost_txn(txn: &TxnRequest) -> u64 {
    let branch = |ops: &[RequestOp]| ops.iter().map(cost_op).sum();
    u64::max(branch(&txn.success), branch(&txn.failure))
}

fn cost_op(op: &RequestOp) -> u64 {
    match op {
        RequestOp::Put(PutRequest { key, value, .. }) => {
            PUT_OVERHEAD_BYTES + (key.len() + value.len()) as u64
        }
        RequestOp::Txn(txn) => cost_txn(txn),
        RequestOp::Range(_) | RequestOp::DeleteRange(_) => 0,
    }
}
