//! Clients and watchers at work, and the server that dies under them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use etcd::grpc::pb::etcdserverpb as rpc;
use rpc::compare::{CompareResult, CompareTarget, TargetUnion};
use rpc::request_op::Request as Step;
use rpc::response_op::Response as Stepped;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::Channel;

use super::calls::{Answer, Call, Change, Op, Outcome, Value};
use super::server::{Server, call, connect, stream};
use super::watches::{Batch, Event, Watch, last_revision};

const CLIENTS: usize = 8;
const KEYS: usize = 5;

/// Where watches begin: with the first write, and with writes that are still to come.
const WATCHES_FROM: [i64; 3] = [2, 50, 150];

/// How long a watch may take to hear of the last write.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// What was seen.
pub struct Recorded {
    pub calls: Vec<Call>,
    /// All changes, as the first watch has heard of them.
    pub log: Vec<Change>,
    pub watches: Vec<Watch>,
    pub kills: usize,
}

/// What all have in common.
struct World {
    start: Instant,
    /// Where the server is, each time that it was started.
    url: watch::Receiver<String>,
    calls: Mutex<Vec<Call>>,
    next_value: AtomicU64,
    is_over: AtomicBool,
}

/// Lets clients and watchers do their work for some time.
pub async fn record(seed: u64, time: Duration) -> Recorded {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut server = Server::start(dir.path());
    let (announce, url) = watch::channel(server.url.clone());
    let world = Arc::new(World {
        start: Instant::now(),
        url,
        calls: Mutex::default(),
        next_value: AtomicU64::new(1),
        is_over: AtomicBool::new(false),
    });
    let mut random = Random(seed);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(world.clone(), Random(random.next())));
    }
    let mut watchers = JoinSet::new();
    let mut begin_watch = |start_revision| {
        let batches = Vec::new();
        let (hear, heard) = watch::channel(Watch {
            start_revision,
            batches,
        });
        watchers.spawn(watcher(world.clone(), hear));
        heard
    };
    let mut heard: Vec<_> = WATCHES_FROM.into_iter().map(&mut begin_watch).collect();

    let mut kills = 0;
    while world.start.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(300 + random.below(900))).await;
        compact(&world, &heard).await;
        drop(server);
        kills += 1;
        server = tokio::task::block_in_place(|| Server::start(dir.path()));
        announce.send(server.url.clone()).expect("the world has it");
    }
    world.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client");
    }
    let mut calls = std::mem::take(&mut *world.calls.lock().expect("no client panics"));
    let channel = connect(&server.url).await.expect("it runs");
    for key in 0..KEYS {
        let last = ask(&world, &channel, key, Op::Get).await;
        last.answer.expect("it runs");
        calls.push(last);
    }
    let revisions = calls
        .iter()
        .filter_map(|call| call.answer)
        .map(|it| it.revision);
    let last_write = revisions.max().expect("something was answered");
    // One that has only history to hear of, and of that the last revision alone.
    heard.push(begin_watch(last_write));
    for heard in &mut heard {
        let all = heard.wait_for(|watch| last_revision(watch) >= last_write);
        let all = tokio::time::timeout(HEARD_WITHIN, all).await;
        assert!(
            all.is_ok(),
            "not reliable: a watch has not heard of the last write"
        );
    }
    let watches: Vec<Watch> = heard.iter().map(|watch| watch.borrow().clone()).collect();
    Recorded {
        calls,
        log: changes(&watches[0]),
        watches,
        kills,
    }
}

/// The changes that a watch has heard of.
fn changes(watch: &Watch) -> Vec<Change> {
    let events = watch.batches.iter().flat_map(|batch| &batch.events);
    let of_keys = events.filter(|event| !event.is_twin);
    of_keys
        .map(|event| Change {
            revision: event.revision,
            key: event.key,
            value: event.value,
        })
        .collect()
}

