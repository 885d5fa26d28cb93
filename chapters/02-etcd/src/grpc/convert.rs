//! Messages to the store's types and back, and errors to etcd's codes and words.

use bytes::Bytes;
use tonic::{Code, Status};

use super::header_at;
use super::pb::etcdserverpb::{
    self as rpc, compare::TargetUnion, request_op::Request, response_op::Response,
};
use super::pb::mvccpb;
use crate::api::{
    Compare, CompareOp, CompareTarget, DeleteRangeRequest, DeleteRangeResponse, Error, Event,
    EventKind, KeyRange, KeyValue, PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp,
    ResponseOp, SortOrder, SortTarget, TxnRequest, TxnResponse,
};

/// An error as etcd would tell it.
pub fn status(error: Error) -> Status {
    let code = match &error {
        Error::Compacted { .. } | Error::FutureRevision => Code::OutOfRange,
        Error::LeaseNotFound => Code::NotFound,
        Error::LeaseExists => Code::FailedPrecondition,
        Error::Invalid(words) if words.contains("lease TTL") => Code::OutOfRange,
        Error::Invalid(_) => Code::InvalidArgument,
        Error::NoSpace => Code::ResourceExhausted,
        Error::Corrupt => Code::DataLoss,
        Error::Storage(_) | Error::Unavailable(_) => Code::Unavailable,
    };
    match error {
        Error::Invalid(words) => Status::new(code, words),
        error => Status::new(code, format!("etcdserver: {error}")),
    }
}

/// The keys that a request means.
///
/// # Errors
///
/// Without a key.
pub fn key_range(key: Bytes, range_end: Bytes) -> Result<KeyRange, Error> {
    if key.is_empty() {
        return Err(Error::Invalid("etcdserver: key is not provided"));
    }
    Ok(match range_end.as_ref() {
        [] => KeyRange::One(key),
        [0] => KeyRange::From(key),
        _ => KeyRange::Span(key, range_end),
    })
}

pub fn range_request(request: rpc::RangeRequest) -> Result<RangeRequest, Error> {
    let invalid = |_| Error::Invalid("etcdserver: invalid sort option");
    let sort_order = match rpc::range_request::SortOrder::try_from(request.sort_order) {
        Ok(order) => match order {
            rpc::range_request::SortOrder::None => SortOrder::None,
            rpc::range_request::SortOrder::Ascend => SortOrder::Ascend,
            rpc::range_request::SortOrder::Descend => SortOrder::Descend,
        },
        Err(error) => return Err(invalid(error)),
    };
    let target = rpc::range_request::SortTarget::try_from(request.sort_target).map_err(invalid)?;
    let sort_target = match target {
        rpc::range_request::SortTarget::Key => SortTarget::Key,
        rpc::range_request::SortTarget::Version => SortTarget::Version,
        rpc::range_request::SortTarget::Create => SortTarget::Create,
        rpc::range_request::SortTarget::Mod => SortTarget::Mod,
        rpc::range_request::SortTarget::Value => SortTarget::Value,
    };
    Ok(RangeRequest {
        range: key_range(request.key, request.range_end)?,
        limit: request.limit,
        revision: request.revision,
        sort_order,
        sort_target,
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod_revision: request.min_mod_revision,
        max_mod_revision: request.max_mod_revision,
        min_create_revision: request.min_create_revision,
        max_create_revision: request.max_create_revision,
    })
}

pub fn range_response(response: RangeResponse) -> rpc::RangeResponse {
    rpc::RangeResponse {
        header: header_at(response.revision),
        kvs: response.kvs.into_iter().map(key_value).collect(),
        more: response.more,
        count: response.count,
    }
}

pub fn put_request(request: rpc::PutRequest) -> PutRequest {
    PutRequest {
        key: request.key,
        value: request.value,
        lease: request.lease,
        prev_kv: request.prev_kv,
        ignore_value: request.ignore_value,
        ignore_lease: request.ignore_lease,
    }
}

pub fn put_response(response: PutResponse) -> rpc::PutResponse {
    rpc::PutResponse {
        header: header_at(response.revision),
        prev_kv: response.prev_kv.map(key_value),
    }
}

pub fn delete_request(request: rpc::DeleteRangeRequest) -> Result<DeleteRangeRequest, Error> {
    let range = key_range(request.key, request.range_end)?;
    Ok(DeleteRangeRequest {
        range,
        prev_kv: request.prev_kv,
    })
}

pub fn delete_response(response: DeleteRangeResponse) -> rpc::DeleteRangeResponse {
    rpc::DeleteRangeResponse {
        header: header_at(response.revision),
        deleted: response.deleted,
        prev_kvs: response.prev_kvs.into_iter().map(key_value).collect(),
    }
}

