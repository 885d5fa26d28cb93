//! A tap on the API server: who asked for what, what the store made of it, and whom it was told.
//!
//! Everything that components say to each other passes here, so one place can record all of it:
//!
//! ```text
//!   request ──▶ notes of this request ──▶ answer    one `Request`: code, writes, calls to kubelets
//!                 ▲ the registry: "written, 512"
//!   watch line ──────────────────────────────────▶  one `Delivery`: to whom, type, object, revision
//! ```
//!
//! Whoever gets [`PATH`] reads the records, one line of JSON each, from then on until they hang up:
//! `cargo xtask trace` draws them. The path is not upstream's (there, the audit log is nearest), and
//! is allowed as any other path is: to those whose roles have all `nonResourceURLs`, which of the
//! roles that are there from the start is `cluster-admin` alone.
//!
//! While nobody listens, a request and a line of a watch cost one atomic load each, and nothing is
//! allocated. While somebody does, a record is encoded once for all who listen; watched objects are
//! not decoded, since their key and revision are known beside their bytes. Who reads too slowly is
//! hung up on: a trace with a hole would draw what did not happen.

pub mod record;

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::mpsc;

pub use record::{Client, Delivery, KubeletCall, Object, Record, Request, Write};

/// Where the records are.
pub const PATH: &str = "/debug/workshop/trace";

/// How many records may wait for a listener.
const BACKLOG: usize = 16 * 1024;

/// The tap.
#[derive(Debug, Default)]
pub struct Tap {
    /// How many listen; read at every request and every line of a watch.
    count: AtomicUsize,
    listeners: Mutex<Vec<mpsc::Sender<Bytes>>>,
}

impl Tap {
    /// Whether somebody listens.
    pub fn is_on(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Listens: to everything that is answered from now on.
    pub fn listen(&self) -> mpsc::Receiver<Bytes> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let mut listeners = self.lock();
        listeners.push(sender);
        self.count.store(listeners.len(), Ordering::Relaxed);
        receiver
    }

    /// Hands a record to everyone who listens, and forgets those who hung up or cannot keep up.
    pub fn record(&self, record: &Record) {
        let mut line = serde_json::to_vec(record).expect("a record has only plain fields");
        line.push(b'\n');
        let line = Bytes::from(line);
        let mut listeners = self.lock();
        listeners.retain(|listener| listener.try_send(line.clone()).is_ok());
        self.count.store(listeners.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<mpsc::Sender<Bytes>>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    /// Who asks, by their name, their headers and their connection.
    pub fn new(user: &str, headers: &HeaderMap, from: SocketAddr) -> Client {
        let agent = headers.get(http::header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        let program = agent.unwrap_or_default().split('/').next();
        Client {
            user: user.into(),
            program: program.unwrap_or_default().into(),
            address: from.to_string(),
        }
    }
}

/// What is noted of a request while it is answered.
#[derive(Debug, Default)]
pub struct Notes {
    /// See [`Request::about`].
    pub about: Vec<Object>,
    /// See [`Request::writes`].
    pub writes: Vec<Write>,
    /// See [`Request::calls`].
    pub calls: Vec<KubeletCall>,
}

tokio::task_local! {
    /// The notes of the request that this task answers; there while somebody listens.
    static NOTES: RefCell<Notes>;
}

/// Answers a request with notes taken of it.
pub async fn noting<F: Future>(answer: F) -> (F::Output, Notes) {
    let noted = async {
        let answered = answer.await;
        (answered, NOTES.with(RefCell::take))
    };
    NOTES.scope(RefCell::default(), noted).await
}

/// Whether notes are taken of the request that this task answers.
pub fn is_noting() -> bool {
    NOTES.try_with(|_| ()).is_ok()
}

/// Notes something of the request that this task answers, if notes are taken of it.
pub fn note(something: impl FnOnce(&mut Notes)) {
    // Without notes there is nothing to do.
    let _ = NOTES.try_with(|notes| something(&mut notes.borrow_mut()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record::Delivery(Delivery {
            client: Client::new("jane", &HeaderMap::new(), ([127, 0, 0, 1], 9).into()),
            kind: "ADDED".into(),
            object: Object {
                resource: "pods".into(),
                namespace: "a".into(),
                name: "x".into(),
            },
            revision: 7,
            seen: 7,
            initial: false,
        })
    }

    #[test]
    fn is_on_while_somebody_listens() {
        let tap = Tap::default();
        assert!(!tap.is_on());
        let mut listener = tap.listen();
        assert!(tap.is_on());
        tap.record(&record());
        let line = listener.try_recv().expect("was told");
        assert_eq!(serde_json::from_slice::<Record>(&line).unwrap(), record());
        drop(listener);
        tap.record(&record());
        assert!(!tap.is_on());
    }

    #[test]
    fn hangs_up_on_the_slow() {
        let tap = Tap::default();
        let mut slow = tap.listen();
        for _ in 0..=BACKLOG {
            tap.record(&record());
        }
        assert!(!tap.is_on());
        let mut told = 0;
        while slow.blocking_recv().is_some() {
            told += 1;
        }
        assert_eq!(told, BACKLOG);
    }

    #[tokio::test]
    async fn notes_are_of_one_request() {
        note(|_| panic!("nobody listens"));
        let call = KubeletCall {
            node: "n".into(),
            request: "GET /x".into(),
            code: 200,
        };
        let (answer, notes) = noting(async {
            note(|notes| notes.calls.push(call.clone()));
            5
        })
        .await;
        assert_eq!((answer, notes.calls), (5, vec![call]));
        assert!(!is_noting());
    }
}
