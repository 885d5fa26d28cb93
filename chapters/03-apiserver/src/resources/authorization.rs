//! `authorization.k8s.io`: Who may: questions that are answered and forgotten.

use super::{ASKED, BASE, Resource};

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        group: "authorization.k8s.io",
        kind: "LocalSubjectAccessReview",
        plural: "localsubjectaccessreviews",
        singular: "localsubjectaccessreview",
        verbs: ASKED,
        schema: "io.k8s.api.authorization.v1.LocalSubjectAccessReview",
        ..BASE
    },
    Resource {
        group: "authorization.k8s.io",
        kind: "SelfSubjectAccessReview",
        plural: "selfsubjectaccessreviews",
        singular: "selfsubjectaccessreview",
        namespaced: false,
        verbs: ASKED,
        schema: "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
        ..BASE
    },
    Resource {
        group: "authorization.k8s.io",
        kind: "SelfSubjectRulesReview",
        plural: "selfsubjectrulesreviews",
        singular: "selfsubjectrulesreview",
        namespaced: false,
        verbs: ASKED,
        schema: "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
        ..BASE
    },
    Resource {
        group: "authorization.k8s.io",
        kind: "SubjectAccessReview",
        plural: "subjectaccessreviews",
        singular: "subjectaccessreview",
        namespaced: false,
        verbs: ASKED,
        schema: "io.k8s.api.authorization.v1.SubjectAccessReview",
        ..BASE
    },
];
