//! The store elsewhere: a client of etcd's API, for one member or many.
//!
//! One machine's store dies with the machine. Several etcd members agree on every write by Raft: a
//! leader puts it in its log, and acknowledges it once more than half of the members have it on
//! disk. So one of three can die and nothing that was acknowledged is lost; the others choose a new
//! leader within an election timeout (a second), and go on.
//!
//! ```text
//!                         ┌──► member 1   follower
//!   apiserver ── Client ──┼──► member 2   leader ◄── where calls go
//!                         └──► member 3   follower
//! ```
//!
//! What that means for a client is when it may ask again:
//!
//! - **A read** that failed is asked again, of another member, until [`PATIENCE`] is over.
//! - **A write that was not sent** is sent to another member.
//! - **A write that was sent and not answered** may have happened or not, or may happen yet.
//!   Sending it again is no answer: it compares a revision, so the second one fails just because
//!   the first was done. It ends as [`Error::Unavailable`], and whoever asked reads and decides.
//!   The API server hands that on as upstream's does: 500, `etcdserver: request timed out`.
//! - **A watch** that breaks is begun again after the last revision that it told.
//!
//! Left out: etcd's users and passwords (a certificate says who the client is), endpoints from DNS,
//! and streams other than watches. Upstream: `client/v3` in etcd-io/etcd, its `retry_interceptor.go`
//! above all, and `staging/src/k8s.io/apiserver/pkg/storage/etcd3`.

mod convert;
mod endpoints;
mod messages;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use grpc::client::{Code, Connection, Rpc, Status};
use tokio::sync::Mutex;

pub use endpoints::Config;
use endpoints::{Endpoints, Member};
use messages::Reply;
pub use watch::RemoteWatcher;

use crate::api::*;

/// How long a member is sought that can be asked, and a read is asked again.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long a call may take. A member gives a call up after seven seconds of its own.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a leader is sought before another member is good enough: a few election timeouts. A
/// member that has not noticed yet that the leader died would pass a write on to nobody.
const LEADER_PATIENCE: Duration = Duration::from_secs(3);
/// Between one try and the next.
const PAUSE: Duration = Duration::from_millis(50);

/// A client of an etcd cluster. Clones share a connection.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    endpoints: Endpoints,
    /// The member that is spoken to; none before the first call, and after one that failed.
    chosen: Mutex<Option<Chosen>>,
    choices: AtomicU64,
}

struct Chosen {
    member: Member,
    /// Counts the choices, so that only who saw this one fail can undo it.
    number: u64,
}

/// A connection of the member that is spoken to.
struct Line {
    connection: Connection,
    number: u64,
    term: u64,
}

