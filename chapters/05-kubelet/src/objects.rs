//! Config maps and secrets that pods refer to, read when needed and remembered for a while.
//!
//! Upstream watches each object that a pod of the node refers to. Here a pod's start reads anew
//! what is older than a second, and volumes are refreshed within a minute: far fewer open
//! watches on the API server for what hardly ever changes.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::Api;
use serde::de::DeserializeOwned;

use crate::Result;

/// How old what a starting container gets may be.
const FRESH: Duration = Duration::from_secs(1);
/// Objects nobody asked for in this time are dropped.
const KEPT: Duration = Duration::from_secs(120);

/// The config maps and secrets last read.
pub struct ObjectCache {
    client: kube::Client,
    config_maps: Slots<ConfigMap>,
    secrets: Slots<Secret>,
}

type Slots<K> = Mutex<HashMap<(String, String), (Instant, Option<Arc<K>>)>>;

impl ObjectCache {
    /// An empty cache.
    pub fn new(client: kube::Client) -> ObjectCache {
        ObjectCache {
            client,
            config_maps: Slots::default(),
            secrets: Slots::default(),
        }
    }

    /// A config map, or `None` if there is none.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<Arc<ConfigMap>>> {
        self.get(&self.config_maps, namespace, name).await
    }

    /// A secret, or `None` if there is none.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Arc<Secret>>> {
        self.get(&self.secrets, namespace, name).await
    }

    async fn get<K>(&self, slots: &Slots<K>, namespace: &str, name: &str) -> Result<Option<Arc<K>>>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some((read, object @ Some(_))) = slots.lock().expect("no panics inside").get(&key)
            && read.elapsed() < FRESH
        {
            return Ok(object.clone());
        }
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let object = api.get_opt(name).await?.map(Arc::new);
        let mut slots = slots.lock().expect("no panics inside");
        slots.retain(|_, (read, _)| read.elapsed() < KEPT);
        slots.insert(key, (Instant::now(), object.clone()));
        Ok(object)
    }
}
