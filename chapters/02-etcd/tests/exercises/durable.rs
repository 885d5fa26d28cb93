//! Exercises about what survives, and the bug that loses it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use etcd::api::*;
use etcd::{Options, Store};
use exercise::Check;

use super::memory::Memory;
use super::put;

/// How long something is waited for that only a wrong solution leaves out.
const PATIENCE: Duration = Duration::from_secs(2);

/// The first segment of a store's log.
const LOG: &str = "wal-0000000000000001";

fn open(disk: &Memory) -> Result<Store, Error> {
    Store::open_on(Arc::new(disk.clone()), Options::default())
}

fn new_store() -> (Memory, Store) {
    let disk = Memory::default();
    let store = open(&disk).expect("a new store opens");
    (disk, store)
}

/// The value of `/a`, in words.
fn value(store: &Store) -> String {
    let request = RangeRequest::new(KeyRange::One("/a".into()));
    let found = store.range(&request).expect("now can be read");
    match found.kvs.first() {
        Some(kv) => format!("/a is {}", String::from_utf8_lossy(&kv.value)),
        None => "/a is not there".to_owned(),
    }
}

#[tokio::test]
async fn exercise_02_7() {
    let (disk, store) = new_store();
    let saw = Arc::new(Mutex::new(Vec::new()));
    let (reader, seen) = (store.clone(), saw.clone());
    disk.on_sync(move || {
        seen.lock().expect("no sync panics").push(value(&reader));
        Ok(())
    });
    for value in ["one", "two"] {
        store.put(put("/a", value)).await.expect("is stored");
    }
    // The store was in there.
    disk.sync_quietly();
    let saw = saw.lock().expect("no sync panics").join("; then ");
    Check::new("/a=one is put, then /a=two; while each is being synced, somebody else reads /a")
        .because("nobody reads what a crash could still take back: first the log, then the state")
        .expect_text(&saw, "/a is not there; then /a is one");
    let after = open(&disk.after_power_cut()).expect("opens");
    Check::new("both puts are answered; the power goes; the store is opened again")
        .because("what was answered was stored before")
        .expect_text(&value(&after), "/a is two");
}

#[tokio::test]
async fn exercise_02_7_together() {
    let (disk, store) = new_store();
    let syncs = Arc::new(AtomicUsize::new(0));
    let (begun, has_begun) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let counted = syncs.clone();
    disk.on_sync(move || {
        if counted.fetch_add(1, Ordering::SeqCst) == 0 {
            begun.send(()).expect("the test waits");
            wait.recv().expect("the test goes on");
        }
        Ok(())
    });
    let first = store.clone();
    let first = tokio::task::spawn_blocking(move || {
        let write = first.put(put("/a", "first"));
        tokio::runtime::Handle::current()
            .block_on(write)
            .expect("is stored");
    });
    has_begun.recv_timeout(PATIENCE).expect("a write is synced");
    let others = (0..9).map(|_| store.put(put("/b", "meanwhile")));
    let mut others = futures::future::join_all(others);
    assert!(futures::poll!(&mut others).is_pending(), "the disk is busy");
    go_on.send(()).expect("the first write waits");
    first.await.expect("the first write is done");
    let answers = others.await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let saw = format!("{} syncs", syncs.load(Ordering::SeqCst));
    Check::new("one put is being synced when nine more come")
        .because("what came during a sync is written together, with one sync for all of it")
        .expect_text(&saw, "2 syncs");
}

#[tokio::test]
async fn exercise_02_7_broken() {
    let (disk, store) = new_store();
    disk.on_sync(|| Err(io::Error::other("the disk is broken")));
    let answer = store.put(put("/a", "lost")).await;
    let answer = match answer {
        Ok(_) => "stored",
        Err(_) => "not stored",
    };
    Check::new("the disk is broken, a sync fails; the answer to /a=lost, and then a read of /a")
        .because("what is not stored is neither acknowledged nor seen")
        .expect_text(
            &format!("{answer}; {}", value(&store)),
            "not stored; /a is not there",
        );
}

#[tokio::test]
async fn exercise_02_7_told() {
    let (_disk, store) = new_store();
    let request = WatchRequest {
        range: KeyRange::One("/a".into()),
        start_revision: 0,
        prev_kv: false,
        no_put: false,
        no_delete: false,
    };
    let mut watcher = store.watch(request).expect("begins");
    store.put(put("/a", "one")).await.expect("is stored");
    let saw = match tokio::time::timeout(PATIENCE, watcher.recv()).await {
        Ok(batch) => format!("{} change", batch.expect("goes on").events.len()),
        Err(_) => "nothing".to_owned(),
    };
    Check::new("a watch of /a from now on; /a is put")
        .because("the watchers are rung for each change of a batch")
        .expect_text(&saw, "1 change");

    let lease = store.lease_grant(7, 60).await.expect("is granted");
    let saw = match store.lease_keep_alive(lease) {
        Ok(seconds) => format!("lasts {seconds} seconds more"),
        Err(error) => error.to_string(),
    };
    Check::new("a lease of 60 seconds is granted, then kept alive")
        .because(
            "a lease's clock runs from when it was granted: `apply` of the writer sees to that",
        )
        .expect_text(&saw, "lasts 60 seconds more");
}

