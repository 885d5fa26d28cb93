//! `networking.k8s.io`: What leads into a cluster, who may speak to whom, and whose an address is.

use super::{BASE, Resource, status_of};

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        group: "networking.k8s.io",
        kind: "IngressClass",
        plural: "ingressclasses",
        singular: "ingressclass",
        namespaced: false,
        schema: "io.k8s.api.networking.v1.IngressClass",
        ..BASE
    },
    Resource {
        group: "networking.k8s.io",
        kind: "Ingress",
        plural: "ingresses",
        singular: "ingress",
        short_names: &["ing"],
        subresources: &[status_of("Ingress")],
        schema: "io.k8s.api.networking.v1.Ingress",
        ..BASE
    },
    Resource {
        group: "networking.k8s.io",
        kind: "IPAddress",
        plural: "ipaddresses",
        singular: "ipaddress",
        short_names: &["ip"],
        namespaced: false,
        schema: "io.k8s.api.networking.v1.IPAddress",
        ..BASE
    },
    Resource {
        group: "networking.k8s.io",
        kind: "NetworkPolicy",
        plural: "networkpolicies",
        singular: "networkpolicy",
        short_names: &["netpol"],
        schema: "io.k8s.api.networking.v1.NetworkPolicy",
        ..BASE
    },
    Resource {
        group: "networking.k8s.io",
        kind: "ServiceCIDR",
        plural: "servicecidrs",
        singular: "servicecidr",
        namespaced: false,
        subresources: &[status_of("ServiceCIDR")],
        schema: "io.k8s.api.networking.v1.ServiceCIDR",
        ..BASE
    },
];
