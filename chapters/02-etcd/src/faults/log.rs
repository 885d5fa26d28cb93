//! The log alone, in a directory of the machine's: cut anywhere, flipped anywhere, full, broken.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{End, Fault, SimulatedDisk};
use crate::api::{Error, PutRequest, RequestOp};
use crate::codec::encode_command;
use crate::disk::{Directory, Disk};
use crate::frame::Frame;
use crate::log::{Log, replay, segments};
use crate::mvcc::Command;

/// A command of about `n` bytes, none of them zero in its value.
pub fn command(n: usize) -> Command {
    let put = PutRequest {
        key: format!("k{n}").into(),
        value: "v".repeat(n).into(),
        ..PutRequest::default()
    };
    Command::Txn(RequestOp::Put(put).into())
}

/// Appends a batch of `count` commands, the first of which is number `from`.
fn append(log: &mut Log, from: usize, count: usize) -> Result<(), Error> {
    let mut frame = Frame::default();
    frame.clear();
    (from..from + count).for_each(|n| encode_command(&command(n), frame.payload()));
    log.append(&mut frame, count as u64)
}

fn disk(dir: &Path) -> Arc<dyn Disk> {
    Arc::new(Directory::create(dir).expect("a disk that works"))
}

/// What a log holds.
fn read(dir: &Path) -> Result<(usize, u64), Error> {
    let mut count = 0;
    let replayed = replay(&disk(dir), 1, |read| {
        count += 1;
        assert_eq!(read, command(count));
    })?;
    assert_eq!(replayed.log.next_index(), count as u64 + 1);
    Ok((count, replayed.torn_bytes))
}

/// A log of three batches, 1 + 2 + 3 commands: its file and where each batch ends.
fn three_batches(dir: &Path) -> (PathBuf, Vec<u8>, [usize; 4]) {
    let mut log = Log::create(disk(dir), 1).expect("a disk that works");
    let mut ends = [log.len() as usize, 0, 0, 0];
    for (batch, from) in [(1, 1), (2, 2), (3, 4)] {
        append(&mut log, from, batch).expect("a disk that works");
        ends[batch] = log.len() as usize;
    }
    log.close();
    let (_, name) = segments(disk(dir).as_ref()).expect("readable").remove(0);
    let path = dir.join(name);
    let bytes = fs::read(&path).expect("readable");
    assert_eq!(bytes.len(), ends[3]);
    (path, bytes, ends)
}

#[test]
fn cut_at_any_byte_all_whole_batches_are_there() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (path, bytes, ends) = three_batches(dir.path());
    for len in ends[0]..=bytes.len() {
        fs::write(&path, &bytes[..len]).expect("writable");
        let whole = ends
            .iter()
            .rposition(|end| *end <= len)
            .expect("the header is whole");
        let commands = [0, 1, 3, 6][whole];
        assert_eq!(
            read(dir.path()),
            Ok((commands, (len - ends[whole]) as u64)),
            "cut at {len}"
        );
        // What was torn is gone, so the next batch follows what is whole.
        assert_eq!(read(dir.path()), Ok((commands, 0)));
    }
}

#[test]
fn a_flipped_bit_is_an_error() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (path, bytes, ends) = three_batches(dir.path());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            fs::write(&path, &flipped).expect("writable");
            let what = read(dir.path()).expect_err("is damaged").to_string();
            assert!(what.contains("is damaged at byte"), "{what}");
            let is_followed = what.contains("whole ones follow");
            assert_eq!(
                is_followed,
                (ends[0]..ends[2]).contains(&at),
                "flipped at {at}: {what}"
            );
        }
    }
}

/// A batch of which some sectors were not written is torn, wherever they are; one whose sectors
/// were all written was whole.
#[test]
fn sectors_of_the_last_batch_may_be_missing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (path, before, ends) = three_batches(dir.path());
    let mut log = replay(&disk(dir.path()), 1, drop).expect("whole").log;
    append(&mut log, 7, 60).expect("a disk that works");
    log.close();
    let bytes = fs::read(&path).expect("readable");
    assert!(bytes.len() > before.len() + 2000);
    let sectors = ends[3] / 512..bytes.len().div_ceil(512);
    for missing in sectors {
        let mut torn = bytes.clone();
        let (start, end) = (missing * 512, bytes.len().min(missing * 512 + 512));
        torn[start.max(ends[3])..end].fill(0);
        fs::write(&path, &torn).expect("writable");
        assert_eq!(read(dir.path()), Ok((6, (bytes.len() - ends[3]) as u64)));
        torn[start.max(ends[3])..end].fill(7);
        fs::write(&path, &torn).expect("writable");
        read(dir.path()).expect_err("no crash writes sevens");
    }
}

