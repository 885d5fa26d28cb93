//! Counts what is used of every ResourceQuota. Upstream:
//! `pkg/controller/resourcequota/resource_quota_controller.go`.
//!
//! ```text
//! spec.hard ───────────────► status.hard      what the API server holds writes to
//! objects of the namespace ► status.used      it adds before it writes; here is counted anew
//! ```
//!
//! The API server only ever adds. That something has gone, or that a pod has ended, is seen here,
//! and what was added for a write that then failed is put right. [`plan`] adds up; [`monitors`] has
//! the number of objects of every kind that some quota counts.
//!
//! A write is charged before it is done, and seen here after that: a count that misses it, written
//! over the charge, would give away what is used. The API server's next charge makes such a write
//! fail, but not its last one. So a quota is counted only when nothing was charged for a moment,
//! and whoever has written counts once more, a little later. Upstream counts at once, and leaves
//! what was missed to the next full count, after five minutes.

pub mod monitors;
pub mod plan;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use informers::key_of;
use informers::shared_informer::Event;
use informers::store::Store;
use informers::work_queue::WorkQueue;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{Api, PostParams};
use kube::{Resource, ResourceExt};
use quota_usage::{Kind, is_used_by, kind_of};
use serde::Serialize;

use crate::context::{Context, Outcome, SharedInformers};
use crate::error::{Error, ignore_not_found};
use crate::pods;
use monitors::Monitors;
use plan::{Counted, Counts};

/// Workers that look at quotas at the same time.
const WORKERS: usize = 5;
/// Everything is counted anew this often, whatever was seen. Upstream:
/// `--resource-quota-sync-period`.
const FULL_COUNT: Duration = Duration::from_secs(300);
/// How often to look whether a kind that a quota counts is served by now.
const DISCOVERY: Duration = Duration::from_secs(30);
/// How long after a charge what was charged for is surely seen.
const SETTLED: Duration = Duration::from_millis(500);
/// When to count once more after something was written.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Adds the controller's handlers and returns what starts it.
pub fn register(informers: &mut SharedInformers) -> impl FnOnce(&Context) + use<> {
    let queue: WorkQueue<String> = WorkQueue::default();
    let quotas = queue.clone();
    informers.resource_quotas.on_event(move |event| {
        // What only changes the status comes from here or from the API server.
        let concerns = match event {
            Event::Updated(old, new) => old.spec != new.spec,
            Event::Added(_) | Event::Deleted(_) => true,
        };
        if concerns {
            quotas.add(key_of(event.object().as_ref()));
        }
    });
    let replenish = Replenish {
        quotas: informers.resource_quotas.store(),
        queue: queue.clone(),
    };
    let on_pods = replenish.clone();
    informers.pods.on_event(move |event| match event {
        Event::Updated(old, new) if !pods_use_the_same(old, new) => {
            on_pods.of_whom_it_concerns(Kind::core("pods"), new.as_ref());
        }
        Event::Deleted(pod) => on_pods.of_whom_it_concerns(Kind::core("pods"), pod.as_ref()),
        _ => {}
    });
    let on_services = replenish.clone();
    informers.services.on_event(move |event| {
        if let Event::Updated(_, service) | Event::Deleted(service) = event {
            on_services.of_whom_it_concerns(Kind::core("services"), service.as_ref());
        }
    });
    let on_claims = replenish.clone();
    informers.persistent_volume_claims.on_event(move |event| {
        if let Event::Updated(_, claim) | Event::Deleted(claim) = event {
            let kind = Kind::core("persistentvolumeclaims");
            on_claims.of_whom_it_concerns(kind, claim.as_ref());
        }
    });

    move |context| {
        let monitors = Arc::new(Monitors::new(replenish.clone()));
        let counting = monitors.clone();
        context.work("resourcequota", &queue, WORKERS, move |context, key| {
            let monitors = counting.clone();
            Box::pin(async move { reconcile(&context, &monitors, &key).await })
        });
        context
            .tasks
            .spawn(count_regularly(context.clone(), replenish, monitors));
    }
}

/// Who has to count anew when something goes.
#[derive(Clone)]
pub struct Replenish {
    quotas: Store<ResourceQuota>,
    queue: WorkQueue<String>,
}

