//! The cluster roles of the system's own components, and of everybody.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{
    APPS, AUTHENTICATION, AUTHORIZATION, COORDINATION, DISCOVERY, READ, STORAGE, cluster_role,
    controllers, events, named, paths, people, rule,
};
use crate::authz::Rule;

pub(super) fn cluster_roles() -> Vec<Value> {
    let mut roles = vec![
        cluster_role(
            "cluster-admin",
            vec![
                rule(&["*"], &["*"], &["*"]),
                json!({"verbs": ["*"], "nonResourceURLs": ["*"]}),
            ],
        ),
        cluster_role(
            "system:discovery",
            vec![paths(&[
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/healthz",
                "/livez",
                "/openapi",
                "/openapi/*",
                "/readyz",
                "/version",
                "/version/",
            ])],
        ),
        cluster_role(
            "system:public-info-viewer",
            vec![paths(&[
                "/healthz",
                "/livez",
                "/readyz",
                "/version",
                "/version/",
            ])],
        ),
        cluster_role(
            "system:basic-user",
            vec![
                rule(
                    &["create"],
                    &[AUTHORIZATION],
                    &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
                ),
                rule(&["create"], &[AUTHENTICATION], &["selfsubjectreviews"]),
            ],
        ),
        cluster_role(
            "system:monitoring",
            vec![paths(&[
                "/healthz",
                "/healthz/*",
                "/livez",
                "/livez/*",
                "/metrics",
                "/metrics/slis",
                "/readyz",
                "/readyz/*",
            ])],
        ),
        cluster_role(
            "system:service-account-issuer-discovery",
            vec![paths(&[
                "/.well-known/openid-configuration",
                "/.well-known/openid-configuration/",
                "/openid/v1/jwks",
                "/openid/v1/jwks/",
            ])],
        ),
        cluster_role(
            "system:auth-delegator",
            vec![
                rule(&["create"], &[AUTHENTICATION], &["tokenreviews"]),
                rule(&["create"], &[AUTHORIZATION], &["subjectaccessreviews"]),
            ],
        ),
        cluster_role("system:node", node_role()),
        cluster_role(
            "system:node-proxier",
            vec![
                rule(&["list", "watch"], &[""], &["services", "endpoints"]),
                rule(READ, &[""], &["nodes"]),
                events(),
                rule(&["list", "watch"], &[DISCOVERY], &["endpointslices"]),
            ],
        ),
        cluster_role("system:kube-scheduler", scheduler_role()),
        cluster_role("system:volume-scheduler", volume_scheduler_role()),
        cluster_role(
            "system:kube-controller-manager",
            controllers::controller_manager_role(),
        ),
        cluster_role(
            "system:kube-dns",
            vec![
                rule(
                    &["list", "watch"],
                    &[""],
                    &["endpoints", "services", "pods", "namespaces"],
                ),
                rule(&["list", "watch"], &[DISCOVERY], &["endpointslices"]),
            ],
        ),
    ];
    roles.extend(people::user_roles());
    roles
}

/// What every kubelet may do. The role of this name is bound to nobody: the node authoriser
/// looks at these rules for what it does not tell apart by node.
fn node_role() -> Vec<Value> {
    vec![
        rule(&["create"], &[AUTHENTICATION], &["tokenreviews"]),
        rule(
            &["create"],
            &[AUTHORIZATION],
            &["localsubjectaccessreviews", "subjectaccessreviews"],
        ),
        rule(READ, &[""], &["services"]),
        rule(&["create", "get", "list", "watch"], &[""], &["nodes"]),
        rule(READ, &["node.k8s.io"], &["runtimeclasses"]),
        rule(READ, &[STORAGE], &["csidrivers"]),
        rule(
            &["create", "get", "list", "watch"],
            &["certificates.k8s.io"],
            &["certificatesigningrequests"],
        ),
        rule(&["patch", "update"], &[""], &["nodes/status"]),
        rule(&["patch", "update"], &[""], &["nodes"]),
        events(),
        rule(READ, &[""], &["pods"]),
        rule(&["create", "delete"], &[""], &["pods"]),
        rule(&["patch", "update"], &[""], &["pods/status"]),
        rule(&["create"], &[""], &["pods/eviction"]),
        rule(READ, &[""], &["configmaps", "secrets"]),
        rule(
            &["get"],
            &[""],
            &["persistentvolumeclaims", "persistentvolumes"],
        ),
        rule(&["get"], &[""], &["endpoints"]),
        rule(&["create"], &[""], &["serviceaccounts/token"]),
        rule(
            &["create", "delete", "get", "patch", "update"],
            &[COORDINATION],
            &["leases"],
        ),
    ]
}

/// [`node_role`]'s rules, parsed once.
pub(in crate::authz) fn node_rules() -> &'static [Rule] {
    static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| Rule::list(&node_role().into()));
    &RULES
}

/// Choosing volumes for claims that wait for their first consumer.
fn volume_scheduler_role() -> Vec<Value> {
    let read_update = &[READ, &["patch", "update"]].concat();
    vec![
        rule(read_update, &[""], &["persistentvolumes"]),
        rule(READ, &[STORAGE], &["storageclasses"]),
        rule(read_update, &[""], &["persistentvolumeclaims"]),
    ]
}

fn scheduler_role() -> Vec<Value> {
    vec![
        events(),
        rule(&["create"], &[COORDINATION], &["leases"]),
        named(
            &["get", "update"],
            COORDINATION,
            "leases",
            &["kube-scheduler"],
        ),
        rule(READ, &[""], &["nodes", "namespaces"]),
        rule(&["delete", "get", "list", "watch"], &[""], &["pods"]),
        rule(&["create"], &[""], &["bindings", "pods/binding"]),
        rule(&["patch", "update"], &[""], &["pods/status"]),
        rule(READ, &[""], &["services"]),
        rule(READ, &[""], &["replicationcontrollers"]),
        rule(READ, &[APPS], &["replicasets", "statefulsets"]),
        rule(READ, &["policy"], &["poddisruptionbudgets"]),
        rule(
            READ,
            &[STORAGE],
            &[
                "csidrivers",
                "csinodes",
                "csistoragecapacities",
                "volumeattachments",
            ],
        ),
        rule(
            READ,
            &[""],
            &["persistentvolumeclaims", "persistentvolumes"],
        ),
        rule(READ, &["scheduling.k8s.io"], &["priorityclasses"]),
        rule(&["create"], &[AUTHENTICATION], &["tokenreviews"]),
        rule(&["create"], &[AUTHORIZATION], &["subjectaccessreviews"]),
    ]
}
