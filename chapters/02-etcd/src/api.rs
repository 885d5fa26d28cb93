//! The store's vocabulary: etcd's v3 requests and answers as plain types.
//!
//! Names and meanings are etcd's (`api/etcdserverpb/rpc.proto`, `api/mvccpb/kv.proto`), so that
//! what is learnt here holds there. The gRPC server maps its messages to these; the API server
//! uses them in process.

use bytes::Bytes;

/// A count of all changes ever made to the store. Every write transaction gets the next one.
pub type Revision = i64;

/// A lease's id; 0 is no lease.
pub type LeaseId = i64;

/// A key with the value it has at some revision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
    /// Revision of the put that made the key (anew, after its last deletion).
    pub create_revision: Revision,
    /// Revision of the last put.
    pub mod_revision: Revision,
    /// Puts since it was made; 1 is the first.
    pub version: i64,
    /// The lease that it hangs on; 0 is none.
    pub lease: LeaseId,
}

/// A [`KeyValue`] that is lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyValueRef<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// Revision of the put that made the key.
    pub create_revision: Revision,
    /// Revision of the last put.
    pub mod_revision: Revision,
    /// Puts since it was made.
    pub version: i64,
    /// The lease that it hangs on; 0 is none.
    pub lease: LeaseId,
}

/// A copy.
impl From<KeyValueRef<'_>> for KeyValue {
    fn from(kv: KeyValueRef<'_>) -> Self {
        Self {
            key: Bytes::copy_from_slice(kv.key),
            value: Bytes::copy_from_slice(kv.value),
            create_revision: kv.create_revision,
            mod_revision: kv.mod_revision,
            version: kv.version,
            lease: kv.lease,
        }
    }
}

/// Which keys a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRange {
    /// One key.
    One(Bytes),
    /// Keys `start <= key < end`.
    Span(Bytes, Bytes),
    /// Keys `>= start` (etcd's `range_end = "\0"`).
    From(Bytes),
}

impl KeyRange {
    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        // ANCHOR: exercise-02.9
        // The first key after the prefix: its last byte that can be raised, raised. A prefix of
        // nothing but 0xff bytes has no such key.
        match start.iter().rposition(|byte| *byte != u8::MAX) {
            Some(last) => {
                let mut end = start[..=last].to_vec();
                end[last] += 1;
                Self::Span(start, end.into())
            }
            None => Self::From(start),
        }
        // ANCHOR_END: exercise-02.9
    }

    /// The first key that can be in range.
    pub fn start(&self) -> &Bytes {
        match self {
            Self::One(key) => key,
            Self::Span(start, _) | Self::From(start) => start,
        }
    }

    /// The first key after the range; none if it goes on to the last key.
    pub fn end(&self) -> Option<Bytes> {
        match self {
            Self::One(key) => Some([key.as_ref(), &[0]].concat().into()),
            Self::Span(_, end) => Some(end.clone()),
            Self::From(_) => None,
        }
    }

    /// Whether `key` is in range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::One(one) => one == key,
            Self::Span(start, end) => start.as_ref() <= key && key < end.as_ref(),
            Self::From(start) => start.as_ref() <= key,
        }
    }
}

impl RangeRequest {
    /// All of `range`, now, in the order of the keys.
    pub fn new(range: KeyRange) -> Self {
        Self {
            range,
            limit: 0,
            revision: 0,
            sort_order: SortOrder::None,
            sort_target: SortTarget::Key,
            keys_only: false,
            count_only: false,
            min_mod_revision: 0,
            max_mod_revision: 0,
            min_create_revision: 0,
            max_create_revision: 0,
        }
    }
}

/// What a range's answer is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortTarget {
    /// The key itself.
    #[default]
    Key,
    /// `version`.
    Version,
    /// `create_revision`.
    Create,
    /// `mod_revision`.
    Mod,
    /// The value.
    Value,
}

/// How a range's answer is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortOrder {
    /// As the index has it, which is ascending by key.
    #[default]
    None,
    /// Smallest first.
    Ascend,
    /// Largest first.
    Descend,
}

/// A read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeRequest {
    /// Which keys.
    pub range: KeyRange,
    /// At most this many; 0 is all.
    pub limit: i64,
    /// As of this revision; 0 is now.
    pub revision: Revision,
    /// Order.
    pub sort_order: SortOrder,
    /// Order by what.
    pub sort_target: SortTarget,
    /// Leave values out.
    pub keys_only: bool,
    /// Count only, no keys.
    pub count_only: bool,
    /// Only keys whose mod revision is at least this; 0 is no bound.
    pub min_mod_revision: Revision,
    /// Only keys whose mod revision is at most this; 0 is no bound.
    pub max_mod_revision: Revision,
    /// Only keys whose create revision is at least this; 0 is no bound.
    pub min_create_revision: Revision,
    /// Only keys whose create revision is at most this; 0 is no bound.
    pub max_create_revision: Revision,
}

/// A read's answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RangeResponse {
    /// The store's revision when it was read.
    pub revision: Revision,
    /// The keys.
    pub kvs: Vec<KeyValue>,
    /// There are more than `limit`.
    pub more: bool,
    /// How many there are in all, whatever the limit.
    pub count: i64,
}

