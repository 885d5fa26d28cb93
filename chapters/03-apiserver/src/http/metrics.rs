//! `/metrics`: a few numbers of this server, as Prometheus reads them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Api;
use crate::resources::Catalog;

/// Requests by verb, resource and code.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, String, u16), Requests>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Requests {
    count: u64,
    seconds: f64,
}

impl Metrics {
    /// Counts a request that has been answered. What is no resource that is served counts as
    /// none, so that requests for made-up names cannot fill the memory.
    pub fn count(
        &self,
        catalog: &Catalog,
        verb: &'static str,
        resource: &str,
        code: u16,
        took: Duration,
    ) {
        let known = catalog.all().any(|r| r.plural == resource);
        let resource = if known {
            resource.to_owned()
        } else {
            String::new()
        };
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if !requests.contains_key(&(verb, resource.clone(), code)) {
            // What clients defined and is gone does not stay either.
            requests.retain(|(_, of, _), _| of.is_empty() || catalog.all().any(|r| r.plural == of));
        }
        let entry = requests.entry((verb, resource, code)).or_default();
        entry.count += 1;
        entry.seconds += took.as_secs_f64();
    }
}

/// The page.
pub async fn page(api: &Api) -> String {
    let size_bytes = api.registry.store.size_bytes().await;
    let mut page = String::new();
    let requests = api
        .metrics
        .requests
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let mut family = |name: &str, kind: &str, help: &str, lines: &[(String, String)]| {
        let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in lines {
            let _ = writeln!(page, "{name}{labels} {value}");
        }
    };
    let labels = |(verb, resource, code): &(&str, String, u16)| {
        let verb = verb.to_uppercase();
        format!("{{verb=\"{verb}\",resource=\"{resource}\",code=\"{code}\"}}")
    };
    let counts: Vec<_> = requests
        .iter()
        .map(|(key, r)| (labels(key), r.count.to_string()))
        .collect();
    family(
        "apiserver_request_total",
        "counter",
        "Requests answered.",
        &counts,
    );
    let seconds: Vec<_> = requests
        .iter()
        .map(|(key, r)| (labels(key), format!("{:.6}", r.seconds)))
        .collect();
    family(
        "apiserver_request_duration_seconds_sum",
        "counter",
        "Seconds until the answer began.",
        &seconds,
    );
    let objects: Vec<_> = api
        .registry
        .cache
        .slots()
        .iter()
        .map(|slot| {
            let resource = slot.resource();
            let (group, resource) = (resource.group, resource.plural);
            (
                format!("{{group=\"{group}\",resource=\"{resource}\"}}"),
                slot.len().to_string(),
            )
        })
        .collect();
    family(
        "apiserver_resource_objects",
        "gauge",
        "Stored objects.",
        &objects,
    );
    let revision = api.registry.cache.revision().to_string();
    family(
        "apiserver_storage_revision",
        "gauge",
        "Revision of the store.",
        &[(String::new(), revision)],
    );
    let bytes: Vec<_> = (size_bytes.into_iter())
        .map(|bytes| (String::new(), bytes.to_string()))
        .collect();
    family(
        "apiserver_storage_size_bytes",
        "gauge",
        "Size of the store.",
        &bytes,
    );
    page
}
