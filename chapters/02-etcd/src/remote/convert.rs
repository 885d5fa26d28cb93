//! Between the store's vocabulary and etcd's messages.

use bytes::Bytes;
use grpc::client::{Code, Status};

use super::messages as wire;
use crate::api::*;

/// A range as etcd writes one: a key, and an end that is empty for one key and `\0` for all from
/// the key on. A key is never empty: the first one that can be is `\0`.
fn range(range: KeyRange) -> (Bytes, Bytes) {
    const ZERO: Bytes = Bytes::from_static(&[0]);
    let first = |key: Bytes| if key.is_empty() { ZERO } else { key };
    match range {
        KeyRange::One(key) => (key, Bytes::new()),
        KeyRange::Span(start, end) => (first(start), end),
        KeyRange::From(start) => (first(start), ZERO),
    }
}

pub fn range_request(request: RangeRequest) -> wire::RangeRequest {
    let (key, range_end) = range(request.range);
    wire::RangeRequest {
        key,
        range_end,
        limit: request.limit,
        revision: request.revision,
        sort_order: match request.sort_order {
            SortOrder::None => 0,
            SortOrder::Ascend => 1,
            SortOrder::Descend => 2,
        },
        sort_target: match request.sort_target {
            SortTarget::Key => 0,
            SortTarget::Version => 1,
            SortTarget::Create => 2,
            SortTarget::Mod => 3,
            SortTarget::Value => 4,
        },
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod_revision: request.min_mod_revision,
        max_mod_revision: request.max_mod_revision,
        min_create_revision: request.min_create_revision,
        max_create_revision: request.max_create_revision,
    }
}

pub fn txn_request(request: TxnRequest) -> wire::TxnRequest {
    let steps = |steps: Vec<RequestOp>| steps.into_iter().map(request_op).collect();
    wire::TxnRequest {
        compare: request.compare.into_iter().map(compare).collect(),
        success: steps(request.success),
        failure: steps(request.failure),
    }
}

fn compare(compare: Compare) -> wire::Compare {
    let (key, range_end) = range(compare.range);
    let (target, with) = match compare.target {
        CompareTarget::Version(version) => (0, wire::With::Version(version)),
        CompareTarget::Create(revision) => (1, wire::With::Create(revision)),
        CompareTarget::Mod(revision) => (2, wire::With::Mod(revision)),
        CompareTarget::Value(value) => (3, wire::With::Value(value)),
        CompareTarget::Lease(lease) => (4, wire::With::Lease(lease)),
    };
    wire::Compare {
        result: match compare.op {
            CompareOp::Equal => 0,
            CompareOp::Greater => 1,
            CompareOp::Less => 2,
            CompareOp::NotEqual => 3,
        },
        target,
        key,
        with: Some(with),
        range_end,
    }
}

fn request_op(op: RequestOp) -> wire::RequestOp {
    let request = match op {
        RequestOp::Range(request) => wire::Request::Range(range_request(request)),
        RequestOp::Put(put) => wire::Request::Put(wire::PutRequest {
            key: put.key,
            value: put.value,
            lease: put.lease,
            prev_kv: put.prev_kv,
            ignore_value: put.ignore_value,
            ignore_lease: put.ignore_lease,
        }),
        RequestOp::DeleteRange(delete) => {
            let (key, range_end) = range(delete.range);
            let prev_kv = delete.prev_kv;
            wire::Request::DeleteRange(wire::DeleteRangeRequest {
                key,
                range_end,
                prev_kv,
            })
        }
        RequestOp::Txn(request) => wire::Request::Txn(txn_request(request)),
    };
    wire::RequestOp {
        request: Some(request),
    }
}

pub fn watch_create(request: &WatchRequest, start_revision: Revision) -> wire::WatchRequest {
    let (key, range_end) = range(request.range.clone());
    let filters = [(0, request.no_put), (1, request.no_delete)];
    wire::WatchRequest {
        create_request: Some(wire::WatchCreateRequest {
            key,
            range_end,
            start_revision,
            filters: (filters.into_iter())
                .filter_map(|(filter, is_on)| is_on.then_some(filter))
                .collect(),
            prev_kv: request.prev_kv,
        }),
    }
}

fn revision(header: Option<wire::ResponseHeader>) -> Revision {
    header.map_or(0, |header| header.revision)
}

fn key_value(kv: wire::KeyValue) -> KeyValue {
    KeyValue {
        key: kv.key.into(),
        value: kv.value.into(),
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease: kv.lease,
    }
}

pub fn range_response(response: wire::RangeResponse) -> RangeResponse {
    RangeResponse {
        revision: revision(response.header),
        kvs: response.kvs.into_iter().map(key_value).collect(),
        more: response.more,
        count: response.count,
    }
}

/// A transaction's answer.
///
/// Steps have no header of their own on the wire: all that is written has the transaction's
/// revision.
pub fn txn_response(response: wire::TxnResponse) -> TxnResponse {
    let revision = revision(response.header);
    let step = |step: wire::ResponseOp| step.response.map(|step| response_op(step, revision));
    TxnResponse {
        revision,
        succeeded: response.succeeded,
        responses: response.responses.into_iter().filter_map(step).collect(),
    }
}

fn response_op(response: wire::Response, at: Revision) -> ResponseOp {
    match response {
        wire::Response::Range(range) => ResponseOp::Range(RangeResponse {
            revision: at,
            ..range_response(range)
        }),
        wire::Response::Put(put) => ResponseOp::Put(PutResponse {
            revision: at,
            prev_kv: put.prev_kv.map(key_value),
        }),
        wire::Response::DeleteRange(delete) => ResponseOp::DeleteRange(DeleteRangeResponse {
            revision: at,
            deleted: delete.deleted,
            prev_kvs: delete.prev_kvs.into_iter().map(key_value).collect(),
        }),
        wire::Response::Txn(txn) => ResponseOp::Txn(TxnResponse {
            revision: at,
            ..txn_response(txn)
        }),
    }
}

pub fn event(event: wire::Event) -> Event {
    Event {
        kind: match event.kind {
            0 => EventKind::Put,
            _ => EventKind::Delete,
        },
        kv: event.kv.map(key_value).unwrap_or_default(),
        prev_kv: event.prev_kv.map(key_value),
    }
}

/// What etcd says, as the store would. `asked` is the revision that it was asked for, if any:
/// etcd does not say what is kept, but it is not that.
pub fn error(status: Status, asked: Revision) -> Error {
    let message = status.message.as_str();
    match message.strip_prefix("etcdserver: ").unwrap_or(message) {
        "mvcc: required revision has been compacted" => Error::Compacted {
            compact_revision: asked + 1,
        },
        "mvcc: required revision is a future revision" => Error::FutureRevision,
        "mvcc: database space exceeded" => Error::NoSpace,
        "requested lease not found" => Error::LeaseNotFound,
        "lease already exists" => Error::LeaseExists,
        _ => Error::Unavailable(match status.code {
            // What etcd says of itself is told as it says it, anything else with its code.
            _ if message.starts_with("etcdserver: ") => status.message,
            Code::DeadlineExceeded => status.message,
            _ => status.to_string(),
        }),
    }
}