/// A transaction of at most `ops_max` guards, and steps of a branch. One inside it may have as many
/// as the outer one leaves, as in etcd.
pub fn txn_request(request: rpc::TxnRequest, ops_max: usize) -> Result<TxnRequest, Error> {
    let longest = request
        .compare
        .len()
        .max(request.success.len())
        .max(request.failure.len());
    let Some(left) = ops_max.checked_sub(longest) else {
        return Err(Error::Invalid(
            "etcdserver: too many operations in txn request",
        ));
    };
    let steps = |ops: Vec<rpc::RequestOp>| {
        let steps = ops.into_iter().map(|op| request_op(op, left));
        steps.collect::<Result<_, _>>()
    };
    Ok(TxnRequest {
        compare: request
            .compare
            .into_iter()
            .map(compare)
            .collect::<Result<_, _>>()?,
        success: steps(request.success)?,
        failure: steps(request.failure)?,
    })
}

pub fn txn_response(response: TxnResponse) -> rpc::TxnResponse {
    rpc::TxnResponse {
        header: header_at(response.revision),
        succeeded: response.succeeded,
        responses: response.responses.into_iter().map(response_op).collect(),
    }
}

pub fn event(event: Event) -> mvccpb::Event {
    let kind = match event.kind {
        EventKind::Put => mvccpb::event::EventType::Put,
        EventKind::Delete => mvccpb::event::EventType::Delete,
    };
    mvccpb::Event {
        r#type: kind.into(),
        kv: Some(key_value(event.kv)),
        prev_kv: event.prev_kv.map(key_value),
    }
}

pub fn key_value(kv: KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: kv.key,
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        value: kv.value,
        lease: kv.lease,
    }
}

fn compare(compare: rpc::Compare) -> Result<Compare, Error> {
    use rpc::compare::{CompareResult, CompareTarget as Target};
    let invalid = |_| Error::Invalid("etcdserver: invalid comparison");
    let op = match CompareResult::try_from(compare.result).map_err(invalid)? {
        CompareResult::Equal => CompareOp::Equal,
        CompareResult::Greater => CompareOp::Greater,
        CompareResult::Less => CompareOp::Less,
        CompareResult::NotEqual => CompareOp::NotEqual,
    };
    // A zero in the union is not sent by every client; the target says what is meant.
    let number = match compare.target_union {
        Some(
            TargetUnion::Version(number)
            | TargetUnion::CreateRevision(number)
            | TargetUnion::ModRevision(number)
            | TargetUnion::Lease(number),
        ) => number,
        _ => 0,
    };
    let target = match Target::try_from(compare.target).map_err(invalid)? {
        Target::Version => CompareTarget::Version(number),
        Target::Create => CompareTarget::Create(number),
        Target::Mod => CompareTarget::Mod(number),
        Target::Lease => CompareTarget::Lease(number),
        Target::Value => CompareTarget::Value(match compare.target_union {
            Some(TargetUnion::Value(value)) => value,
            _ => Bytes::new(),
        }),
    };
    Ok(Compare {
        range: key_range(compare.key, compare.range_end)?,
        op,
        target,
    })
}

fn request_op(op: rpc::RequestOp, ops_max: usize) -> Result<RequestOp, Error> {
    match op.request {
        Some(Request::RequestRange(range)) => range_request(range).map(RequestOp::Range),
        Some(Request::RequestPut(put)) => Ok(RequestOp::Put(put_request(put))),
        Some(Request::RequestDeleteRange(delete)) => {
            delete_request(delete).map(RequestOp::DeleteRange)
        }
        Some(Request::RequestTxn(txn)) => txn_request(txn, ops_max).map(RequestOp::Txn),
        None => Err(Error::Invalid("etcdserver: key is not provided")),
    }
}

/// The answer of a step. As in etcd its header has the revision only, and a transaction's nothing.
fn response_op(op: ResponseOp) -> rpc::ResponseOp {
    let header = |revision| {
        Some(rpc::ResponseHeader {
            revision,
            ..Default::default()
        })
    };
    let response = match op {
        ResponseOp::Range(range) => Response::ResponseRange(rpc::RangeResponse {
            header: header(range.revision),
            ..range_response(range)
        }),
        ResponseOp::Put(put) => Response::ResponsePut(rpc::PutResponse {
            header: header(put.revision),
            ..put_response(put)
        }),
        ResponseOp::DeleteRange(delete) => {
            Response::ResponseDeleteRange(rpc::DeleteRangeResponse {
                header: header(delete.revision),
                ..delete_response(delete)
            })
        }
        ResponseOp::Txn(txn) => Response::ResponseTxn(rpc::TxnResponse {
            header: header(0),
            ..txn_response(txn)
        }),
    };
    rpc::ResponseOp {
        response: Some(response),
    }
}
