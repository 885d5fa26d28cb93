//! `/metrics`: what this server has counted, as Prometheus reads it.
//!
//! The names and labels are upstream's (`apiserver/pkg/endpoints/metrics`, `pkg/storage/etcd3/metrics`),
//! so that dashboards made for it show this server too. Left out are those of what this server does
//! not have, and of single calls of the store.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Api;
use super::path::RequestInfo;
use super::process;
use crate::resources::{Catalog, Resource};

/// Upper ends of the buckets of how long requests took, in seconds.
const BUCKETS: [f64; 24] = [
    0.005,
    0.025,
    0.05,
    0.1,
    0.2,
    0.4,
    0.6,
    0.8,
    1.0,
    1.25,
    1.5,
    2.0,
    3.0,
    4.0,
    5.0,
    6.0,
    8.0,
    10.0,
    15.0,
    20.0,
    30.0,
    45.0,
    60.0,
    f64::INFINITY,
];

/// What is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<Labels, Requests>>,
    /// Events told to watches, by group, version and resource.
    watch_events: Mutex<BTreeMap<[String; 3], Arc<AtomicU64>>>,
    /// Requests under way that change something, and that do not.
    mutating: AtomicU64,
    reading: AtomicU64,
}

/// Which requests are counted together.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    verb: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
}

#[derive(Debug, Default, Clone)]
struct Requests {
    codes: BTreeMap<u16, u64>,
    buckets: [u64; BUCKETS.len()],
    seconds: f64,
}

/// A request under way. Dropping it says that it no longer is.
#[derive(Debug)]
pub struct InFlight<'a>(&'a AtomicU64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Counts a request as under way.
    pub fn begin(&self, info: &RequestInfo) -> InFlight<'_> {
        let reads = matches!(info.verb, "get" | "list" | "watch" | "head" | "options");
        let counter = if reads { &self.reading } else { &self.mutating };
        counter.fetch_add(1, Ordering::Relaxed);
        InFlight(counter)
    }

    /// Counts a request that has been answered. What is no resource that is served counts as
    /// none, so that requests for made-up names cannot fill the memory.
    pub fn count(&self, catalog: &Catalog, info: &RequestInfo, code: u16, took: Duration) {
        let labels = Labels::of(catalog, info);
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if !requests.contains_key(&labels) {
            // What clients defined and is gone does not stay either.
            requests.retain(|labels, _| labels.resource.is_empty() || labels.is_served(catalog));
        }
        let entry = requests.entry(labels).or_default();
        *entry.codes.entry(code).or_default() += 1;
        entry.seconds += took.as_secs_f64();
        let bucket = BUCKETS.partition_point(|end| *end < took.as_secs_f64());
        entry.buckets[bucket] += 1;
    }

    /// The count of events that watches of a resource were told, for each of them to add to.
    pub fn told(&self, resource: &Resource) -> Arc<AtomicU64> {
        let of = [resource.group, resource.version, resource.plural].map(str::to_owned);
        let mut counts = self
            .watch_events
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        counts.entry(of).or_default().clone()
    }
}

impl Labels {
    fn of(catalog: &Catalog, info: &RequestInfo) -> Labels {
        let verb = match info.verb {
            "create" => "POST",
            "update" => "PUT",
            "get" | "head" => "GET",
            "list" => "LIST",
            "watch" => "WATCH",
            "patch" => "PATCH",
            "delete" => "DELETE",
            "deletecollection" => "DELETECOLLECTION",
            "post" => "POST",
            "put" => "PUT",
            _ => "other",
        };
        let served = catalog.by_path(&info.group, &info.version, &info.resource);
        let Some(served) = served.filter(|_| info.is_resource) else {
            return Labels {
                verb,
                ..Labels::default()
            };
        };
        let scope = match (&*info.name, &*info.namespace) {
            ("", "") => "cluster",
            ("", _) => "namespace",
            _ => "resource",
        };
        let subresource = served.resource().subresource(&info.subresource);
        Labels {
            verb,
            group: info.group.clone(),
            version: info.version.clone(),
            resource: info.resource.clone(),
            subresource: subresource.map_or("", |part| part.name).to_owned(),
            scope,
        }
    }