impl Client {
    /// A client of the members that `config` names. Nothing is asked of them yet.
    ///
    /// # Errors
    ///
    /// If an endpoint or a file is not what it should be.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let shared = Shared {
            endpoints: Endpoints::new(config)?,
            chosen: Mutex::new(None),
            choices: AtomicU64::new(0),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Reads a range: of what is agreed on, whichever member answers.
    ///
    /// # Errors
    ///
    /// As [`crate::Store::range`], and [`Error::Unavailable`].
    pub async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        let asked = request.revision;
        let answer = self.read(&convert::range_request(request)).await;
        answer
            .map(convert::range_response)
            .map_err(|status| convert::error(status, asked))
    }

    /// Runs a transaction.
    ///
    /// # Errors
    ///
    /// As [`crate::Store::txn`]; after [`Error::Unavailable`] it may have happened.
    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Error> {
        let answer = self.write(&convert::txn_request(request)).await;
        answer
            .map(convert::txn_response)
            .map_err(|status| convert::error(status, 0))
    }

    /// Hears of changes.
    pub fn watch(&self, request: WatchRequest) -> RemoteWatcher {
        RemoteWatcher::new(self.clone(), request)
    }

    /// Forgets what only revisions before `revision` can see.
    ///
    /// # Errors
    ///
    /// As [`crate::Store::compact`], and [`Error::Unavailable`].
    pub async fn compact(&self, revision: Revision) -> Result<(), Error> {
        // Twice is no more than once.
        let answer = self.read(&messages::CompactionRequest { revision }).await;
        answer
            .map(drop)
            .map_err(|status| convert::error(status, revision))
    }

    /// Makes a lease.
    ///
    /// # Errors
    ///
    /// As [`crate::Store::lease_grant`]; after [`Error::Unavailable`] it may be there.
    pub async fn lease_grant(&self, id: LeaseId, ttl_seconds: i64) -> Result<LeaseId, Error> {
        let ttl = ttl_seconds;
        let answer = self.write(&messages::LeaseGrantRequest { ttl, id }).await;
        answer
            .map(|granted| granted.id)
            .map_err(|status| convert::error(status, 0))
    }

    /// The revision of the last write that is agreed on.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn revision(&self) -> Result<Revision, Error> {
        // Any read says it; this one finds nothing.
        let mut request = RangeRequest::new(KeyRange::One(Bytes::from_static(b"health")));
        request.count_only = true;
        self.range(request).await.map(|answer| answer.revision)
    }

    /// Whether the member that is spoken to leads.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn leads(&self) -> Result<bool, Error> {
        let status = self.read(&messages::StatusRequest {}).await;
        let status = status.map_err(|status| convert::error(status, 0))?;
        let leader = status.leader;
        Ok(status
            .header
            .is_some_and(|header| header.member_id == leader))
    }

    /// Bytes of the database of the member that is spoken to, when it was chosen.
    pub async fn size_bytes(&self) -> Option<u64> {
        let chosen = self.shared.chosen.lock().await;
        chosen.as_ref().map(|chosen| chosen.member.size_bytes)
    }

    /// Calls until there is an answer that another try would not change.
    async fn read<R: Rpc<Reply: Reply>>(&self, request: &R) -> Result<R::Reply, Status> {
        let began = Instant::now();
        loop {
            let mut line = self.line().await?;
            let answer = line.connection.call(request, CALL_TIMEOUT).await;
            match self.heard(&line, answer).await {
                Err(status) if is_passing(&status) && began.elapsed() < PATIENCE => {
                    tracing::debug!(%status, "asking again");
                    tokio::time::sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    /// Calls once.
    async fn write<R: Rpc<Reply: Reply>>(&self, request: &R) -> Result<R::Reply, Status> {
        let mut line = self.line().await?;
        let answer = line.connection.call(request, CALL_TIMEOUT).await;
        self.heard(&line, answer).await
    }

    /// A connection that takes calls: while there is none, nothing was sent.
    async fn line(&self) -> Result<Line, Status> {
        let began = Instant::now();
        loop {
            let found = self.chosen(began.elapsed() < LEADER_PATIENCE).await;
            let ready = match found {
                Ok(mut line) => match line.connection.ready().await {
                    Ok(()) => return Ok(line),
                    Err(status) => {
                        self.forget(line.number).await;
                        status
                    }
                },
                Err(status) => status,
            };
            if began.elapsed() >= PATIENCE {
                return Err(ready);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The member that was chosen, or is now: one that leads, if it must.
    async fn chosen(&self, must_lead: bool) -> Result<Line, Status> {
        let mut chosen = self.shared.chosen.lock().await;
        if let Some(open) = chosen
            .as_ref()
            .filter(|it| !it.member.connection.is_closed())
        {
            return Ok(open.line());
        }
        *chosen = None;
        let member = self.shared.endpoints.choose().await?;
        if must_lead && !member.is_leader {
            return Err(Status::new(Code::Unavailable, "etcdserver: no leader"));
        }
        let number = self.shared.choices.fetch_add(1, Ordering::Relaxed);
        Ok(chosen.insert(Chosen { member, number }).line())
    }

    /// Has the next call choose anew, unless one has already.
    async fn forget(&self, number: u64) {
        let mut chosen = self.shared.chosen.lock().await;
        if chosen.as_ref().is_some_and(|it| it.number == number) {
            *chosen = None;
        }
    }

    /// Takes note of what an answer says of the member that gave it.
    async fn heard<R: Reply>(&self, line: &Line, answer: Result<R, Status>) -> Result<R, Status> {
        let is_in_doubt = match &answer {
            // There was an election.
            Ok(reply) => reply
                .header()
                .is_some_and(|header| header.raft_term > line.term),
            Err(status) => is_passing(status),
        };
        if is_in_doubt {
            self.forget(line.number).await;
        }
        answer
    }
}

impl Chosen {
    fn line(&self) -> Line {
        Line {
            connection: self.member.connection.clone(),
            number: self.number,
            term: self.member.term,
        }
    }
}

/// Whether another member, or this one later, may do better: it does not answer, has no leader, or
/// lost it (`etcdserver: leader changed`).
fn is_passing(status: &Status) -> bool {
    matches!(status.code, Code::Unavailable | Code::DeadlineExceeded)
}