/// Has the server forget what every watcher has heard of.
async fn compact(world: &World, heard: &[watch::Receiver<Watch>]) {
    let heard = heard.iter().map(|watch| last_revision(&watch.borrow()));
    let revision = heard.min().unwrap_or(0);
    let url = world.url.borrow().clone();
    if revision > 0
        && let Ok(channel) = connect(&url).await
    {
        let request = rpc::CompactionRequest {
            revision,
            physical: false,
        };
        let compacted =
            call::<_, rpc::CompactionResponse>(&channel, "/etcdserverpb.KV/Compact", request);
        // That it was done already is no harm.
        let _refused = compacted.await;
    }
}

async fn client(world: Arc<World>, mut random: Random) {
    let mut url = world.url.clone();
    // What it believes that the keys hold.
    let mut seen: [Value; KEYS] = [None; KEYS];
    loop {
        let current = url.borrow_and_update().clone();
        if let Ok(channel) = connect(&current).await {
            loop {
                if world.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let key = random.below(KEYS as u64) as usize;
                let value = || world.next_value.fetch_add(1, Ordering::Relaxed);
                let op = match random.below(10) {
                    0..3 => Op::Get,
                    3..6 => Op::Put(value()),
                    6 => Op::Delete,
                    _ => Op::Swap {
                        from: seen[key],
                        to: value(),
                    },
                };
                let asked = ask(&world, &channel, key, op).await;
                world.calls.lock().expect("no client panics").push(asked);
                match asked.answer.map(|answer| answer.outcome) {
                    Some(Outcome::Found(found)) => seen[key] = found,
                    Some(_) => seen[key] = asked.step(seen[key]).unwrap_or_default(),
                    None => break,
                }
            }
        }
        if url.changed().await.is_err() {
            return;
        }
    }
}

/// Asks, and writes down what was answered.
async fn ask(world: &World, channel: &Channel, key: usize, op: Op) -> Call {
    let called = world.start.elapsed();
    let answer = match op {
        Op::Get => get(channel, key).await,
        Op::Put(value) => write(channel, None, puts(key, value), key).await,
        Op::Delete => write(channel, None, deletions(key), key).await,
        Op::Swap { from, to } => write(channel, Some(from), puts(key, to), key).await,
    };
    let at = world.start.elapsed();
    let answer = answer.ok().map(|(revision, outcome)| Answer {
        at,
        revision,
        outcome,
    });
    Call {
        key,
        op,
        called,
        answer,
    }
}

async fn get(channel: &Channel, key: usize) -> Result<(i64, Outcome), Status> {
    let answer: rpc::RangeResponse = call(channel, "/etcdserverpb.KV/Range", range(key)).await?;
    let revision = answer
        .header
        .as_ref()
        .expect("every answer has one")
        .revision;
    Ok((revision, Outcome::Found(found(&answer))))
}

async fn write(
    channel: &Channel,
    guard: Option<Value>,
    success: Vec<rpc::RequestOp>,
    key: usize,
) -> Result<(i64, Outcome), Status> {
    let txn = rpc::TxnRequest {
        compare: guard.into_iter().map(|value| holds(key, value)).collect(),
        success,
        failure: vec![step(Step::RequestRange(range(key)))],
    };
    let answer: rpc::TxnResponse = call(channel, "/etcdserverpb.KV/Txn", txn).await?;
    let revision = answer.header.expect("every answer has one").revision;
    let outcome = match answer.responses[0]
        .response
        .as_ref()
        .expect("one of the kinds")
    {
        Stepped::ResponsePut(_) => Outcome::Written,
        Stepped::ResponseDeleteRange(deletion) => Outcome::Deleted(deletion.deleted > 0),
        Stepped::ResponseRange(range) => Outcome::Found(found(range)),
        Stepped::ResponseTxn(_) => unreachable!("was not asked for"),
    };
    Ok((revision, outcome))
}

fn name(key: usize, is_twin: bool) -> Vec<u8> {
    let folder = if is_twin { "twin" } else { "key" };
    format!("/{folder}/{key}").into_bytes()
}

fn range(key: usize) -> rpc::RangeRequest {
    rpc::RangeRequest {
        key: name(key, false).into(),
        ..Default::default()
    }
}

fn found(answer: &rpc::RangeResponse) -> Value {
    answer.kvs.first().map(|kv| parse(&kv.value))
}

