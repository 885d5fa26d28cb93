//! Commands and snapshot items as bytes: fixed-width little-endian numbers, length-prefixed bytes.
//!
//! What is decoded was written by this program and guarded by a checksum, but a disk is not to be
//! trusted all the same: every length is checked against what is there, and bytes that mean
//! nothing are [`Malformed`], never a panic.

use bytes::Bytes;

use crate::api::{
    Alarm, Compare, CompareOp, CompareTarget, DeleteRangeRequest, KeyRange, KeyValueRef,
    PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use crate::mvcc::{Command, Item, Version};

/// Bytes that no encoder wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed record")]
pub struct Malformed;

/// The deepest nesting of transactions; more is not decoded, so that a record cannot exhaust the
/// stack.
const DEPTH_MAX: usize = 64;

/// Appends a command to `out`.
pub fn encode_command(command: &Command, out: &mut Vec<u8>) {
    match command {
        Command::Txn(txn) => {
            out.push(1);
            put_txn(out, txn);
        }
        Command::Compact(revision) => {
            out.push(2);
            put_i64(out, *revision);
        }
        Command::LeaseGrant { id, ttl_seconds } => {
            out.push(3);
            put_i64(out, *id);
            put_i64(out, *ttl_seconds);
        }
        Command::LeaseRevoke(id) => {
            out.push(4);
            put_i64(out, *id);
        }
        Command::Alarm { alarm, is_raised } => {
            out.push(5);
            put_alarm(out, *alarm);
            out.push(u8::from(*is_raised));
        }
    }
}

/// Appends a snapshot's item to `out`.
pub fn encode_item(item: &Item, out: &mut Vec<u8>) {
    match item {
        Item::Start {
            revision,
            compact_revision,
        } => {
            out.push(1);
            put_i64(out, *revision);
            put_i64(out, *compact_revision);
        }
        Item::Lease { id, ttl_seconds } => {
            out.push(2);
            put_i64(out, *id);
            put_i64(out, *ttl_seconds);
        }
        Item::Version(version) => {
            let value = version.value();
            out.push(if value.is_some() { 6 } else { 7 });
            put_bytes(out, version.key());
            put_i64(out, version.mod_revision);
            out.extend_from_slice(&version.sub.to_le_bytes());
            if let Some(value) = value {
                put_bytes(out, value);
                put_i64(out, version.create_revision);
                put_i64(out, version.version);
                put_i64(out, version.lease);
            }
        }
        Item::Alarm(alarm) => {
            out.push(8);
            put_alarm(out, *alarm);
        }
        Item::End => out.push(5),
    }
}

fn put_alarm(out: &mut Vec<u8>, alarm: Alarm) {
    out.push(match alarm {
        Alarm::NoSpace => 1,
        Alarm::Corrupt => 2,
    });
}

fn put_i64(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("requests are limited to far less than 4 GiB");
    out.extend_from_slice(&len.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_range(out: &mut Vec<u8>, range: &KeyRange) {
    match range {
        KeyRange::One(key) => {
            out.push(1);
            put_bytes(out, key);
        }
        KeyRange::Span(start, end) => {
            out.push(2);
            put_bytes(out, start);
            put_bytes(out, end);
        }
        KeyRange::From(start) => {
            out.push(3);
            put_bytes(out, start);
        }
    }
}

fn put_txn(out: &mut Vec<u8>, txn: &TxnRequest) {
    put_len(out, txn.compare.len());
    for compare in &txn.compare {
        put_range(out, &compare.range);
        out.push(match compare.op {
            CompareOp::Equal => 1,
            CompareOp::Greater => 2,
            CompareOp::Less => 3,
            CompareOp::NotEqual => 4,
        });
        let (tag, number) = match &compare.target {
            CompareTarget::Version(number) => (1, number),
            CompareTarget::Create(number) => (2, number),
            CompareTarget::Mod(number) => (3, number),
            CompareTarget::Lease(number) => (4, number),
            CompareTarget::Value(value) => {
                out.push(5);
                put_bytes(out, value);
                continue;
            }
        };
        out.push(tag);
        put_i64(out, *number);
    }
    put_ops(out, &txn.success);
    put_ops(out, &txn.failure);
}

fn put_ops(out: &mut Vec<u8>, ops: &[RequestOp]) {
    // A read answers the one who asked, once, and need not be in the log; but one of a certain
    // revision can fail the transaction it is in, and has to fail it again.
    let kept = || {
        ops.iter().filter(|op| match op {
            RequestOp::Range(range) => range.revision != 0,
            _ => true,
        })
    };
    put_len(out, kept().count());
    for op in kept() {
        match op {
            RequestOp::Range(range) => {
                out.push(4);
                put_range(out, &range.range);
                put_i64(out, range.revision);
            }
            RequestOp::Put(put) => {
                out.push(1);
                put_bytes(out, &put.key);
                put_bytes(out, &put.value);
                put_i64(out, put.lease);
                out.push(u8::from(put.ignore_value) | u8::from(put.ignore_lease) << 1);
            }
            RequestOp::DeleteRange(delete) => {
                out.push(2);
                put_range(out, &delete.range);
            }
            RequestOp::Txn(txn) => {
                out.push(3);
                put_txn(out, txn);
            }
        }
    }
}

/// Takes values off the front of a record.
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// A decoder of the whole of `record`.
    pub fn new(record: &'a [u8]) -> Self {
        Self { rest: record }
    }

    /// Whether all of it was taken.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next command.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn command(&mut self) -> Result<Command, Malformed> {
        match self.u8()? {
            1 => self.txn(0).map(Command::Txn),
            2 => self.i64().map(Command::Compact),
            3 => Ok(Command::LeaseGrant {
                id: self.i64()?,
                ttl_seconds: self.i64()?,
            }),
            4 => self.i64().map(Command::LeaseRevoke),
            5 => Ok(Command::Alarm {
                alarm: self.alarm()?,
                is_raised: self.u8()? != 0,
            }),
            _ => Err(Malformed),
        }
    }

    /// The next item of a snapshot.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn item(&mut self) -> Result<Item, Malformed> {
        match self.u8()? {
            1 => Ok(Item::Start {
                revision: self.i64()?,
                compact_revision: self.i64()?,
            }),
            2 => Ok(Item::Lease {
                id: self.i64()?,
                ttl_seconds: self.i64()?,
            }),
            // 3 and 4 were versions without a number in their transaction.
            5 => Ok(Item::End),
            6 => self.put_version().map(Item::Version),
            7 => {
                let (key, mod_revision) = (self.slice()?, self.i64()?);
                let sub = self.u32()?;
                Ok(Item::Version(Version::deletion(key, mod_revision, sub)))
            }
            8 => self.alarm().map(Item::Alarm),
            _ => Err(Malformed),
        }
    }

    fn alarm(&mut self) -> Result<Alarm, Malformed> {
        match self.u8()? {
            1 => Ok(Alarm::NoSpace),
            2 => Ok(Alarm::Corrupt),
            _ => Err(Malformed),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        let bytes = self.take(4)?.try_into().expect("four bytes were taken");
        Ok(u32::from_le_bytes(bytes))
    }

    fn len(&mut self) -> Result<usize, Malformed> {
        self.u32().map(|len| len as usize)
    }

    fn i64(&mut self) -> Result<i64, Malformed> {
        let bytes = self.take(8)?.try_into().expect("eight bytes were taken");
        Ok(i64::from_le_bytes(bytes))
    }

    fn slice(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.len()?;
        self.take(len)
    }

    /// A copy: a slice would keep the whole record it came from in memory.
    fn bytes(&mut self) -> Result<Bytes, Malformed> {
        self.slice().map(Bytes::copy_from_slice)
    }

    fn put_version(&mut self) -> Result<Version, Malformed> {
        let (key, mod_revision) = (self.slice()?, self.i64()?);
        let sub = self.u32()?;
        let kv = KeyValueRef {
            key,
            mod_revision,
            value: self.slice()?,
            create_revision: self.i64()?,
            version: self.i64()?,
            lease: self.i64()?,
        };
        // A version of 0 would be a deletion.
        if kv.version < 1 {
            return Err(Malformed);
        }
        Ok(Version::put(kv, sub))
    }

    fn range(&mut self) -> Result<KeyRange, Malformed> {
        match self.u8()? {
            1 => self.bytes().map(KeyRange::One),
            2 => Ok(KeyRange::Span(self.bytes()?, self.bytes()?)),
            3 => self.bytes().map(KeyRange::From),
            _ => Err(Malformed),
        }
    }

    fn compare(&mut self) -> Result<Compare, Malformed> {
        let range = self.range()?;
        let op = match self.u8()? {
            1 => CompareOp::Equal,
            2 => CompareOp::Greater,
            3 => CompareOp::Less,
            4 => CompareOp::NotEqual,
            _ => return Err(Malformed),
        };
        let target = match self.u8()? {
            1 => CompareTarget::Version(self.i64()?),
            2 => CompareTarget::Create(self.i64()?),
            3 => CompareTarget::Mod(self.i64()?),
            4 => CompareTarget::Lease(self.i64()?),
            5 => CompareTarget::Value(self.bytes()?),
            _ => return Err(Malformed),
        };
        Ok(Compare { range, op, target })
    }

    fn txn(&mut self, depth: usize) -> Result<TxnRequest, Malformed> {
        if depth > DEPTH_MAX {
            return Err(Malformed);
        }
        // Collecting grows as elements are there; a length alone reserves nothing.
        let compare = (0..self.len()?)
            .map(|_| self.compare())
            .collect::<Result<_, _>>()?;
        let success = (0..self.len()?)
            .map(|_| self.op(depth))
            .collect::<Result<_, _>>()?;
        let failure = (0..self.len()?)
            .map(|_| self.op(depth))
            .collect::<Result<_, _>>()?;
        Ok(TxnRequest {
            compare,
            success,
            failure,
        })
    }

    fn op(&mut self, depth: usize) -> Result<RequestOp, Malformed> {
        match self.u8()? {
            1 => {
                let (key, value, lease) = (self.bytes()?, self.bytes()?, self.i64()?);
                let flags = self.u8()?;
                Ok(RequestOp::Put(PutRequest {
                    key,
                    value,
                    lease,
                    prev_kv: false,
                    ignore_value: flags & 1 != 0,
                    ignore_lease: flags & 2 != 0,
                }))
            }
            2 => Ok(RequestOp::DeleteRange(DeleteRangeRequest {
                range: self.range()?,
                prev_kv: false,
            })),
            3 => self.txn(depth + 1).map(RequestOp::Txn),
            4 => {
                let range = RangeRequest::new(self.range()?);
                Ok(RequestOp::Range(RangeRequest {
                    revision: self.i64()?,
                    ..range
                }))
            }
            _ => Err(Malformed),
        }
    }
}
