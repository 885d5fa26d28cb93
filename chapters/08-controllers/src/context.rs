//! What all controllers share: a client, one informer a resource, a recorder of events.

use std::fmt::Debug;
use std::hash::Hash;

use futures::future::BoxFuture;
use informers::Object;
use informers::list_watch::{ObjectListerWatcher, Selection};
use informers::reflector::{Change, ChangeSource, Reflector};
use informers::shared_informer::SharedInformer;
use informers::store::Store;
use informers::work_queue::WorkQueue;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod,
    ReplicationController, ResourceQuota, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Informers;
use crate::error::Error;
use crate::owners;
use crate::persistent_volume;
use crate::recorder::Recorder;

/// Index: objects by the uid of their controller.
pub const BY_CONTROLLER: &str = "controller";
/// Index: pods by the node that they are bound to.
pub const BY_NODE: &str = "node";
/// Index: volumes, and pods, by `namespace/name` of the claims that they name.
pub const BY_CLAIM: &str = "claim";
/// Index: endpoint slices by `namespace/name` of their Service.
pub const BY_SERVICE: &str = "service";

/// Informers before they run: controllers add their handlers here.
pub struct SharedInformers {
    /// Pods of all namespaces.
    pub pods: SharedInformer<Pod>,
    /// ReplicaSets of all namespaces.
    pub replica_sets: SharedInformer<ReplicaSet>,
    /// Deployments of all namespaces.
    pub deployments: SharedInformer<Deployment>,
    /// Services of all namespaces.
    pub services: SharedInformer<Service>,
    /// Endpoint slices of all namespaces.
    pub endpoint_slices: SharedInformer<EndpointSlice>,
    /// Endpoints of all namespaces.
    pub endpoints: SharedInformer<Endpoints>,
    /// Nodes.
    pub nodes: SharedInformer<Node>,
    /// Leases of the nodes.
    pub leases: SharedInformer<Lease>,
    /// Namespaces.
    pub namespaces: SharedInformer<Namespace>,
    /// Service accounts of all namespaces.
    pub service_accounts: SharedInformer<ServiceAccount>,
    /// The Secrets of all namespaces that hold service accounts' tokens, and no other.
    pub token_secrets: SharedInformer<Secret>,
    /// The ConfigMaps `kube-root-ca.crt` alone.
    pub root_cas: SharedInformer<ConfigMap>,
    /// Volumes.
    pub persistent_volumes: SharedInformer<PersistentVolume>,
    /// Claims to volumes, of all namespaces.
    pub persistent_volume_claims: SharedInformer<PersistentVolumeClaim>,
    /// Classes of storage.
    pub storage_classes: SharedInformer<StorageClass>,
    /// ReplicationControllers of all namespaces.
    pub replication_controllers: SharedInformer<ReplicationController>,
    /// StatefulSets of all namespaces.
    pub stateful_sets: SharedInformer<StatefulSet>,
    /// Jobs of all namespaces.
    pub jobs: SharedInformer<Job>,
    /// Disruption budgets of all namespaces.
    pub pod_disruption_budgets: SharedInformer<PodDisruptionBudget>,
    /// CronJobs of all namespaces.
    pub cron_jobs: SharedInformer<CronJob>,
    /// Quotas of all namespaces.
    pub resource_quotas: SharedInformer<ResourceQuota>,
}

impl Default for SharedInformers {
    fn default() -> Self {
        SharedInformers {
            pods: SharedInformer::new(&[
                (BY_CONTROLLER, owners::index_by_controller),
                (BY_CLAIM, persistent_volume::index_pods_by_claim),
                (BY_NODE, |pod: &Pod| {
                    pod.spec
                        .iter()
                        .filter_map(|spec| spec.node_name.clone())
                        .collect()
                }),
            ]),
            replica_sets: SharedInformer::new(&[(BY_CONTROLLER, owners::index_by_controller)]),
            deployments: SharedInformer::new(&[]),
            services: SharedInformer::new(&[]),
            endpoint_slices: SharedInformer::new(&[(
                BY_SERVICE,
                crate::endpoint_slice::index_by_service,
            )]),
            endpoints: SharedInformer::new(&[]),
            nodes: SharedInformer::new(&[]),
            leases: SharedInformer::new(&[]),
            namespaces: SharedInformer::new(&[]),
            service_accounts: SharedInformer::new(&[]),
            token_secrets: SharedInformer::new(&[]),
            root_cas: SharedInformer::new(&[]),
            persistent_volumes: SharedInformer::new(&[(
                BY_CLAIM,
                persistent_volume::index_by_claim,
            )]),
            persistent_volume_claims: SharedInformer::new(&[]),
            storage_classes: SharedInformer::new(&[]),
            replication_controllers: SharedInformer::new(&[]),
            stateful_sets: SharedInformer::new(&[]),
            jobs: SharedInformer::new(&[(BY_CONTROLLER, owners::index_by_controller)]),
            pod_disruption_budgets: SharedInformer::new(&[]),
            cron_jobs: SharedInformer::new(&[]),
            resource_quotas: SharedInformer::new(&[]),
        }
    }
}

