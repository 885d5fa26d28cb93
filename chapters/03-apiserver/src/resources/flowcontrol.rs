//! `flowcontrol.apiserver.k8s.io`: Whose requests go first.

use super::{BASE, Resource, status_of};

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        group: "flowcontrol.apiserver.k8s.io",
        kind: "FlowSchema",
        plural: "flowschemas",
        singular: "flowschema",
        namespaced: false,
        subresources: &[status_of("FlowSchema")],
        schema: "io.k8s.api.flowcontrol.v1.FlowSchema",
        ..BASE
    },
    Resource {
        group: "flowcontrol.apiserver.k8s.io",
        kind: "PriorityLevelConfiguration",
        plural: "prioritylevelconfigurations",
        singular: "prioritylevelconfiguration",
        namespaced: false,
        subresources: &[status_of("PriorityLevelConfiguration")],
        schema: "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
        ..BASE
    },
];
