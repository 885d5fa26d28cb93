//! The service `Watch`: any number of watches over one stream.
//!
//! One task serves a stream. Its watches are futures that each give one batch and the watcher
//! back; while the client does not read, nothing is taken from the watchers, and they wait in the
//! store at no cost.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use component::CancellationToken;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::pb::etcdserverpb::{
    WatchCreateRequest, WatchRequest, WatchResponse, watch_create_request::FilterType,
    watch_request::RequestUnion, watch_server::Watch,
};
use super::{Server, convert, header_at};
use crate::api::{self, Error, Revision, WatchBatch};
use crate::watch::Watcher;

/// Answers that wait for the client to read them.
const ANSWERS_WAITING: usize = 16;

/// How often a watch that asks for it is told the revision while nothing happens, as in etcd.
const PROGRESS_PERIOD: Duration = Duration::from_secs(600);

/// The id of an answer that is about no watch, or all of them.
const NO_WATCH: i64 = -1;

type Answers = mpsc::Sender<Result<WatchResponse, Status>>;

/// A watch that has something to tell; none if it was cancelled.
type Told = Option<(i64, Watcher, Result<WatchBatch, Error>)>;

/// The client has gone.
struct Gone;

struct Watches {
    server: Server,
    answers: Answers,
    telling: FuturesUnordered<BoxFuture<'static, Told>>,
    /// Each watch's end, and whether it asks for progress.
    active: HashMap<i64, (CancellationToken, bool)>,
    next_id: i64,
}

#[tonic::async_trait]
impl Watch for Server {
    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn watch(
        &self,
        requests: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (answers, receiver) = mpsc::channel(ANSWERS_WAITING);
        let watches = Watches {
            server: self.clone(),
            answers,
            telling: FuturesUnordered::new(),
            active: HashMap::new(),
            next_id: 0,
        };
        tokio::spawn(watches.run(requests.into_inner()));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

impl Watches {
    async fn run(mut self, mut requests: Streaming<WatchRequest>) {
        let mut period = tokio::time::interval(PROGRESS_PERIOD);
        period.reset();
        let answers = self.answers.clone();
        loop {
            let served = tokio::select! {
                request = requests.next() => match request {
                    Some(Ok(request)) => self.take(request).await,
                    Some(Err(_)) | None => Err(Gone),
                },
                Some(told) = self.telling.next() => self.tell(told).await,
                _ = period.tick() => self.periodic_progress().await,
                () = answers.closed() => Err(Gone),
            };
            if served.is_err() {
                break;
            }
        }
    }

    async fn take(&mut self, request: WatchRequest) -> Result<(), Gone> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => self.create(create).await,
            Some(RequestUnion::CancelRequest(cancel)) => self.cancel(cancel.watch_id).await,
            Some(RequestUnion::ProgressRequest(_)) => {
                let revision = self.catch_up().await?;
                self.send(progress(NO_WATCH, revision)).await
            }
            None => Ok(()),
        }
    }

    async fn create(&mut self, create: WatchCreateRequest) -> Result<(), Gone> {
        let progress_notify = create.progress_notify;
        let id = match create.watch_id {
            0 => {
                while self.active.contains_key(&self.next_id) {
                    self.next_id += 1;
                }
                self.next_id += 1;
                self.next_id - 1
            }
            id => id,
        };
        if self.active.contains_key(&id) {
            let reason = "mvcc: duplicate watch ID provided on the WatchStream";
            return self.refuse(reason).await;
        }
        let Ok(request) = watch_request(create) else {
            return self.refuse("mvcc: watcher range is empty").await;
        };
        let watcher = self.server.store.watch(request);
        let created = WatchResponse {
            watch_id: id,
            created: true,
            ..self.response()
        };
        self.send(created).await?;
        match watcher {
            Ok(watcher) => {
                self.active
                    .insert(id, (CancellationToken::new(), progress_notify));
                self.listen(id, watcher);
                Ok(())
            }
            Err(error) => self.end(id, error).await,
        }
    }

    async fn refuse(&mut self, reason: &str) -> Result<(), Gone> {
        let refused = WatchResponse {
            watch_id: NO_WATCH,
            created: true,
            canceled: true,
            cancel_reason: reason.to_owned(),
            ..self.response()
        };
        self.send(refused).await
    }

    async fn cancel(&mut self, id: i64) -> Result<(), Gone> {
        let Some((token, _)) = self.active.remove(&id) else {
            return Ok(());
        };
        token.cancel();
        self.send(WatchResponse {
            watch_id: id,
            canceled: true,
            ..self.response()
        })
        .await
    }

    fn listen(&mut self, id: i64, mut watcher: Watcher) {
        let Some((token, _)) = self.active.get(&id) else {
            return;
        };
        let token = token.clone();
        self.telling.push(Box::pin(async move {
            let told = token.run_until_cancelled(watcher.recv()).await?;
            Some((id, watcher, told))
        }));
    }

    async fn tell(&mut self, told: Told) -> Result<(), Gone> {
        let Some((id, watcher, batch)) = told else {
            return Ok(());
        };
        // It may have been cancelled after it had this to tell.
        if !self.active.contains_key(&id) {
            return Ok(());
        }
        match batch {
            Ok(batch) => {
                self.listen(id, watcher);
                self.send(WatchResponse {
                    header: header_at(batch.revision),
                    watch_id: id,
                    events: batch.events.into_iter().map(convert::event).collect(),
                    ..WatchResponse::default()
                })
                .await
            }
            Err(error) => {
                self.active.remove(&id);
                self.end(id, error).await
            }
        }
    }

    /// Ends a watch that cannot go on.
    async fn end(&mut self, id: i64, error: Error) -> Result<(), Gone> {
        let mut ended = WatchResponse {
            watch_id: id,
            canceled: true,
            ..self.response()
        };
        if let Error::Compacted { compact_revision } = &error {
            ended.compact_revision = *compact_revision;
        }
        ended.cancel_reason = convert::status(error).message().to_owned();
        self.send(ended).await
    }

    /// Tells everything up to the revision that is returned. The writer rings before a revision
    /// can be seen, so whatever belongs to one that is seen is ready to be told.
    async fn catch_up(&mut self) -> Result<Revision, Gone> {
        let revision = self.server.store.revision();
        // Unconstrained: to be asked to yield must not look like having nothing to tell.
        while let Some(Some(told)) = tokio::task::unconstrained(self.telling.next()).now_or_never()
        {
            self.tell(told).await?;
        }
        Ok(revision)
    }

    async fn periodic_progress(&mut self) -> Result<(), Gone> {
        let revision = self.catch_up().await?;
        let wanted = self.active.iter().filter(|(_, (_, progress))| *progress);
        let ids: Vec<i64> = wanted.map(|(id, _)| *id).collect();
        for id in ids {
            self.send(progress(id, revision)).await?;
        }
        Ok(())
    }

    fn response(&self) -> WatchResponse {
        WatchResponse {
            header: self.server.header(),
            ..WatchResponse::default()
        }
    }

    /// The future holds nothing of `self`, whose futures cannot be shared between threads.
    fn send(&self, response: WatchResponse) -> impl Future<Output = Result<(), Gone>> + use<> {
        let answers = self.answers.clone();
        async move { answers.send(Ok(response)).await.map_err(|_| Gone) }
    }
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
