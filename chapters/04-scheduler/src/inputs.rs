//! The watches of the scheduler, as one stream.

use futures::stream::{BoxStream, SelectAll, StreamExt};
use k8s_openapi::api::core::v1::{
    Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Service,
};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Client;
use kube::api::Api;
use kube::runtime::watcher;

use crate::watch::watch;

/// A watch event of any of the watched resources.
pub enum Input {
    /// Of a pod.
    Pod(Box<watcher::Event<Pod>>),
    /// Of a node.
    Node(Box<watcher::Event<Node>>),
    /// Of a namespace.
    Namespace(Box<watcher::Event<Namespace>>),
    /// Of a Service.
    Service(Box<watcher::Event<Service>>),
    /// Of a claim.
    Claim(Box<watcher::Event<PersistentVolumeClaim>>),
    /// Of a volume.
    Volume(Box<watcher::Event<PersistentVolume>>),
    /// Of a class of storage.
    Class(Box<watcher::Event<StorageClass>>),
}

/// All watches.
pub fn all(client: &Client) -> SelectAll<BoxStream<'static, Input>> {
    macro_rules! input {
        ($kind:ident: $resource:ty) => {
            watch(Api::<$resource>::all(client.clone()))
                .map(|event| Input::$kind(Box::new(event)))
                .boxed()
        };
    }
    futures::stream::select_all([
        input!(Pod: Pod),
        input!(Node: Node),
        input!(Namespace: Namespace),
        input!(Service: Service),
        input!(Claim: PersistentVolumeClaim),
        input!(Volume: PersistentVolume),
        input!(Class: StorageClass),
    ])
}
