//! `admissionregistration.k8s.io`: What else is asked, or checked, before a write.

use super::{BASE, Resource, status_of};

const ADMISSION: Resource = Resource {
    group: "admissionregistration.k8s.io",
    categories: &["api-extensions"],
    namespaced: false,
    ..BASE
};

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        kind: "MutatingAdmissionPolicy",
        plural: "mutatingadmissionpolicies",
        singular: "mutatingadmissionpolicy",
        schema: "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
        ..ADMISSION
    },
    Resource {
        kind: "MutatingAdmissionPolicyBinding",
        plural: "mutatingadmissionpolicybindings",
        singular: "mutatingadmissionpolicybinding",
        schema: "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding",
        ..ADMISSION
    },
    Resource {
        kind: "MutatingWebhookConfiguration",
        plural: "mutatingwebhookconfigurations",
        singular: "mutatingwebhookconfiguration",
        schema: "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
        ..ADMISSION
    },
    Resource {
        kind: "ValidatingAdmissionPolicy",
        plural: "validatingadmissionpolicies",
        singular: "validatingadmissionpolicy",
        subresources: &[status_of("ValidatingAdmissionPolicy")],
        schema: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
        ..ADMISSION
    },
    Resource {
        kind: "ValidatingAdmissionPolicyBinding",
        plural: "validatingadmissionpolicybindings",
        singular: "validatingadmissionpolicybinding",
        schema: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
        ..ADMISSION
    },
    Resource {
        kind: "ValidatingWebhookConfiguration",
        plural: "validatingwebhookconfigurations",
        singular: "validatingwebhookconfiguration",
        schema: "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
        ..ADMISSION
    },
];
