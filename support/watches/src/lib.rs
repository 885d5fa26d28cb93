//! The watches that several components have, built once.
//!
//! `kube::runtime::watcher` is generic: each crate that watches pods has the compiler write it anew
//! for pods, and with it how a pod is read, three times over (out of a list, out of an event, and
//! out of an event whose fields come in another order). For seven kinds of object that took four
//! fifths of the scheduler's build. [`Watched::watch`] is a plain function of each kind, which this
//! crate alone builds; and what else of a kind's reading and writing it needed, the compiler finds
//! here, as long as neither side is built with more than `opt-level = 1`.
//!
//! So a kind belongs in the list below when a second component watches it.

use std::fmt::Debug;

use futures::stream::{BoxStream, StreamExt};
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::Api;
use kube::runtime::watcher::{Config, Event, Result, watcher};
use serde::de::DeserializeOwned;

/// What comes of a watch. It has no end; after an error it goes on when it is asked again.
pub type Events<K> = BoxStream<'static, Result<Event<K>>>;

/// A kind whose watch is built here.
pub trait Watched:
    kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static
{
    /// Lists what `api` reaches and `config` selects, then watches it, and lists again when it has
    /// to.
    fn watch(api: Api<Self>, config: Config) -> Events<Self>;
}

macro_rules! watched {
    ($($kind:ty),* $(,)?) => {
        $(
            impl Watched for $kind {
                fn watch(api: Api<Self>, config: Config) -> Events<Self> {
                    watcher(api, config).boxed()
                }
            }
        )*
    };
}

watched!(
    ConfigMap,
    EndpointSlice,
    Namespace,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    Secret,
    Service,
    StorageClass,
);
