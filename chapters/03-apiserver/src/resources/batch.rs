//! `batch`: What runs to an end, and what starts that again and again.

use super::{BASE, Resource, status_of};

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        group: "batch",
        kind: "CronJob",
        plural: "cronjobs",
        singular: "cronjob",
        short_names: &["cj"],
        categories: &["all"],
        subresources: &[status_of("CronJob")],
        schema: "io.k8s.api.batch.v1.CronJob",
        ..BASE
    },
    Resource {
        group: "batch",
        kind: "Job",
        plural: "jobs",
        singular: "job",
        categories: &["all"],
        subresources: &[status_of("Job")],
        schema: "io.k8s.api.batch.v1.Job",
        ..BASE
    },
];
