//! The checks of chapter 7's exercises and of its planted bug.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use exercise::Check;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream;
use informers::list_watch::{Error, Listed, ListerWatcher, Watch};
use informers::reflector::{
    Change, ChangeSource, Input, Output, Reflector, ReflectorState, Request,
};
use informers::shared_informer::SharedInformer;
use informers::work_queue::Queue;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, WatchEvent};
use kube::core::Status;

fn object(name: &str, revision: u64) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.into()),
            namespace: Some("default".into()),
            resource_version: Some(revision.to_string()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

fn listed(revision: u64) -> Input<ConfigMap> {
    Input::Listed(Listed {
        items: vec![object("a", 7)],
        resource_version: revision.to_string(),
    })
}

fn modified(revision: u64) -> Input<ConfigMap> {
    Input::Event(WatchEvent::Modified(object("a", revision)))
}

fn lost() -> Input<ConfigMap> {
    Input::Failed(Error::Failed("connection reset".into()))
}

fn expired() -> Input<ConfigMap> {
    let status = Status::failure("too old resource version", "Expired").with_code(410);
    Input::Event(WatchEvent::Error(status.boxed()))
}

/// What a reflector does after the last of these inputs, checked.
fn after(tried: &str, inputs: Vec<Input<ConfigMap>>, expected: &str, rule: &str) {
    let mut state = ReflectorState::default();
    let outputs = inputs.into_iter().map(|input| state.step(input));
    let Output {
        request, back_off, ..
    } = outputs.last().expect("something happens");
    let pause = if back_off { "wait, then " } else { "at once: " };
    let request = match request {
        Request::List => "list".to_owned(),
        Request::Watch { resource_version } => format!("watch from {resource_version}"),
        Request::Continue => "read on".to_owned(),
    };
    Check::new(tried)
        .because(rule)
        .expect_text(&format!("{pause}{request}"), expected);
}

#[test]
fn exercise_07_1_a_lost_connection() {
    after(
        "a list at 42, an event at 43, then the connection is lost",
        vec![listed(42), modified(43), lost()],
        "wait, then watch from 43",
        "a lost connection lost nothing: go on from the last revision seen, after a pause",
    );
    after(
        "the very first list fails",
        vec![lost()],
        "wait, then list",
        "who has seen nothing yet can only list; what failed is tried again after a pause",
    );
}

#[test]
fn exercise_07_1_an_expired_revision() {
    after(
        "a list at 42, an event at 43, then 410 Expired",
        vec![listed(42), modified(43), expired()],
        "at once: list",
        "the revision is no longer kept, so only a list can tell what is; \
         that is no fault of the server's, and needs no pause",
    );
}

#[test]
fn exercise_07_1_a_server_that_always_says_expired() {
    after(
        "a list at 200, and the watch from 200 is answered with 410 Expired",
        vec![listed(200), expired()],
        "wait, then list",
        "a revision that was listed just now must not expire: a server that says so must not be \
         stormed with lists",
    );
    after(
        "410 Expired right after the list at 200, then a list at 201, an event at 202, and 410 \
         Expired again",
        vec![
            listed(200),
            expired(),
            listed(201),
            modified(202),
            expired(),
        ],
        "at once: list",
        "an event of the watch shows that the server is well: this 410 is an ordinary one",
    );
}

/// Plays `add a`, `get`, `done a` on a queue and tells what each `get` gave.
fn play(script: &str) -> String {
    let mut queue: Queue<String> = Queue::default();
    let mut got = Vec::new();
    for step in script.split(", ") {
        match step.split_once(' ') {
            Some(("add", item)) => queue.add(item.to_owned()),
            Some(("done", item)) => queue.done(&item.to_owned()),
            _ => got.push(queue.get().unwrap_or_else(|| "nothing".to_owned())),
        }
    }
    got.join(", ")
}

fn check_queue(script: &str, expected: &str, rule: &str) {
    Check::new(format!("{script}: what each get gives"))
        .because(rule)
        .expect_text(&play(script), expected);
}

#[test]
fn exercise_07_2_waits_once() {
    check_queue(
        "add a, add b, add a, get, get, get",
        "a, b, nothing",
        "a key waits once, at its first place, however often it is added",
    );
}

#[test]
fn exercise_07_2_one_worker() {
    check_queue(
        "add a, get, add a, get",
        "a, nothing",
        "a key that a worker has is given to no other worker",
    );
}

#[test]
fn exercise_07_2_added_meanwhile() {
    let rule = "a key that was added while a worker had it is looked at once more afterwards";
    check_queue(
        "add a, get, add a, add a, done a, get, get",
        "a, a, nothing",
        rule,
    );
    check_queue(
        "add a, get, add a, add b, done a, get, get",
        "a, b, a",
        rule,
    );
}

#[test]
fn exercise_07_2_done() {
    let rule = "a key that was not added meanwhile is done with";
    check_queue("add a, get, done a, get", "a, nothing", rule);
    check_queue("add a, get, done a, add a, get", "a, a", rule);
}

/// A server that holds `a` and `b` at revision 42 and breaks the first watch. Then `b` is deleted,
/// at 43, before the client is back.
#[derive(Clone, Default)]
struct Server {
    watches: Arc<Mutex<Vec<String>>>,
}

impl ListerWatcher<ConfigMap> for Server {
    fn list(&self) -> BoxFuture<'_, Result<Listed<ConfigMap>, Error>> {
        Box::pin(async {
            Ok(Listed {
                items: vec![object("a", 7), object("b", 40)],
                resource_version: "42".into(),
            })
        })
    }

    fn watch<'a>(
        &'a self,
        resource_version: &'a str,
    ) -> BoxFuture<'a, Result<Watch<ConfigMap>, Error>> {
        Box::pin(async move {
            let mut watches = self.watches.lock().expect("no test panics here");
            watches.push(resource_version.to_owned());
            let mut events = Vec::new();
            if watches.len() == 1 {
                events.push(Err(Error::Failed("connection reset".into())));
                return Ok(stream::iter(events).boxed());
            }
            match resource_version.parse() {
                // Without a revision, or with 0: what there is, then what comes.
                Err(_) | Ok(0) => events.push(Ok(WatchEvent::Added(object("a", 7)))),
                Ok(after) if after < 43 => {
                    events.push(Ok(WatchEvent::Deleted(object("b", 43))));
                }
                Ok(_) => {}
            }
            Ok(stream::iter(events).chain(stream::pending()).boxed())
        })
    }
}

#[tokio::test]
async fn bug_07() {
    let mut reflector: Reflector<ConfigMap, Server> = Reflector::new(Server::default());
    let mut informer = SharedInformer::new(&[]);
    // The list, and whatever the watch after it brings. A watch that brings nothing has a gap too.
    for _ in 0..2 {
        let next = tokio::time::timeout(Duration::from_secs(5), reflector.next()).await;
        let Ok(change): Result<Change<ConfigMap>, _> = next else {
            break;
        };
        informer.handle(change);
    }
    Check::new(
        "a list of a and b at revision 42; the connection is lost; b is deleted at revision 43; \
         the connection is back: which keys does the store hold?",
    )
    .because("a watch goes on from the last revision seen, so nothing falls into the gap")
    .expect_text(&informer.store().keys().join("\n"), "default/a");
}
