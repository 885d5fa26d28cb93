//! Chapter 7: what stands between the API and every controller.
//!
//! A controller wants to ask "which pods belong to this ReplicaSet?" a thousand times a second,
//! and to be told when the answer may have changed. Asking the API server each time would drown
//! it. So each controller keeps a copy of what it cares about, and keeps it right with two
//! requests only, `list` and `watch`:
//!
//! ```text
//!   list ──► objects at revision 42 ─┐
//!                                    ├─► Reflector ──► DeltaFifo ──► Store (indexed copy)
//!   watch from 42 ──► 43, 44, 45 … ──┘   no gap,       one entry          │
//!        │                               no repeat     a key              ▼
//!        └── 410 Gone, lost connection:                             handlers ──► WorkQueue
//!            watch again from the last                                               │
//!            revision, or list anew                                                  ▼
//!                                                                    reconcile(key), one worker
//!                                                                    a key at a time
//! ```
//!
//! | here | upstream, `client-go` | what it is |
//! | --- | --- | --- |
//! | [`list_watch::ListerWatcher`] | `cache.ListerWatcher` | the two requests |
//! | [`reflector::Reflector`] | `cache.Reflector` | turns them into changes without a gap |
//! | [`delta_fifo::DeltaFifo`] | `cache.DeltaFIFO` | changes waiting, gathered by key |
//! | [`store::Store`] | `cache.Store`, `cache.Indexer`, listers | the copy, with indices |
//! | [`shared_informer::SharedInformer`] | `cache.SharedIndexInformer` | one copy for many handlers |
//! | [`work_queue::WorkQueue`] | `workqueue.TypedRateLimitingInterface` | keys to look at, once each |
//! | [`leader_election`] | `tools/leaderelection` | one active copy of a component |
//!
//! Read [`reflector`] first: everything else is bookkeeping around its two states. What decides is
//! free of IO and clocks (`step`, `add`, `pop`, `decide`) and is shown by the golden scripts in
//! `tests/`; the shells around it are short.
//!
//! Left out: resync periods (a level-triggered handler that misses nothing needs none) and
//! streaming lists (`sendInitialEvents`), an optimisation of the same promise.

pub mod delta_fifo;
pub mod leader_election;
pub mod list_watch;
pub mod reflector;
pub mod shared_informer;
pub mod store;
pub mod work_queue;

use kube::Resource;

/// What an informer can hold: any API object.
pub trait Object: Resource + Clone + std::fmt::Debug + Send + Sync + 'static {}
impl<K: Resource + Clone + std::fmt::Debug + Send + Sync + 'static> Object for K {}

/// `namespace/name`, or `name` for what lives in no namespace. Upstream:
/// `cache.MetaNamespaceKeyFunc`.
pub fn key_of<K: Resource>(object: &K) -> String {
    let meta = object.meta();
    join_key(
        meta.namespace.as_deref().unwrap_or(""),
        meta.name.as_deref().unwrap_or(""),
    )
}

/// `namespace/name` of its parts.
pub fn join_key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    }
}

/// Namespace (empty if none) and name of a key.
pub fn split_key(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or(("", key))
}
