//! After a compaction, memory and disk hold what is live and little more, however often it was
//! written.

use std::sync::Arc;

use super::disk::SimulatedDisk;
use crate::api::PutRequest;
use crate::disk::Disk;
use crate::{Options, Store};

const KEYS: usize = 100;
const UPDATES: usize = 100_000;
const AT_ONCE: usize = 250;

/// Updates between two compactions.
const COMPACTED_EVERY: usize = 1000;

const CHECKPOINT_BYTES: u64 = 64 * 1024;

fn put(n: usize) -> PutRequest {
    PutRequest {
        key: format!("/key/{:03}", n % KEYS).into(),
        value: format!("{n:>50}").into(),
        ..PutRequest::default()
    }
}

#[test]
fn a_hundred_keys_written_a_thousand_times_each_are_a_hundred_keys() {
    let disk = Arc::new(SimulatedDisk::new(1, true));
    let checkpoint_bytes = CHECKPOINT_BYTES;
    let store = Store::open_on(
        disk.clone(),
        Options {
            checkpoint_bytes,
            quota_bytes: None,
        },
    );
    let store = store.expect("a disk that works");
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    let (mut disk_max, mut told_max, mut changes_max) = (0, 0, 0);
    for first in (0..UPDATES).step_by(AT_ONCE) {
        let puts = (first..first + AT_ONCE).map(|n| store.put(put(n)));
        let puts = runtime.block_on(futures::future::join_all(puts));
        assert!(puts.iter().all(Result::is_ok));
        changes_max = changes_max.max(store.snapshot().changes(0).count());
        if (first + AT_ONCE).is_multiple_of(COMPACTED_EVERY) {
            let compacted = runtime.block_on(async {
                let compacted = store.compact(store.revision()).await;
                store.sweep().await;
                compacted
            });
            compacted.expect("later each time");
            // The newest version of each key, and nothing of what was before.
            assert_eq!(store.snapshot().changes(0).count(), 1);
        }
        let on_disk = disk.files().values().map(Vec::len).sum::<usize>() as u64;
        disk_max = disk_max.max(on_disk);
        told_max = told_max.max(store.size_bytes());
    }
    assert!(
        changes_max <= COMPACTED_EVERY + 1,
        "{changes_max} changes in memory"
    );
    // A checkpoint holds what one compaction leaves to the next; then there is the log behind it,
    // and while a checkpoint is written what it replaces.
    assert!(
        disk_max < 5 * CHECKPOINT_BYTES,
        "{disk_max} bytes on the disk"
    );
    assert!(told_max < 5 * CHECKPOINT_BYTES, "{told_max} bytes, it says");
    drop(store);
    let names = disk.names().expect("a disk that works");
    assert!(names.len() <= 3, "{names:?}");
}
