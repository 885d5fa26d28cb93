//! Who answers for a Service: EndpointSlices, and Endpoints for those who still read them.
//!
//! [`plan`] decides. Upstream: `pkg/controller/endpointslice` and `pkg/controller/endpoint`. The
//! slices of Services without a selector are somebody else's and are left alone; Endpoints that a
//! user writes by hand are not mirrored into slices.

pub mod legacy;
pub mod plan;

use informers::shared_informer::Event;
use informers::work_queue::WorkQueue;
use informers::{join_key, key_of};
use k8s_openapi::api::core::v1::{Endpoints, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams};

use crate::context::{BY_SERVICE, Context, Outcome, SharedInformers};
use crate::error::{Error, ignore_not_found, is_conflict};
use plan::{MANAGED_BY, SERVICE_NAME};

/// Workers that look at Services at the same time.
const WORKERS: usize = 5;

/// Index function: the Service of a slice that is this controller's.
pub fn index_by_service(slice: &EndpointSlice) -> Vec<String> {
    let labels = slice.metadata.labels.as_ref();
    let label = |name: &str| labels.and_then(|labels| labels.get(name));
    if label(MANAGED_BY).map(String::as_str) != Some(plan::CONTROLLER) {
        return Vec::new();
    }
    let namespace = slice.namespace().unwrap_or_default();
    label(SERVICE_NAME)
        .map(|name| join_key(&namespace, name))
        .into_iter()
        .collect()
}

/// Adds the controller's handlers and returns what starts it.
pub fn register(informers: &mut SharedInformers) -> impl FnOnce(&Context) + use<> {
    let queue = WorkQueue::default();

    let services = queue.clone();
    informers
        .services
        .on_event(move |event| services.add(key_of(event.object().as_ref())));
    let slices = queue.clone();
    informers.endpoint_slices.on_event(move |event| {
        for key in index_by_service(event.object()) {
            slices.add(key);
        }
    });
    let (pods, store) = (queue.clone(), informers.services.store());
    informers.pods.on_event(move |event| {
        let namespace = event.object().namespace().unwrap_or_default();
        let concerns = |service: &k8s_openapi::api::core::v1::Service| match event {
            Event::Updated(old, new) => {
                (plan::selects(service, old) || plan::selects(service, new)) && matters(old, new)
            }
            _ => plan::selects(service, event.object()),
        };
        for service in store.in_namespace(&namespace) {
            if concerns(&service) {
                pods.add(key_of(service.as_ref()));
            }
        }
    });

    move |context| {
        context.work("endpointslice", &queue, WORKERS, |context, key| {
            Box::pin(async move { reconcile(&context, &key).await })
        });
    }
}

/// Whether a change of a pod can change an endpoint.
fn matters(old: &Pod, new: &Pod) -> bool {
    let facts = |pod: &Pod| {
        (
            pod.status.as_ref().and_then(|status| status.pod_ip.clone()),
            crate::pods::is_ready(pod),
            crate::pods::is_terminal(pod),
            pod.metadata.deletion_timestamp.is_some(),
            pod.metadata.labels.clone(),
            pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        )
    };
    facts(old) != facts(new)
}

async fn reconcile(context: &Context, key: &str) -> Outcome {
    let (namespace, name) = informers::split_key(key);
    let slices = Api::<EndpointSlice>::namespaced(context.client.clone(), namespace);
    let existing = context.stores.endpoint_slices.by_index(BY_SERVICE, key);
    let Some(service) = context.stores.services.get(key) else {
        // Garbage collection takes the slices, whose owner is gone; Endpoints have no owner.
        let endpoints = Api::<Endpoints>::namespaced(context.client.clone(), namespace);
        if let Some(there) = context.stores.endpoints.get(key)
            && legacy::is_ours(&there)
        {
            ignore_not_found(endpoints.delete(name, &DeleteParams::default()).await)?;
        }
        return Ok(None);
    };
    if !plan::has_selector(&service) || service.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let pods = context.stores.pods.in_namespace(namespace);
    let plan = plan::plan(&service, &pods, &existing);
    for slice in &plan.create {
        slices.create(&PostParams::default(), slice).await?;
    }
    for slice in &plan.update {
        match slices
            .replace(&slice.name_any(), &PostParams::default(), slice)
            .await
        {
            // The store is about to be newer, and the key will be looked at again.
            Err(error) if is_conflict(&error) => {}
            result => drop(ignore_not_found(result)?),
        }
    }
    for name in &plan.delete {
        ignore_not_found(slices.delete(name, &DeleteParams::default()).await)?;
    }
    write_legacy(context, &service, &pods, key).await?;
    Ok(None)
}

async fn write_legacy(
    context: &Context,
    service: &k8s_openapi::api::core::v1::Service,
    pods: &[std::sync::Arc<Pod>],
    key: &str,
) -> Result<(), Error> {
    let existing = context.stores.endpoints.get(key);
    let Some(desired) = legacy::endpoints(service, pods, existing.as_deref()) else {
        return Ok(());
    };
    let (namespace, name) = informers::split_key(key);
    let api = Api::<Endpoints>::namespaced(context.client.clone(), namespace);
    let written = match existing {
        None => api.create(&PostParams::default(), &desired).await,
        Some(_) => api.replace(name, &PostParams::default(), &desired).await,
    };
    match written {
        // Somebody else wrote them, or we did and have not seen it: the informer will tell.
        Err(error) if is_conflict(&error) => Ok(()),
        result => Ok(ignore_not_found(result).map(drop)?),
    }
}