/// What a controller reads: the informers' stores.
#[derive(Clone)]
pub struct Stores {
    /// Pods, by controller, by claim and by node.
    pub pods: Store<Pod>,
    /// ReplicaSets, by controller.
    pub replica_sets: Store<ReplicaSet>,
    /// Deployments.
    pub deployments: Store<Deployment>,
    /// Services.
    pub services: Store<Service>,
    /// Endpoint slices, by service.
    pub endpoint_slices: Store<EndpointSlice>,
    /// Endpoints.
    pub endpoints: Store<Endpoints>,
    /// Nodes.
    pub nodes: Store<Node>,
    /// Leases of the nodes.
    pub leases: Store<Lease>,
    /// Namespaces.
    pub namespaces: Store<Namespace>,
    /// Service accounts.
    pub service_accounts: Store<ServiceAccount>,
    /// The Secrets that hold service accounts' tokens.
    pub token_secrets: Store<Secret>,
    /// The ConfigMaps `kube-root-ca.crt`.
    pub root_cas: Store<ConfigMap>,
    /// Volumes, by claim.
    pub persistent_volumes: Store<PersistentVolume>,
    /// Claims to volumes.
    pub persistent_volume_claims: Store<PersistentVolumeClaim>,
    /// Classes of storage.
    pub storage_classes: Store<StorageClass>,
    /// ReplicationControllers.
    pub replication_controllers: Store<ReplicationController>,
    /// StatefulSets.
    pub stateful_sets: Store<StatefulSet>,
    /// Jobs.
    pub jobs: Store<Job>,
    /// Disruption budgets.
    pub pod_disruption_budgets: Store<PodDisruptionBudget>,
    /// CronJobs.
    pub cron_jobs: Store<CronJob>,
    /// Quotas.
    pub resource_quotas: Store<ResourceQuota>,
}

impl SharedInformers {
    /// The stores that these informers fill.
    pub fn stores(&self) -> Stores {
        Stores {
            pods: self.pods.store(),
            replica_sets: self.replica_sets.store(),
            deployments: self.deployments.store(),
            services: self.services.store(),
            endpoint_slices: self.endpoint_slices.store(),
            endpoints: self.endpoints.store(),
            nodes: self.nodes.store(),
            leases: self.leases.store(),
            namespaces: self.namespaces.store(),
            service_accounts: self.service_accounts.store(),
            token_secrets: self.token_secrets.store(),
            root_cas: self.root_cas.store(),
            persistent_volumes: self.persistent_volumes.store(),
            persistent_volume_claims: self.persistent_volume_claims.store(),
            storage_classes: self.storage_classes.store(),
            replication_controllers: self.replication_controllers.store(),
            stateful_sets: self.stateful_sets.store(),
            jobs: self.jobs.store(),
            pod_disruption_budgets: self.pod_disruption_budgets.store(),
            cron_jobs: self.cron_jobs.store(),
            resource_quotas: self.resource_quotas.store(),
        }
    }

    /// Starts them all; the result becomes ready once each has its first list.
    pub fn start(self, context: &Context, kind: Informers) -> BoxFuture<'static, ()> {
        let client = &context.client;
        let those_with = |field: &str| Selection {
            field_selector: Some(field.to_owned()),
            label_selector: None,
        };
        let node_leases = Api::namespaced(client.clone(), "kube-node-lease");
        let synced = [
            start_all(self.pods, context, kind),
            start_all(self.replica_sets, context, kind),
            start_all(self.deployments, context, kind),
            start_all(self.services, context, kind),
            start_all(self.endpoint_slices, context, kind),
            start_all(self.endpoints, context, kind),
            start_all(self.nodes, context, kind),
            start_all(self.namespaces, context, kind),
            start_all(self.service_accounts, context, kind),
            start_all(self.persistent_volumes, context, kind),
            start_all(self.persistent_volume_claims, context, kind),
            start_all(self.storage_classes, context, kind),
            start_all(self.replication_controllers, context, kind),
            start_all(self.stateful_sets, context, kind),
            start_all(self.jobs, context, kind),
            start_all(self.pod_disruption_budgets, context, kind),
            start_all(self.cron_jobs, context, kind),
            start_all(self.resource_quotas, context, kind),
            start(
                self.leases,
                node_leases,
                Selection::default(),
                context,
                kind,
            ),
            start(
                self.root_cas,
                Api::all(client.clone()),
                those_with("metadata.name=kube-root-ca.crt"),
                context,
                kind,
            ),
            start(
                self.token_secrets,
                Api::all(client.clone()),
                those_with("type=kubernetes.io/service-account-token"),
                context,
                kind,
            ),
        ];
        Box::pin(async move {
            for mut synced in synced {
                // An informer that is gone was shut down, and so are we.
                let _ = synced.wait_for(|synced| *synced).await;
            }
        })
    }
}

