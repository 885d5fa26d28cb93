//! `scheduling.k8s.io`: What goes first.

use super::{BASE, Resource};

pub(super) const RESOURCES: &[Resource] = &[Resource {
    group: "scheduling.k8s.io",
    kind: "PriorityClass",
    plural: "priorityclasses",
    singular: "priorityclass",
    short_names: &["pc"],
    namespaced: false,
    schema: "io.k8s.api.scheduling.v1.PriorityClass",
    ..BASE
}];
