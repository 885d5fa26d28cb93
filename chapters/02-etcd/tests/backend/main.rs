//! The store in process and real members behave the same; members die and nothing is lost.

mod members;
#[path = "../process/mod.rs"]
mod process;

use std::time::{Duration, Instant};

use etcd::api::*;
use etcd::remote::{Client, Config};
use etcd::{Backend, Error, Options, Store};
use members::{Members, all, put_if, watch};

#[tokio::test]
async fn the_store_in_process() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(dir.path(), Options::default()).expect("it opens");
    behaves(Backend::Embedded(store)).await;
}

#[tokio::test]
async fn our_server() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let server = process::Server::start(dir.path(), &["--listen-client-urls=http://127.0.0.1:0"]);
    let config = Config {
        endpoints: vec![format!("http://{}", server.address(0))],
        ..Config::default()
    };
    behaves(Backend::Remote(Client::new(&config).expect("a URL"))).await;
}

#[tokio::test]
async fn a_real_member() {
    let Some(program) = members::program() else {
        return;
    };
    let members = Members::start(program, 1);
    behaves(Backend::Remote(members.client().await)).await;
}

#[tokio::test]
async fn three_real_members() {
    let Some(program) = members::program() else {
        return;
    };
    let members = Members::start(program, 3);
    behaves(Backend::Remote(members.client().await)).await;
}

