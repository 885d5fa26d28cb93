//! The roles of the controllers, each its own, and of the process that runs them all.

use serde_json::Value;

use super::{
    APPS, AUTHENTICATION, AUTHORIZATION, BATCH, COORDINATION, DISCOVERY, POLICY, RBAC, READ,
    STORAGE, WRITE, cluster_binding, cluster_role, events, named, rule, service_account,
};

pub(super) fn controller_roles() -> Vec<Value> {
    CONTROLLERS
        .iter()
        .flat_map(|(name, rules)| {
            let role = format!("system:controller:{name}");
            let binding = cluster_binding(&role, &[service_account(name)]);
            [cluster_role(&role, rules()), binding]
        })
        .collect()
}

/// What the process itself needs, and, since all controllers run under its one identity here, what
/// they need together. Upstream gives each a service account of its own instead.
pub(super) fn controller_manager_role() -> Vec<Value> {
    let mut rules = vec![
        events(),
        rule(&["create"], &[COORDINATION], &["leases"]),
        named(
            &["get", "update"],
            COORDINATION,
            "leases",
            &["kube-controller-manager"],
        ),
        rule(
            &["create"],
            &[""],
            &["secrets", "serviceaccounts", "serviceaccounts/token"],
        ),
        rule(&["get", "update"], &[""], &["secrets", "serviceaccounts"]),
        rule(&["delete"], &[""], &["secrets"]),
        rule(&["get"], &[""], &["configmaps", "namespaces"]),
        rule(&["create"], &[AUTHENTICATION], &["tokenreviews"]),
        rule(&["create"], &[AUTHORIZATION], &["subjectaccessreviews"]),
        rule(&["list", "watch"], &["*"], &["*"]),
    ];
    for rule in CONTROLLERS.iter().flat_map(|(_, rules)| rules()) {
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    rules
}

/// A controller's name and its rules.
type Controller = (&'static str, fn() -> Vec<Value>);

/// The controllers there are. Upstream: `controller_policy.go`.
const CONTROLLERS: &[Controller] = &[
    ("clusterrole-aggregation-controller", || {
        vec![rule(
            &["escalate", "get", "list", "patch", "update", "watch"],
            &[RBAC],
            &["clusterroles"],
        )]
    }),
    ("cronjob-controller", || {
        vec![
            rule(&["get", "list", "update", "watch"], &[BATCH], &["cronjobs"]),
            rule(
                &[
                    "create", "delete", "get", "list", "patch", "update", "watch",
                ],
                &[BATCH],
                &["jobs"],
            ),
            rule(&["update"], &[BATCH], &["cronjobs/status"]),
            rule(&["update"], &[BATCH], &["cronjobs/finalizers"]),
            rule(&["delete", "list"], &[""], &["pods"]),
            events(),
        ]
    }),
    ("deployment-controller", || {
        vec![
            rule(
                &["get", "list", "update", "watch"],
                &[APPS],
                &["deployments"],
            ),
            rule(&["patch", "update"], &[APPS], &["deployments/status"]),
            rule(&["update"], &[APPS], &["deployments/finalizers"]),
            rule(&[READ, WRITE].concat(), &[APPS], &["replicasets"]),
            rule(&["get", "list", "update", "watch"], &[""], &["pods"]),
            events(),
        ]
    }),
    ("disruption-controller", || {
        vec![
            rule(
                READ,
                &[APPS],
                &["deployments", "replicasets", "statefulsets"],
            ),
            rule(READ, &[""], &["replicationcontrollers"]),
            rule(READ, &[POLICY], &["poddisruptionbudgets"]),
            rule(&["update"], &[POLICY], &["poddisruptionbudgets/status"]),
            rule(&["patch", "update"], &[""], &["pods/status"]),
            rule(&["get"], &["*"], &["*/scale"]),
            events(),
        ]
    }),
    ("endpointslice-controller", || {
        vec![
            rule(READ, &[""], &["nodes", "pods", "services"]),
            rule(&["update"], &[""], &["services/finalizers"]),
            rule(
                &[
                    "create", "delete", "get", "list", "patch", "update", "watch",
                ],
                &[DISCOVERY],
                &["endpointslices"],
            ),
            rule(
                &[
                    "create", "delete", "get", "list", "patch", "update", "watch",
                ],
                &[""],
                &["endpoints"],
            ),
            events(),
        ]
    }),
    ("generic-garbage-collector", || {
        vec![
            rule(
                &["delete", "get", "list", "patch", "update", "watch"],
                &["*"],
                &["*"],
            ),
            events(),
        ]
    }),
    ("job-controller", || {
        vec![
            rule(
                &["get", "list", "patch", "update", "watch"],
                &[BATCH],
                &["jobs"],
            ),
            rule(&["patch", "update"], &[BATCH], &["jobs/status"]),
            rule(&["update"], &[BATCH], &["jobs/finalizers"]),
            rule(
                &["create", "delete", "list", "patch", "watch"],
                &[""],
                &["pods"],
            ),
            events(),
        ]
    }),
    ("namespace-controller", || {
        vec![
            rule(&["delete", "get", "list", "watch"], &[""], &["namespaces"]),
            rule(
                &["update"],
                &[""],
                &["namespaces/finalize", "namespaces/status"],
            ),
            rule(
                &["delete", "deletecollection", "get", "list"],
                &["*"],
                &["*"],
            ),
        ]
    }),
    ("node-controller", || {
        vec![
            rule(
                &["delete", "get", "list", "patch", "update", "watch"],
                &[""],
                &["nodes"],
            ),
            rule(&["patch", "update"], &[""], &["nodes/status"]),
            rule(&["patch", "update"], &[""], &["pods/status"]),
            rule(&["delete", "get", "list", "watch"], &[""], &["pods"]),
            rule(
                &["create", "delete", "get", "list", "watch"],
                &[COORDINATION],
                &["leases"],
            ),
            events(),
        ]
    }),
    ("persistent-volume-binder", || {
        vec![
            rule(
                &["create", "delete", "get", "list", "update", "watch"],
                &[""],
                &["persistentvolumes"],
            ),
            rule(&["update"], &[""], &["persistentvolumes/status"]),
            rule(
                &["get", "list", "update", "watch"],
                &[""],
                &["persistentvolumeclaims"],
            ),
            rule(&["update"], &[""], &["persistentvolumeclaims/status"]),
            rule(READ, &[STORAGE], &["storageclasses"]),
            rule(READ, &[""], &["pods"]),
            events(),
        ]
    }),
    ("pod-garbage-collector", || {
        vec![
            rule(&["delete", "list", "watch"], &[""], &["pods"]),
            rule(&["get", "list"], &[""], &["nodes"]),
            rule(&["patch"], &[""], &["pods/status"]),
        ]
    }),
    ("pv-protection-controller", || {
        vec![
            rule(
                &["get", "list", "update", "watch"],
                &[""],
                &["persistentvolumes"],
            ),
            events(),
        ]
    }),
    ("pvc-protection-controller", || {
        vec![
            rule(
                &["get", "list", "update", "watch"],
                &[""],
                &["persistentvolumeclaims"],
            ),
            rule(READ, &[""], &["pods"]),
            events(),
        ]
    }),
    ("replicaset-controller", || {
        vec![
            rule(
                &["get", "list", "update", "watch"],
                &[APPS],
                &["replicasets"],
            ),
            rule(&["patch", "update"], &[APPS], &["replicasets/status"]),
            rule(&["update"], &[APPS], &["replicasets/finalizers"]),
            rule(
                &["create", "delete", "list", "patch", "watch"],
                &[""],
                &["pods"],
            ),
            events(),
        ]
    }),
    ("replication-controller", || {
        vec![
            rule(
                &["get", "list", "update", "watch"],
                &[""],
                &["replicationcontrollers"],
            ),
            rule(
                &["patch", "update"],
                &[""],
                &["replicationcontrollers/status"],
            ),
            rule(&["update"], &[""], &["replicationcontrollers/finalizers"]),
            rule(
                &["create", "delete", "list", "patch", "watch"],
                &[""],
                &["pods"],
            ),
            events(),
        ]
    }),
    ("resourcequota-controller", || {
        vec![
            rule(&["list", "watch"], &["*"], &["*"]),
            rule(&["update"], &[""], &["resourcequotas/status"]),
            events(),
        ]
    }),
    ("root-ca-cert-publisher", || {
        vec![
            rule(&["create", "get", "update"], &[""], &["configmaps"]),
            events(),
        ]
    }),
    ("service-account-controller", || {
        vec![
            rule(&["create", "get"], &[""], &["serviceaccounts"]),
            events(),
        ]
    }),
    ("ttl-after-finished-controller", || {
        vec![
            rule(&["delete", "get", "list", "watch"], &[BATCH], &["jobs"]),
            events(),
        ]
    }),
];
