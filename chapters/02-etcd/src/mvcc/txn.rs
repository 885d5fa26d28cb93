//! Transactions: compare, then write, as one revision.
//!
//! Three passes, so that a transaction that is refused has changed nothing: decide which branches
//! run (every guard, nested ones too, sees the store as it was before the transaction), check
//! that each of their steps can be done, then do them.

use bytes::Bytes;

use super::{Mvcc, Version, check};
use crate::api::{
    Compare, CompareOp, CompareTarget, DeleteRangeRequest, DeleteRangeResponse, Error, KeyRange,
    KeyValueRef, PutRequest, PutResponse, RequestOp, ResponseOp, Revision, TxnRequest, TxnResponse,
};

/// A transaction with its guards decided: the steps that run.
struct Plan<'a> {
    succeeded: bool,
    steps: Vec<Step<'a>>,
}

enum Step<'a> {
    Op(&'a RequestOp),
    Txn(Plan<'a>),
}

impl Mvcc {
    /// Answers a transaction that cannot write.
    ///
    /// # Errors
    ///
    /// As [`Mvcc::apply`].
    pub fn read_txn(&self, txn: &TxnRequest) -> Result<TxnResponse, Error> {
        check::check_txn(txn)?;
        let plan = self.plan(txn);
        self.check_plan(&plan)?;
        Ok(self.read_plan(&plan))
    }

    pub(super) fn txn(&mut self, txn: &TxnRequest) -> Result<TxnResponse, Error> {
        check::check_txn(txn)?;
        let plan = self.plan(txn);
        self.check_plan(&plan)?;
        let next = self.revision + 1;
        let response = self.run(&plan, next);
        Ok(response)
    }

    fn plan<'a>(&self, txn: &'a TxnRequest) -> Plan<'a> {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let ops = if succeeded {
            &txn.success
        } else {
            &txn.failure
        };
        let step = |op: &'a RequestOp| match op {
            RequestOp::Txn(txn) => Step::Txn(self.plan(txn)),
            op => Step::Op(op),
        };
        Plan {
            succeeded,
            steps: ops.iter().map(step).collect(),
        }
    }

    /// Whether a guard holds for every key in its range. A range without keys is one key that is
    /// missing.
    fn holds(&self, compare: &Compare) -> bool {
        let mut versions = self.live(&compare.range, Revision::MAX).peekable();
        if versions.peek().is_none() {
            return compare_version(compare, None);
        }
        versions.all(|version| compare_version(compare, Some(version)))
    }

    fn check_plan(&self, plan: &Plan<'_>) -> Result<(), Error> {
        plan.steps.iter().try_for_each(|step| match step {
            Step::Op(RequestOp::Range(range)) => self.check_revision(range.revision),
            Step::Op(RequestOp::Put(put)) => self.check_put(put),
            Step::Op(_) => Ok(()),
            Step::Txn(plan) => self.check_plan(plan),
        })
    }

    fn check_put(&self, put: &PutRequest) -> Result<(), Error> {
        if (put.ignore_value || put.ignore_lease) && self.current(&put.key).is_none() {
            return Err(Error::Invalid("etcdserver: key not found"));
        }
        if put.lease != 0 && !self.leases.contains_key(&put.lease) {
            return Err(Error::LeaseNotFound);
        }
        Ok(())
    }

    fn read_plan(&self, plan: &Plan<'_>) -> TxnResponse {
        let respond = |step: &Step<'_>| match step {
            Step::Op(RequestOp::Range(range)) => {
                ResponseOp::Range(self.range_at(range, self.revision))
            }
            Step::Op(_) => unreachable!("a transaction that writes is never only read"),
            Step::Txn(plan) => ResponseOp::Txn(self.read_plan(plan)),
        };
        TxnResponse {
            revision: self.revision,
            succeeded: plan.succeeded,
            responses: plan.steps.iter().map(respond).collect(),
        }
    }

    /// Does the steps. The store's revision moves to `next` with the first change, so later
    /// steps see what earlier ones wrote, and a transaction that changes nothing takes none.
    fn run(&mut self, plan: &Plan<'_>, next: Revision) -> TxnResponse {
        let responses = plan.steps.iter().map(|step| match step {
            Step::Op(RequestOp::Range(range)) => {
                ResponseOp::Range(self.range_at(range, self.revision))
            }
            Step::Op(RequestOp::Put(put)) => ResponseOp::Put(self.put(put, next)),
            Step::Op(RequestOp::DeleteRange(delete)) => {
                ResponseOp::DeleteRange(self.delete_range(delete, next))
            }
            Step::Op(RequestOp::Txn(_)) => {
                unreachable!("a plan holds nested transactions as plans")
            }
            Step::Txn(plan) => ResponseOp::Txn(self.run(plan, next)),
        });
        let responses = responses.collect();
        TxnResponse {
            revision: self.revision,
            succeeded: plan.succeeded,
            responses,
        }
    }

    fn put(&mut self, put: &PutRequest, revision: Revision) -> PutResponse {
        let before = self.append(&put.key, revision, |before, sub| {
            // ANCHOR: exercise-02.3
            let value = before.and_then(Version::value);
            let kept_value = value.filter(|_| put.ignore_value);
            let kv = KeyValueRef {
                key: &put.key,
                value: kept_value.unwrap_or(&put.value),
                create_revision: before.map_or(revision, |before| before.create_revision),
                mod_revision: revision,
                version: before.map_or(1, |before| before.version + 1),
                lease: match before {
                    Some(before) if put.ignore_lease => before.lease,
                    _ => put.lease,
                },
            };
            Version::put(kv, sub)
            // ANCHOR_END: exercise-02.3
        });
        let prev_kv = before.filter(|_| put.prev_kv);
        PutResponse {
            revision: self.revision,
            prev_kv: prev_kv.as_ref().and_then(Version::key_value),
        }
    }

    fn delete_range(
        &mut self,
        delete: &DeleteRangeRequest,
        revision: Revision,
    ) -> DeleteRangeResponse {
        let found = self.live(&delete.range, Revision::MAX);
        let found: Vec<Version> = found.cloned().collect();
        for version in &found {
            self.delete(version.key(), revision);
        }
        let mut response = DeleteRangeResponse {
            revision: self.revision,
            deleted: found.len() as i64,
            prev_kvs: Vec::new(),
        };
        if delete.prev_kv {
            response.prev_kvs = found.iter().filter_map(Version::key_value).collect();
        }
        response
    }

    /// Appends a key's deletion.
    pub(super) fn delete(&mut self, key: &[u8], revision: Revision) {
        self.append(key, revision, |_, sub| {
            Version::deletion(key, revision, sub)
        });
    }
}

