//! List, then watch from where the list was: a copy without a gap.
//!
//! ```text
//!            Listed(items, 42)                    Event(43) … Bookmark(57)
//!   ┌──────┐ ───────────────► ┌──────────────────┐ ◄──┐ the revision moves on
//!   │ List │                  │ Watch from 42    │ ───┘
//!   └──────┘ ◄─────────────── └──────────────────┘ ◄──┐ ended or lost: watch again
//!       ▲ │    410 Expired                            │ from the same revision
//!       └─┘ failed: again, later                  ────┘
//! ```
//!
//! Why there is no gap: the watch starts at the very revision that the list was read at, and each
//! event moves that revision forward, so whatever breaks, the next request says exactly what has
//! been seen. Why 410 is not a failure: the server keeps a window of history, and a client that
//! was away for longer lists anew; it sees the same end, if not every step.
//!
//! Upstream: `client-go/tools/cache/reflector.go`.

use std::time::Duration;

use futures::StreamExt;
use kube::api::WatchEvent;

use crate::Object;
use crate::list_watch::{Error, Listed, ListerWatcher, Watch};

/// The first wait after a failure; it doubles up to [`BACKOFF_MAX`].
pub const BACKOFF_START: Duration = Duration::from_millis(5);
/// The longest wait after failures.
pub const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// What changed in the collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<K> {
    /// This is all there is; what was known before and is not here is gone.
    Replaced(Vec<K>),
    /// This object is there now, new or changed.
    Applied(K),
    /// This object is gone; here is how it was last.
    Deleted(K),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// List everything.
    List,
    /// Watch what comes after this revision.
    Watch {
        /// The last revision that was seen.
        resource_version: String,
    },
    /// Read on from the watch that is open.
    Continue,
}

/// What came of the last request.
#[derive(Debug)]
pub enum Input<K> {
    /// The list.
    Listed(Listed<K>),
    /// An event of the watch.
    Event(WatchEvent<K>),
    /// The watch ended in good order (its time was up).
    Ended,
    /// A request failed, or the watch broke.
    Failed(Error),
}

/// What follows from an input.
#[derive(Debug)]
pub struct Output<K> {
    /// A change to pass on.
    pub change: Option<Change<K>>,
    /// What to do next.
    pub request: Request,
    /// Wait before doing so: something failed.
    pub back_off: bool,
}

/// The decisions, without IO: knows what was seen and what to ask next.
#[derive(Debug, Default)]
pub struct ReflectorState {
    /// The last revision that was seen; `None` before the first list and after a 410.
    seen: Option<String>,
    /// Nothing has come of the watch since the last list.
    just_listed: bool,
}

impl ReflectorState {
    /// What to ask for now, without a watch being open.
    pub fn request(&self) -> Request {
        match &self.seen {
            None => Request::List,
            Some(seen) => Request::Watch {
                resource_version: seen.clone(),
            },
        }
    }

    /// Takes in what came of the last request.
    pub fn step<K: Object>(&mut self, input: Input<K>) -> Output<K> {
        match input {
            Input::Listed(Listed {
                items,
                resource_version,
            }) => {
                self.seen = Some(resource_version);
                self.just_listed = true;
                self.pass_on(Change::Replaced(items), self.request())
            }
            Input::Event(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                self.see(&object);
                self.pass_on(Change::Applied(object), Request::Continue)
            }
            Input::Event(WatchEvent::Deleted(object)) => {
                self.see(&object);
                self.pass_on(Change::Deleted(object), Request::Continue)
            }
            Input::Event(WatchEvent::Bookmark(bookmark)) => {
                self.seen = Some(bookmark.metadata.resource_version);
                self.just_listed = false;
                Output {
                    change: None,
                    request: Request::Continue,
                    back_off: false,
                }
            }
            Input::Event(WatchEvent::Error(status)) => {
                let expired = status.code == 410 || status.reason == "Expired";
                self.fail(expired)
            }
            Input::Ended => Output {
                change: None,
                request: self.request(),
                back_off: false,
            },
            Input::Failed(error) => self.fail(matches!(error, Error::Expired(_))),
        }
    }

    fn see<K: Object>(&mut self, object: &K) {
        self.just_listed = false;
        if let Some(revision) = &object.meta().resource_version {
            self.seen = Some(revision.clone());
        }
    }

    fn pass_on<K>(&self, change: Change<K>, request: Request) -> Output<K> {
        Output {
            change: Some(change),
            request,
            back_off: false,
        }
    }

    /// What follows when a request failed or the watch broke; `expired` says that the server no
    /// longer keeps the revision that was asked for.
    fn fail<K>(&mut self, expired: bool) -> Output<K> {
        // ANCHOR: exercise-07.1
        if expired {
            self.seen = None;
        }
        // An expired revision is no fault of the server's: list at once. But a revision that was
        // listed just now must not expire, and a server that says so must not be stormed.
        let back_off = !expired || std::mem::replace(&mut self.just_listed, false);
        Output {
            change: None,
            request: self.request(),
            back_off,
        }
        // ANCHOR_END: exercise-07.1
    }
}

/// A source of changes that never ends: a [`Reflector`], or anything that keeps its promise.
pub trait ChangeSource<K>: Send + 'static {
    /// The next change. Safe to drop between calls.
    fn next(&mut self) -> impl Future<Output = Change<K>> + Send;
}

/// Drives a [`ReflectorState`] with a [`ListerWatcher`].
pub struct Reflector<K, L> {
    lister_watcher: L,
    state: ReflectorState,
    watch: Option<Watch<K>>,
    back_off: Duration,
}

impl<K: Object, L: ListerWatcher<K>> Reflector<K, L> {
    /// A reflector that has seen nothing yet.
    pub fn new(lister_watcher: L) -> Self {
        Reflector {
            lister_watcher,
            state: ReflectorState::default(),
            watch: None,
            back_off: BACKOFF_START,
        }
    }

    async fn carry_out(&mut self, request: Request) -> Result<Option<Input<K>>, Error> {
        match request {
            Request::List => Ok(Some(Input::Listed(self.lister_watcher.list().await?))),
            Request::Watch { resource_version } => {
                self.watch = Some(self.lister_watcher.watch(&resource_version).await?);
                Ok(None)
            }
            Request::Continue => {
                let watch = self
                    .watch
                    .as_mut()
                    .expect("only an open watch is continued");
                match watch.next().await {
                    Some(event) => Ok(Some(Input::Event(event?))),
                    None => Ok(Some(Input::Ended)),
                }
            }
        }
    }
}

impl<K: Object, L: ListerWatcher<K>> ChangeSource<K> for Reflector<K, L> {
    async fn next(&mut self) -> Change<K> {
        loop {
            let request = if self.watch.is_some() {
                Request::Continue
            } else {
                self.state.request()
            };
            let input = match self.carry_out(request).await {
                Ok(None) => continue,
                Ok(Some(input)) => input,
                Err(error) => Input::Failed(error),
            };
            if let Input::Failed(error) = &input {
                tracing::debug!(%error, "a list or watch failed");
            }
            let Output {
                change,
                request,
                back_off,
            } = self.state.step(input);
            if request != Request::Continue {
                self.watch = None;
            }
            if back_off {
                tokio::time::sleep(self.back_off).await;
                self.back_off = (self.back_off * 2).min(BACKOFF_MAX);
            }
            if let Some(change) = change {
                self.back_off = BACKOFF_START;
                return change;
            }
        }
    }
}
