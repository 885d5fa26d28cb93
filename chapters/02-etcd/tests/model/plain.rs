//! The model: a list of all versions that there ever were, and nothing clever.

use std::collections::BTreeMap;

use bytes::Bytes;
use etcd::Error;
use etcd::api::*;
use etcd::mvcc::{Applied, Command, TTL_SECONDS_MIN};

/// A version of a key; without a value it is the key's deletion.
#[derive(Debug, Clone)]
pub struct Version {
    kv: KeyValue,
    is_deletion: bool,
}

#[derive(Debug, Default)]
pub struct Model {
    pub revision: Revision,
    pub compacted: Revision,
    /// In the order in which they were made.
    versions: Vec<Version>,
    pub leases: BTreeMap<LeaseId, i64>,
}

impl Model {
    /// An empty store, which is at revision 1.
    pub fn new() -> Self {
        Self {
            revision: 1,
            compacted: -1,
            ..Self::default()
        }
    }

    /// The keys as of a revision.
    fn at(&self, range: &KeyRange, revision: Revision) -> Vec<KeyValue> {
        let mut keys: BTreeMap<&Bytes, &Version> = BTreeMap::new();
        for version in &self.versions {
            if version.kv.mod_revision <= revision && range.contains(&version.kv.key) {
                keys.insert(&version.kv.key, version);
            }
        }
        let kept = keys.into_values().filter(|version| !version.is_deletion);
        kept.map(|version| version.kv.clone()).collect()
    }

    fn now(&self, key: &Bytes) -> Option<KeyValue> {
        self.at(&KeyRange::One(key.clone()), Revision::MAX).pop()
    }

    pub fn check_revision(&self, revision: Revision) -> Result<(), Error> {
        if revision > self.revision {
            Err(Error::FutureRevision)
        } else if revision > 0 && revision < self.compacted {
            let compact_revision = self.compacted;
            Err(Error::Compacted { compact_revision })
        } else {
            Ok(())
        }
    }

