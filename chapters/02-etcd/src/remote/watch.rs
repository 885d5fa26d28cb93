//! A watch that outlives its stream, its connection and its member.

use std::time::Duration;

use grpc::client::{Code, Replies, Requests, Status};

use super::messages as wire;
use super::{Client, PAUSE, convert, is_passing};
use crate::api::*;

/// What asks a member to end the stream when it has no leader: such a member hears of nothing.
/// Upstream: `clientv3.WithRequireLeader`.
const REQUIRE_LEADER: &[(&str, &str)] = &[("hasleader", "true")];
/// How long a member may take to begin a watch.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A watch of a cluster. Dropping it ends it.
pub struct RemoteWatcher {
    client: Client,
    request: WatchRequest,
    /// The first revision that was not told yet; 0 until it is known where now is.
    next: Revision,
    stream: Option<Stream>,
}

struct Stream {
    /// Kept, as its end is the stream's.
    _requests: Requests<wire::WatchRequest>,
    replies: Replies<wire::WatchRequest>,
    /// Which choice of a member it goes by.
    number: u64,
}

impl RemoteWatcher {
    pub(super) fn new(client: Client, request: WatchRequest) -> Self {
        Self {
            client,
            next: request.start_revision,
            request,
            stream: None,
        }
    }

    /// The next changes, in order: one or more revisions, each whole. While no member can be
    /// reached it waits.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Compacted`] if changes that were not told yet were forgotten; [`Error::Unavailable`]
    /// if a member refuses the watch.
    pub async fn recv(&mut self) -> Result<WatchBatch, Error> {
        loop {
            let reply = match self.reply().await {
                Ok(reply) => reply,
                Err(status) if is_passing(&status) => {
                    tracing::info!(%status, next_revision = self.next, "beginning the watch again");
                    self.end().await;
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(status) => return Err(convert::error(status, self.next)),
            };
            if let Some(batch) = self.told(reply)? {
                return Ok(batch);
            }
        }
    }

    /// The stream's next reply.
    async fn reply(&mut self) -> Result<wire::WatchResponse, Status> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(open(&self.client, &self.request, self.next).await?),
        };
        match stream.replies.next().await? {
            Some(reply) => Ok(reply),
            None => Err(Status::new(Code::Unavailable, "the member ended the watch")),
        }
    }

    async fn end(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.client.forget(stream.number).await;
        }
    }

    /// What a reply tells, if anything.
    fn told(&mut self, reply: wire::WatchResponse) -> Result<Option<WatchBatch>, Error> {
        if reply.canceled {
            self.stream = None;
            if reply.compact_revision > 0 {
                let compact_revision = reply.compact_revision;
                return Err(Error::Compacted { compact_revision });
            }
            let reason = Status::new(Code::Unavailable, reply.cancel_reason);
            return Err(convert::error(reason, self.next));
        }
        if reply.created {
            // From now on: if the stream breaks before the first change, from there.
            if self.next == 0 {
                self.next = reply.header.map_or(0, |header| header.revision) + 1;
            }
            return Ok(None);
        }
        let events: Vec<Event> = reply.events.into_iter().map(convert::event).collect();
        let Some(last) = events.last() else {
            return Ok(None);
        };
        let revision = last.kv.mod_revision;
        self.next = revision + 1;
        Ok(Some(WatchBatch { revision, events }))
    }
}

async fn open(client: &Client, request: &WatchRequest, next: Revision) -> Result<Stream, Status> {
    let mut line = client.line().await?;
    let create = convert::watch_create(request, next);
    let opening = line.connection.stream(&create, REQUIRE_LEADER);
    let opened = match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
        Ok(opened) => opened,
        Err(_) => Err(Status::new(
            Code::DeadlineExceeded,
            "context deadline exceeded",
        )),
    };
    match opened {
        Ok((requests, replies)) => Ok(Stream {
            _requests: requests,
            replies,
            number: line.number,
        }),
        Err(status) => {
            client.forget(line.number).await;
            Err(status)
        }
    }
}
