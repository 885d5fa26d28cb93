//! Keeps the status of PodDisruptionBudgets: how many of their pods may be evicted just now.
//! Upstream: `pkg/controller/disruption/disruption.go`.
//!
//! ```text
//! eviction ─► API server: status.disruptionsAllowed - 1, disruptedPods + the pod ─► pod deleted
//!                  ▲                                                                     │
//!                  └────── here: counted anew whenever a pod comes, changes or goes ◄────┘
//! ```
//!
//! [`plan`] counts; [`scale`] finds how many pods there should be. A budget that cannot be worked
//! out allows nothing: better a drain that waits than a service that is gone.
//!
//! Also here, as upstream: a pod that was marked as about to be disrupted (`DisruptionTarget`) and
//! is still there two minutes later is unmarked.

pub mod plan;
pub mod scale;
mod stale;

use informers::key_of;
use informers::shared_informer::Event;
use informers::store::Store;
use informers::work_queue::WorkQueue;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::{Api, PostParams};

use crate::context::{Context, Outcome, SharedInformers};
use crate::error::ignore_not_found;
use crate::owners::selects;

/// Adds the controller's handlers and returns what starts it.
pub fn register(informers: &mut SharedInformers) -> impl FnOnce(&Context) + use<> {
    let queue: WorkQueue<String> = WorkQueue::default();
    let stale = stale::register(informers);
    let budgets = queue.clone();
    informers
        .pod_disruption_budgets
        .on_event(move |event| budgets.add(key_of(event.object().as_ref())));
    let (pods, store) = (queue.clone(), informers.pod_disruption_budgets.store());
    informers.pods.on_event(move |event| {
        if let Event::Updated(old, _) = event {
            // Its labels may have taken it out of a budget.
            of_pod(&store, old).for_each(|key| pods.add(key));
        }
        of_pod(&store, event.object()).for_each(|key| pods.add(key));
    });
    move |context| {
        stale(context);
        context.work("disruption", &queue, 1, |context, key| {
            Box::pin(async move { reconcile(&context, &key).await })
        });
    }
}

/// Keys of the budgets that a pod is in.
fn of_pod<'a>(
    store: &Store<PodDisruptionBudget>,
    pod: &'a Pod,
) -> impl Iterator<Item = String> + use<'a> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let budgets = store.in_namespace(namespace).into_iter();
    let its = budgets.filter(|budget| is_in(budget, pod));
    its.map(|budget| key_of(budget.as_ref()))
}

fn is_in(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selects(selector, pod.metadata.labels.as_ref())
}

async fn reconcile(context: &Context, key: &str) -> Outcome {
    let Some(budget) = context.stores.pod_disruption_budgets.get(key) else {
        return Ok(None);
    };
    let namespace = budget.namespace().unwrap_or_default();
    let mut pods = context.stores.pods.in_namespace(&namespace);
    pods.retain(|pod| is_in(&budget, pod));
    let recorder = context.recorder.named("controllermanager");
    if pods.is_empty() {
        let message = "No matching pods found".to_owned();
        recorder.normal(budget.as_ref(), "NoPods", message);
    }
    let now = Timestamp::now();
    let scale = match plan::needs_scale(&budget) {
        false => Ok(scale::Scale::default()),
        true => scale::of_pods(context, &namespace, &pods).await,
    };
    let planned = scale.and_then(|scale| {
        if !scale.unmanaged.is_empty() {
            let message = plan::unmanaged_message(&budget);
            recorder.warning(budget.as_ref(), "UnmanagedPods", message);
        }
        let number = plan::number(&budget, pods.len(), scale.replicas)?;
        Ok(plan::status(&budget, &pods, number, now))
    });
    let (status, again) = match planned {
        Ok(planned) => planned,
        Err(why) => {
            let message = format!("Failed to calculate the number of expected pods: {why}");
            let reason = "CalculateExpectedPodCountFailed";
            recorder.warning(budget.as_ref(), reason, message);
            (plan::failed(&budget, &why, now), None)
        }
    };
    if !plan::is_same(&budget, &status) {
        let mut updated = PodDisruptionBudget::clone(&budget);
        updated.status = Some(status);
        let api = Api::<PodDisruptionBudget>::namespaced(context.client.clone(), &namespace);
        let name = budget.name_any();
        let params = PostParams::default();
        ignore_not_found(api.replace_status(&name, &params, &updated).await)?;
    }
    Ok(again.and_then(|at| at.duration_since(now).try_into().ok()))
}