    pub fn range(&self, request: &RangeRequest) -> RangeResponse {
        let revision = match request.revision {
            0 => Revision::MAX,
            revision => revision,
        };
        let mut kvs = self.at(&request.range, revision);
        let count = kvs.len() as i64;
        let is_within = |revision, min, max| revision >= min && (max == 0 || revision <= max);
        kvs.retain(|kv| {
            let (min, max) = (request.min_mod_revision, request.max_mod_revision);
            let of_mod = is_within(kv.mod_revision, min, max);
            let (min, max) = (request.min_create_revision, request.max_create_revision);
            of_mod && is_within(kv.create_revision, min, max)
        });
        kvs.sort_by(|a, b| {
            let order = match request.sort_target {
                SortTarget::Key => a.key.cmp(&b.key),
                SortTarget::Version => a.version.cmp(&b.version),
                SortTarget::Create => a.create_revision.cmp(&b.create_revision),
                SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
                SortTarget::Value => a.value.cmp(&b.value),
            };
            match request.sort_order {
                SortOrder::Descend => order.reverse(),
                _ => order,
            }
        });
        let limit = match request.limit {
            0 => kvs.len(),
            limit => limit as usize,
        };
        let more = kvs.len() > limit && !request.count_only;
        kvs.truncate(if request.count_only { 0 } else { limit });
        if request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
        }
        RangeResponse {
            revision: self.revision,
            kvs,
            more,
            count,
        }
    }

    pub fn apply(&mut self, command: &Command) -> Result<Applied, Error> {
        match command {
            Command::Txn(txn) => {
                check_txn(txn)?;
                self.check_steps(txn)?;
                let (before, next) = (self.versions.clone(), self.revision + 1);
                Ok(Applied::Txn(self.run(txn, &before, next)))
            }
            Command::Compact(revision) => {
                if *revision <= self.compacted {
                    let compact_revision = self.compacted;
                    return Err(Error::Compacted { compact_revision });
                }
                self.check_revision(*revision)?;
                self.compacted = *revision;
                Ok(Applied::Done)
            }
            Command::LeaseGrant { id, ttl_seconds } => {
                if *id == 0 || self.leases.contains_key(id) {
                    return Err(Error::LeaseExists);
                }
                self.leases.insert(*id, (*ttl_seconds).max(TTL_SECONDS_MIN));
                Ok(Applied::Done)
            }
            Command::LeaseRevoke(id) => {
                self.leases.remove(id).ok_or(Error::LeaseNotFound)?;
                let next = self.revision + 1;
                for kv in self.of_lease(*id) {
                    self.delete(kv.key, next);
                }
                Ok(Applied::Done)
            }
            Command::Alarm { .. } => unreachable!("`scripts/alarms` is about those"),
        }
    }

    pub fn of_lease(&self, id: LeaseId) -> Vec<KeyValue> {
        let mut kvs = self.at(&KeyRange::From(Bytes::new()), Revision::MAX);
        kvs.retain(|kv| kv.lease == id);
        kvs
    }

    /// Whether the guards held, before the transaction.
    fn holds(&self, txn: &TxnRequest, before: &[Version]) -> bool {
        let before = Model {
            versions: before.to_vec(),
            ..Model::default()
        };
        txn.compare.iter().all(|compare| {
            let kvs = before.at(&compare.range, Revision::MAX);
            if kvs.is_empty() {
                let is_value = matches!(compare.target, CompareTarget::Value(_));
                return !is_value && holds(compare, &KeyValue::default());
            }
            kvs.iter().all(|kv| holds(compare, kv))
        })
    }

    fn steps<'a>(&self, txn: &'a TxnRequest, before: &[Version]) -> (bool, &'a [RequestOp]) {
        match self.holds(txn, before) {
            true => (true, &txn.success),
            false => (false, &txn.failure),
        }
    }

    /// Whether all steps can be done that will be.
    fn check_steps(&self, txn: &TxnRequest) -> Result<(), Error> {
        let (_, steps) = self.steps(txn, &self.versions);
        steps.iter().try_for_each(|step| match step {
            RequestOp::Range(range) => self.check_revision(range.revision),
            RequestOp::Put(put) => {
                if (put.ignore_value || put.ignore_lease) && self.now(&put.key).is_none() {
                    return Err(Error::Invalid("etcdserver: key not found"));
                }
                match put.lease == 0 || self.leases.contains_key(&put.lease) {
                    true => Ok(()),
                    false => Err(Error::LeaseNotFound),
                }
            }
            RequestOp::DeleteRange(_) => Ok(()),
            RequestOp::Txn(txn) => self.check_steps(txn),
        })
    }

    fn run(&mut self, txn: &TxnRequest, before: &[Version], next: Revision) -> TxnResponse {
        let (succeeded, steps) = self.steps(txn, before);
        let mut responses = Vec::new();
        for step in steps {
            responses.push(match step {
                RequestOp::Range(range) => ResponseOp::Range(self.range(range)),
                RequestOp::Put(put) => ResponseOp::Put(self.put(put, next)),
                RequestOp::DeleteRange(delete) => {
                    let kvs = self.at(&delete.range, Revision::MAX);
                    let keys = kvs.iter().map(|kv| kv.key.clone());
                    keys.for_each(|key| self.delete(key, next));
                    ResponseOp::DeleteRange(DeleteRangeResponse {
                        revision: self.revision,
                        deleted: kvs.len() as i64,
                        prev_kvs: if delete.prev_kv { kvs } else { Vec::new() },
                    })
                }
                RequestOp::Txn(txn) => ResponseOp::Txn(self.run(txn, before, next)),
            });
        }
        TxnResponse {
            revision: self.revision,
            succeeded,
            responses,
        }
    }

    fn put(&mut self, put: &PutRequest, next: Revision) -> PutResponse {
        let before = self.now(&put.key);
        let old = before.clone().unwrap_or_default();
        let kv = KeyValue {
            key: put.key.clone(),
            value: if put.ignore_value {
                old.value
            } else {
                put.value.clone()
            },
            create_revision: before.as_ref().map_or(next, |kv| kv.create_revision),
            mod_revision: next,
            version: old.version + 1,
            lease: if put.ignore_lease {
                old.lease
            } else {
                put.lease
            },
        };
        self.revision = next;
        let is_deletion = false;
        self.versions.push(Version { kv, is_deletion });
        PutResponse {
            revision: next,
            prev_kv: before.filter(|_| put.prev_kv),
        }
    }

    fn delete(&mut self, key: Bytes, next: Revision) {
        self.revision = next;
        let kv = KeyValue {
            key,
            mod_revision: next,
            ..KeyValue::default()
        };
        let is_deletion = true;
        self.versions.push(Version { kv, is_deletion });
    }

    /// What a watcher hears from a revision on.
    pub fn events(&self, from: Revision) -> Vec<Event> {
        let versions = self
            .versions
            .iter()
            .filter(|version| version.kv.mod_revision >= from);
        let event = |version: &Version| {
            let before = version.kv.mod_revision - 1;
            let is_known = before >= self.compacted;
            Event {
                kind: match version.is_deletion {
                    true => EventKind::Delete,
                    false => EventKind::Put,
                },
                kv: version.kv.clone(),
                prev_kv: self
                    .at(&KeyRange::One(version.kv.key.clone()), before)
                    .pop()
                    .filter(|_| is_known),
            }
        };
        versions.map(event).collect()
    }
}

