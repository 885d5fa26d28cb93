//! Watches: changes as they happen, as a stream of events that ends when the client goes. As JSON
//! each is a line, as protobuf each comes after its length.
//!
//! A watch with a selector is a window on part of a resource. An object that changes may enter
//! that part (`ADDED`), stay in it (`MODIFIED`) or leave it (`DELETED`), whatever happened to it
//! itself.
//!
//! Left out: compressed watches.
//!
//! Upstream: KEP-956 (bookmarks), KEP-3157 (lists as the beginning of a watch).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use etcd::api::Revision;
use futures::{Stream, StreamExt, stream};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::Api;
use super::answer::{self, Body};
use super::call::Call;
use super::options;
use super::path::Query;
use super::view::{View, Wanted};
use crate::custom;
use crate::registry::cache::{Change, Entry, Slot};
use crate::registry::list::{MATCH, Selection, invalid_options, parse_version};
use crate::resources::Served;
use crate::status::{ApiError, FieldError};
use crate::trace;

/// How long a watch lives whose client does not say: a watch is no place to stay forever, since
/// nobody would notice that its other end is gone.
const LONGEST: Duration = Duration::from_secs(45 * 60);
/// What a client may ask for at most: a month. An end that no clock can tell would be none.
const LIFETIME_SECONDS_MAX: u64 = 30 * 24 * 3600;
/// How often a quiet watch is told the current revision, so that it can resume from there.
const BOOKMARKS: Duration = Duration::from_secs(60);
/// At most this many bytes are made ready before they are sent.
const CHUNK: usize = 64 * 1024;

/// What a watch asks for.
#[derive(Debug)]
struct Options {
    /// Changes after this revision; none is the objects themselves first.
    after: Option<Revision>,
    bookmarks: bool,
    send_initial: bool,
    lifetime: Duration,
}

impl Options {
    fn parse(query: &Query) -> Result<Options, ApiError> {
        let version = parse_version(query.get("resourceVersion"))?;
        let wanted = query.get("resourceVersionMatch");
        let given = query.has("sendInitialEvents");
        let mut errors = Vec::new();
        let mut forbid = |detail: &str| errors.push(FieldError::forbidden(MATCH, detail));
        if given && wanted != "NotOlderThan" {
            forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
        }
        if !given && !wanted.is_empty() {
            forbid(
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            );
        }
        if !wanted.is_empty() && query.has("continue") {
            forbid("resourceVersionMatch is forbidden when continue is provided");
        }
        if !matches!(wanted, "" | "NotOlderThan") {
            let known = ["NotOlderThan"];
            errors.push(FieldError::not_supported(MATCH, &wanted.into(), &known));
        }
        invalid_options(&errors)?;
        // Who names no version is told the objects that are there, and has always been.
        let from_anywhere = matches!(version, None | Some(0));
        let send_initial = if given {
            query.flag("sendInitialEvents")
        } else {
            from_anywhere
        };
        let seconds = options::integer(query, "timeoutSeconds")?.unwrap_or(0);
        let seconds = u64::try_from(seconds).ok().filter(|&s| s > 0);
        Ok(Options {
            after: version.filter(|&version| version > 0),
            bookmarks: query.flag("allowWatchBookmarks"),
            send_initial,
            lifetime: seconds.map_or(LONGEST, |s| {
                Duration::from_secs(s.min(LIFETIME_SECONDS_MAX))
            }),
        })
    }
}

/// A watch that is under way.
pub struct Watch {
    api: Arc<Api>,
    client: trace::Client,
    served: Served,
    wanted: Wanted,
    slot: Arc<Slot>,
    selection: Selection,
    /// All changes up to here have been told.
    cursor: Revision,
    initial: std::vec::IntoIter<Arc<Entry>>,
    /// What comes after the initial objects.
    ends_initial: bool,
    changes: std::vec::IntoIter<Arc<Change>>,
    changed: tokio::sync::watch::Receiver<Revision>,
    /// Rings when it is time for a bookmark, or for the end. Set once and kept: news come often,
    /// and a timer for each turn would cost more than most of them.
    alarm: Pin<Box<Sleep>>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    until: Instant,
    /// Events that watches of this resource were told.
    told: Arc<AtomicU64>,
    over: bool,
}

/// Answers with a watch.
///
/// # Errors
/// As [`begin`].
pub async fn watch(call: &Call<'_>) -> Result<Response<Body>, ApiError> {
    let chunks = begin(call).await?.chunks();
    let frames = chunks.map(|chunk| Ok(Frame::data(chunk)));
    let mut response = answer::bytes(200, call.stream_view()?.stream_type(), Bytes::new());
    *response.body_mut() = StreamBody::new(frames).boxed_unsync();
    Ok(response)
}

