//! `cargo run --release -p etcd --example core`: what the core itself costs, with no disk and no
//! network: time for each operation and memory for each key, by the number of keys.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use etcd::api::*;
use etcd::mvcc::{Applied, Command, Mvcc};

/// Bytes of a key, and of a value.
const KEY_BYTES: usize = 20;
const VALUE_BYTES: usize = 256;

/// Times that an operation is done to be timed.
const ROUNDS: u64 = 20_000;

fn main() {
    let keys_max: u64 = std::env::args()
        .nth(1)
        .map_or(1_000_000, |text| text.parse().expect("a number of keys"));
    println!(
        "         keys  create  update  compare-  get 1   list of   list of  500 of     count   overhead"
    );
    println!(
        "                  put     put  and-swap            1000    10,000     all    of all  bytes/key"
    );
    let mut keys = 1000;
    while keys <= keys_max {
        measure(keys);
        keys *= 10;
    }
}

/// One line of the table: nanoseconds, but for the last column.
fn measure(keys: u64) {
    let before = resident_bytes();
    let mut mvcc = Mvcc::default();
    let create = nanos(keys, |i| put(&mut mvcc, scatter(i, keys)));
    let bytes = resident_bytes().saturating_sub(before) as i64;
    let update = nanos(ROUNDS, |i| put(&mut mvcc, scatter(i * 7, keys)));
    let swap = nanos(ROUNDS, |i| swap(&mut mvcc, scatter(i * 13, keys)));
    let list = |rounds: u64, request: RangeRequest| {
        nanos(rounds, |i| {
            let start = key(scatter(i * 17, keys.saturating_sub(10_000).max(1)));
            let request = RangeRequest {
                range: match &request.range {
                    KeyRange::One(_) => KeyRange::One(start),
                    _ => KeyRange::From(start),
                },
                ..request.clone()
            };
            black_box(select(&mvcc, &request));
        })
    };
    let get = list(ROUNDS, RangeRequest::new(KeyRange::One(Bytes::new())));
    // A list of so many keys: a span, not a limit, which would count the rest too.
    let span = |rounds: u64, length: u64| {
        nanos(rounds, |i| {
            let start = scatter(i * 17, keys.saturating_sub(length).max(1));
            let range = KeyRange::Span(key(start), key(start + length));
            black_box(mvcc.range(&RangeRequest::new(range)).expect("is read"));
        })
    };
    let all = |rounds: u64, limit: i64, count_only: bool| {
        nanos(rounds, |_| {
            let request = RangeRequest {
                limit,
                count_only,
                ..RangeRequest::new(KeyRange::From(key(0)))
            };
            black_box(mvcc.range(&request).expect("is read"));
        })
    };
    println!(
        "{keys:13} {create:7} {update:7} {swap:9} {get:6} {:9} {:9} {:7} {:9} {:10}",
        span(200, 1000),
        span(50, 10_000),
        all(10, 500, false),
        all(10, 0, true),
        bytes / keys as i64 - (KEY_BYTES + VALUE_BYTES) as i64,
    );
}

fn select(mvcc: &Mvcc, request: &RangeRequest) -> i64 {
    let response = mvcc.range(request).expect("is read");
    response.kvs.len() as i64
}

fn nanos(rounds: u64, mut f: impl FnMut(u64)) -> u64 {
    let start = Instant::now();
    (0..rounds).for_each(&mut f);
    start.elapsed().as_nanos() as u64 / rounds
}

/// Each of `0..keys` once, in no order.
fn scatter(i: u64, keys: u64) -> u64 {
    // A factor that shares no divisor with a power of ten.
    (i % keys) * 7_368_787 % keys
}

fn key(i: u64) -> Bytes {
    format!("/registry/{i:0width$}", width = KEY_BYTES - 10).into()
}

fn put(mvcc: &mut Mvcc, i: u64) {
    let put = PutRequest {
        key: key(i),
        value: vec![b'x'; VALUE_BYTES].into(),
        ..PutRequest::default()
    };
    let command = Command::Txn(RequestOp::Put(put).into());
    black_box(mvcc.apply(&command)).expect("is taken");
}

/// An API server's update: read, then write if nobody else has.
fn swap(mvcc: &mut Mvcc, i: u64) {
    let read = RangeRequest::new(KeyRange::One(key(i)));
    let found = mvcc.range(&read).expect("is read");
    let txn = TxnRequest {
        compare: vec![Compare {
            range: KeyRange::One(key(i)),
            op: CompareOp::Equal,
            target: CompareTarget::Mod(found.kvs[0].mod_revision),
        }],
        success: vec![RequestOp::Put(PutRequest {
            key: key(i),
            value: vec![b'y'; VALUE_BYTES].into(),
            ..PutRequest::default()
        })],
        failure: vec![RequestOp::Range(read)],
    };
    let applied = mvcc.apply(&Command::Txn(txn)).expect("is taken");
    assert!(matches!(applied, Applied::Txn(answer) if answer.succeeded));
}

/// What the process has in memory.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux machine");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("has a size");
    let kib: u64 = line
        .split_whitespace()
        .nth(1)
        .expect("a number")
        .parse()
        .expect("a number");
    kib * 1024
}
