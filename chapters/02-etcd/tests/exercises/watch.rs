//! Exercises about watches, and the bug in them.

use std::time::Duration;

use etcd::api::*;
use etcd::{Options, Store, Watcher};
use exercise::Check;

use super::put;

/// How long a watch is waited for that says nothing: only a bug comes to it.
const PATIENCE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn bug_02() {
    let (_dir, store) = store();
    for value in ["one", "two", "three"] {
        store.put(put("/a", value)).await.expect("is written");
    }
    let now = store.revision();
    for (from, expected) in [(now - 1, "\"two\", \"three\""), (now, "\"three\"")] {
        let request = WatchRequest {
            range: KeyRange::From("/".into()),
            start_revision: from,
            prev_kv: false,
            no_put: false,
            no_delete: false,
        };
        let mut watcher = store.watch(request).expect("begins");
        let saw = match tokio::time::timeout(PATIENCE, watcher.recv()).await {
            Ok(batch) => {
                let events = batch.expect("goes on").events;
                let values = events.iter().map(|event| format!("{:?}", event.kv.value));
                values.collect::<Vec<_>>().join(", ").replace("b\"", "\"")
            }
            Err(_) => format!("nothing for {} seconds", PATIENCE.as_secs()),
        };
        Check::new(format!(
            "the store is at revision {now}, which wrote \"three\"; a watch from revision {from} on"
        ))
        .because("a watch begins with the revision that it names, whether or not more follow")
        .expect_text(&saw, expected);
    }
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(dir.path(), Options::default()).expect("opens");
    (dir, store)
}

/// A watch of `/a` from a revision on.
fn of_a(start_revision: Revision) -> WatchRequest {
    WatchRequest {
        range: KeyRange::One("/a".into()),
        start_revision,
        prev_kv: false,
        no_put: false,
        no_delete: false,
    }
}

async fn recv(watcher: &mut Watcher) -> Option<WatchBatch> {
    let batch = tokio::time::timeout(PATIENCE, watcher.recv()).await.ok()?;
    Some(batch.expect("the watch goes on"))
}

/// The events of the next batch, as `put one at 2`.
async fn told(watcher: &mut Watcher) -> String {
    let Some(batch) = recv(watcher).await else {
        return format!("nothing for {} seconds", PATIENCE.as_secs());
    };
    let event = |event: &Event| {
        let (key, at) = (text(&event.kv.key), event.kv.mod_revision);
        match event.kind {
            EventKind::Put => format!("{key} put at {at}"),
            EventKind::Delete => format!("{key} deleted at {at}"),
        }
    };
    let events: Vec<_> = batch.events.iter().map(event).collect();
    events.join(", ")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn exercise_02_4() {
    let (_dir, store) = store();
    for key in ["/a", "/b", "/a"] {
        store.put(put(key, "v")).await.expect("is written");
    }
    let deletion = bytes::Bytes::from("/a").into();
    store.delete_range(deletion).await.expect("is deleted");
    store.put(put("/a", "v")).await.expect("is written");
    let history = "/a is put at 2, /b at 3, /a at 4, deleted at 5, put at 6";
    let check = async |request: WatchRequest, words: &str, expected: &str, rule: &str| {
        let from = request.start_revision;
        let mut watcher = store.watch(request).expect("begins");
        let tried = format!("{history}; a watch of /a from revision {from} on{words}");
        Check::new(tried)
            .because(rule)
            .expect_text(&told(&mut watcher).await, expected);
    };
    let rule = "a watch is told of the changes of its keys, in order, and of no others";
    let all = "/a put at 2, /a put at 4, /a deleted at 5, /a put at 6";
    check(of_a(2), "", all, rule).await;
    let rest = "/a deleted at 5, /a put at 6";
    check(of_a(5), "", rest, rule).await;
    let rule = "no_delete is without deletions, no_put without puts";
    let no_delete = WatchRequest {
        no_delete: true,
        ..of_a(4)
    };
    let puts = "/a put at 4, /a put at 6";
    check(no_delete, ", with no_delete", puts, rule).await;
    let no_put = WatchRequest {
        no_put: true,
        ..of_a(2)
    };
    check(no_put, ", with no_put", "/a deleted at 5", rule).await;
}

#[tokio::test]
async fn exercise_02_4_to_come() {
    let (_dir, store) = store();
    let mut watcher = store.watch(of_a(4)).expect("begins");
    for _ in 2..=5 {
        store.put(put("/a", "v")).await.expect("is written");
    }
    Check::new("a watch of /a from revision 4 on is begun at 1; then /a is put at 2, 3, 4 and 5")
        .because("a watch may begin at a revision that is still to come: earlier ones are not its")
        .expect_text(&told(&mut watcher).await, "/a put at 4, /a put at 5");
}

#[tokio::test]
async fn exercise_02_4_many() {
    let (_dir, store) = store();
    // 999 changes in nine transactions; then one of three changes, in which the batch gets full;
    // then one more.
    for count in [111; 9].into_iter().chain([3, 1]) {
        let key = |number| {
            RequestOp::Put(PutRequest {
                key: format!("/many/{number}").into(),
                ..PutRequest::default()
            })
        };
        let txn = TxnRequest {
            success: (0..count).map(key).collect(),
            compare: Vec::new(),
            failure: Vec::new(),
        };
        store.txn(txn).await.expect("is written");
    }
    let request = WatchRequest {
        range: KeyRange::From("/".into()),
        ..of_a(2)
    };
    let mut watcher = store.watch(request).expect("begins");
    let mut saw = Vec::new();
    while saw.len() < 2 {
        saw.push(match recv(&mut watcher).await {
            Some(batch) => format!(
                "{} changes, up to revision {}",
                batch.events.len(),
                batch.revision
            ),
            None => "nothing more".to_owned(),
        });
    }
    Check::new(
        "999 changes in revisions 2 to 10, 3 changes in revision 11, one in 12; a watch of all from 2 on, \
         which reads until it has 1000",
    )
    .because("a revision is told as a whole, each change once, and the next batch goes on behind it")
    .expect_text(
        &saw.join("\n"),
        "1002 changes, up to revision 11\n1 changes, up to revision 12",
    );
}
