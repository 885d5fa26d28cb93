//! `authentication.k8s.io`: Who asks: questions that are answered and forgotten.

use super::{ASKED, BASE, Resource};

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        group: "authentication.k8s.io",
        kind: "SelfSubjectReview",
        plural: "selfsubjectreviews",
        singular: "selfsubjectreview",
        namespaced: false,
        verbs: ASKED,
        schema: "io.k8s.api.authentication.v1.SelfSubjectReview",
        ..BASE
    },
    Resource {
        group: "authentication.k8s.io",
        kind: "TokenReview",
        plural: "tokenreviews",
        singular: "tokenreview",
        namespaced: false,
        verbs: ASKED,
        schema: "io.k8s.api.authentication.v1.TokenReview",
        ..BASE
    },
];
