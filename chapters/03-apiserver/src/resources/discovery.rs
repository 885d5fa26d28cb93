//! `discovery.k8s.io`: What stands behind a Service.

use super::{BASE, Resource};

pub(super) const RESOURCES: &[Resource] = &[Resource {
    group: "discovery.k8s.io",
    kind: "EndpointSlice",
    plural: "endpointslices",
    singular: "endpointslice",
    schema: "io.k8s.api.discovery.v1.EndpointSlice",
    ..BASE
}];
