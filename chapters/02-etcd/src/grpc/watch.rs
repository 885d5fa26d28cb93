//! The service `Watch`: any number of watches over one stream.
//!
//! A stream is one future that is asked for bytes when the client has room for them. It takes the
//! client's requests, and what its watches have to tell, and writes as many answers as there are
//! into one piece. While the client does not read it is not asked, nothing is taken from the
//! watches, and they wait in the store at no cost.

use std::collections::HashMap;

use bytes::Bytes;
use grpc::Messages;
use tokio::time::Interval;
use tonic::Status;
use tonic::body::Body;

use super::pb::etcdserverpb::{
    WatchCreateRequest, WatchRequest, WatchResponse, watch_create_request::FilterType,
    watch_request::RequestUnion,
};
use super::pb::mvccpb;
use super::{Server, convert, header_at, kv};
use crate::api::{self, Error, Revision, WatchBatch};
use crate::watch::Watches;

/// Bytes after which a piece is sent, though there may be more to tell.
const PIECE_BYTES: usize = 64 * 1024;

/// The id of an answer that is about no watch, or all of them.
const NO_WATCH: i64 = -1;

/// What a client asked of one of its watches.
#[derive(Debug, Clone, Copy)]
struct Wishes {
    /// To be told the revision now and then.
    progress: bool,
    /// To have answers that are too long for it cut into parts.
    fragments: bool,
    /// It was told something since progress was last due.
    was_told: bool,
}

/// One client's stream.
struct Stream {
    server: Server,
    requests: Messages,
    watches: Watches,
    wishes: HashMap<i64, Wishes>,
    next_id: i64,
    period: Interval,
    /// Answers that are not yet sent.
    out: Vec<u8>,
    /// The client says no more; its watches go on.
    is_half_closed: bool,
    has_ended: bool,
}

/// Answers a call of `Watch`.
pub fn serve(server: Server, body: Body) -> http::Response<Body> {
    let mut period = tokio::time::interval(server.config.progress_interval());
    period.reset();
    let stream = Stream {
        requests: Messages::new(body, kv::MESSAGE_BYTES_MAX),
        watches: server.store.watches(),
        server,
        wishes: HashMap::new(),
        next_id: 0,
        period,
        out: Vec::new(),
        is_half_closed: false,
        has_ended: false,
    };
    grpc::stream(futures::stream::unfold(stream, |mut stream| async {
        let piece = stream.next().await?;
        Some((piece, stream))
    }))
}

impl Stream {
    /// The next answers; none once the client has gone.
    async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        while self.out.is_empty() {
            if self.has_ended {
                return None;
            }
            tokio::select! {
                request = self.requests.next(), if !self.is_half_closed => match request {
                    Ok(Some(request)) => self.take(request),
                    Ok(None) => self.is_half_closed = true,
                    Err(status) => {
                        self.has_ended = true;
                        return Some(Err(status));
                    }
                },
                ready = self.watches.ready() => match ready {
                    Ok(()) => self.tell_all(),
                    Err(error) => {
                        self.has_ended = true;
                        return Some(Err(convert::status(error)));
                    }
                },
                _ = self.period.tick() => self.periodic_progress(),
            }
        }
        // What is left in it was made to hold one piece; most are far smaller than the largest.
        Some(Ok(std::mem::take(&mut self.out).into()))
    }

    /// Tells what the watches have to tell, up to a piece's length.
    fn tell_all(&mut self) {
        while self.out.len() < PIECE_BYTES {
            let Some((id, told)) = self.watches.read() else {
                return;
            };
            match told {
                Ok(batch) => self.tell(id, batch),
                Err(error) => {
                    self.wishes.remove(&id);
                    self.end(id, error);
                }
            }
        }
    }

    fn tell(&mut self, id: i64, batch: WatchBatch) {
        self.server.metrics.events.add(batch.events.len() as u64);
        let mut fragments = false;
        if let Some(wishes) = self.wishes.get_mut(&id) {
            wishes.was_told = true;
            fragments = wishes.fragments;
        }
        let response = WatchResponse {
            header: header_at(batch.revision),
            watch_id: id,
            events: batch.events.into_iter().map(convert::event).collect(),
            ..WatchResponse::default()
        };
        if fragments {
            for part in parts(response, kv::MESSAGE_BYTES_MAX) {
                self.send(&part);
            }
        } else {
            self.send(&response);
        }
    }

    fn take(&mut self, request: WatchRequest) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => self.create(create),
            Some(RequestUnion::CancelRequest(cancel)) => self.cancel(cancel.watch_id),
            // It is said of all watches, so without one there is nothing to say.
            Some(RequestUnion::ProgressRequest(_)) if self.watches.is_empty() => {}
            Some(RequestUnion::ProgressRequest(_)) => {
                let revision = self.catch_up();
                self.send(&progress(NO_WATCH, revision));
            }
            None => {}
        }
    }

    fn create(&mut self, create: WatchCreateRequest) {
        let wishes = Wishes {
            progress: create.progress_notify,
            fragments: create.fragment,
            was_told: false,
        };
        let id = create.watch_id;
        let Ok(request) = watch_request(create) else {
            return self.refuse("mvcc: watcher range is empty");
        };
        let id = match id {
            0 => {
                while self.watches.contains(self.next_id) {
                    self.next_id += 1;
                }
                self.next_id += 1;
                self.next_id - 1
            }
            id => id,
        };
        if self.watches.contains(id) {
            return self.refuse("mvcc: duplicate watch ID provided on the WatchStream");
        }
        let added = self.watches.add(id, request);
        let created = WatchResponse {
            watch_id: id,
            created: true,
            ..self.response()
        };
        self.send(&created);
        match added {
            Ok(()) => {
                if wishes.progress || wishes.fragments {
                    self.wishes.insert(id, wishes);
                }
            }
            Err(error) => self.end(id, error),
        }
    }

    fn refuse(&mut self, reason: &str) {
        let refused = WatchResponse {
            watch_id: NO_WATCH,
            created: true,
            canceled: true,
            cancel_reason: reason.to_owned(),
            ..self.response()
        };
        self.send(&refused);
    }

    fn cancel(&mut self, id: i64) {
        self.wishes.remove(&id);
        if self.watches.remove(id) {
            let canceled = WatchResponse {
                watch_id: id,
                canceled: true,
                ..self.response()
            };
            self.send(&canceled);
        }
    }

    /// Says that a watch cannot go on.
    fn end(&mut self, id: i64, error: Error) {
        let ended = WatchResponse {
            watch_id: id,
            canceled: true,
            ..WatchResponse::default()
        };
        let ended = match error {
            // As in etcd it is told of no revision, and for no reason but this one.
            Error::Compacted { compact_revision } => WatchResponse {
                header: header_at(0),
                compact_revision,
                ..ended
            },
            error => WatchResponse {
                header: self.server.header(),
                cancel_reason: convert::status(error).message().to_owned(),
                ..ended
            },
        };
        self.send(&ended);
    }

    /// Tells everything up to the revision that is returned. The writer rings before a revision
    /// can be seen, so whatever belongs to one that is seen is ready to be told.
    fn catch_up(&mut self) -> Revision {
        loop {
            if let Some(revision) = self.watches.progress() {
                return revision;
            }
            while let Some((id, told)) = self.watches.read() {
                match told {
                    Ok(batch) => self.tell(id, batch),
                    Err(error) => self.end(id, error),
                }
            }
        }
    }

    /// Tells the revision to those who asked for that and heard nothing for a while.
    fn periodic_progress(&mut self) {
        let revision = self.catch_up();
        let mut due = Vec::new();
        for (id, wishes) in &mut self.wishes {
            if wishes.progress && !std::mem::take(&mut wishes.was_told) {
                due.push(*id);
            }
        }
        for id in due {
            self.send(&progress(id, revision));
        }
    }

    fn response(&self) -> WatchResponse {
        WatchResponse {
            header: self.server.header(),
            ..WatchResponse::default()
        }
    }

    fn send(&mut self, response: &WatchResponse) {
        grpc::put_message(&mut self.out, response);
    }
}