fn holds(compare: &Compare, kv: &KeyValue) -> bool {
    let order = match &compare.target {
        CompareTarget::Version(number) => kv.version.cmp(number),
        CompareTarget::Create(number) => kv.create_revision.cmp(number),
        CompareTarget::Mod(number) => kv.mod_revision.cmp(number),
        CompareTarget::Lease(number) => kv.lease.cmp(number),
        CompareTarget::Value(value) => kv.value.cmp(value),
    };
    match compare.op {
        CompareOp::Equal => order.is_eq(),
        CompareOp::NotEqual => order.is_ne(),
        CompareOp::Greater => order.is_gt(),
        CompareOp::Less => order.is_lt(),
    }
}

/// The keys that a step may put and the ranges that it may delete.
fn writes(step: &RequestOp) -> (Vec<&Bytes>, Vec<&KeyRange>) {
    match step {
        RequestOp::Range(_) => (vec![], vec![]),
        RequestOp::Put(put) => (vec![&put.key], vec![]),
        RequestOp::DeleteRange(delete) => (vec![], vec![&delete.range]),
        RequestOp::Txn(txn) => {
            let all: Vec<_> = txn.success.iter().chain(&txn.failure).map(writes).collect();
            let puts = all.iter().flat_map(|(puts, _)| puts.clone());
            let deletes = all.iter().flat_map(|(_, deletes)| deletes.clone());
            (puts.collect(), deletes.collect())
        }
    }
}

/// No key may be put twice, or put and deleted, by steps that are done together.
fn check_txn(txn: &TxnRequest) -> Result<(), Error> {
    for steps in [&txn.success, &txn.failure] {
        for (n, step) in steps.iter().enumerate() {
            if let RequestOp::Txn(txn) = step {
                check_txn(txn)?;
            }
            for other in steps[..n].iter().chain(&steps[n + 1..]) {
                let ((puts, _), (others, deletes)) = (writes(step), writes(other));
                let is_hit = |key: &Bytes| {
                    others.contains(&key) || deletes.iter().any(|range| range.contains(key))
                };
                if puts.into_iter().any(is_hit) {
                    return Err(Error::Invalid(
                        "etcdserver: duplicate key given in txn request",
                    ));
                }
            }
        }
    }
    Ok(())
}
