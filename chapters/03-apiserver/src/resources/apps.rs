//! `apps`: What keeps pods.

use super::{BASE, Resource, SCALE, status_of};

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        group: "apps",
        kind: "ControllerRevision",
        plural: "controllerrevisions",
        singular: "controllerrevision",
        schema: "io.k8s.api.apps.v1.ControllerRevision",
        ..BASE
    },
    Resource {
        group: "apps",
        kind: "DaemonSet",
        plural: "daemonsets",
        singular: "daemonset",
        short_names: &["ds"],
        categories: &["all"],
        subresources: &[status_of("DaemonSet")],
        schema: "io.k8s.api.apps.v1.DaemonSet",
        ..BASE
    },
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
    Resource {
        group: "apps",
        kind: "StatefulSet",
        plural: "statefulsets",
        singular: "statefulset",
        short_names: &["sts"],
        categories: &["all"],
        subresources: &[SCALE, status_of("StatefulSet")],
        schema: "io.k8s.api.apps.v1.StatefulSet",
        ..BASE
    },
];