/// An answer in parts of at most `bytes_max`, if its events let it be parted. All but the last say
/// that more of the same revision is to come.
fn parts(mut whole: WatchResponse, bytes_max: usize) -> Vec<WatchResponse> {
    use prost::Message;
    let events = std::mem::take(&mut whole.events);
    let empty_bytes = whole.encoded_len();
    let mut parts: Vec<WatchResponse> = Vec::new();
    let mut bytes = usize::MAX;
    for event in events {
        let event: mvccpb::Event = event;
        // With its tag and length.
        let more = event.encoded_len() + 6;
        match parts.last_mut() {
            Some(part) if bytes + more <= bytes_max => {
                part.events.push(event);
                bytes += more;
            }
            before => {
                if let Some(part) = before {
                    part.fragment = true;
                }
                let mut part = whole.clone();
                part.events.push(event);
                parts.push(part);
                bytes = empty_bytes + more;
            }
        }
    }
    parts
}

fn progress(watch_id: i64, revision: Revision) -> WatchResponse {
    WatchResponse {
        header: header_at(revision),
        watch_id,
        ..WatchResponse::default()
    }
}

fn watch_request(create: WatchCreateRequest) -> Result<api::WatchRequest, Error> {
    let filters: Vec<FilterType> = create.filters().collect();
    // As in etcd no key is the first one; with an end of "\0", all.
    let key = if create.key.is_empty() {
        Bytes::from_static(&[0])
    } else {
        create.key
    };
    let range = convert::key_range(key, create.range_end)?;
    if range.end().is_some_and(|end| end <= *range.start()) {
        return Err(Error::Invalid("mvcc: watcher range is empty"));
    }
    Ok(api::WatchRequest {
        range,
        start_revision: create.start_revision,
        prev_kv: create.prev_kv,
        no_put: filters.contains(&FilterType::Noput),
        no_delete: filters.contains(&FilterType::Nodelete),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_answer_is_cut_between_events() {
        let event = |n: u8| mvccpb::Event {
            kv: Some(mvccpb::KeyValue {
                value: vec![n; 400].into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let whole = WatchResponse {
            watch_id: 7,
            events: (0..5).map(event).collect(),
            ..Default::default()
        };
        let parts = parts(whole.clone(), 1000);
        let shape: Vec<_> = parts
            .iter()
            .map(|part| (part.events.len(), part.fragment))
            .collect();
        assert_eq!(shape, [(2, true), (2, true), (1, false)]);
        let events: Vec<_> = parts.into_iter().flat_map(|part| part.events).collect();
        assert_eq!(events, whole.events);
    }
}