/// Starts an informer of all objects of its resource, in whatever namespace.
fn start_all<K>(
    informer: SharedInformer<K>,
    context: &Context,
    kind: Informers,
) -> watch::Receiver<bool>
where
    K: Object + Resource<DynamicType = ()> + DeserializeOwned,
{
    let api = Api::all(context.client.clone());
    start(informer, api, Selection::default(), context, kind)
}

fn start<K>(
    informer: SharedInformer<K>,
    api: Api<K>,
    selection: Selection,
    context: &Context,
    kind: Informers,
) -> watch::Receiver<bool>
where
    K: Object + DeserializeOwned,
{
    let synced = informer.synced();
    let shutdown = context.shutdown.clone();
    match kind {
        Informers::Workshop => {
            let reflector = Reflector::new(ObjectListerWatcher::new(api, selection));
            context.tasks.spawn(informer.run(reflector, shutdown));
        }
        Informers::Kube => {
            context
                .tasks
                .spawn(informer.run(KubeSource::new(api, selection), shutdown));
        }
    }
    synced
}

/// `kube::runtime::watcher` as a source of changes.
struct KubeSource<K> {
    events: futures::stream::BoxStream<'static, watcher::Result<watcher::Event<K>>>,
    /// Objects of a list that is still coming in.
    listed: Vec<K>,
}

impl<K: Object + DeserializeOwned> KubeSource<K> {
    fn new(api: Api<K>, selection: Selection) -> Self {
        use futures::StreamExt;
        use kube::runtime::WatchStreamExt;
        let config = watcher::Config {
            label_selector: selection.label_selector,
            field_selector: selection.field_selector,
            ..watcher::Config::default()
        };
        let events = watcher::watcher(api, config).default_backoff().boxed();
        KubeSource {
            events,
            listed: Vec::new(),
        }
    }
}

impl<K: Object> ChangeSource<K> for KubeSource<K> {
    async fn next(&mut self) -> Change<K> {
        use futures::StreamExt;
        use watcher::Event;
        loop {
            match self.events.next().await {
                Some(Ok(Event::Init)) => self.listed.clear(),
                Some(Ok(Event::InitApply(object))) => self.listed.push(object),
                Some(Ok(Event::InitDone)) => {
                    return Change::Replaced(std::mem::take(&mut self.listed));
                }
                Some(Ok(Event::Apply(object))) => return Change::Applied(object),
                Some(Ok(Event::Delete(object))) => return Change::Deleted(object),
                Some(Err(error)) => tracing::debug!(%error, "a list or watch failed"),
                // The stream backs off and never ends by itself.
                None => std::future::pending::<()>().await,
            }
        }
    }
}

/// What every controller is given.
#[derive(Clone)]
pub struct Context {
    /// The API.
    pub client: Client,
    /// What the informers know.
    pub stores: Stores,
    /// Writes Events.
    pub recorder: Recorder,
    /// Ends everything.
    pub shutdown: CancellationToken,
    /// Everything that must have ended before the process does.
    pub tasks: TaskTracker,
}

/// What to do with a key after a look at it.
pub type Outcome = Result<Option<std::time::Duration>, Error>;

impl Context {
    /// Runs `workers` workers that take keys from `queue` and `reconcile` them: after a failure
    /// again with a growing wait, and after `Ok(Some(wait))` again then.
    pub fn work<T, F>(&self, name: &'static str, queue: &WorkQueue<T>, workers: usize, reconcile: F)
    where
        T: Clone + Eq + Hash + Debug + Send + Sync + 'static,
        F: Fn(Context, T) -> BoxFuture<'static, Outcome> + Clone + Send + 'static,
    {
        for _ in 0..workers {
            let (context, queue, reconcile) = (self.clone(), queue.clone(), reconcile.clone());
            self.tasks.spawn(async move {
                while let Some(Some(key)) = context.shutdown.run_until_cancelled(queue.get()).await
                {
                    match reconcile(context.clone(), key.clone()).await {
                        Ok(again) => {
                            queue.forget(&key);
                            if let Some(wait) = again {
                                queue.add_after(key.clone(), wait);
                            }
                        }
                        Err(error) => {
                            tracing::debug!(controller = name, ?key, %error, "will try again");
                            queue.add_rate_limited(key.clone());
                        }
                    }
                    queue.done(&key);
                }
            });
        }
    }
}
