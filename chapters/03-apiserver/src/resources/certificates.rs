//! `certificates.k8s.io`: Who asks for a certificate.

use super::{BASE, PART, Resource, Subresource, status_of};

pub(super) const RESOURCES: &[Resource] = &[Resource {
    group: "certificates.k8s.io",
    kind: "CertificateSigningRequest",
    plural: "certificatesigningrequests",
    singular: "certificatesigningrequest",
    short_names: &["csr"],
    namespaced: false,
    subresources: &[
        Subresource {
            name: "approval",
            kind: "CertificateSigningRequest",
            group_version: None,
            verbs: PART,
        },
        status_of("CertificateSigningRequest"),
    ],
    schema: "io.k8s.api.certificates.v1.CertificateSigningRequest",
    ..BASE
}];
