//! What is measured: each row of the table, as a load on one server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use measure::Measured;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::client::{Client, JSON, PROTOBUF};
use crate::objects::{SCRATCH, bytes, namespace_of, pod, pods};
use crate::server::Server;

/// Connections that clients share, at most.
const CONNECTIONS: usize = 10;
/// Watches that share a connection: upstream's limit of streams is 250, and so is ours.
const WATCHES_EACH: usize = 200;
/// Watchers of the row about watches.
const WATCHERS: usize = 1000;
/// Objects of a page.
const PAGE: usize = 500;
/// Pods that each client reads and changes.
const PODS_EACH: usize = 20;

/// A row.
#[derive(Debug, Clone, Copy)]
pub enum Row {
    /// Pods made by so many clients.
    Create(usize),
    /// Pods changed by so many clients: an update of the whole object.
    Update(usize),
    /// Pods read by so many clients.
    Get(usize),
    /// Lists of so many pods, in this form, chosen so.
    List(usize, &'static str, Choice),
    /// One object that a thousand watch: changes, each until all have heard.
    FanOut,
    /// By so many clients: of twenty requests 13 reads, 4 updates, a list of 500, and a pod that is
    /// made and removed.
    Mixed(usize),
}

/// Which pods of a list.
#[derive(Debug, Clone, Copy)]
pub enum Choice {
    /// All at once.
    All,
    /// One of a hundred, by a label.
    Labelled,
    /// All, in pages.
    Paged,
}

/// All rows.
pub const ROWS: &[Row] = &[
    Row::Create(1),
    Row::Create(10),
    Row::Create(100),
    Row::Update(1),
    Row::Update(100),
    Row::Get(1),
    Row::Get(100),
    Row::List(1, JSON, Choice::All),
    Row::List(500, JSON, Choice::All),
    Row::List(500, PROTOBUF, Choice::All),
    Row::List(10_000, JSON, Choice::All),
    Row::List(10_000, PROTOBUF, Choice::All),
    Row::List(10_000, JSON, Choice::Labelled),
    Row::List(10_000, JSON, Choice::Paged),
    Row::List(50_000, JSON, Choice::All),
    Row::List(50_000, PROTOBUF, Choice::All),
    Row::List(50_000, JSON, Choice::Labelled),
    Row::List(50_000, JSON, Choice::Paged),
    Row::FanOut,
    Row::Mixed(20),
];

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let clients = |n: &usize| measure::clients(*n);
        match self {
            Row::Create(n) => write!(f, "create, {}", clients(n)),
            Row::Update(n) => write!(f, "update, {}", clients(n)),
            Row::Get(n) => write!(f, "get, {}", clients(n)),
            Row::List(pods, form, choice) => {
                let form = if *form == PROTOBUF {
                    "protobuf"
                } else {
                    "JSON"
                };
                let choice = match choice {
                    Choice::All => "",
                    Choice::Labelled => ", 1 of 100 by label",
                    Choice::Paged => ", in pages",
                };
                write!(f, "list of {pods}, {form}{choice}")
            }
            Row::FanOut => write!(f, "a change to {WATCHERS} watchers"),
            Row::Mixed(n) => write!(f, "mixed, {}", clients(n)),
        }
    }
}

impl Row {
    /// How many pods its list has; 0 where it lists none.
    pub fn pods(self) -> usize {
        match self {
            Row::List(pods, ..) => pods,
            Row::Mixed(_) => PAGE,
            _ => 0,
        }
    }