#[test]
fn zeros_at_the_end_are_room_for_more() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (path, _, ends) = three_batches(dir.path());
    let mut log = replay(&disk(dir.path()), 1, drop).expect("whole").log;
    append(&mut log, 7, 1).expect("a disk that works");
    let with_room = fs::read(&path).expect("readable");
    let end = log.len() as usize;
    assert_eq!(with_room.len(), 4096);
    assert!(with_room[end..].iter().all(|byte| *byte == 0));
    // It goes when the log is closed; a process that is killed leaves it, and nobody minds.
    log.close();
    assert_eq!(fs::read(&path).expect("readable"), with_room[..end]);
    fs::write(&path, &with_room).expect("writable");
    assert_eq!(read(dir.path()), Ok((7, 0)));
    // A batch that was whole, or not written at all, is told from it as before.
    let mut damaged = with_room.clone();
    damaged[end - 1] ^= 1;
    fs::write(&path, &damaged).expect("writable");
    read(dir.path()).expect_err("no crash changes a bit");
    let mut torn = with_room;
    torn[ends[3]..].fill(0);
    fs::write(&path, &torn).expect("writable");
    assert_eq!(read(dir.path()), Ok((6, 0)));
}

/// Room is wanted for speed: without it the log goes on, and the disk is not asked again.
#[test]
fn a_log_without_room_grows_as_it_is_written() {
    let disk = Arc::new(SimulatedDisk::new(1, true));
    let mut log = Log::create(disk.clone(), 1).expect("a disk that works");
    // The frame, then zeros behind it.
    disk.plan(disk.steps() + 2, Fault::Full);
    append(&mut log, 1, 1).expect("there is room for this");
    assert_eq!(disk.happened(), ["Full at write to wal-0000000000000001"]);
    let before = disk.steps();
    append(&mut log, 2, 1).expect("there is room for this");
    assert_eq!(disk.steps() - before, 2);
    assert_eq!(disk.files()["wal-0000000000000001"].len() as u64, log.len());
}

#[test]
fn a_missing_segment_is_an_error() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut log = Log::create(disk(dir.path()), 1).expect("a disk that works");
    for from in [1, 3, 5] {
        append(&mut log, from, 2).expect("a disk that works");
        log.rotate().expect("a disk that works");
    }
    append(&mut log, 7, 1).expect("a disk that works");
    assert_eq!(read(dir.path()), Ok((7, 0)));
    let segments = segments(disk(dir.path()).as_ref()).expect("readable");
    let says = [
        "it is missing",
        "commands 3 to 4 are missing",
        "commands 5 to 6 are missing",
    ];
    for ((_, name), says) in segments.iter().zip(says) {
        let (path, away) = (dir.path().join(name), dir.path().join("away"));
        fs::rename(&path, &away).expect("there");
        let error = read(dir.path())
            .expect_err("commands are missing")
            .to_string();
        assert!(error.contains(says), "{error}");
        fs::rename(&away, &path).expect("there");
    }
    // A checkpoint whose segment is not there has lost what came after it.
    let replayed = replay(&disk(dir.path()), 8, drop);
    let error = replayed.err().expect("is missing").to_string();
    assert!(
        error.contains("wal-0000000000000008 is damaged at byte 0"),
        "{error}"
    );
}

#[test]
fn what_no_batch_of_an_old_segment_is_is_an_error() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut log = Log::create(disk(dir.path()), 1).expect("a disk that works");
    append(&mut log, 1, 2).expect("a disk that works");
    log.rotate().expect("a disk that works");
    append(&mut log, 3, 1).expect("a disk that works");
    let (_, name) = &segments(disk(dir.path()).as_ref()).expect("readable")[0];
    let path = dir.path().join(name);
    let mut bytes = fs::read(&path).expect("readable");
    bytes.extend(b"of whom?");
    fs::write(&path, bytes).expect("writable");
    let error = read(dir.path()).expect_err("is damaged").to_string();
    assert!(error.contains("in the middle of a batch"), "{error}");
}

