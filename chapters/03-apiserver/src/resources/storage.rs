//! `storage.k8s.io`: Kinds of storage, who provides it, and where it is attached.

use super::{BASE, Resource, status_of};

const STORAGE: Resource = Resource {
    group: "storage.k8s.io",
    namespaced: false,
    ..BASE
};

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        kind: "CSIDriver",
        plural: "csidrivers",
        singular: "csidriver",
        schema: "io.k8s.api.storage.v1.CSIDriver",
        ..STORAGE
    },
    Resource {
        kind: "CSINode",
        plural: "csinodes",
        singular: "csinode",
        schema: "io.k8s.api.storage.v1.CSINode",
        ..STORAGE
    },
    Resource {
        kind: "CSIStorageCapacity",
        plural: "csistoragecapacities",
        singular: "csistoragecapacity",
        namespaced: true,
        schema: "io.k8s.api.storage.v1.CSIStorageCapacity",
        ..STORAGE
    },
    Resource {
        kind: "StorageClass",
        plural: "storageclasses",
        singular: "storageclass",
        short_names: &["sc"],
        schema: "io.k8s.api.storage.v1.StorageClass",
        ..STORAGE
    },
    Resource {
        kind: "VolumeAttachment",
        plural: "volumeattachments",
        singular: "volumeattachment",
        subresources: &[status_of("VolumeAttachment")],
        schema: "io.k8s.api.storage.v1.VolumeAttachment",
        ..STORAGE
    },
    Resource {
        kind: "VolumeAttributesClass",
        plural: "volumeattributesclasses",
        singular: "volumeattributesclass",
        short_names: &["vac"],
        schema: "io.k8s.api.storage.v1.VolumeAttributesClass",
        ..STORAGE
    },
];
