//! Which records descend from the command, and in which order: pure.
//!
//! A cluster is never quiet, so most of what is recorded has nothing to do with the command. One
//! record belongs to its trace if
//!
//! 1. the command itself asked: it came over one of the command's own connections; or
//! 2. it is the news of a write that belongs; or
//! 3. a component asked which had such news before, about an object that belongs: one that a write
//!    that belongs has made or changed, or that is owned by, tells of, or lies in such an object.
//!
//! A heartbeat is never a reaction: Leases, and what a kubelet says of its own node. Nor is what
//! people do: somebody else's `kubectl` is another command, and its watch no part of this one.
//!
//! What a component asks without anything coming of it belongs, and is left out: it reads again what
//! it may have missed, or tries to write what is there already, or what somebody else has just
//! changed. How often is a matter of timing, and nobody else can tell.
//!
//! The store's revisions are the order: what was written, then whom it was told, then what was
//! asked when that was the latest. Records come in the order in which answers went out, which
//! is not it: whoever watches may be told of a write before its writer is.

use std::collections::HashSet;

use apiserver::trace::{Client, Object, Record, Request};

/// The connections of the command: addresses as the API server sees them.
pub type Own = HashSet<String>;

/// The records that belong to the command, in order.
pub fn descendants<'r>(records: &'r [Record], own: &Own) -> Vec<&'r Record> {
    let mut seen = Descent {
        own,
        revisions: HashSet::new(),
        objects: HashSet::new(),
        told: HashSet::new(),
    };
    let mut ordered = in_order(records);
    ordered.retain(|record| seen.take(record));
    ordered.retain(|record| match record {
        Record::Request(request) => own.contains(&request.client.address) || has_come_to(request),
        Record::Delivery(_) => true,
    });
    ordered
}

/// All records, in order.
pub fn in_order(records: &[Record]) -> Vec<&Record> {
    let mut ordered: Vec<&Record> = records.iter().collect();
    // Stable: what has the same place stays in the order in which it was recorded.
    ordered.sort_by_key(|record| place(record));
    ordered
}

/// The revision that a record belongs to, and its place there.
fn place(record: &Record) -> (i64, u8) {
    const WRITTEN: u8 = 0;
    const TOLD: u8 = 1;
    const AFTER: u8 = 2;
    match record {
        Record::Request(request) => match request.writes.first() {
            Some(write) => (write.revision, WRITTEN),
            None => (request.seen, AFTER),
        },
        // A watch that begins is told of old objects, now.
        Record::Delivery(delivery) if delivery.initial => (delivery.seen, AFTER),
        Record::Delivery(delivery) => (delivery.revision, TOLD),
    }
}

/// What is known of the descent at some place in the order.
struct Descent<'a> {
    own: &'a Own,
    /// Revisions of writes that belong.
    revisions: HashSet<i64>,
    /// Objects that belong.
    objects: HashSet<Object>,
    /// Users of components that had news which belongs.
    told: HashSet<String>,
}

impl Descent<'_> {
    /// Whether the record belongs; what follows from that is remembered.
    fn take(&mut self, record: &Record) -> bool {
        match record {
            Record::Request(request) => {
                let belongs = self.is_own(&request.client) || self.is_reaction(request);
                if belongs {
                    for write in &request.writes {
                        self.revisions.insert(write.revision);
                        self.objects.insert(write.object.clone());
                    }
                }
                belongs
            }
            Record::Delivery(delivery) => {
                let is_news = !delivery.initial && self.revisions.contains(&delivery.revision);
                let to_component = is_news && is_component(&delivery.client);
                if to_component {
                    self.told.insert(delivery.client.user.clone());
                }
                to_component || self.is_own(&delivery.client)
            }
        }
    }

    fn is_own(&self, client: &Client) -> bool {
        self.own.contains(&client.address)
    }

    fn is_reaction(&self, request: &Request) -> bool {
        is_component(&request.client)
            && self.told.contains(&request.client.user)
            && !is_heartbeat(request)
            && subjects(request).any(|object| self.has(object))
    }

    /// Whether an object belongs, by itself or with the namespace that it lies in.
    fn has(&self, object: &Object) -> bool {
        let namespace = Object {
            resource: "namespaces".into(),
            namespace: String::new(),
            name: object.namespace.clone(),
        };
        self.objects.contains(object) || self.objects.contains(&namespace)
    }
}

/// Whether something has come of a request: a write, or what only comes as an answer, as a token.
fn has_come_to(request: &Request) -> bool {
    let made = request.verb == "create" && request.code < 300;
    made || !request.writes.is_empty() || !request.calls.is_empty()
}

/// Everything that a request is about.
fn subjects(request: &Request) -> impl Iterator<Item = &Object> {
    let written = request
        .writes
        .iter()
        .flat_map(|write| write.about.iter().chain([&write.object]));
    request.object.iter().chain(&request.about).chain(written)
}

/// Whether this is a part of the cluster, and not a person.
fn is_component(client: &Client) -> bool {
    client.user.starts_with("system:")
}

/// Whether this says no more than that somebody is still there.
pub fn is_heartbeat(request: &Request) -> bool {
    let object = request.object.as_ref();
    object.is_some_and(|object| match object.resource.as_str() {
        "leases" => true,
        "nodes" => request.client.user == format!("system:node:{}", object.name),
        _ => false,
    })
}