/// What the API server relies on.
async fn behaves(store: Backend) {
    let began = store.revision().await.expect("it answers");
    let mut watcher = store.watch(watch(began + 1)).expect("nothing is compacted");

    // A create happens once; an update needs the revision that is.
    let made = store
        .txn(put_if("/a/1", "one", 0, 0))
        .await
        .expect("a write");
    assert!(made.succeeded);
    assert_eq!(made.revision, began + 1);
    assert!(matches!(&made.responses[..],
        [ResponseOp::Put(put)] if put.revision == made.revision && put.prev_kv.is_none()));
    let again = store
        .txn(put_if("/a/1", "two", 0, 0))
        .await
        .expect("an answer");
    assert!(!again.succeeded);
    assert_eq!(again.revision, made.revision);
    let updated = store.txn(put_if("/a/1", "two", made.revision, 0)).await;
    assert!(updated.expect("a write").succeeded);
    let lease = store.lease_grant(0, 3600).await.expect("a lease");
    let leased = store.txn(put_if("/a/2", "x", 0, lease)).await;
    assert!(leased.expect("a write").succeeded);
    let delete = RequestOp::DeleteRange(DeleteRangeRequest {
        range: KeyRange::One("/a/1".into()),
        prev_kv: true,
    });
    let deleted = TxnRequest {
        success: vec![delete],
        ..TxnRequest::default()
    };
    let deleted = store.txn(deleted).await.expect("a write");
    assert!(matches!(&deleted.responses[..],
        [ResponseOp::DeleteRange(it)] if it.deleted == 1 && it.prev_kvs[0].value == "two"));

    // Reads of now and of then, with a limit, and with no values.
    let now = store.range(all()).await.expect("a read");
    assert_eq!((now.count, now.more, now.revision), (1, false, began + 4));
    let kv = &now.kvs[0];
    assert_eq!((&kv.key[..], &kv.value[..]), (&b"/a/2"[..], &b"x"[..]));
    assert_eq!((kv.version, kv.lease), (1, lease));
    let mut then = all();
    (then.revision, then.limit) = (began + 3, 1);
    let then = store.range(then).await.expect("a read");
    assert_eq!((then.kvs.len(), then.count, then.more), (1, 2, true));
    assert_eq!(then.kvs[0].value, "two");
    assert_eq!(then.kvs[0].create_revision, began + 1);
    let mut future = all();
    future.revision = began + 100;
    assert_eq!(store.range(future).await, Err(Error::FutureRevision));

    // The watch tells all of it, in order.
    let mut told = Vec::new();
    while told.len() < 4 {
        let batch = watcher.recv().await.expect("a watch");
        assert_eq!(
            batch.events.last().expect("a change").kv.mod_revision,
            batch.revision
        );
        told.extend(batch.events);
    }
    let changes: Vec<_> = (told.iter())
        .map(|event| (event.kind, &event.kv.key[..], event.kv.mod_revision - began))
        .collect();
    assert_eq!(
        changes,
        [
            (EventKind::Put, &b"/a/1"[..], 1),
            (EventKind::Put, b"/a/1", 2),
            (EventKind::Put, b"/a/2", 3),
            (EventKind::Delete, b"/a/1", 4),
        ]
    );

    // What is compacted is gone for reads and for watches; a lease that is not there is told.
    store.compact(began + 3).await.expect("it is there");
    let again = store.compact(began + 3).await;
    assert!(matches!(again, Err(Error::Compacted { .. })), "{again:?}");
    let mut gone = all();
    gone.revision = began + 2;
    let gone = store.range(gone).await;
    assert!(matches!(gone, Err(Error::Compacted { .. })), "{gone:?}");
    let late = match store.watch(watch(began + 1)) {
        Ok(mut late) => late.recv().await,
        Err(error) => Err(error),
    };
    let compact_revision = began + 3;
    assert_eq!(late, Err(Error::Compacted { compact_revision }));
    let no_lease = store.txn(put_if("/a/3", "", 0, 77)).await;
    assert_eq!(no_lease, Err(Error::LeaseNotFound));

    // A watch from now on tells what comes, and only that.
    let mut from_now = store.watch(watch(0)).expect("it begins");
    let (first, ()) = tokio::join!(from_now.recv(), async {
        // It is not known when the watch has begun, so until it is heard of there is news.
        for number in 0..50 {
            let put = put_if(&format!("/b/{number}"), "", 0, 0);
            store.txn(put).await.expect("a write");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(first.expect("a watch").events[0].kv.key.starts_with(b"/b/"));
}

/// A writer and a watch go on while the leader is killed; then what was acknowledged is there.
#[tokio::test]
async fn the_leader_is_killed() {
    const WRITES: usize = 600;
    let Some(program) = members::program() else {
        return;
    };
    let mut members = Members::start(program, 3);
    let client = members.client().await;
    let leader = members.leader().await;
    let began = client.revision().await.expect("there is a leader");
    let watched = tokio::spawn(watch_until(client.clone(), began + 1, "/last"));

    let mut acknowledged = Vec::new();
    let (mut in_doubt, mut longest) = (0, Duration::ZERO);
    let mut last = Instant::now();
    for number in 0..WRITES {
        if number == WRITES / 2 {
            members.kill(leader);
        }
        let key = format!("/k/{number:04}");
        match client.txn(put_if(&key, "x", 0, 0)).await {
            Ok(answer) => {
                assert!(answer.succeeded, "nobody else writes {key}");
                acknowledged.push((answer.revision, key));
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            Err(Error::Unavailable(why)) => {
                eprintln!("{key} may be there or not: {why}");
                in_doubt += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    eprintln!("{in_doubt} writes in doubt; the longest stall was {longest:?}");
    // One can be under way when the leader dies, as the writer has one at a time.
    assert!(in_doubt <= 1, "{in_doubt}");
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    client
        .txn(put_if("/last", "", 0, 0))
        .await
        .expect("a write");

    let there = client
        .range(RangeRequest::new(KeyRange::prefix("/k/")))
        .await;
    let there = there.expect("a read").kvs;
    for (revision, key) in &acknowledged {
        let kv = there.iter().find(|kv| kv.key == key.as_bytes());
        let kv = kv.unwrap_or_else(|| panic!("{key} was acknowledged"));
        assert_eq!((kv.mod_revision, kv.version), (*revision, 1), "{key}");
    }
    assert!(there.len() <= acknowledged.len() + in_doubt);
    // The watch went on with another member, and has told each change once, in order.
    let watched = watched.await.expect("the watch ends well");
    let told: Vec<_> = watched
        .iter()
        .map(|kv| (kv.mod_revision, &kv.key))
        .collect();
    let kept: Vec<_> = there.iter().map(|kv| (kv.mod_revision, &kv.key)).collect();
    assert_eq!(told, kept);

    // The member comes back, and the cluster has three again.
    members.start_one(leader);
    let back = members.client_of(&[leader]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while back.revision().await.is_err() {
        assert!(Instant::now() < deadline, "it comes back");
    }
}

/// All keys that a watch tells of, up to one.
async fn watch_until(client: Client, from: Revision, last: &str) -> Vec<KeyValue> {
    let mut watcher = client.watch(watch(from));
    let mut told = Vec::new();
    loop {
        for event in watcher.recv().await.expect("the watch goes on").events {
            if event.kv.key == last.as_bytes() {
                return told;
            }
            told.push(event.kv);
        }
    }
}

/// Without a majority nothing is written, and it is said so; with it again, all goes on.
#[tokio::test]
async fn a_majority_is_lost() {
    let Some(program) = members::program() else {
        return;
    };
    let mut members = Members::start(program, 3);
    let client = members.client().await;
    let first = client.txn(put_if("/a", "1", 0, 0)).await.expect("a write");
    members.kill(0);
    members.kill(1);
    let refused = client.txn(put_if("/a", "2", first.revision, 0)).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    members.start_one(0);
    // Whether the write that was refused happened later is not known, so it is looked at.
    let deadline = Instant::now() + Duration::from_secs(60);
    let now = loop {
        match client.range(all()).await {
            Ok(found) => break found.kvs[0].mod_revision,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    let written = client.txn(put_if("/a", "3", now, 0)).await;
    assert!(written.expect("a write").succeeded);
}