/// Whether a guard holds for one key: its newest version, or none where it is not there.
fn compare_version(compare: &Compare, version: Option<&Version>) -> bool {
    // ANCHOR: exercise-02.1
    let number = |of: fn(&Version) -> i64| version.map_or(0, of);
    let ordering = match &compare.target {
        CompareTarget::Version(wanted) => number(|version| version.version).cmp(wanted),
        CompareTarget::Create(wanted) => number(|version| version.create_revision).cmp(wanted),
        CompareTarget::Mod(wanted) => number(|version| version.mod_revision).cmp(wanted),
        CompareTarget::Lease(wanted) => number(|version| version.lease).cmp(wanted),
        // A missing key has no value to compare, not an empty one.
        CompareTarget::Value(wanted) => match version.and_then(Version::value) {
            Some(value) => value.cmp(wanted),
            None => return false,
        },
    };
    match compare.op {
        CompareOp::Equal => ordering.is_eq(),
        CompareOp::NotEqual => ordering.is_ne(),
        CompareOp::Greater => ordering.is_gt(),
        CompareOp::Less => ordering.is_lt(),
    }
    // ANCHOR_END: exercise-02.1
}

/// A transaction of one unconditional step.
impl From<RequestOp> for TxnRequest {
    fn from(op: RequestOp) -> Self {
        Self {
            compare: Vec::new(),
            success: vec![op],
            failure: Vec::new(),
        }
    }
}

/// A deletion of one key.
impl From<Bytes> for DeleteRangeRequest {
    fn from(key: Bytes) -> Self {
        Self {
            range: KeyRange::One(key),
            prev_kv: false,
        }
    }
}
