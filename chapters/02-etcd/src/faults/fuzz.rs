//! Bytes that nobody wrote: every decoder of what comes from the disk or the network answers or
//! refuses, and never panics.
//!
//! Bytes by chance alone would be refused at the first of them. So these begin as what an encoder
//! wrote, and are then changed in a few places: a bit, a number, a piece that is missing or comes
//! twice or is another's. What is decoded all the same has to be the same when it is encoded and
//! decoded again.

use std::sync::Arc;
use std::time::Instant;

use super::content::Random;
use super::disk::SimulatedDisk;
use super::script::commands;
use super::sweep::soak_time;
use crate::checkpoint;
use crate::codec::{Decoder, encode_command, encode_item};
use crate::disk::{Disk, write_durably};
use crate::frame::{self, Frame};
use crate::log::replay;
use crate::mvcc::{Command, Item, Mvcc};

/// Changes some of `bytes`; `other` is where foreign pieces come from.
fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(3) {
        let (at, len) = (random.below(bytes.len()), random.below(12));
        let end = bytes.len().min(at + len);
        let numbers = [0, 1, 2, 0x7f, 0x80, 0xff, u32::MAX, i32::MAX as u32];
        match random.below(5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(7),
            1 if at < bytes.len() => bytes[at] = numbers[random.below(5)] as u8,
            2 => {
                let number = numbers[random.below(7)].to_le_bytes();
                let end = bytes.len().min(at + 4);
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            3 => drop(bytes.drain(at..end)),
            4 => {
                let twice = bytes[at..end].to_vec();
                bytes.splice(at..at, twice);
            }
            _ => {
                let from = random.below(other.len());
                let piece = &other[from..other.len().min(from + len)];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
}

/// What is changed: encoded commands, and the items of a store that has done them.
struct Corpus {
    commands: Vec<Vec<u8>>,
    items: Vec<Vec<u8>>,
}

impl Corpus {
    fn new(random: &mut Random) -> Self {
        let commands = commands(random, 60);
        let mut mvcc = Mvcc::default();
        for command in &commands {
            let _refused_or_not = mvcc.apply(command);
        }
        let encoded = |command: &Command| {
            let mut bytes = Vec::new();
            encode_command(command, &mut bytes);
            bytes
        };
        let encoded_item = |item: Item| {
            let mut bytes = Vec::new();
            encode_item(&item, &mut bytes);
            bytes
        };
        Self {
            commands: commands.iter().map(encoded).collect(),
            items: mvcc.items().map(encoded_item).collect(),
        }
    }

    /// One of `records`, changed.
    fn changed(&self, records: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
        let pick = |random: &mut Random| &records[random.below(records.len() - 1)];
        let mut bytes = pick(random).clone();
        let other = pick(random);
        change(&mut bytes, other, random);
        bytes
    }

    /// All of `records`, one of them changed.
    fn all_with_a_change(&self, records: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
        let changed = random.below(records.len() - 1);
        let bytes = records
            .iter()
            .enumerate()
            .map(|(n, record)| match n == changed {
                true => self.changed(records, random),
                false => record.clone(),
            });
        bytes.collect::<Vec<_>>().concat()
    }
}

fn fuzz_command(corpus: &Corpus, random: &mut Random) -> bool {
    let bytes = corpus.changed(&corpus.commands, random);
    let Ok(command) = Decoder::new(&bytes).command() else {
        return false;
    };
    let mut again = Vec::new();
    encode_command(&command, &mut again);
    assert_eq!(Decoder::new(&again).command(), Ok(command));
    true
}

fn fuzz_item(corpus: &Corpus, random: &mut Random) -> bool {
    let bytes = corpus.changed(&corpus.items, random);
    let Ok(item) = Decoder::new(&bytes).item() else {
        return false;
    };
    let mut again = Vec::new();
    encode_item(&item, &mut again);
    assert_eq!(Decoder::new(&again).item(), Ok(item));
    true
}

/// A file of one frame with this payload, its checksums right: as if what wrote it was wrong.
fn file(disk: &dyn Disk, name: &str, payload: &[u8]) {
    let mut frame = Frame::default();
    frame.clear().extend_from_slice(payload);
    let written = write_durably(disk, name, |file| {
        let header = frame::header(7);
        file.write_all_at(&header, 0)?;
        file.write_all_at(frame.seal(7, 1), header.len() as u64)
    });
    written.expect("a disk that works");
}

fn fuzz_log(corpus: &Corpus, random: &mut Random) -> bool {
    let disk = SimulatedDisk::new(random.next(), true);
    file(
        &disk,
        "wal-1",
        &corpus.all_with_a_change(&corpus.commands, random),
    );
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let mut mvcc = Mvcc::default();
    let replayed = replay(&disk, 1, |command| {
        let _refused_or_not = mvcc.apply(&command);
    });
    replayed.is_ok()
}

fn fuzz_checkpoint(corpus: &Corpus, random: &mut Random) -> bool {
    let disk = SimulatedDisk::new(random.next(), true);
    file(
        &disk,
        "checkpoint-5",
        &corpus.all_with_a_change(&corpus.items, random),
    );
    // What says the wrong thing in the right form cannot be told: that is what checksums are for.
    checkpoint::read(&disk).is_ok_and(|(mvcc, _, _)| mvcc.items().count() > 1)
}

/// Bytes of a file, with all its frames and checksums, changed behind their back.
fn fuzz_frames(corpus: &Corpus, random: &mut Random) -> bool {
    let mut bytes = frame::header(7).to_vec();
    let mut index = 1;
    for commands in corpus.commands.chunks(5) {
        let mut frame = Frame::default();
        frame.clear().extend_from_slice(&commands.concat());
        bytes.extend_from_slice(frame.seal(7, index));
        index += commands.len() as u64;
    }
    let other = bytes.clone();
    change(&mut bytes, &other, random);
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(random.next(), true));
    let written = write_durably(disk.as_ref(), "wal-1", |file| file.write_all_at(&bytes, 0));
    written.expect("a disk that works");
    let mut read = Vec::new();
    let replayed = replay(&disk, 1, |command| {
        let mut bytes = Vec::new();
        encode_command(&command, &mut bytes);
        read.push(bytes);
    });
    // Nothing but what was written comes out of it.
    assert!(corpus.commands.starts_with(&read));
    replayed.is_ok()
}

/// Messages of the network: those that are messages are requests or refused, and those that are
/// requests are done or refused.
#[cfg(feature = "grpc")]
fn fuzz_messages(corpus: &Corpus, random: &mut Random) -> bool {
    use crate::api::{RequestOp, ResponseOp};
    use crate::grpc::convert;
    use crate::grpc::pb::etcdserverpb as rpc;
    use prost::Message;
    let message = |random: &mut Random| {
        let key = &corpus.commands[random.below(corpus.commands.len() - 1)];
        let put = rpc::request_op::Request::RequestPut(rpc::PutRequest {
            key: key.clone().into(),
            lease: random.next() as i64,
            ..Default::default()
        });
        let range = rpc::request_op::Request::RequestRange(rpc::RangeRequest {
            key: key.clone().into(),
            range_end: vec![0].into(),
            revision: random.below(3) as i64,
            limit: random.next() as i64,
            ..Default::default()
        });
        let delete = rpc::request_op::Request::RequestDeleteRange(rpc::DeleteRangeRequest {
            key: "k".into(),
            range_end: "l".into(),
            prev_kv: true,
        });
        let op = |request| rpc::RequestOp {
            request: Some(request),
        };
        let mut txn = rpc::TxnRequest {
            compare: vec![rpc::Compare {
                key: "k".into(),
                target: random.below(4) as i32,
                target_union: Some(rpc::compare::TargetUnion::Version(1)),
                ..Default::default()
            }],
            success: vec![op(put), op(range)],
            failure: vec![op(delete)],
        };
        for _ in 0..random.below(3) * 10 {
            let nested = op(rpc::request_op::Request::RequestTxn(txn));
            txn = rpc::TxnRequest {
                success: vec![nested],
                ..Default::default()
            };
        }
        txn.encode_to_vec()
    };
    let (mut bytes, other) = (message(random), message(random));
    change(&mut bytes, &other, random);
    let Ok(txn) = rpc::TxnRequest::decode(bytes.as_slice()) else {
        return false;
    };
    let Ok(txn) = convert::txn_request(txn, 128) else {
        return false;
    };
    let mut mvcc = Mvcc::default();
    if let Ok(crate::mvcc::Applied::Txn(response)) = mvcc.apply(&Command::Txn(txn.clone())) {
        let responses = response.responses.len();
        let steps = if response.succeeded {
            txn.success
        } else {
            txn.failure
        };
        assert_eq!(responses, steps.len());
        for (step, response) in steps.iter().zip(&response.responses) {
            assert_eq!(
                matches!(step, RequestOp::Put(_)),
                matches!(response, ResponseOp::Put(_))
            );
        }
    }
    true
}

type Target = fn(&Corpus, &mut Random) -> bool;

const TARGETS: &[(&str, Target)] = &[
    ("command", fuzz_command),
    ("item", fuzz_item),
    ("log", fuzz_log),
    ("checkpoint", fuzz_checkpoint),
    ("frames", fuzz_frames),
    #[cfg(feature = "grpc")]
    ("messages", fuzz_messages),
];

/// Tries every target so often.
fn fuzz(seed: u64, times: usize) {
    let mut random = Random(seed);
    let corpus = Corpus::new(&mut random);
    for (name, target) in TARGETS {
        let accepted = (0..times).filter(|_| target(&corpus, &mut random)).count();
        // If all or none were refused, what is tried is not worth trying.
        assert!(
            (1..times).contains(&accepted),
            "{name}: {accepted} of {times} accepted"
        );
    }
}

#[test]
fn changed_bytes_are_decoded_or_refused() {
    fuzz(1, 400);
}

/// As above, for as many minutes as `SOAK_MINUTES` says: `cargo xtask soak store`.
#[test]
#[ignore = "runs for minutes"]
fn soak() {
    let end = Instant::now() + soak_time();
    for seed in (2..).take_while(|_| Instant::now() < end) {
        println!("seed {seed}");
        fuzz(seed, 400);
    }
}

#[test]
fn unchanged_bytes_are_what_they_were() {
    let mut random = Random(1);
    let commands = commands(&mut random, 60);
    let mut mvcc = Mvcc::default();
    for command in &commands {
        let mut bytes = Vec::new();
        encode_command(command, &mut bytes);
        let mut decoder = Decoder::new(&bytes);
        let decoded = decoder.command().expect("it was encoded");
        assert!(decoder.is_empty());
        // A transaction comes back without what only its answer needs.
        let mut from_decoded = mvcc.clone();
        assert_eq!(
            from_decoded.apply(&decoded).is_ok(),
            mvcc.apply(command).is_ok()
        );
        assert_eq!(from_decoded, mvcc);
    }
    let mut bytes = Vec::new();
    let items: Vec<_> = mvcc.items().collect();
    items.iter().for_each(|item| encode_item(item, &mut bytes));
    let mut decoder = Decoder::new(&bytes);
    for item in items {
        assert_eq!(decoder.item(), Ok(item));
    }
    assert!(decoder.is_empty());
}
