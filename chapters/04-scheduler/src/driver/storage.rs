//! Events of claims, volumes and classes of storage.

use std::time::Instant;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::runtime::watcher;

use super::Driver;

impl Driver {
    pub(super) fn take_claim(&mut self, event: watcher::Event<PersistentVolumeClaim>) {
        const RESOURCE: &str = "persistentvolumeclaims";
        match event {
            watcher::Event::Apply(claim) | watcher::Event::InitApply(claim) => {
                let namespace = claim.namespace().unwrap_or_default();
                self.listed(RESOURCE, format!("{namespace}/{}", claim.name_any()));
                self.cache.volumes.set_claim(claim);
            }
            watcher::Event::Delete(claim) => self.cache.volumes.remove_claim(&claim),
            watcher::Event::Init => self.begin_list(RESOURCE),
            watcher::Event::InitDone => self.end_storage_list(RESOURCE),
        }
        self.queue.retry(Instant::now(), has_claims);
    }

    pub(super) fn take_volume(&mut self, event: watcher::Event<PersistentVolume>) {
        const RESOURCE: &str = "persistentvolumes";
        match event {
            watcher::Event::Apply(volume) | watcher::Event::InitApply(volume) => {
                self.listed(RESOURCE, volume.name_any());
                self.cache.volumes.set_volume(volume);
            }
            watcher::Event::Delete(volume) => self.cache.volumes.remove_volume(&volume.name_any()),
            watcher::Event::Init => self.begin_list(RESOURCE),
            watcher::Event::InitDone => self.end_storage_list(RESOURCE),
        }
        self.queue.retry(Instant::now(), has_claims);
    }

    pub(super) fn take_class(&mut self, event: watcher::Event<StorageClass>) {
        const RESOURCE: &str = "storageclasses";
        match event {
            watcher::Event::Apply(class) | watcher::Event::InitApply(class) => {
                self.listed(RESOURCE, class.name_any());
                self.cache.volumes.set_class(class);
            }
            watcher::Event::Delete(class) => self.cache.volumes.remove_class(&class.name_any()),
            watcher::Event::Init => self.begin_list(RESOURCE),
            watcher::Event::InitDone => self.end_storage_list(RESOURCE),
        }
        self.queue.retry(Instant::now(), has_claims);
    }

    fn end_storage_list(&mut self, resource: &'static str) {
        let listed = self.end_list(resource);
        self.cache
            .volumes
            .retain(resource, |key| listed.contains(key));
    }
}

fn has_claims(pod: &Pod) -> bool {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    volumes
        .into_iter()
        .any(|volume| volume.persistent_volume_claim.is_some())
}
