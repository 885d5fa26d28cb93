//! One version of one key, in one piece of memory.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use triomphe::ThinArc;

use crate::api::{KeyValue, KeyValueRef, LeaseId, Revision};

/// A version of a key: what a put or a deletion left behind. It never changes, so that a clone is
/// the same piece of memory, and the pointer to it is all that the index and the history hold.
#[derive(Clone, PartialEq, Eq)]
pub struct Version(ThinArc<Head, u8>);

/// What stands before a version's key and value.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// Revision of the put or deletion.
    pub mod_revision: Revision,
    /// Revision of the put that made the key; 0 for a deletion.
    pub create_revision: Revision,
    /// Puts since then; 0 for a deletion.
    pub version: i64,
    /// The lease that the key hangs on; 0 is none.
    pub lease: LeaseId,
    /// Changes before this one in its transaction.
    pub sub: u32,
    key_bytes: u32,
}

impl Deref for Version {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.0.header.header
    }
}

impl Version {
    /// What a put leaves. The key and the value are copied: as slices of a request they would
    /// keep the whole buffer that it came in.
    pub fn put(kv: KeyValueRef<'_>, sub: u32) -> Self {
        let head = Head {
            mod_revision: kv.mod_revision,
            create_revision: kv.create_revision,
            version: kv.version,
            lease: kv.lease,
            sub,
            key_bytes: len(kv.key),
        };
        let bytes = [kv.key, kv.value].concat();
        Self(ThinArc::from_header_and_slice(head, &bytes))
    }

    /// What a deletion leaves.
    pub fn deletion(key: &[u8], mod_revision: Revision, sub: u32) -> Self {
        let head = Head {
            mod_revision,
            create_revision: 0,
            version: 0,
            lease: 0,
            sub,
            key_bytes: len(key),
        };
        Self(ThinArc::from_header_and_slice(head, key))
    }

    /// Whether it is the key's deletion.
    pub fn is_deletion(&self) -> bool {
        self.version == 0
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.0.slice[..self.key_bytes as usize]
    }

    /// Bytes that it takes in a checkpoint, about.
    pub fn stored_bytes(&self) -> u64 {
        (size_of::<Head>() + self.0.slice.len()) as u64
    }

    /// The value; none for a deletion.
    pub fn value(&self) -> Option<&[u8]> {
        (!self.is_deletion()).then(|| &self.0.slice[self.key_bytes as usize..])
    }

    /// The key with its value, lent; none for a deletion.
    pub fn key_value_ref(&self) -> Option<KeyValueRef<'_>> {
        Some(KeyValueRef {
            key: self.key(),
            value: self.value()?,
            create_revision: self.create_revision,
            mod_revision: self.mod_revision,
            version: self.version,
            lease: self.lease,
        })
    }

    /// The key with its value, which stay where they are in memory; none for a deletion.
    pub fn key_value(&self) -> Option<KeyValue> {
        if self.is_deletion() {
            return None;
        }
        let mut key = Bytes::from_owner(self.clone());
        let value = key.split_off(self.key_bytes as usize);
        Some(KeyValue {
            key,
            value,
            create_revision: self.create_revision,
            mod_revision: self.mod_revision,
            version: self.version,
            lease: self.lease,
        })
    }
}

/// The key and the value, one after the other.
impl AsRef<[u8]> for Version {
    fn as_ref(&self) -> &[u8] {
        &self.0.slice
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version")
            .field("key", &Bytes::copy_from_slice(self.key()))
            .field("mod_revision", &self.mod_revision)
            .field("value", &self.value().map(Bytes::copy_from_slice))
            .field("create_revision", &self.create_revision)
            .field("version", &self.version)
            .field("lease", &self.lease)
            .finish()
    }
}

fn len(key: &[u8]) -> u32 {
    u32::try_from(key.len()).expect("requests are limited to far less than 4 GiB")
}
