//! `storage.k8s.io`: Kinds of storage.

use super::{BASE, Resource};

pub(super) const RESOURCES: &[Resource] = &[Resource {
    group: "storage.k8s.io",
    kind: "StorageClass",
    plural: "storageclasses",
    singular: "storageclass",
    short_names: &["sc"],
    namespaced: false,
    schema: "io.k8s.api.storage.v1.StorageClass",
    ..BASE
}];
