//! What makes a transaction well-formed, whatever the store holds.

use bytes::Bytes;

use crate::api::{Error, KeyRange, PutRequest, RequestOp, TxnRequest};

/// Transactions within transactions, at most this deep: replaying a log must not be able to
/// exhaust the stack.
const DEPTH_MAX: usize = 32;

/// What one branch of a transaction would write.
#[derive(Default)]
struct Writes<'a> {
    puts: Vec<&'a Bytes>,
    deletes: Vec<&'a KeyRange>,
}

/// Whether a transaction is one that etcd would take: no empty key, and no key that could be
/// written twice at one revision.
///
/// # Errors
///
/// [`Error::Invalid`] with etcd's words.
pub fn check_txn(txn: &TxnRequest) -> Result<(), Error> {
    check(txn, 0).map(|_| ())
}

/// Whether a transaction can write at all; one that cannot needs no revision and no log.
pub fn is_read_only(txn: &TxnRequest) -> bool {
    txn.success.iter().chain(&txn.failure).all(|op| match op {
        RequestOp::Range(_) => true,
        RequestOp::Put(_) | RequestOp::DeleteRange(_) => false,
        RequestOp::Txn(txn) => is_read_only(txn),
    })
}

fn check(txn: &TxnRequest, depth: usize) -> Result<Writes<'_>, Error> {
    if depth > DEPTH_MAX {
        return Err(Error::Invalid(
            "etcdserver: transactions are nested too deeply",
        ));
    }
    for compare in &txn.compare {
        check_key(&compare.range)?;
    }
    let mut writes = check_branch(&txn.success, depth)?;
    // Only one of the two branches runs, so they may write the same keys.
    writes.extend(check_branch(&txn.failure, depth)?);
    Ok(writes)
}

fn check_branch(ops: &[RequestOp], depth: usize) -> Result<Writes<'_>, Error> {
    let mut writes = Writes::default();
    for op in ops {
        match op {
            RequestOp::Range(range) => check_key(&range.range)?,
            RequestOp::Put(put) => {
                check_put(put)?;
                writes.check_put(&put.key)?;
                writes.puts.push(&put.key);
            }
            RequestOp::DeleteRange(delete) => {
                check_key(&delete.range)?;
                writes.check_delete(&delete.range)?;
                writes.deletes.push(&delete.range);
            }
            RequestOp::Txn(txn) => {
                let more = check(txn, depth + 1)?;
                more.puts.iter().try_for_each(|key| writes.check_put(key))?;
                let mut deletes = more.deletes.iter();
                deletes.try_for_each(|range| writes.check_delete(range))?;
                writes.extend(more);
            }
        }
    }
    Ok(writes)
}

fn check_key(range: &KeyRange) -> Result<(), Error> {
    match range {
        KeyRange::One(key) if key.is_empty() => {
            Err(Error::Invalid("etcdserver: key is not provided"))
        }
        _ => Ok(()),
    }
}

fn check_put(put: &PutRequest) -> Result<(), Error> {
    if put.key.is_empty() {
        return Err(Error::Invalid("etcdserver: key is not provided"));
    }
    if put.ignore_value && !put.value.is_empty() {
        return Err(Error::Invalid("etcdserver: value is provided"));
    }
    if put.ignore_lease && put.lease != 0 {
        return Err(Error::Invalid("etcdserver: lease is provided"));
    }
    Ok(())
}

impl<'a> Writes<'a> {
    /// Whether a key can be put beside these.
    fn check_put(&self, key: &Bytes) -> Result<(), Error> {
        let is_put = self.puts.contains(&key);
        let is_deleted = || self.deletes.iter().any(|range| range.contains(key));
        unless_twice(is_put || is_deleted())
    }

    /// Whether a range can be deleted beside these.
    fn check_delete(&self, range: &KeyRange) -> Result<(), Error> {
        unless_twice(self.puts.iter().any(|key| range.contains(key)))
    }

    fn extend(&mut self, other: Writes<'a>) {
        self.puts.extend(other.puts);
        self.deletes.extend(other.deletes);
    }
}

fn unless_twice(twice: bool) -> Result<(), Error> {
    match twice {
        false => Ok(()),
        true => Err(Error::Invalid(
            "etcdserver: duplicate key given in txn request",
        )),
    }
}