/// Begins a watch.
///
/// # Errors
/// 400 or 422 if the options are wrong, 500 if objects would have to be converted by a webhook. A
/// revision that is no longer kept is told as an `ERROR`.
pub async fn begin(call: &Call<'_>) -> Result<Watch, ApiError> {
    let Call { api, query, .. } = call;
    if let Some(custom) = call.resource.custom {
        // Of what is still to come, too, nothing could be told.
        custom::check_conversion(custom)?;
    }
    let (view, selection) = (call.stream_view()?, call.selection()?);
    let options = Options::parse(query)?;
    let registry = &api.registry;
    let slot = registry.slot(view.resource)?;
    // Before anything is read, so that nothing is missed.
    let changed = slot.subscribe();
    let any_version = query.get("resourceVersion") == "0";
    let (initial, cursor) = match options.after {
        Some(after) if !options.send_initial => {
            // That it is no longer kept is an event of the watch, not an answer in its place:
            // clients look for it there, and ask for the same revision again otherwise.
            registry.wait_for(after).await?;
            (Vec::new(), after)
        }
        after => {
            match after {
                Some(after) => registry.wait_for(after).await?,
                None if any_version => {}
                None => registry.latest().await?,
            }
            if query.has("sendInitialEvents") && !options.send_initial {
                (Vec::new(), registry.cache.revision())
            } else {
                let listed = registry.current(&slot, &selection, 0);
                (listed.entries, listed.revision)
            }
        }
    };
    let now = Instant::now();
    let until = now + options.lifetime;
    let alarm = match options.bookmarks {
        true => until.min(now + BOOKMARKS),
        false => until,
    };
    Ok(Watch {
        api: api.clone(),
        client: trace::Client::new(&call.user.name, &call.headers, call.from),
        served: call.served.clone(),
        wanted: view.wanted,
        slot: slot.clone(),
        selection,
        cursor,
        initial: initial.into_iter(),
        ends_initial: options.send_initial && options.bookmarks,
        changes: Vec::new().into_iter(),
        changed,
        alarm: Box::pin(tokio::time::sleep_until(alarm)),
        stopping: Box::pin(api.shutdown.clone().cancelled_owned()),
        until,
        told: api.metrics.told(view.resource),
        over: false,
    })
}

impl Watch {
    /// What it tells, some events at a time.
    pub fn chunks(self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::unfold(self, |mut watch| async move {
            let chunk = watch.next().await?;
            Some((chunk, watch))
        })
    }

    /// The next lines, when there are some; none when the watch is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.over {
                return None;
            }
            let lines = self.ready();
            if !lines.is_empty() {
                return Some(lines.into());
            }
            tokio::select! {
                changed = self.changed.changed() => changed.ok()?,
                () = self.alarm.as_mut() => {
                    let now = Instant::now();
                    if now >= self.until {
                        return None;
                    }
                    self.alarm.as_mut().reset(self.until.min(now + BOOKMARKS));
                    return Some(self.bookmark().into());
                }
                () = retired(&self.served) => return None,
                () = self.stopping.as_mut() => return None,
            }
        }
    }

    /// The lines that can be told now.
    fn ready(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let api = self.api.clone();
        let (slot, served) = (self.slot.clone(), self.served.clone());
        let view = View {
            resource: &served.resource(),
            wanted: self.wanted,
        };
        while out.len() < CHUNK {
            if let Some(entry) = self.initial.next() {
                self.line(&mut out, &view, "ADDED", &entry, true);
            } else if std::mem::take(&mut self.ends_initial) {
                let bookmark = view.bookmark(self.cursor, true);
                view.event_of(&mut out, "BOOKMARK", &bookmark);
            } else if let Some(change) = self.changes.next() {
                self.cursor = change.revision;
                if let Some(kind) = transition(&self.selection, &change) {
                    self.line(&mut out, &view, kind, &change.entry, false);
                }
            } else {
                // All that is known by now will have been told when these changes have been.
                let known = api.registry.cache.revision();
                match slot.changes(self.cursor, known) {
                    Ok(changes) if changes.is_empty() => {
                        self.cursor = self.cursor.max(known);
                        break;
                    }
                    Ok(changes) => self.changes = changes.into_iter(),
                    Err(error) => {
                        view.event_of(&mut out, "ERROR", &error.to_status());
                        self.over = true;
                        break;
                    }
                }
            }
        }
        out
    }

    fn line(&mut self, out: &mut Vec<u8>, view: &View, kind: &str, entry: &Entry, initial: bool) {
        let begin = out.len();
        if let Err(error) = view.event(out, kind, &self.slot, entry) {
            out.truncate(begin);
            view.event_of(out, "ERROR", &error.to_status());
            self.over = true;
            return;
        }
        self.told.fetch_add(1, Ordering::Relaxed);
        if self.api.tap.is_on() {
            self.trace(kind, entry, initial);
        }
    }

    /// Tells those who trace what this watch is told.
    fn trace(&self, kind: &str, entry: &Entry, initial: bool) {
        self.api
            .tap
            .record(&trace::Record::Delivery(trace::Delivery {
                client: self.client.clone(),
                kind: kind.into(),
                object: trace::Object::of(&self.slot.resource(), &entry.key),
                revision: entry.revision,
                seen: self.api.registry.cache.revision(),
                initial,
            }));
    }

    fn bookmark(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let view = View {
            resource: &self.served.resource(),
            wanted: self.wanted,
        };
        view.event_of(&mut out, "BOOKMARK", &view.bookmark(self.cursor, false));
        out
    }
}

/// What a change is to a watch of this selection, if it is anything.
pub fn transition(selection: &Selection, change: &Change) -> Option<&'static str> {
    // ANCHOR: exercise-03.13
    let is = !change.deleted && selection.matches(&change.entry);
    let was = change
        .previous
        .as_ref()
        .is_some_and(|entry| selection.matches(entry));
    match (was, is) {
        (false, true) => Some("ADDED"),
        (true, true) => Some("MODIFIED"),
        (true, false) => Some("DELETED"),
        (false, false) => None,
    }
    // ANCHOR_END: exercise-03.13
}

/// Waits until what is watched is no longer served as it was: a custom resource's definition has
/// changed or is gone. Clients then look anew. What is built in stays.
async fn retired(served: &Served) {
    match served.custom() {
        Some(custom) => custom.definition.retired.cancelled().await,
        None => std::future::pending().await,
    }
}
