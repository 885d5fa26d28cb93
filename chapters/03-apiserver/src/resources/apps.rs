//! `apps`: What keeps pods.

use super::{BASE, Resource, SCALE, status_of};

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        group: "apps",
        kind: "Deployment",
        plural: "deployments",
        singular: "deployment",
        short_names: &["deploy"],
        categories: &["all"],
        subresources: &[SCALE, status_of("Deployment")],
        schema: "io.k8s.api.apps.v1.Deployment",
        ..BASE
    },
    Resource {
        group: "apps",
        kind: "ReplicaSet",
        plural: "replicasets",
        singular: "replicaset",
        short_names: &["rs"],
        categories: &["all"],
        subresources: &[SCALE, status_of("ReplicaSet")],
        schema: "io.k8s.api.apps.v1.ReplicaSet",
        ..BASE
    },
];
