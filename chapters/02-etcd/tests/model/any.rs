//! Requests of all kinds, each with every option that it has, over few keys.

use bytes::Bytes;
use etcd::api::*;
use etcd::mvcc::Command;
use proptest::prelude::*;

fn key() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(97..100u8, 1..3).prop_map(Bytes::from)
}

fn key_range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        4 => key().prop_map(KeyRange::One),
        1 => key().prop_map(KeyRange::prefix),
        1 => key().prop_map(KeyRange::From),
        1 => (key(), key()).prop_map(|(start, end)| KeyRange::Span(start, end)),
    ]
}

/// Revisions that are kept, that are not any more, and that are still to come; often none.
fn revision() -> impl Strategy<Value = Revision> {
    prop_oneof![2 => Just(0), 1 => 1..30i64]
}

/// Any read.
pub fn range() -> impl Strategy<Value = RangeRequest> {
    let order = prop::sample::select(vec![SortOrder::None, SortOrder::Ascend, SortOrder::Descend]);
    let target = prop::sample::select(vec![
        SortTarget::Key,
        SortTarget::Version,
        SortTarget::Create,
        SortTarget::Mod,
        SortTarget::Value,
    ]);
    let bounds = [revision(), revision(), revision(), revision()];
    let flags = (any::<bool>(), prop::bool::weighted(0.2));
    (
        key_range(),
        0..4i64,
        revision(),
        order,
        target,
        bounds,
        flags,
    )
        .prop_map(
            |(range, limit, revision, sort_order, sort_target, bounds, (keys_only, count_only))| {
                RangeRequest {
                    limit,
                    revision,
                    sort_order,
                    sort_target,
                    keys_only,
                    count_only,
                    min_mod_revision: bounds[0],
                    max_mod_revision: bounds[1],
                    min_create_revision: bounds[2],
                    max_create_revision: bounds[3],
                    ..RangeRequest::new(range)
                }
            },
        )
}

fn lease() -> impl Strategy<Value = LeaseId> {
    prop_oneof![2 => Just(0), 1 => 1..4i64]
}

fn put() -> impl Strategy<Value = RequestOp> {
    let flags = (
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
    );
    (key(), key(), lease(), flags).prop_map(|(key, value, lease, flags)| {
        let (prev_kv, ignore_value, ignore_lease) = flags;
        RequestOp::Put(PutRequest {
            key,
            value: if ignore_value { Bytes::new() } else { value },
            lease: if ignore_lease { 0 } else { lease },
            prev_kv,
            ignore_value,
            ignore_lease,
        })
    })
}

fn delete() -> impl Strategy<Value = RequestOp> {
    (key_range(), any::<bool>())
        .prop_map(|(range, prev_kv)| RequestOp::DeleteRange(DeleteRangeRequest { range, prev_kv }))
}

fn compare() -> impl Strategy<Value = Compare> {
    let op = prop::sample::select(vec![
        CompareOp::Equal,
        CompareOp::NotEqual,
        CompareOp::Greater,
        CompareOp::Less,
    ]);
    let target = prop_oneof![
        (0..3i64).prop_map(CompareTarget::Version),
        (0..20i64).prop_map(CompareTarget::Create),
        (0..20i64).prop_map(CompareTarget::Mod),
        lease().prop_map(CompareTarget::Lease),
        key().prop_map(CompareTarget::Value),
    ];
    (key_range(), op, target).prop_map(|(range, op, target)| Compare { range, op, target })
}

fn txn(step: impl Strategy<Value = RequestOp> + Clone) -> impl Strategy<Value = TxnRequest> {
    let steps = prop::collection::vec(step, 0..4);
    (prop::collection::vec(compare(), 0..3), steps.clone(), steps).prop_map(
        |(compare, success, failure)| TxnRequest {
            compare,
            success,
            failure,
        },
    )
}

/// Any write.
pub fn command() -> impl Strategy<Value = Command> {
    let flat = prop_oneof![3 => put(), 1 => delete(), 1 => range().prop_map(RequestOp::Range)];
    let flat = flat.boxed();
    let nested = prop_oneof![4 => flat.clone(), 1 => txn(flat).prop_map(RequestOp::Txn)].boxed();
    prop_oneof![
        5 => put().prop_map(|op| Command::Txn(op.into())),
        2 => delete().prop_map(|op| Command::Txn(op.into())),
        5 => txn(nested).prop_map(Command::Txn),
        1 => (-1..30i64).prop_map(Command::Compact),
        2 => (0..4i64, 0..9i64).prop_map(|(id, ttl_seconds)| Command::LeaseGrant { id, ttl_seconds }),
        1 => (1..4i64).prop_map(Command::LeaseRevoke),
    ]
}