/// A log with one command, and a disk with a fault at its `step`th call from then on.
fn failing(step: u64, fault: Fault) -> (Arc<SimulatedDisk>, Log) {
    failing_by_chance(step, fault, 1)
}

fn failing_by_chance(step: u64, fault: Fault, seed: u64) -> (Arc<SimulatedDisk>, Log) {
    let disk = Arc::new(SimulatedDisk::new(seed, true));
    let mut log = Log::create(disk.clone(), 1).expect("a disk that works");
    append(&mut log, 1, 1).expect("there is room");
    disk.plan(disk.steps() + step, fault);
    (disk, log)
}

#[test]
fn a_full_disk_is_told_and_survived() {
    let (_disk, mut log) = failing(1, Fault::Full);
    let before = (log.len(), log.next_index());
    assert_eq!(append(&mut log, 2, 1), Err(Error::NoSpace));
    assert_eq!((log.len(), log.next_index()), before);
    append(&mut log, 2, 1).expect("there is room again");
}

#[test]
fn a_full_disk_that_cannot_be_restored_is_a_broken_one() {
    let (disk, mut log) = failing(1, Fault::Full);
    disk.plan(disk.steps() + 2, Fault::Broken);
    assert!(matches!(append(&mut log, 2, 1), Err(Error::Storage(_))));
    assert!(matches!(append(&mut log, 2, 1), Err(Error::Storage(_))));
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged() {
    let (disk, mut log) = failing(2, Fault::Broken);
    assert!(matches!(append(&mut log, 2, 1), Err(Error::Storage(_))));
    assert_eq!(disk.happened(), ["Broken at sync wal-0000000000000001"]);
    // The disk works again, but what it holds is not known; a new segment would not change that.
    assert!(matches!(append(&mut log, 2, 1), Err(Error::Storage(_))));
    log.rotate().expect_err("has failed");
    assert!(matches!(append(&mut log, 2, 1), Err(Error::Storage(_))));
}

/// Reads a simulated disk's log after the process's end, and appends one more command to it.
fn reopen(disk: &SimulatedDisk, end: End) -> (Arc<SimulatedDisk>, usize) {
    let disk = Arc::new(disk.restart(end));
    let mut count = 0;
    let as_disk: Arc<dyn Disk> = disk.clone();
    let replayed = replay(&as_disk, 1, |_| count += 1);
    let mut log = replayed.expect("it was not damaged").log;
    append(&mut log, count + 1, 1).expect("there is room");
    (disk, count)
}

/// The half frame that a full disk has left is cut off; a crash must not bring it back when the
/// log has gone on elsewhere meanwhile.
#[test]
fn a_full_disk_leaves_nothing_behind() {
    for seed in 0..50 {
        let (disk, mut log) = failing_by_chance(1, Fault::Full, seed);
        append(&mut log, 2, 60).expect_err("is full");
        log.rotate().expect("there is room again");
        append(&mut log, 2, 1).expect("there is room again");
        assert_eq!(reopen(&disk, End::PowerCut).1, 2);
    }
}

/// If a segment cannot be begun the log goes on in the old one, whatever was done of it.
#[test]
fn a_segment_that_was_begun_in_vain_confuses_nobody() {
    // Created, written, synced, renamed, the directory synced, opened.
    for step in 1..=6 {
        let (disk, mut log) = failing(step, Fault::Broken);
        log.rotate().expect_err("one of its steps has failed");
        append(&mut log, 2, 1).expect("the log goes on");
        let (disk, count) = reopen(&disk, End::Killed);
        assert_eq!(count, 2, "{:?}", disk.happened());
        let (disk, count) = reopen(&disk, End::PowerCut);
        assert_eq!(count, 3, "{:?}", disk.happened());
        assert_eq!(reopen(&disk, End::PowerCut).1, 4);
    }
}

#[test]
fn a_write_in_parts_is_whole() {
    let (disk, mut log) = failing(1, Fault::Short);
    let before = disk.steps();
    append(&mut log, 2, 30).expect("is gone on with");
    assert_eq!(disk.steps() - before, 3);
}
