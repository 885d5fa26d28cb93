//! `autoscaling`: What sets the number of pods. The newer version comes first, and is preferred.

use super::{BASE, Resource, status_of};

const AUTOSCALER: Resource = Resource {
    group: "autoscaling",
    kind: "HorizontalPodAutoscaler",
    plural: "horizontalpodautoscalers",
    singular: "horizontalpodautoscaler",
    short_names: &["hpa"],
    categories: &["all"],
    subresources: &[status_of("HorizontalPodAutoscaler")],
    ..BASE
};

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        version: "v2",
        schema: "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
        ..AUTOSCALER
    },
    Resource {
        version: "v1",
        schema: "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
        ..AUTOSCALER
    },
];
