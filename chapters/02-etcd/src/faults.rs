//! The log against a disk that fails: cut anywhere, flipped anywhere, full, broken.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use crate::api::{Error, PutRequest, RequestOp};
use crate::codec::{Decoder, encode_command, encode_item};
use crate::frame::Frame;
use crate::log::{Log, LogFile, replay, segments};
use crate::mvcc::{Command, Mvcc};

fn command(n: usize) -> Command {
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

/// What a log holds.
fn read(dir: &Path) -> Result<(usize, u64), Error> {
    let mut count = 0;
    let replayed = replay(dir, 1, |read| {
        count += 1;
        assert_eq!(read, command(count));
    })?;
    assert_eq!(replayed.log.next_index(), count as u64 + 1);
    Ok((count, replayed.torn_bytes))
}

/// A log of three batches, 1 + 2 + 3 commands: its file and where each batch ends.
fn three_batches(dir: &Path) -> (PathBuf, Vec<u8>, [usize; 4]) {
    let mut log = Log::create(dir, 1).expect("a disk that works");
    let mut ends = [log.len() as usize, 0, 0, 0];
    for (batch, from) in [(1, 1), (2, 2), (3, 4)] {
        append(&mut log, from, batch).expect("a disk that works");
        ends[batch] = log.len() as usize;
    }
    let (_, path) = segments(dir).expect("readable").remove(0);
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
fn a_flipped_bit_before_the_last_batch_is_an_error() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (path, bytes, ends) = three_batches(dir.path());
    for at in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            fs::write(&path, &flipped).expect("writable");
            match read(dir.path()) {
                // In the last batch it cannot be told from a crash while that was written.
                Ok((commands, _)) => assert!(at >= ends[2] && commands == 3, "flipped at {at}"),
                Err(Error::Storage(what)) => {
                    assert!(at < ends[2], "flipped at {at}: {what}");
                    assert!(what.contains("is damaged at byte"), "{what}");
                }
                Err(other) => panic!("flipped at {at}: {other}"),
            }
        }
    }
}

#[test]
fn zeros_at_the_end_are_a_torn_tail() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (path, mut bytes, _) = three_batches(dir.path());
    bytes.resize(bytes.len() + 4096, 0);
    fs::write(&path, &bytes).expect("writable");
    assert_eq!(read(dir.path()), Ok((6, 4096)));
}

#[test]
fn a_missing_segment_is_an_error() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut log = Log::create(dir.path(), 1).expect("a disk that works");
    append(&mut log, 1, 2).expect("a disk that works");
    log.rotate().expect("a disk that works");
    append(&mut log, 3, 2).expect("a disk that works");
    assert_eq!(read(dir.path()), Ok((4, 0)));
    let (_, first) = segments(dir.path()).expect("readable").remove(0);
    fs::remove_file(first).expect("removable");
    let error = read(dir.path()).expect_err("commands are missing");
    assert!(
        error.to_string().contains("commands 1 to 2 are missing"),
        "{error}"
    );
}

/// A file in memory, and what is to happen to it next.
#[derive(Clone, Default)]
struct Faulty {
    bytes: Arc<Mutex<Vec<u8>>>,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Default)]
struct Faults {
    /// This many bytes are written, then this error comes.
    append: Option<(usize, io::ErrorKind)>,
    sync: Option<io::ErrorKind>,
    truncate: Option<io::ErrorKind>,
}

impl Faulty {
    fn log(&self) -> Log {
        Log::with_file(Path::new("/faulty"), Box::new(self.clone()), 1, 0, 1)
    }

    fn len(&self) -> u64 {
        self.bytes.lock().expect("one thread").len() as u64
    }
}

impl LogFile for Faulty {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.bytes.lock().expect("one thread");
        match self.faults.lock().expect("one thread").append.take() {
            None => file.extend_from_slice(bytes),
            Some((len, kind)) => {
                file.extend_from_slice(&bytes[..len]);
                return Err(kind.into());
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.faults
            .lock()
            .expect("one thread")
            .sync
            .take()
            .map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        if let Some(kind) = self.faults.lock().expect("one thread").truncate.take() {
            return Err(kind.into());
        }
        self.bytes
            .lock()
            .expect("one thread")
            .truncate(len as usize);
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_and_survived() {
    let file = Faulty::default();
    let mut log = file.log();
    append(&mut log, 1, 1).expect("there is room");
    let before = file.len();
    for written in [0, 1, 20] {
        let fault = Some((written, io::ErrorKind::StorageFull));
        file.faults.lock().expect("one thread").append = fault;
        assert_eq!(append(&mut log, 2, 1), Err(Error::NoSpace));
        assert_eq!(
            (file.len(), log.len(), log.next_index()),
            (before, before, 2)
        );
    }
    append(&mut log, 2, 1).expect("there is room again");
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged() {
    let file = Faulty::default();
    let mut log = file.log();
    file.faults.lock().expect("one thread").sync = Some(io::ErrorKind::Other);
    assert!(matches!(append(&mut log, 1, 1), Err(Error::Storage(_))));
    // The disk works again, but what it holds is not known.
    assert!(matches!(append(&mut log, 1, 1), Err(Error::Storage(_))));
}

#[test]
fn a_full_disk_that_cannot_be_restored_is_a_broken_one() {
    let file = Faulty::default();
    let mut log = file.log();
    let mut faults = file.faults.lock().expect("one thread");
    faults.append = Some((3, io::ErrorKind::StorageFull));
    faults.truncate = Some(io::ErrorKind::Other);
    drop(faults);
    assert!(matches!(append(&mut log, 1, 1), Err(Error::Storage(_))));
    assert!(matches!(append(&mut log, 1, 1), Err(Error::Storage(_))));
}

proptest! {
    /// Whatever is on the disk, reading it is an answer or an error.
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _answer = Decoder::new(&bytes).command();
        let _answer = Decoder::new(&bytes).item();
    }

    /// What was encoded, with a byte changed, still is an answer or an error.
    #[test]
    fn damaged_commands_are_decoded_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = Vec::new();
        encode_command(&command(5), &mut bytes);
        prop_assert_eq!(Decoder::new(&bytes).command(), Ok(command(5)));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _answer = Decoder::new(&bytes).command();
    }
}

#[test]
fn items_are_decoded_as_they_were() {
    let mut mvcc = Mvcc::default();
    mvcc.apply(&Command::LeaseGrant {
        id: 5,
        ttl_seconds: 9,
    })
    .expect("granted");
    mvcc.apply(&command(3)).expect("put");
    let mut bytes = Vec::new();
    let items: Vec<_> = mvcc.items().collect();
    items.iter().for_each(|item| encode_item(item, &mut bytes));
    let mut decoder = Decoder::new(&bytes);
    for item in items {
        assert_eq!(decoder.item(), Ok(item));
    }
    assert!(decoder.is_empty());
}
