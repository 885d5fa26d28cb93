//! What makes a transaction well-formed, whatever the store holds.

use bytes::Bytes;

use crate::api::{Error, KeyRange, PutRequest, RequestOp, TxnRequest};

/// Transactions within transactions, at most this deep: replaying a log must not be able to
/// exhaust the stack.
const DEPTH_MAX: usize = 32;

/// What one branch of a transaction would write.
#[derive(Default)]
struct Writes {
    puts: Vec<Bytes>,
    deletes: Vec<KeyRange>,
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

fn check(txn: &TxnRequest, depth: usize) -> Result<Writes, Error> {
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

fn check_branch(ops: &[RequestOp], depth: usize) -> Result<Writes, Error> {
    let mut writes = Writes::default();
    for op in ops {
        let more = match op {
            RequestOp::Range(range) => {
                check_key(&range.range)?;
                Writes::default()
            }
            RequestOp::Put(put) => {
                check_put(put)?;
                Writes {
                    puts: vec![put.key.clone()],
                    deletes: Vec::new(),
                }
            }
            RequestOp::DeleteRange(delete) => {
                check_key(&delete.range)?;
                Writes {
                    puts: Vec::new(),
                    deletes: vec![delete.range.clone()],
                }
            }
            RequestOp::Txn(txn) => check(txn, depth + 1)?,
        };
        if writes.collide(&more) {
            return Err(Error::Invalid(
                "etcdserver: duplicate key given in txn request",
            ));
        }
        writes.extend(more);
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

impl Writes {
    fn collide(&self, other: &Self) -> bool {
        let hit = |puts: &[Bytes], deletes: &[KeyRange]| {
            puts.iter()
                .any(|key| deletes.iter().any(|range| range.contains(key)))
        };
        other.puts.iter().any(|key| self.puts.contains(key))
            || hit(&self.puts, &other.deletes)
            || hit(&other.puts, &self.deletes)
    }

    fn extend(&mut self, other: Self) {
        self.puts.extend(other.puts);
        self.deletes.extend(other.deletes);
    }
}
