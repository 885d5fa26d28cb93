//! The shell around watching: API objects in, changes of records out.
//!
//! Chapter 7 takes `kube::runtime::watcher` apart; here it is a stream that lists, then watches,
//! and lists again when it has to. [`Collection`] turns its events into the set of all records.

use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use watches::Watched;

use crate::model::{All, Name, Record};

/// What happened to the objects of one kind.
#[derive(Debug)]
pub enum Change<R> {
    /// A list begins; the records that it does not bring are gone when it ends.
    ListBegins,
    /// A record of the list.
    Listed(Name, Option<R>),
    /// The list is complete.
    ListEnds,
    /// An object was made or changed.
    Applied(Name, Option<R>),
    /// An object is gone.
    Deleted(Name),
}

/// Every change of the objects behind `R`, in all namespaces. It never ends: what fails is tried
/// again, first at once, then a little later each time.
pub fn changes<R: Record>(client: &Client) -> impl Stream<Item = Change<R>> + Send + use<R> {
    let api: Api<R::Object> = Api::all(client.clone());
    // Few kinds of object come in such numbers that small pages cost anything; what a page holds
    // is held whole, so it decides the peak of our memory.
    let config = watcher::Config::default().page_size(100);
    R::Object::watch(api, config)
        .backoff(Patience::default())
        .filter_map(|event| async {
            match event {
                Ok(event) => Some(change(event)),
                Err(error) => {
                    let kind = R::Object::kind(&());
                    tracing::debug!(%kind, %error, "watch failed, trying again");
                    None
                }
            }
        })
}

fn change<R: Record>(event: Event<R::Object>) -> Change<R> {
    match event {
        Event::Init => Change::ListBegins,
        Event::InitApply(object) => Change::Listed(name(&object), R::of(&object)),
        Event::InitDone => Change::ListEnds,
        Event::Apply(object) => Change::Applied(name(&object), R::of(&object)),
        Event::Delete(object) => Change::Deleted(name(&object)),
    }
}

fn name<O: Resource>(object: &O) -> Name {
    let meta = object.meta();
    let namespace = meta.namespace.clone().unwrap_or_default();
    Name::new(namespace, meta.name.clone().unwrap_or_default())
}

/// All records of one kind, as of the last change.
#[derive(Debug)]
pub struct Collection<R> {
    current: All<R>,
    listing: Option<All<R>>,
    synced: bool,
}

impl<R> Default for Collection<R> {
    fn default() -> Self {
        Collection {
            current: All::new(),
            listing: None,
            synced: false,
        }
    }
}

impl<R: Record> Collection<R> {
    /// Takes a change in; answers whether any record is different now. While a list is under
    /// way the records of before stay in force.
    pub fn step(&mut self, change: Change<R>) -> bool {
        match change {
            Change::ListBegins => {
                self.listing = Some(All::new());
                false
            }
            Change::Listed(name, record) => {
                let listing = self.listing.get_or_insert_default();
                listing.extend(record.map(|record| (name, record)));
                false
            }
            Change::ListEnds => {
                let listed = self.listing.take().unwrap_or_default();
                let different = listed != self.current || !self.synced;
                self.current = listed;
                self.synced = true;
                different
            }
            Change::Applied(name, Some(record)) => {
                let different = self.current.get(&name) != Some(&record);
                self.current.insert(name, record);
                different
            }
            Change::Applied(name, None) | Change::Deleted(name) => {
                self.current.remove(&name).is_some()
            }
        }
    }

    /// Whether a list was complete at least once: before that, what is missing means nothing.
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// All records.
    pub fn all(&self) -> &All<R> {
        &self.current
    }
}

/// How long to wait before the next try: 5 ms, doubled each time up to 250 ms. A component that
/// starts with its API server must not be what the cluster waits for.
#[derive(Debug, Default)]
struct Patience {
    failures: u32,
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = Duration::from_millis(5 << self.failures.min(6));
        self.failures += 1;
        Some(wait.min(Duration::from_millis(250)))
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {
        self.failures = 0;
    }
}
