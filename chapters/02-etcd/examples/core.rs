//! `cargo run --release -p etcd --example core [KEYS_MAX]`: what the core itself costs, with no
//! disk and no network: processor time of each operation, and memory of each key.

use std::hint::black_box;
use std::process::Command as Process;

use bytes::Bytes;
use etcd::api::*;
use etcd::mvcc::{Applied, Command, Item, Mvcc, Restore};
use rustix::time::{ClockId, clock_gettime};

/// Bytes of a key, and of a value.
const KEY_BYTES: u64 = 20;
const VALUE_BYTES: u64 = 256;

/// Times that all keys, but no more than a million, are updated and the store compacted.
const COMPACTIONS: u64 = 3;

/// Times that an operation is done to be timed.
const ROUNDS: u64 = 20_000;

/// Nanoseconds of processor time each: a key's creation, an update, a read with the write guarded
/// by it, a read of one key, of 1,000 and of 10,000, of the first 500 of all, the count of all;
/// all of it into a snapshot and back; what a compaction costs for each change that it drops.
/// Then bytes in memory for each key beside its own and its value's: once created, and when
/// each was updated and all was compacted, several times. (What is freed is used again for what
/// is written next; the allocator does not give it back to the system.)
const COLUMNS: [&str; 14] = [
    "keys", "create", "update", "swap", "get", "1,000", "10,000", "page", "count", "snapshot",
    "restore", "sweep", "B/key", "later",
];

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let number = |text: String| text.parse().expect("a number of keys");
    match (args.next(), args.next()) {
        (Some(_one), Some(keys)) => print(&measure(number(keys))),
        (keys_max, _) => {
            let keys_max = keys_max.map_or(1_000_000, number);
            print(&COLUMNS);
            // Each in a process of its own, so that one's memory is not another's.
            let sizes = (3..).map(|power| 10_u64.pow(power));
            for keys in sizes.take_while(|keys| *keys <= keys_max) {
                let mut child = Process::new(std::env::current_exe()?);
                child.args(["--one", &keys.to_string()]).status()?;
            }
        }
    }
    Ok(())
}

fn print<T: std::fmt::Display>(row: &[T]) {
    let cells = row.iter().map(|cell| format!("{cell:>11}"));
    println!("{}", cells.collect::<String>());
}

/// One line of the table.
fn measure(keys: u64) -> [u64; 14] {
    let before = resident_bytes();
    let overhead = || ((resident_bytes() - before) / keys).saturating_sub(KEY_BYTES + VALUE_BYTES);
    let mut mvcc = Mvcc::default();
    let create = nanos(keys, |i| put(&mut mvcc, scatter(i, keys)));
    let memory = overhead();
    let (mut update, mut sweep) = (0, 0);
    for _ in 0..COMPACTIONS {
        let updates = keys.min(1_000_000);
        update += nanos(updates, |i| put(&mut mvcc, scatter(i, keys))) / COMPACTIONS;
        let compact = Command::Compact(mvcc.revision());
        mvcc.apply(&compact).expect("is compacted");
        sweep += nanos(1, |_| while mvcc.sweep(1000) {}) / updates / COMPACTIONS;
    }
    let memory_later = overhead();

    let swap = nanos(ROUNDS, |i| swap(&mut mvcc, scatter(i * 13, keys)));
    let get = nanos(ROUNDS, |i| {
        let range = KeyRange::One(key(scatter(i * 17, keys)));
        read(&mvcc, RangeRequest::new(range));
    });
    let list = |length: u64| {
        nanos(200_000 / length, |i| {
            let start = scatter(i * 17, keys.saturating_sub(length).max(1));
            let range = KeyRange::Span(key(start), key(start + length));
            read(&mvcc, RangeRequest::new(range));
        })
    };
    let (list_1000, list_10000) = (list(1000), list(10_000));
    let all = |limit: i64, count_only: bool| {
        nanos(20, |_| {
            let request = RangeRequest::new(KeyRange::From(key(0)));
            read(
                &mvcc,
                RangeRequest {
                    limit,
                    count_only,
                    ..request
                },
            );
        })
    };
    let (page, count) = (all(500, false), all(0, true));

    let mut items: Vec<Item> = Vec::new();
    let snapshot = nanos(1, |_| items.extend(mvcc.items()));
    let mut restored = None;
    let restore = nanos(1, |_| {
        let mut restore = Restore::default();
        items.drain(..).for_each(|item| restore.push(item));
        restored = restore.finish();
    });
    assert_eq!(restored.map(|mvcc| mvcc.revision()), Some(mvcc.revision()));
    [
        keys,
        create,
        update,
        swap,
        get,
        list_1000,
        list_10000,
        page,
        count,
        snapshot,
        restore,
        sweep,
        memory,
        memory_later,
    ]
}

/// Processor time, not the clock's: others may work on this machine.
fn nanos(rounds: u64, f: impl FnMut(u64)) -> u64 {
    let now = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    };
    let start = now();
    (0..rounds).for_each(f);
    (now() - start) / rounds
}

/// Each of `0..keys` once, in no order, if `keys` is a power of ten.
fn scatter(i: u64, keys: u64) -> u64 {
    (i % keys) * 7_368_787 % keys
}

fn key(i: u64) -> Bytes {
    format!("/registry/{i:0width$}", width = KEY_BYTES as usize - 10).into()
}

fn put(mvcc: &mut Mvcc, i: u64) {
    let put = PutRequest {
        key: key(i),
        value: vec![b'x'; VALUE_BYTES as usize].into(),
        ..PutRequest::default()
    };
    let command = Command::Txn(RequestOp::Put(put).into());
    black_box(mvcc.apply(&command)).expect("is taken");
}

fn read(mvcc: &Mvcc, request: RangeRequest) {
    black_box(mvcc.range(&request).expect("is read"));
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
            value: vec![b'y'; VALUE_BYTES as usize].into(),
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
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.expect("has a size in memory") * 1024
}