    fn is_served(&self, catalog: &Catalog) -> bool {
        let served = catalog.by_path(&self.group, &self.version, &self.resource);
        served.is_some()
    }

    fn text(&self) -> String {
        let Labels {
            verb,
            group,
            version,
            resource,
            subresource,
            scope,
        } = self;
        format!(
            "verb=\"{verb}\",dry_run=\"\",group=\"{group}\",version=\"{version}\",\
             resource=\"{resource}\",subresource=\"{subresource}\",scope=\"{scope}\",\
             component=\"apiserver\""
        )
    }
}

/// A page of metrics, family by family.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }
}

/// The page.
pub async fn page(api: &Api) -> String {
    let mut page = Page::default();
    requests(&mut page, &api.metrics);
    watches(&mut page, &api.metrics);
    storage(&mut page, api).await;
    for (name, kind, help, value) in process::metrics() {
        page.family(name, kind, help);
        page.line(name, "", value);
    }
    page.0
}

fn requests(page: &mut Page, metrics: &Metrics) {
    let requests = metrics
        .requests
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let name = "apiserver_request_total";
    page.family(name, "counter", "Requests answered.");
    for (labels, requests) in &requests {
        for (code, count) in &requests.codes {
            let labels = format!("{},code=\"{code}\"", labels.text());
            page.line(name, &labels, count);
        }
    }
    let name = "apiserver_request_duration_seconds";
    page.family(name, "histogram", "Seconds until the answer began.");
    for (labels, requests) in &requests {
        let labels = labels.text();
        let mut count = 0;
        for (end, bucket) in BUCKETS.iter().zip(requests.buckets) {
            count += bucket;
            let end = match end.is_finite() {
                true => end.to_string(),
                false => "+Inf".to_owned(),
            };
            let labels = format!("{labels},le=\"{end}\"");
            page.line(&format!("{name}_bucket"), &labels, count);
        }
        page.line(&format!("{name}_sum"), &labels, requests.seconds);
        page.line(&format!("{name}_count"), &labels, count);
    }
    let name = "apiserver_current_inflight_requests";
    page.family(name, "gauge", "Requests that are not answered yet.");
    for (kind, count) in [
        ("mutating", &metrics.mutating),
        ("readOnly", &metrics.reading),
    ] {
        let labels = format!("request_kind=\"{kind}\"");
        page.line(name, &labels, count.load(Ordering::Relaxed));
    }
}

fn watches(page: &mut Page, metrics: &Metrics) {
    let events = metrics
        .watch_events
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let name = "apiserver_watch_events_total";
    page.family(name, "counter", "Events told to watches.");
    for ([group, version, resource], count) in events {
        let labels = format!("group=\"{group}\",version=\"{version}\",resource=\"{resource}\"");
        page.line(name, &labels, count.load(Ordering::Relaxed));
    }
}

async fn storage(page: &mut Page, api: &Api) {
    let slots = api.registry.cache.slots();
    let name = "apiserver_resource_objects";
    page.family(name, "gauge", "Stored objects.");
    for slot in &slots {
        let resource = slot.resource();
        let labels = format!(
            "group=\"{}\",resource=\"{}\"",
            resource.group, resource.plural
        );
        page.line(name, &labels, slot.len());
    }
    // The older name of the same.
    let name = "apiserver_storage_objects";
    page.family(name, "gauge", "Stored objects.");
    for slot in &slots {
        let resource = slot.resource();
        let of = match resource.group {
            "" => resource.plural.to_owned(),
            group => format!("{}.{group}", resource.plural),
        };
        page.line(name, &format!("resource=\"{of}\""), slot.len());
    }
    let name = "apiserver_storage_revision";
    page.family(name, "gauge", "Revision of the store.");
    page.line(name, "", api.registry.cache.revision());
    if let Some(bytes) = api.registry.store.size_bytes().await.into_iter().next() {
        let name = "apiserver_storage_size_bytes";
        page.family(name, "gauge", "Size of the store.");
        page.line(name, "", bytes);
    }
}
