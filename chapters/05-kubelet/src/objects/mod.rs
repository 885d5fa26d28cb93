//! Config maps and secrets that pods refer to.
//!
//! What a pod's volumes show is watched, each object by a watch of its own, which all pods of the
//! node that show it share, and which ends with the last of them: a kubelet may read what its pods
//! name, and nothing else. An immutable object is read and not watched. What only a container's
//! environment names is read when the container starts.
//!
//! ```text
//!   pod a ──hold──┐
//!                 ├──► Slot: the object as it is now ◄── watch metadata.name=conf
//!   pod b ──hold──┘                │ it changed
//!     ▲────────── wake ────────────┘
//! ```
//!
//! Upstream: `pkg/kubelet/util/manager/watch_based_manager.go`.

mod slots;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use tokio::sync::Notify;

use crate::Result;
use crate::decide::spec;
use slots::Slots;

/// Namespaces and names.
type Keys = BTreeSet<(String, String)>;

/// The config maps and secrets last read, and those that are watched.
pub struct ObjectCache {
    config_maps: Arc<Slots<ConfigMap>>,
    secrets: Arc<Slots<Secret>>,
}

/// Who wants to know when an object changes: one pod.
pub struct Interest {
    wake: Arc<Notify>,
    stale: AtomicBool,
}

impl Interest {
    fn tell(&self) {
        self.stale.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// A pod's hold on the objects that its volumes show: they are watched as long as it is there.
pub struct Hold {
    cache: Arc<ObjectCache>,
    interest: Arc<Interest>,
    config_maps: Keys,
    secrets: Keys,
}

impl Hold {
    /// Whether one of the objects has changed since they were last read.
    pub fn is_stale(&self) -> bool {
        self.interest.stale.load(Ordering::Acquire)
    }

    /// They are read now.
    pub fn take_stale(&self) {
        self.interest.stale.store(false, Ordering::Release);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        for key in &self.config_maps {
            self.cache.config_maps.release(key, &self.interest);
        }
        for key in &self.secrets {
            self.cache.secrets.release(key, &self.interest);
        }
    }
}

impl ObjectCache {
    /// An empty cache.
    pub fn new(client: kube::Client) -> ObjectCache {
        ObjectCache {
            config_maps: Slots::new(client.clone()),
            secrets: Slots::new(client),
        }
    }

    /// A config map, or `None` if there is none.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<Arc<ConfigMap>>> {
        self.config_maps.get(namespace, name).await
    }

    /// A secret, or `None` if there is none.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Arc<Secret>>> {
        self.secrets.get(namespace, name).await
    }

    /// Watches what the pod's volumes show; `wake` is notified when any of it changes.
    pub fn hold(self: &Arc<ObjectCache>, pod: &Pod, wake: Arc<Notify>) -> Hold {
        let (config_maps, secrets) = shown(pod);
        let interest = Arc::new(Interest {
            wake,
            stale: AtomicBool::new(false),
        });
        for key in &config_maps {
            self.config_maps.hold(key, interest.clone());
        }
        for key in &secrets {
            self.secrets.hold(key, interest.clone());
        }
        Hold {
            cache: self.clone(),
            interest,
            config_maps,
            secrets,
        }
    }
}

/// Namespaces and names of the config maps and secrets that a pod's volumes show.
fn shown(pod: &Pod) -> (Keys, Keys) {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let (mut config_maps, mut secrets) = (BTreeSet::new(), BTreeSet::new());
    let key = |name: &String| (namespace.clone(), name.clone());
    for volume in spec::of(pod).volumes.iter().flatten() {
        config_maps.extend(volume.config_map.iter().map(|source| key(&source.name)));
        let secret = volume.secret.as_ref();
        secrets.extend(
            secret
                .and_then(|source| source.secret_name.as_ref())
                .map(key),
        );
        let projected = volume.projected.iter();
        for source in projected.flat_map(|projected| projected.sources.iter().flatten()) {
            config_maps.extend(source.config_map.iter().map(|source| key(&source.name)));
            secrets.extend(source.secret.iter().map(|source| key(&source.name)));
        }
    }
    (config_maps, secrets)
}
