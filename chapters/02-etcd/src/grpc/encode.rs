//! A read's answer, written from where the store has it.
//!
//! A list of ten thousand objects as messages is twenty thousand pieces of memory, made only to be
//! written and dropped. So this one message is written by hand: the numbers are the fields of
//! `RangeResponse` and `KeyValue` in `proto/`.

use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};

use super::header_at;
use crate::api::KeyValueRef;
use crate::mvcc::Selection;

/// A field's first byte: its number, and that a number follows, or bytes with their length.
const fn number(field: u8) -> u8 {
    field << 3
}

const fn bytes(field: u8) -> u8 {
    field << 3 | 2
}

/// Appends the message `RangeResponse`.
pub fn put_range(out: &mut Vec<u8>, found: &Selection<'_>, keys_only: bool) {
    if let Some(header) = header_at(found.revision) {
        out.push(bytes(1));
        // A vector takes all that there is memory for.
        let _grows = header.encode_length_delimited(out);
    }
    for kv in found
        .versions
        .iter()
        .filter_map(|version| version.key_value_ref())
    {
        let value = if keys_only { &[] } else { kv.value };
        let kv = KeyValueRef { value, ..kv };
        out.push(bytes(2));
        encode_varint(length(&kv) as u64, out);
        put_key_value(out, &kv);
    }
    put_number(out, 3, i64::from(found.more));
    put_number(out, 4, found.count);
}

fn put_key_value(out: &mut Vec<u8>, kv: &KeyValueRef<'_>) {
    put_bytes(out, 1, kv.key);
    put_number(out, 2, kv.create_revision);
    put_number(out, 3, kv.mod_revision);
    put_number(out, 4, kv.version);
    put_bytes(out, 5, kv.value);
    put_number(out, 6, kv.lease);
}

/// Bytes of a `KeyValue`.
fn length(kv: &KeyValueRef<'_>) -> usize {
    let of_bytes = |bytes: &[u8]| match bytes.len() {
        0 => 0,
        length => 1 + encoded_len_varint(length as u64) + length,
    };
    let of_number = |number: i64| match number {
        0 => 0,
        _ => 1 + encoded_len_varint(number as u64),
    };
    let numbers = [kv.create_revision, kv.mod_revision, kv.version, kv.lease];
    of_bytes(kv.key) + of_bytes(kv.value) + numbers.into_iter().map(of_number).sum::<usize>()
}

/// What is 0 or empty is not written.
fn put_number(out: &mut Vec<u8>, field: u8, value: i64) {
    if value != 0 {
        out.push(number(field));
        encode_varint(value as u64, out);
    }
}

fn put_bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    if !value.is_empty() {
        out.push(bytes(field));
        encode_varint(value.len() as u64, out);
        out.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::convert;
    use super::super::pb::etcdserverpb::RangeResponse;
    use super::*;
    use crate::api::{KeyRange, PutRequest, RangeRequest, RequestOp};
    use crate::mvcc::{Command, Mvcc};

    proptest! {
        /// It is what the messages would be written as.
        #[test]
        fn an_answer_is_written_as_the_message_is(
            puts in prop::collection::vec((0..20_u8, prop::collection::vec(any::<u8>(), 0..300), any::<bool>()), 0..30),
            limit in 0..20_i64,
            keys_only: bool,
            count_only: bool,
        ) {
            let mut mvcc = Mvcc::default();
            mvcc.apply(&Command::LeaseGrant { id: -7, ttl_seconds: 10 }).expect("granted");
            for (key, value, leased) in puts {
                let put = PutRequest {
                    key: vec![b'k', key].into(),
                    value: value.into(),
                    lease: if leased { -7 } else { 0 },
                    ..PutRequest::default()
                };
                mvcc.apply(&Command::Txn(RequestOp::Put(put).into())).expect("a put");
            }
            let request = RangeRequest {
                limit,
                keys_only,
                count_only,
                ..RangeRequest::new(KeyRange::prefix("k"))
            };
            let message = convert::range_response(mvcc.range(&request).expect("now"));
            let mut written = Vec::new();
            put_range(&mut written, &mvcc.select(&request).expect("now"), keys_only);
            prop_assert_eq!(RangeResponse::decode(written.as_slice()).expect("a message"), message.clone());
            prop_assert_eq!(written, message.encode_to_vec());
        }
    }
}