/// A large object: so the log is soon long enough for a checkpoint.
fn print(value: u64) -> Vec<u8> {
    format!("{value:<15000}").into_bytes()
}

fn parse(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).expect("it was printed");
    text.trim().parse().expect("it was printed")
}

fn puts(key: usize, value: u64) -> Vec<rpc::RequestOp> {
    let put = |is_twin| {
        step(Step::RequestPut(rpc::PutRequest {
            key: name(key, is_twin).into(),
            value: print(value).into(),
            ..Default::default()
        }))
    };
    vec![put(false), put(true)]
}

fn deletions(key: usize) -> Vec<rpc::RequestOp> {
    let delete = |is_twin| {
        step(Step::RequestDeleteRange(rpc::DeleteRangeRequest {
            key: name(key, is_twin).into(),
            ..Default::default()
        }))
    };
    vec![delete(false), delete(true)]
}

fn step(request: Step) -> rpc::RequestOp {
    rpc::RequestOp {
        request: Some(request),
    }
}

fn holds(key: usize, value: Value) -> rpc::Compare {
    let (target, union) = match value {
        Some(value) => (
            CompareTarget::Value,
            TargetUnion::Value(print(value).into()),
        ),
        None => (CompareTarget::Version, TargetUnion::Version(0)),
    };
    rpc::Compare {
        result: CompareResult::Equal.into(),
        target: target.into(),
        key: name(key, false).into(),
        target_union: Some(union),
        ..Default::default()
    }
}

/// Watches everything, over any number of connections, until nobody wants to hear of it.
async fn watcher(world: Arc<World>, hear: watch::Sender<Watch>) {
    let mut url = world.url.clone();
    loop {
        let current = url.borrow_and_update().clone();
        if let Ok(channel) = connect(&current).await {
            let _ended_with_the_server = follow(&channel, &hear).await;
        }
        if url.changed().await.is_err() || hear.is_closed() {
            return;
        }
    }
}

async fn follow(channel: &Channel, hear: &watch::Sender<Watch>) -> Result<(), Status> {
    let start_revision = {
        let watch = hear.borrow();
        watch.start_revision.max(last_revision(&watch) + 1)
    };
    use rpc::watch_request::RequestUnion;
    let request = |union| rpc::WatchRequest {
        request_union: Some(union),
    };
    let (requests, receiver) = mpsc::channel(4);
    let create = rpc::WatchCreateRequest {
        key: "/".into(),
        range_end: "0".into(),
        start_revision,
        ..Default::default()
    };
    let created = requests
        .send(request(RequestUnion::CreateRequest(create)))
        .await;
    created.expect("the receiver is here");
    let requests_stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut answers: tonic::Streaming<rpc::WatchResponse> =
        stream(channel, "/etcdserverpb.Watch/Watch", requests_stream).await?;
    let mut messages = 0;
    while let Some(answer) = answers.message().await? {
        assert!(!answer.canceled, "a watch was cancelled: {answer:?}");
        if answer.created {
            continue;
        }
        let batch = Batch {
            revision: answer.header.expect("every answer has one").revision,
            events: answer.events.iter().map(event).collect(),
        };
        hear.send_modify(|watch| watch.batches.push(batch));
        messages += 1;
        if messages % 20 == 0 {
            let progress = RequestUnion::ProgressRequest(rpc::WatchProgressRequest {});
            // Full: the one before was not answered yet.
            let _asked = requests.try_send(request(progress));
        }
    }
    Ok(())
}

fn event(event: &etcd::grpc::pb::mvccpb::Event) -> Event {
    let kv = event.kv.as_ref().expect("every event has one");
    let name = std::str::from_utf8(&kv.key).expect("it was printed");
    let (folder, key) = name[1..].split_once('/').expect("it was printed");
    let is_put = event.r#type() == etcd::grpc::pb::mvccpb::event::EventType::Put;
    Event {
        revision: kv.mod_revision,
        key: key.parse().expect("it was printed"),
        is_twin: folder == "twin",
        value: is_put.then(|| parse(&kv.value)),
    }
}

/// Numbers by chance, the same for the same seed (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.max(1);
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
