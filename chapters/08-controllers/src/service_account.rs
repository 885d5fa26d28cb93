//! A ServiceAccount `default` and the cluster's CA certificate for each namespace.
//!
//! Upstream: `pkg/controller/serviceaccount/serviceaccounts_controller.go` and
//! `pkg/controller/certificates/rootcacertpublisher/publisher.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use informers::join_key;
use informers::shared_informer::Event;
use informers::work_queue::WorkQueue;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::ResourceExt;
use kube::api::{Api, ObjectMeta, PostParams};

use crate::context::{Context, Outcome, SharedInformers};
use crate::error::is_conflict;

/// Name of the account that pods get when they name none.
const DEFAULT_ACCOUNT: &str = "default";
/// Name of the ConfigMap that lets pods trust the API server.
const ROOT_CA: &str = "kube-root-ca.crt";
const ROOT_CA_KEY: &str = "ca.crt";
/// Annotation that says what the ConfigMap is for.
const DESCRIPTION: (&str, &str) = (
    "kubernetes.io/description",
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
     endpoints such as the internal service IP or kubernetes.default.svc. No other usage is \
     guaranteed across distributions of Kubernetes clusters.",
);

/// Adds the controller's handlers and returns what starts it. Without a certificate none is
/// published.
pub fn register(
    informers: &mut SharedInformers,
    root_ca: Option<String>,
) -> impl FnOnce(&Context) + use<> {
    let queue: WorkQueue<String> = WorkQueue::default();
    let namespaces = queue.clone();
    informers
        .namespaces
        .on_event(move |event| namespaces.add(event.object().name_any()));
    let accounts = queue.clone();
    informers.service_accounts.on_event(move |event| {
        if let Event::Deleted(account) = event {
            accounts.add(account.namespace().unwrap_or_default());
        }
    });
    let root_cas = queue.clone();
    informers.root_cas.on_event(move |event| {
        root_cas.add(event.object().namespace().unwrap_or_default());
    });

    let root_ca: Option<Arc<str>> = root_ca.map(Into::into);
    move |context| {
        context.work("serviceaccount", &queue, 2, move |context, namespace| {
            let root_ca = root_ca.clone();
            Box::pin(async move { reconcile(&context, &namespace, root_ca.as_deref()).await })
        });
    }
}

/// Whether new things may still be made in the namespace.
fn is_alive(namespace: &Namespace) -> bool {
    let phase = namespace
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_none() && phase != Some("Terminating")
}

async fn reconcile(context: &Context, namespace: &str, root_ca: Option<&str>) -> Outcome {
    if !context
        .stores
        .namespaces
        .get(namespace)
        .is_some_and(|namespace| is_alive(&namespace))
    {
        return Ok(None);
    }
    if context
        .stores
        .service_accounts
        .get(&join_key(namespace, DEFAULT_ACCOUNT))
        .is_none()
    {
        let account = ServiceAccount {
            metadata: ObjectMeta {
                name: Some(DEFAULT_ACCOUNT.into()),
                ..ObjectMeta::default()
            },
            ..ServiceAccount::default()
        };
        let api = Api::<ServiceAccount>::namespaced(context.client.clone(), namespace);
        allow_conflict(api.create(&PostParams::default(), &account).await)?;
    }
    let Some(root_ca) = root_ca else {
        return Ok(None);
    };
    let api = Api::<ConfigMap>::namespaced(context.client.clone(), namespace);
    let desired = |metadata| ConfigMap {
        metadata,
        data: Some(BTreeMap::from([(
            ROOT_CA_KEY.to_owned(),
            root_ca.to_owned(),
        )])),
        ..ConfigMap::default()
    };
    match context.stores.root_cas.get(&join_key(namespace, ROOT_CA)) {
        None => {
            let annotations = [(DESCRIPTION.0.to_owned(), DESCRIPTION.1.to_owned())];
            let map = desired(ObjectMeta {
                name: Some(ROOT_CA.into()),
                annotations: Some(annotations.into()),
                ..ObjectMeta::default()
            });
            allow_conflict(api.create(&PostParams::default(), &map).await)?;
        }
        Some(map) if map.data != desired(ObjectMeta::default()).data => {
            let map = desired(map.metadata.clone());
            allow_conflict(api.replace(ROOT_CA, &PostParams::default(), &map).await)?;
        }
        Some(_) => {}
    }
    Ok(None)
}

/// A conflict means that somebody else was faster, and that the informer will say so.
fn allow_conflict<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(error) if !is_conflict(&error) => Err(error),
        _ => Ok(()),
    }
}
