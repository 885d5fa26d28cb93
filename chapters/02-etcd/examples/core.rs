//! `cargo run --release -p etcd --example core [KEYS_MAX]`: what the core itself costs, with no
//! disk and no network: processor time of each operation, and memory of each key.

use std::hint::black_box;
use std::process::Command as Process;

use bytes::Bytes;
use etcd::api::*;
use etcd::mvcc::{Applied, Command, Item, Mvcc, Restore};
use rustix::time::{ClockId, clock_gettime};

/// Bytes of a key, and of a value.
const KEY_BYTES: usize = 20;
const VALUE_BYTES: usize = 256;

/// Times that an operation is done to be timed.
const ROUNDS: u64 = 20_000;

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (Some("--one"), Some(keys)) => measure(keys.parse().expect("a number of keys")),
        (keys_max, _) => {
            let keys_max = keys_max.map_or(1_000_000, |keys| keys.parse().expect("a number"));
            println!(
                "nanoseconds each; memory beside the {KEY_BYTES} B of a key and the {VALUE_BYTES} B of its value"
            );
            println!(
                "{:>10}{:>8}{:>8}{:>8}{:>8}{:>10}{:>10}{:>10}{:>10}{:>11}{:>11}{:>8}",
                "keys",
                "create",
                "update",
                "swap",
                "get",
                "1,000",
                "10,000",
                "page",
                "count",
                "snapshot",
                "restore",
                "B/key"
            );
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

/// Prints one line of the table.
fn measure(keys: u64) {
    let before = resident_bytes();
    let mut mvcc = Mvcc::default();
    let create = nanos(keys, |i| put(&mut mvcc, scatter(i, keys)));
    let memory = (resident_bytes() - before) / keys;
    let update = nanos(ROUNDS, |i| put(&mut mvcc, scatter(i * 7, keys)));
    let swap = nanos(ROUNDS, |i| swap(&mut mvcc, scatter(i * 13, keys)));
    let get = nanos(ROUNDS, |i| {
        let range = KeyRange::One(key(scatter(i * 17, keys)));
        read(&mvcc, RangeRequest::new(range));
    });
    let list = |rounds: u64, length: u64| {
        nanos(rounds, |i| {
            let start = scatter(i * 17, keys.saturating_sub(length).max(1));
            let range = KeyRange::Span(key(start), key(start + length));
            read(&mvcc, RangeRequest::new(range));
        })
    };
    let (list_1000, list_10000) = (list(200, 1000), list(20, 10_000));
    let all = RangeRequest::new(KeyRange::From(key(0)));
    let page = nanos(20, |_| {
        read(
            &mvcc,
            RangeRequest {
                limit: 500,
                ..all.clone()
            },
        )
    });
    let count = nanos(20, |_| {
        read(
            &mvcc,
            RangeRequest {
                count_only: true,
                ..all.clone()
            },
        )
    });
    let mut items: Vec<Item> = Vec::new();
    let snapshot = nanos(1, |_| items.extend(mvcc.items()));
    let mut restore = Restore::default();
    let restore_nanos = nanos(1, |_| items.drain(..).for_each(|item| restore.push(item)));
    let mut restored = None;
    let finish = nanos(1, |_| restored = std::mem::take(&mut restore).finish());
    assert_eq!(restored.map(|mvcc| mvcc.revision()), Some(mvcc.revision()));
    println!(
        "{keys:>10}{create:>8}{update:>8}{swap:>8}{get:>8}{list_1000:>10}{list_10000:>10}{page:>10}{count:>10}{snapshot:>11}{:>11}{:>8}",
        restore_nanos + finish,
        memory as i64 - (KEY_BYTES + VALUE_BYTES) as i64,
    );
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
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.expect("has a size in memory") * 1024
}