/// A write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PutRequest {
    /// The key.
    pub key: Bytes,
    /// Its new value.
    pub value: Bytes,
    /// The lease to hang it on; 0 is none.
    pub lease: LeaseId,
    /// Answer with the key as it was.
    pub prev_kv: bool,
    /// Keep the value as it is.
    pub ignore_value: bool,
    /// Keep the lease as it is.
    pub ignore_lease: bool,
}

/// A write's answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PutResponse {
    /// The revision of the write.
    pub revision: Revision,
    /// The key as it was, if asked for.
    pub prev_kv: Option<KeyValue>,
}

/// A deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRangeRequest {
    /// Which keys.
    pub range: KeyRange,
    /// Answer with the keys as they were.
    pub prev_kv: bool,
}

/// A deletion's answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteRangeResponse {
    /// The revision of the deletion (the store's, if nothing was deleted).
    pub revision: Revision,
    /// How many keys.
    pub deleted: i64,
    /// The keys as they were, if asked for.
    pub prev_kvs: Vec<KeyValue>,
}

/// How a compare compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    /// `==`
    Equal,
    /// `>`
    Greater,
    /// `<`
    Less,
    /// `!=`
    NotEqual,
}

/// What a compare looks at. A missing key has revisions, version and lease 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompareTarget {
    /// `version`
    Version(i64),
    /// `create_revision`
    Create(Revision),
    /// `mod_revision`
    Mod(Revision),
    /// The value; a missing key never compares true.
    Value(Bytes),
    /// The lease.
    Lease(LeaseId),
}

/// A guard of a transaction: holds if it holds for every key in range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    /// Which keys.
    pub range: KeyRange,
    /// How.
    pub op: CompareOp,
    /// With what.
    pub target: CompareTarget,
}

/// A step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestOp {
    /// Read.
    Range(RangeRequest),
    /// Write.
    Put(PutRequest),
    /// Delete.
    DeleteRange(DeleteRangeRequest),
    /// A transaction inside.
    Txn(TxnRequest),
}

/// The answer of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseOp {
    /// Read.
    Range(RangeResponse),
    /// Write.
    Put(PutResponse),
    /// Delete.
    DeleteRange(DeleteRangeResponse),
    /// A transaction inside.
    Txn(TxnResponse),
}

/// If all of `compare` hold then `success` else `failure`, as one revision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TxnRequest {
    /// Guards.
    pub compare: Vec<Compare>,
    /// Steps if they hold.
    pub success: Vec<RequestOp>,
    /// Steps if not.
    pub failure: Vec<RequestOp>,
}

/// A transaction's answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TxnResponse {
    /// The store's revision after it.
    pub revision: Revision,
    /// Whether the guards held.
    pub succeeded: bool,
    /// The answers of the steps that ran.
    pub responses: Vec<ResponseOp>,
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was written.
    Put,
    /// It was deleted; the event's `kv` has only its key and `mod_revision`.
    Delete,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The key after it.
    pub kv: KeyValue,
    /// The key before it, if the watch asked for it and it is still known.
    pub prev_kv: Option<KeyValue>,
}

/// A wish to hear of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRequest {
    /// Of which keys.
    pub range: KeyRange,
    /// From this revision on, itself included; 0 is from now on.
    pub start_revision: Revision,
    /// With the key as it was.
    pub prev_kv: bool,
    /// Without puts.
    pub no_put: bool,
    /// Without deletions.
    pub no_delete: bool,
}

/// What a watcher hears: all changes of one revision come together, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchBatch {
    /// All changes up to this revision have been told once this batch is read.
    pub revision: Revision,
    /// The changes; empty for a progress notice.
    pub events: Vec<Event>,
}

/// What is wrong with a store, until somebody says that it no longer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// It has reached its quota: what needs more space is refused.
    NoSpace,
    /// What it holds is not to be trusted: everything is refused. Only a client raises it.
    Corrupt,
}

/// A lease as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseStatus {
    /// Its id.
    pub id: LeaseId,
    /// Seconds it was granted for.
    pub granted_ttl_seconds: i64,
    /// Whole seconds left.
    pub ttl_seconds: i64,
    /// The keys that hang on it.
    pub keys: Vec<Bytes>,
}

/// An error of the store. The gRPC server gives each etcd's gRPC code and message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The revision asked for is no longer kept: list anew.
    #[error("mvcc: required revision has been compacted")]
    Compacted {
        /// The oldest revision that can still be had.
        compact_revision: Revision,
    },
    /// The revision asked for has not happened yet.
    #[error("mvcc: required revision is a future revision")]
    FutureRevision,
    /// No such lease.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// The lease's id is taken.
    #[error("lease already exists")]
    LeaseExists,
    /// The request is not well-formed; etcd's own words.
    #[error("{0}")]
    Invalid(&'static str),
    /// The disk is full or the quota reached. The write did not happen; the store goes on and
    /// takes the next one that fits.
    #[error("mvcc: database space exceeded")]
    NoSpace,
    /// [`Alarm::Corrupt`] is raised.
    #[error("corrupt cluster")]
    Corrupt,
    /// The disk failed. Nothing is acknowledged any more until a restart.
    #[error("store failed: {0}")]
    Storage(String),
    /// A store elsewhere did not answer, or with an error of its own, in its words. Whether a write
    /// happened is not known: it may yet.
    #[error("{0}")]
    Unavailable(String),
}