/// A log of three puts, and where each of them ends.
async fn three_puts() -> (Memory, Vec<u8>, Vec<usize>) {
    let disk = Memory::default();
    let long = "3".repeat(2000);
    let mut ends = Vec::new();
    for value in ["one", "two", &long] {
        let put = PutRequest {
            key: "/a".into(),
            value: value.to_owned().into(),
            ..PutRequest::default()
        };
        let store = open(&disk).expect("nothing is damaged");
        store.put(put).await.expect("is stored");
        // Whoever closes a log cuts off the zeros behind it.
        drop(store);
        ends.push(disk.bytes(LOG).len());
    }
    let bytes = disk.bytes(LOG);
    (disk, bytes, ends)
}

/// Opens a store with this log and says what it makes of it.
fn opened(disk: &Memory, bytes: &[u8]) -> String {
    match open(&disk.with(LOG, bytes)) {
        Ok(store) => {
            let value = value(&store);
            let long = format!("/a is {}", "3".repeat(2000));
            format!(
                "opens, {}",
                if value == long {
                    "/a is 333…"
                } else {
                    &value
                }
            )
        }
        Err(error) if error.to_string().contains("whole ones follow") => {
            "refused: damaged, and whole frames follow".to_owned()
        }
        Err(_) => "refused: damaged".to_owned(),
    }
}

#[tokio::test]
async fn exercise_02_8() {
    let (disk, bytes, ends) = three_puts().await;
    let check = |what: &str, bytes: &[u8], expected: &str, rule: &str| {
        let tried = "a log of three frames: /a=one, /a=two, and /a=333… of 2000 bytes";
        Check::new(format!("{tried}; {what}"))
            .because(rule)
            .expect_text(&opened(&disk, bytes), expected);
    };
    let rule = "a file that is too short was not written to its end: that is what a crash does";
    for len in [ends[1] + 1, ends[1] + 19, ends[1] + 20, ends[2] - 1] {
        let left = len - ends[1];
        let what = format!("of the last frame only {left} bytes are there");
        check(&what, &bytes[..len], "opens, /a is two", rule);
    }
    let rule = "zeros at the end are room that was never written";
    let mut zeros = bytes.clone();
    zeros.resize(bytes.len() + 4096, 0);
    check("4096 zeros behind them", &zeros, "opens, /a is 333…", rule);
    let rule = "zeros where a sector should be: it was never written, which is what a crash does";
    let mut missing = bytes.clone();
    let sector = (ends[1] + 20).next_multiple_of(512);
    missing[sector..sector + 512].fill(0);
    let what = format!("bytes {sector} to {} are zeros", sector + 511);
    check(&what, &missing, "opens, /a is two", rule);
}

#[tokio::test]
async fn exercise_02_8_damage() {
    let (disk, bytes, ends) = three_puts().await;
    let check = |at: usize, what: &str, expected: &str, rule: &str| {
        let tried = "a log of three frames: /a=one, /a=two, and /a=333… of 2000 bytes";
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        Check::new(format!("{tried}; a bit is flipped in {what}"))
            .because(rule)
            .expect_text(&opened(&disk, &flipped), expected);
    };
    let rule = "a frame is begun when the one before it is on the disk: with whole ones behind it, \
                damage is no crash's work, and cutting it off would lose what was acknowledged";
    let expected = "refused: damaged, and whole frames follow";
    check(ends[1] - 1, "the second frame's payload", expected, rule);
    check(ends[0], "the second frame's head", expected, rule);
    let rule = "a disk writes a sector as a whole: one that is there, and wrong, was right once";
    let expected = "refused: damaged";
    check(ends[2] - 1, "the last frame's payload", expected, rule);
    check(ends[1], "the last frame's head", expected, rule);
}

#[tokio::test]
async fn bug_02_2() {
    let (disk, store) = new_store();
    for value in ["one", "two", "three"] {
        store.put(put("/a", value)).await.expect("is stored");
    }
    let after = open(&disk.after_power_cut()).expect("opens");
    let saw = format!(
        "{}, the store is at revision {}",
        value(&after),
        after.revision()
    );
    Check::new(
        "a new store; /a is put three times, and each put is answered; the power goes, and with it \
         all that was not synced; the store is opened again",
    )
    .because("what was answered is there, whatever becomes of the machine")
    .expect_text(&saw, "/a is three, the store is at revision 4");
}
