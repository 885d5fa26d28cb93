//! `core`: What everything stands on: pods, nodes, Services, namespaces, volumes.

use super::{ASKED, BASE, PART, Resource, SCALE, Subresource, pod_stream, proxy_of, status_of};

const POD_SUBRESOURCES: &[Subresource] = &[
    pod_stream("attach", "PodAttachOptions"),
    Subresource {
        name: "binding",
        kind: "Binding",
        group_version: None,
        verbs: ASKED,
    },
    Subresource {
        name: "ephemeralcontainers",
        kind: "Pod",
        group_version: None,
        verbs: PART,
    },
    Subresource {
        name: "eviction",
        kind: "Eviction",
        group_version: Some(("policy", "v1")),
        verbs: ASKED,
    },
    pod_stream("exec", "PodExecOptions"),
    Subresource {
        name: "log",
        kind: "Pod",
        group_version: None,
        verbs: &["get"],
    },
    pod_stream("portforward", "PodPortForwardOptions"),
    proxy_of("PodProxyOptions"),
    Subresource {
        name: "resize",
        kind: "Pod",
        group_version: None,
        verbs: PART,
    },
    status_of("Pod"),
];

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        kind: "Binding",
        plural: "bindings",
        singular: "binding",
        verbs: ASKED,
        schema: "io.k8s.api.core.v1.Binding",
        ..BASE
    },
    Resource {
        kind: "ConfigMap",
        plural: "configmaps",
        singular: "configmap",
        short_names: &["cm"],
        schema: "io.k8s.api.core.v1.ConfigMap",
        ..BASE
    },
    Resource {
        kind: "Endpoints",
        plural: "endpoints",
        singular: "endpoints",
        short_names: &["ep"],
        schema: "io.k8s.api.core.v1.Endpoints",
        ..BASE
    },
    Resource {
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        schema: "io.k8s.api.core.v1.Event",
        ..BASE
    },
    Resource {
        kind: "LimitRange",
        plural: "limitranges",
        singular: "limitrange",
        short_names: &["limits"],
        schema: "io.k8s.api.core.v1.LimitRange",
        ..BASE
    },
    Resource {
        kind: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        short_names: &["ns"],
        namespaced: false,
        verbs: &[
            "create", "delete", "get", "list", "patch", "update", "watch",
        ],
        subresources: &[
            Subresource {
                name: "finalize",
                kind: "Namespace",
                group_version: None,
                verbs: &["update"],
            },
            status_of("Namespace"),
        ],
        schema: "io.k8s.api.core.v1.Namespace",
        ..BASE
    },
    Resource {
        kind: "Node",
        plural: "nodes",
        singular: "node",
        short_names: &["no"],
        namespaced: false,
        subresources: &[proxy_of("NodeProxyOptions"), status_of("Node")],
        schema: "io.k8s.api.core.v1.Node",
        ..BASE
    },
    Resource {
        kind: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
        singular: "persistentvolumeclaim",
        short_names: &["pvc"],
        subresources: &[status_of("PersistentVolumeClaim")],
        schema: "io.k8s.api.core.v1.PersistentVolumeClaim",
        ..BASE
    },
    Resource {
        kind: "PersistentVolume",
        plural: "persistentvolumes",
        singular: "persistentvolume",
        short_names: &["pv"],
        namespaced: false,
        subresources: &[status_of("PersistentVolume")],
        schema: "io.k8s.api.core.v1.PersistentVolume",
        ..BASE
    },
    Resource {
        kind: "Pod",
        plural: "pods",
        singular: "pod",
        short_names: &["po"],
        categories: &["all"],
        subresources: POD_SUBRESOURCES,
        schema: "io.k8s.api.core.v1.Pod",
        ..BASE
    },
    Resource {
        kind: "PodTemplate",
        plural: "podtemplates",
        singular: "podtemplate",
        schema: "io.k8s.api.core.v1.PodTemplate",
        ..BASE
    },
    Resource {
        kind: "ReplicationController",
        plural: "replicationcontrollers",
        singular: "replicationcontroller",
        short_names: &["rc"],
        categories: &["all"],
        subresources: &[SCALE, status_of("ReplicationController")],
        schema: "io.k8s.api.core.v1.ReplicationController",
        ..BASE
    },
    Resource {
        kind: "ResourceQuota",
        plural: "resourcequotas",
        singular: "resourcequota",
        short_names: &["quota"],
        subresources: &[status_of("ResourceQuota")],
        schema: "io.k8s.api.core.v1.ResourceQuota",
        ..BASE
    },
    Resource {
        kind: "Secret",
        plural: "secrets",
        singular: "secret",
        schema: "io.k8s.api.core.v1.Secret",
        ..BASE
    },
    Resource {
        kind: "ServiceAccount",
        plural: "serviceaccounts",
        singular: "serviceaccount",
        short_names: &["sa"],
        subresources: &[Subresource {
            name: "token",
            kind: "TokenRequest",
            group_version: Some(("authentication.k8s.io", "v1")),
            verbs: ASKED,
        }],
        schema: "io.k8s.api.core.v1.ServiceAccount",
        ..BASE
    },
    Resource {
        kind: "Service",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        categories: &["all"],
        subresources: &[proxy_of("ServiceProxyOptions"), status_of("Service")],
        schema: "io.k8s.api.core.v1.Service",
        ..BASE
    },
];
