//! Hashes that tell whether two stores hold the same: etcd's own, so that ours and a real one can
//! be compared.
//!
//! etcd's database has a record for each change: the revision as key, the marshalled `KeyValue` as
//! value. Its hash is the CRC-32C of the records' bytes, one after the other. Nothing is kept so
//! here, but the bytes can be made. Upstream: `server/storage/mvcc/hash.go` and `revision.go`.
//!
//! Left out: for a revision that was compacted to, etcd answers the hash that it kept of the time
//! before that compaction.

use bytes::Bytes;
use prost::Message;

use super::pb::mvccpb::KeyValue;
use crate::crc::crc32c;
use crate::mvcc::Version;

/// The name of the records' bucket, which is hashed first.
const BUCKET: &[u8] = b"key";

/// The hash of changes that come in order.
pub fn hash(changes: &[Version]) -> u32 {
    let mut record = Vec::new();
    changes.iter().fold(crc32c(0, BUCKET), |crc, change| {
        record.clear();
        push_record(change, &mut record);
        crc32c(crc, &record)
    })
}

fn push_record(change: &Version, record: &mut Vec<u8>) {
    record.extend_from_slice(&change.mod_revision.to_be_bytes());
    record.push(b'_');
    record.extend_from_slice(&u64::from(change.sub).to_be_bytes());
    let key_value = match change.key_value() {
        Some(kv) => super::convert::key_value(kv),
        None => {
            record.push(b't');
            KeyValue {
                key: Bytes::copy_from_slice(change.key()),
                ..KeyValue::default()
            }
        }
    };
    key_value
        .encode(record)
        .expect("a vector has room for everything");
}
