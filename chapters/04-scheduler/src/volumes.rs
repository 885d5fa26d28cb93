//! Claims, volumes and classes as the scheduler knows them.
//!
//! A volume that was just chosen for a claim counts as the claim's at once, as a pod counts for
//! its node: the next pod must not be given the same. The volume's own watch event confirms it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use volume_binding::volume_spec;

/// Claims, volumes and classes.
#[derive(Debug, Default)]
pub struct VolumeCache {
    /// By namespace and name.
    claims: BTreeMap<(String, String), PersistentVolumeClaim>,
    /// By name.
    volumes: BTreeMap<String, PersistentVolume>,
    /// By name.
    classes: BTreeMap<String, StorageClass>,
    /// Names of the volumes that are claims' here, and for the API server not yet.
    assumed: BTreeSet<String>,
}

impl VolumeCache {
    /// A claim.
    pub fn claim(&self, namespace: &str, name: &str) -> Option<&PersistentVolumeClaim> {
        self.claims.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// A volume.
    pub fn volume(&self, name: &str) -> Option<&PersistentVolume> {
        self.volumes.get(name)
    }

    /// All volumes.
    pub fn volumes(&self) -> impl Iterator<Item = &PersistentVolume> {
        self.volumes.values()
    }

    /// A class.
    pub fn class(&self, name: &str) -> Option<&StorageClass> {
        self.classes.get(name)
    }

    /// Adds or updates a claim.
    pub fn set_claim(&mut self, claim: PersistentVolumeClaim) {
        self.claims.insert(key(&claim), claim);
    }

    /// Removes a claim.
    pub fn remove_claim(&mut self, claim: &PersistentVolumeClaim) {
        self.claims.remove(&key(claim));
    }

    /// Adds or updates a volume. One that was chosen for a claim stays the claim's until the API
    /// server says whose it is.
    pub fn set_volume(&mut self, volume: PersistentVolume) {
        let name = volume.name_any();
        let is_told = volume_spec(&volume).claim_ref.is_some();
        if self.assumed.contains(&name) && !is_told {
            return;
        }
        self.assumed.remove(&name);
        self.volumes.insert(name, volume);
    }

    /// Removes a volume.
    pub fn remove_volume(&mut self, name: &str) {
        self.assumed.remove(name);
        self.volumes.remove(name);
    }

    /// Adds or updates a class.
    pub fn set_class(&mut self, class: StorageClass) {
        self.classes.insert(class.name_any(), class);
    }

    /// Removes a class.
    pub fn remove_class(&mut self, name: &str) {
        self.classes.remove(name);
    }

    /// Takes volumes for claims', as they are written now.
    pub fn assume(&mut self, volumes: &[PersistentVolume]) {
        for volume in volumes {
            self.assumed.insert(volume.name_any());
            self.volumes.insert(volume.name_any(), volume.clone());
        }
    }

    /// Takes back what was assumed and did not come true.
    pub fn take_back(&mut self, volumes: &[PersistentVolume]) {
        for volume in volumes {
            let name = volume.name_any();
            if self.assumed.remove(&name)
                && let Some(known) = self.volumes.get_mut(&name)
            {
                known.spec.get_or_insert_default().claim_ref = None;
            }
        }
    }

    /// Removes all that a whole list has not shown.
    pub fn retain(&mut self, resource: &str, is_listed: impl Fn(&str) -> bool) {
        match resource {
            "persistentvolumeclaims" => self
                .claims
                .retain(|(namespace, name), _| is_listed(&format!("{namespace}/{name}"))),
            "persistentvolumes" => self.volumes.retain(|name, _| is_listed(name)),
            _ => self.classes.retain(|name, _| is_listed(name)),
        }
    }
}

fn key(claim: &PersistentVolumeClaim) -> (String, String) {
    (claim.namespace().unwrap_or_default(), claim.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_assumed_holds_until_the_api_server_says_otherwise() {
        let volume = |claim: Option<&str>| -> PersistentVolume {
            let named = claim.map(|name| json!({"namespace": "ns", "name": name}));
            let spec = json!({"claimRef": named});
            serde_json::from_value(json!({"metadata": {"name": "pv"}, "spec": spec})).unwrap()
        };
        let holder = |cache: &VolumeCache| {
            let volume = cache.volume("pv").expect("it is there");
            let named = volume_spec(volume).claim_ref.clone();
            named.and_then(|named| named.name)
        };
        let mut cache = VolumeCache::default();
        cache.set_volume(volume(None));
        cache.assume(&[volume(Some("a"))]);
        cache.set_volume(volume(None));
        assert_eq!(holder(&cache).as_deref(), Some("a"));
        cache.take_back(&[volume(Some("a"))]);
        assert_eq!(holder(&cache), None);
        cache.assume(&[volume(Some("a"))]);
        cache.set_volume(volume(Some("b")));
        // It is told now, and no assumption any more.
        cache.take_back(&[volume(Some("a"))]);
        assert_eq!(holder(&cache).as_deref(), Some("b"));
    }
}
