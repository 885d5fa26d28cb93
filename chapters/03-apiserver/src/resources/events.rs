//! `events.k8s.io`: Events, as the newer API shows them.

use super::{BASE, Resource};

pub(super) const RESOURCES: &[Resource] = &[Resource {
    group: "events.k8s.io",
    kind: "Event",
    plural: "events",
    singular: "event",
    short_names: &["ev"],
    schema: "io.k8s.api.events.v1.Event",
    ..BASE
}];
