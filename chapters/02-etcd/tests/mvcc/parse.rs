//! The words of the scripts, as requests.

use bytes::Bytes;
use etcd::api::*;

pub fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub fn range(key: &str, to: &Option<String>) -> KeyRange {
    match to.as_deref() {
        None => KeyRange::One(bytes(key)),
        Some("") => KeyRange::From(bytes(key)),
        Some("prefix") => KeyRange::prefix(bytes(key)),
        Some(end) => KeyRange::Span(bytes(key), bytes(end)),
    }
}

/// `mod:a=3`, `value:a=x`, `create:a>0`
pub fn compare(text: &str) -> Compare {
    let at = text.find(['=', '<', '>', '!']).expect("a comparison");
    let (left, right) = (&text[..at], &text[at + 1..]);
    let (target, key) = left.split_once(':').expect("target:key");
    let number = || right.parse().expect("a number");
    Compare {
        range: if let Some(prefix) = key.strip_suffix('*') {
            KeyRange::prefix(bytes(prefix))
        } else {
            KeyRange::One(bytes(key))
        },
        op: match &text[at..=at] {
            "=" => CompareOp::Equal,
            "<" => CompareOp::Less,
            ">" => CompareOp::Greater,
            _ => CompareOp::NotEqual,
        },
        target: match target {
            "version" => CompareTarget::Version(number()),
            "create" => CompareTarget::Create(number()),
            "mod" => CompareTarget::Mod(number()),
            "lease" => CompareTarget::Lease(number()),
            _ => CompareTarget::Value(bytes(right)),
        },
    }
}

/// `put:a=x`, `del:a`, `get:a`, `get:a@3`, or a transaction `(value:a=x?put:b=y)`
pub fn step(text: &str) -> RequestOp {
    if let Some(inner) = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'))
    {
        let (guard, then) = inner.split_once('?').expect("guard?step");
        return RequestOp::Txn(TxnRequest {
            compare: vec![compare(guard)],
            success: vec![step(then)],
            failure: Vec::new(),
        });
    }
    let (verb, rest) = text.split_once(':').expect("verb:key");
    match verb {
        "put" => {
            let (key, value) = rest.split_once('=').expect("key=value");
            RequestOp::Put(PutRequest {
                key: bytes(key),
                value: bytes(value),
                ..Default::default()
            })
        }
        "del" => RequestOp::DeleteRange(DeleteRangeRequest {
            range: KeyRange::prefix(bytes(rest)),
            prev_kv: false,
        }),
        _ => {
            let (key, revision) = rest.split_once('@').unwrap_or((rest, "0"));
            RequestOp::Range(RangeRequest {
                revision: revision.parse().expect("a number"),
                ..RangeRequest::new(KeyRange::One(bytes(key)))
            })
        }
    }
}
