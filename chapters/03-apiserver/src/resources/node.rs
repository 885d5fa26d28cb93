//! `node.k8s.io`: Ways to run containers.

use super::{BASE, Resource};

pub(super) const RESOURCES: &[Resource] = &[Resource {
    group: "node.k8s.io",
    kind: "RuntimeClass",
    plural: "runtimeclasses",
    singular: "runtimeclass",
    namespaced: false,
    schema: "io.k8s.api.node.v1.RuntimeClass",
    ..BASE
}];
