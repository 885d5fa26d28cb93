//! `apiregistration.k8s.io`: Who serves which group and version.

use super::{BASE, Resource, status_of};

pub(super) const RESOURCES: &[Resource] = &[Resource {
    group: "apiregistration.k8s.io",
    kind: "APIService",
    plural: "apiservices",
    singular: "apiservice",
    categories: &["api-extensions"],
    namespaced: false,
    subresources: &[status_of("APIService")],
    schema: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
    ..BASE
}];