    /// Measures it.
    ///
    /// # Errors
    /// If the server fails.
    pub async fn measure(self, server: &Server, time: Duration) -> Result<Measured> {
        let run = Run { server, time };
        match self {
            Row::Create(clients) => {
                let made = unused();
                run.of(clients, move |client, n, connection| {
                    let made = format!("{made}-{client}-{n}");
                    async move { create(connection, made).await.map(drop) }
                })
                .await
            }
            Row::Update(clients) => {
                let own = Own::make(server, clients).await?;
                run.of(clients, move |client, n, connection| {
                    update(connection, own.clone(), client, n)
                })
                .await
            }
            Row::Get(clients) => {
                let own = Own::make(server, clients).await?;
                run.of(clients, move |client, n, connection| {
                    get(connection, own.clone(), client, n)
                })
                .await
            }
            Row::List(pods, form, choice) => {
                // Several at once fit no memory of upstream's, where lists are long.
                let clients = if pods > PAGE { 1 } else { 10 };
                run.of(clients, move |_, _, connection| {
                    list(connection, pods, form, choice)
                })
                .await
            }
            Row::FanOut => fan_out(server, time).await,
            Row::Mixed(clients) => {
                let own = Own::make(server, clients).await?;
                run.of(clients, move |client, n, connection| {
                    mixed(connection, own.clone(), client, n)
                })
                .await
            }
        }
    }
}

struct Run<'a> {
    server: &'a Server,
    time: Duration,
}

impl Run<'_> {
    async fn of<F, R>(&self, clients: usize, operation: F) -> Result<Measured>
    where
        F: Fn(usize, u64, Client) -> R + Clone + Send + 'static,
        R: Future<Output = Result<()>> + Send,
    {
        let connections = self.server.connections(clients.min(CONNECTIONS)).await?;
        let cpu = || self.server.cpu();
        measure::run(cpu, &connections, clients, self.time, operation).await
    }
}

