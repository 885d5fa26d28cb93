//! `resource.k8s.io`: Devices of nodes, and who may use them.

use super::{BASE, Resource, status_of};

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        group: "resource.k8s.io",
        kind: "DeviceClass",
        plural: "deviceclasses",
        singular: "deviceclass",
        namespaced: false,
        schema: "io.k8s.api.resource.v1.DeviceClass",
        ..BASE
    },
    Resource {
        group: "resource.k8s.io",
        kind: "ResourceClaim",
        plural: "resourceclaims",
        singular: "resourceclaim",
        subresources: &[status_of("ResourceClaim")],
        schema: "io.k8s.api.resource.v1.ResourceClaim",
        ..BASE
    },
    Resource {
        group: "resource.k8s.io",
        kind: "ResourceClaimTemplate",
        plural: "resourceclaimtemplates",
        singular: "resourceclaimtemplate",
        schema: "io.k8s.api.resource.v1.ResourceClaimTemplate",
        ..BASE
    },
    Resource {
        group: "resource.k8s.io",
        kind: "ResourceSlice",
        plural: "resourceslices",
        singular: "resourceslice",
        namespaced: false,
        schema: "io.k8s.api.resource.v1.ResourceSlice",
        ..BASE
    },
];
