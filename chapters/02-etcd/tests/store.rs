//! The store with its disk and its threads: what is acknowledged stays, watchers miss nothing.

use bytes::Bytes;
use etcd::api::*;
use etcd::{Error, Options, Store};

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ..PutRequest::default()
    }
}

fn watch(prefix: &'static str, start_revision: Revision) -> WatchRequest {
    WatchRequest {
        range: KeyRange::prefix(prefix),
        start_revision,
        prev_kv: true,
        no_put: false,
        no_delete: false,
    }
}

fn all() -> RangeRequest {
    RangeRequest::new(KeyRange::From(Bytes::new()))
}

#[tokio::test]
async fn comes_back_as_it_was() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    // Checkpoints as often as can be: every few writes.
    let options = Options {
        checkpoint_bytes: 500,
        ..Options::default()
    };
    let mut expect = RangeResponse::default();
    for round in 0..5 {
        let store = Store::open(dir.path(), options.clone())?;
        assert_eq!(store.range(&all())?.kvs, expect.kvs, "round {round}");
        for i in 0..100 {
            store
                .put(put(&format!("/k/{}", i % 17), &format!("{round}.{i}")))
                .await?;
            if i % 10 == 3 {
                let range = KeyRange::One(format!("/k/{}", i % 7).into());
                store
                    .delete_range(DeleteRangeRequest {
                        range,
                        prev_kv: false,
                    })
                    .await?;
            }
        }
        store.compact(store.revision() - 20).await?;
        // Whether or not its memory is free already makes no difference to what is read.
        if round % 2 == 0 {
            store.sweep().await;
        }
        expect = store.range(&all())?;
        let older = RangeRequest {
            revision: store.revision() - 10,
            ..all()
        };
        let history = store.range(&older)?;
        drop(store);
        let store = Store::open(dir.path(), options.clone())?;
        assert_eq!(store.range(&all())?, expect);
        assert_eq!(store.range(&older)?.kvs, history.kvs);
        assert!(
            store.size_bytes() < 20_000,
            "old logs go: {}",
            store.size_bytes()
        );
    }
    Ok(())
}

#[tokio::test]
async fn only_one_at_a_time() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let _store = Store::open(dir.path(), Options::default()).expect("opens");
    let error = Store::open(dir.path(), Options::default())
        .err()
        .expect("is locked");
    assert!(
        error.to_string().contains("in use by another process"),
        "{error}"
    );
}

#[tokio::test]
async fn watch_from_history_then_live() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(dir.path(), Options::default())?;
    store.put(put("/a/1", "x")).await?;
    store.put(put("/b/1", "x")).await?;
    let mut watcher = store.watch(watch("/a/", 2))?;
    let mut idle = store.watch(watch("/c/", 0))?;
    let batch = watcher.recv().await?;
    assert_eq!((batch.revision, batch.events.len()), (3, 1));
    assert_eq!(watcher.progress(), Some(3));

    let txn = TxnRequest {
        success: vec![
            RequestOp::Put(put("/a/2", "y")),
            RequestOp::Put(put("/b/2", "y")),
            RequestOp::DeleteRange(Bytes::from("/a/1").into()),
        ],
        ..TxnRequest::default()
    };
    assert_eq!(store.txn(txn).await?.revision, 4);
    let batch = watcher.recv().await?;
    assert_eq!(batch.revision, 4);
    let heard: Vec<_> = batch
        .events
        .iter()
        .map(|e| (e.kind, &e.kv.key[..]))
        .collect();
    assert_eq!(
        heard,
        [
            (EventKind::Put, &b"/a/2"[..]),
            (EventKind::Delete, &b"/a/1"[..])
        ]
    );
    assert_eq!(batch.events[1].prev_kv.as_ref().expect("known").value, "x");
    assert_eq!(idle.progress(), Some(4));

    // Compaction past what was not read.
    store.put(put("/a/1", "z")).await?;
    store.put(put("/a/1", "zz")).await?;
    store.compact(6).await?;
    assert!(matches!(
        watcher.recv().await,
        Err(Error::Compacted {
            compact_revision: 6
        })
    ));

    // A watcher outlives the store, and is told.
    drop(store);
    assert!(matches!(idle.recv().await, Err(Error::Storage(_))));
    Ok(())
}

/// Writers and watchers at once: every watcher hears every revision once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_missed_under_load() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(
        dir.path(),
        Options {
            checkpoint_bytes: 10_000,
            ..Options::default()
        },
    )?;
    let writers = 8;
    let each = 200;
    let mut watchers = tokio::task::JoinSet::new();
    for start in [0, 2, 100] {
        let mut watcher = store.watch(watch("/", start))?;
        watchers.spawn(async move {
            let mut next = start.max(2);
            while next < 2 + writers * each {
                let batch = watcher.recv().await.expect("not compacted");
                for event in batch.events {
                    assert_eq!(event.kv.mod_revision, next);
                    next += 1;
                }
                assert!(batch.revision >= next - 1);
            }
        });
    }
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let store = store.clone();
        tasks.spawn(async move {
            for i in 0..each {
                store
                    .put(put(&format!("/{writer}"), &i.to_string()))
                    .await
                    .expect("stored");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("a writer's puts are stored");
    }
    while let Some(done) = watchers.join_next().await {
        done.expect("a watcher hears all");
    }
    Ok(())
}

#[tokio::test]
async fn leases_end() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(dir.path(), Options::default())?;
    let lease = store.lease_grant(0, 1).await?;
    assert!(matches!(
        store.lease_grant(lease, 1).await,
        Err(Error::LeaseExists)
    ));
    store
        .put(PutRequest {
            lease,
            ..put("/l", "x")
        })
        .await?;
    assert_eq!(store.lease_time_to_live(lease)?.keys, ["/l"]);
    // As in etcd none lasts less than two seconds.
    assert_eq!(store.lease_keep_alive(lease)?, 2);
    let mut watcher = store.watch(watch("/l", 0))?;
    // Nobody keeps it alive.
    let batch = watcher.recv().await?;
    assert_eq!(batch.events[0].kind, EventKind::Delete);
    assert!(matches!(
        store.lease_keep_alive(lease),
        Err(Error::LeaseNotFound)
    ));
    assert!(store.leases().is_empty());
    Ok(())
}

#[tokio::test]
async fn an_answer_is_made_of_what_is_in_the_store() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(dir.path(), Options::default())?;
    for i in 0..5 {
        store.put(put(&format!("/{i}"), "value")).await?;
    }
    let request = RangeRequest { limit: 3, ..all() };
    let (keys, more, count) = store.range_with(&request, |found| {
        let keys = found.versions.iter().map(|version| version.key().to_vec());
        (keys.collect::<Vec<_>>(), found.more, found.count)
    })?;
    assert_eq!(keys, [b"/0", b"/1", b"/2"]);
    assert!(more);
    assert_eq!(count, 5);
    // What is read in process is not a copy either.
    let [first, again] = [store.range(&request)?, store.range(&request)?];
    assert_eq!(
        first.kvs[0].value.as_ptr(),
        again.kvs[0].value.as_ptr(),
        "the same memory"
    );
    Ok(())
}