/// A name that no earlier row has used.
fn unused() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("run-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Pods of each client, as the server has answered them.
struct Own(Vec<Value>);

impl Own {
    async fn make(server: &Server, clients: usize) -> Result<Arc<Own>> {
        let made = unused();
        let connection = server.connect().await?;
        let mut pods = Vec::new();
        for n in 0..clients * PODS_EACH {
            pods.push(create(connection.clone(), format!("{made}-{n}")).await?);
        }
        Ok(Arc::new(Own(pods)))
    }

    fn pod(&self, client: usize, n: u64) -> &Value {
        &self.0[client * PODS_EACH + n as usize % PODS_EACH]
    }

    fn path(&self, client: usize, n: u64) -> String {
        let name = self.pod(client, n)["metadata"]["name"].as_str();
        format!("{}/{}", pods(SCRATCH), name.unwrap_or_default())
    }
}

async fn create(connection: Client, name: String) -> Result<Value> {
    let body = bytes(&pod(&name, 1));
    let answer = connection.call("POST", &pods(SCRATCH), JSON, body).await?;
    Ok(serde_json::from_slice(&answer)?)
}

async fn get(connection: Client, own: Arc<Own>, client: usize, n: u64) -> Result<()> {
    let path = own.path(client, n);
    connection.call("GET", &path, JSON, Bytes::new()).await?;
    Ok(())
}

/// An update without a condition: of the whole pod, with another annotation.
async fn update(connection: Client, own: Arc<Own>, client: usize, n: u64) -> Result<()> {
    let mut object = own.pod(client, n).clone();
    object["metadata"]["resourceVersion"].take();
    object["metadata"]["annotations"]["example.com/checksum"] = n.to_string().into();
    let path = own.path(client, n);
    connection.call("PUT", &path, JSON, bytes(&object)).await?;
    Ok(())
}

async fn delete(connection: Client, name: String) -> Result<()> {
    let path = format!("{}/{name}?gracePeriodSeconds=0", pods(SCRATCH));
    connection.call("DELETE", &path, JSON, Bytes::new()).await?;
    Ok(())
}

async fn list(connection: Client, count: usize, form: &'static str, choice: Choice) -> Result<()> {
    let path = pods(&namespace_of(count));
    match choice {
        Choice::All => {
            connection.drain(&path, form).await?;
        }
        Choice::Labelled => {
            let path = format!("{path}?labelSelector=pick%3Dme");
            connection.drain(&path, form).await?;
        }
        Choice::Paged => {
            let mut next = String::new();
            loop {
                let page = format!("{path}?limit={PAGE}&continue={next}");
                let body = connection.call("GET", &page, JSON, Bytes::new()).await?;
                next = continue_token(&body)?;
                if next.is_empty() {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// The token of a page, without the work of reading all of its objects.
fn continue_token(body: &[u8]) -> Result<String> {
    #[derive(Default, serde::Deserialize)]
    struct Metadata {
        #[serde(default, rename = "continue")]
        next: String,
    }
    #[derive(serde::Deserialize)]
    struct Page {
        metadata: Metadata,
    }
    let page: Page = serde_json::from_slice(body).context("a page")?;
    Ok(page.metadata.next)
}

async fn mixed(connection: Client, own: Arc<Own>, client: usize, n: u64) -> Result<()> {
    let new = |n| {
        let first = own.pod(client, 0)["metadata"]["name"].as_str();
        format!("{}-new-{n}", first.unwrap_or_default())
    };
    match n % 20 {
        0 => list(connection, PAGE, JSON, Choice::All).await,
        1 => create(connection, new(n)).await.map(drop),
        2 => delete(connection, new(n - 1)).await,
        3..7 => update(connection, own, client, n).await,
        _ => get(connection, own, client, n).await,
    }
}

/// Opens watches of the config maps of the scratch namespace, many on a connection.
///
/// # Errors
/// If one is refused.
pub async fn watches(server: &Server, count: usize) -> Result<Vec<Incoming>> {
    let path = format!(
        "/api/v1/namespaces/{SCRATCH}/configmaps?watch=true&resourceVersion={}",
        revision(server).await?
    );
    let mut open = Vec::new();
    for connection in server.connections(count.div_ceil(WATCHES_EACH)).await? {
        for _ in 0..WATCHES_EACH.min(count - open.len()) {
            open.push(connection.open("GET", &path, JSON, Bytes::new()).await?);
        }
    }
    Ok(open)
}

async fn revision(server: &Server) -> Result<String> {
    let path = format!("/api/v1/namespaces/{SCRATCH}/configmaps");
    let list = server.connect().await?;
    let list = list.call("GET", &path, JSON, Bytes::new()).await?;
    let list: Value = serde_json::from_slice(&list)?;
    let revision = list["metadata"]["resourceVersion"].as_str();
    Ok(revision.context("a list has a resourceVersion")?.to_owned())
}

async fn fan_out(server: &Server, time: Duration) -> Result<Measured> {
    let client = server.connect().await?;
    let name = unused();
    let path = format!("/api/v1/namespaces/{SCRATCH}/configmaps");
    let object = json!({"metadata": {"name": name}, "data": {"n": "0"}});
    client.call("POST", &path, JSON, bytes(&object)).await?;
    let (heard, mut all_heard) = mpsc::unbounded_channel();
    let count = Arc::new(AtomicUsize::new(0));
    for watch in watches(server, WATCHERS).await? {
        tokio::spawn(listen(watch, count.clone(), heard.clone()));
    }
    let path = format!("{path}/{name}");
    let (begun, cpu) = (Instant::now(), server.cpu());
    let mut latencies = Vec::new();
    while begun.elapsed() < time {
        // It began as 0, and a change to what is there already is none.
        let change = json!({"data": {"n": (latencies.len() + 1).to_string()}});
        let start = Instant::now();
        client.call("PATCH", &path, JSON, bytes(&change)).await?;
        all_heard.recv().await.context("watches go on")?;
        latencies.push(start.elapsed());
    }
    Measured::of(latencies, begun.elapsed(), server.cpu() - cpu)
}

/// Counts the events of a watch; says when a thousand more have come to all watches together.
async fn listen(mut watch: Incoming, count: Arc<AtomicUsize>, heard: mpsc::UnboundedSender<()>) {
    while let Some(Ok(frame)) = watch.frame().await {
        let data = frame.into_data().unwrap_or_default();
        for _ in data.iter().filter(|byte| **byte == b'\n') {
            let before = count.fetch_add(1, Ordering::Relaxed);
            if (before + 1).is_multiple_of(WATCHERS) && heard.send(()).is_err() {
                return;
            }
        }
    }
}