impl Replenish {
    /// Has the quotas of an object's namespace looked at that count its kind.
    fn of_whom_it_concerns<K: Resource>(&self, kind: Kind<'_>, object: &K) {
        let namespace = object.meta().namespace.as_deref().unwrap_or_default();
        for quota in self.quotas.in_namespace(namespace) {
            if hard_names(&quota).any(|name| is_used_by(kind, name)) {
                self.queue.add(key_of(quota.as_ref()));
            }
        }
    }
}

/// Whether a pod's change is one that no quota cares about: most are of its status.
fn pods_use_the_same(old: &Pod, new: &Pod) -> bool {
    pods::is_terminal(old) == pods::is_terminal(new) && old.spec == new.spec
}

fn hard_names(quota: &ResourceQuota) -> impl Iterator<Item = &str> {
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    hard.into_iter().flatten().map(|(name, _)| name.as_str())
}

fn kinds(quota: &ResourceQuota) -> BTreeSet<Kind<'_>> {
    hard_names(quota).filter_map(kind_of).collect()
}

async fn reconcile(context: &Context, monitors: &Monitors, key: &str) -> Outcome {
    let quotas = context.stores.resource_quotas.list();
    monitors.keep_only(quotas.iter().flat_map(|quota| kinds(quota)));
    let Some(quota) = context.stores.resource_quotas.get(key) else {
        return Ok(None);
    };
    // Before there are limits in its status, nobody charges it.
    let is_charged = quota.status.as_ref().is_some_and(|it| it.hard.is_some());
    if is_charged {
        tokio::time::sleep(SETTLED).await;
    }
    let mut counts = Counts::new();
    for kind in kinds(&quota) {
        if let Some(counted) = count(context, monitors, &quota, kind).await? {
            counts.insert(kind, counted);
        }
    }
    let latest = context.stores.resource_quotas.get(key);
    if latest.is_none_or(|latest| latest.resource_version() != quota.resource_version()) {
        return Ok(Some(Duration::ZERO));
    }
    let Some(status) = plan::status(&quota, &counts, Timestamp::now()) else {
        return Ok(None);
    };
    let mut updated = ResourceQuota::clone(&quota);
    updated.status = Some(status);
    let namespace = quota.namespace().unwrap_or_default();
    let api = Api::<ResourceQuota>::namespaced(context.client.clone(), &namespace);
    let written = api
        .replace_status(&quota.name_any(), &PostParams::default(), &updated)
        .await;
    // After a conflict, which is a write that was charged meanwhile, it is counted anew.
    let written = ignore_not_found(written)?;
    Ok(written.map(|_| SECOND_LOOK))
}

/// What there is of a kind in a quota's namespace; none if no such kind is served.
async fn count(
    context: &Context,
    monitors: &Monitors,
    quota: &ResourceQuota,
    kind: Kind<'_>,
) -> Result<Option<Counted>, Error> {
    let namespace = quota.namespace().unwrap_or_default();
    let stores = &context.stores;
    Ok(match (kind.group, kind.plural) {
        ("", "pods") => Some(whole(&stores.pods, &namespace)),
        ("", "services") => Some(whole(&stores.services, &namespace)),
        ("", "persistentvolumeclaims") => Some(whole(&stores.persistent_volume_claims, &namespace)),
        _ => {
            let number = monitors.count(context, kind, &namespace).await?;
            number.map(Counted::Number)
        }
    })
}

fn whole<K: informers::Object + Serialize>(store: &Store<K>, namespace: &str) -> Counted {
    let objects = store.in_namespace(namespace);
    let values = objects
        .iter()
        .map(|object| serde_json::to_value(object.as_ref()).expect("objects are JSON"));
    Counted::Whole(values.collect())
}

/// Has every quota counted now and then, and more often those that count what is not served yet.
async fn count_regularly(context: Context, replenish: Replenish, monitors: Arc<Monitors>) {
    let mut ticks = 0;
    while let Some(()) = context
        .shutdown
        .run_until_cancelled(tokio::time::sleep(DISCOVERY))
        .await
    {
        ticks += 1;
        let all = ticks % (FULL_COUNT.as_secs() / DISCOVERY.as_secs()) == 0;
        for quota in replenish.quotas.list() {
            if all || kinds(&quota).into_iter().any(|kind| monitors.lacks(kind)) {
                replenish.queue.add(key_of(quota.as_ref()));
            }
        }
    }
}
