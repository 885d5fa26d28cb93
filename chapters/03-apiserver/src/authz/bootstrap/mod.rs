//! The roles and bindings of a new cluster, and its two priority classes.
//!
//! Upstream's, cut to what is served here. `admin`, `edit` and `view` are sums: each gathers the
//! rules of the cluster roles with its label, so that whoever adds a resource can add it to them.
//! These objects are made when they are missing; and what they lack is added ([`reconcile`]).
//!
//! Upstream: `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`, `controller_policy.go`.

mod addons;
mod controllers;
mod people;
pub mod reconcile;
mod roles;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

pub(super) use roles::node_rules;

use super::{MASTERS, RbacState, Rule};
use crate::authn::{AUTHENTICATED, UNAUTHENTICATED};

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const APPS: &str = "apps";
const BATCH: &str = "batch";
const POLICY: &str = "policy";
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const COORDINATION: &str = "coordination.k8s.io";
const DISCOVERY: &str = "discovery.k8s.io";
const EVENTS: &str = "events.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const STORAGE: &str = "storage.k8s.io";

fn rule(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": groups, "resources": resources})
}

fn named(verbs: &[&str], group: &str, resource: &str, names: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": [group], "resources": [resource], "resourceNames": names})
}

fn paths(paths: &[&str]) -> Value {
    json!({"verbs": ["get"], "nonResourceURLs": paths})
}

fn events() -> Value {
    rule(&["create", "patch", "update"], &["", EVENTS], &["events"])
}

fn object(kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        },
    })
}

fn cluster_role(name: &str, rules: Vec<Value>) -> Value {
    let mut role = object("ClusterRole", name);
    role["rules"] = rules.into();
    role
}

fn bound(mut binding: Value, role_kind: &str, role: &str, subjects: &[Value]) -> Value {
    binding["roleRef"] = json!({"apiGroup": RBAC, "kind": role_kind, "name": role});
    binding["subjects"] = subjects.into();
    binding
}

fn cluster_binding(role: &str, subjects: &[Value]) -> Value {
    bound(
        object("ClusterRoleBinding", role),
        "ClusterRole",
        role,
        subjects,
    )
}

fn user(name: &str) -> Value {
    json!({"apiGroup": RBAC, "kind": "User", "name": name})
}

fn group(name: &str) -> Value {
    json!({"apiGroup": RBAC, "kind": "Group", "name": name})
}

fn service_account(name: &str) -> Value {
    json!({"kind": "ServiceAccount", "name": name, "namespace": "kube-system"})
}

/// Everything that is there from the first start, each with its kind and apiVersion.
pub fn bootstrap_objects() -> Vec<Value> {
    let mut objects = roles::cluster_roles();
    objects.extend(addons::cluster_roles());
    objects.extend(controllers::controller_roles());
    objects.extend(cluster_bindings());
    objects.extend(namespaced());
    fill_in_aggregated(&mut objects);
    objects.extend(priority_classes());
    objects
}

fn cluster_bindings() -> Vec<Value> {
    let everybody = [group(AUTHENTICATED), group(UNAUTHENTICATED)];
    vec![
        cluster_binding("cluster-admin", &[group(MASTERS)]),
        cluster_binding("system:discovery", &[group(AUTHENTICATED)]),
        cluster_binding("system:public-info-viewer", &everybody),
        cluster_binding("system:basic-user", &[group(AUTHENTICATED)]),
        cluster_binding("system:monitoring", &[group("system:monitoring")]),
        cluster_binding(
            "system:service-account-issuer-discovery",
            &[group("system:serviceaccounts")],
        ),
        cluster_binding("system:node", &[]),
        cluster_binding("system:node-proxier", &[user("system:kube-proxy")]),
        cluster_binding("system:kube-scheduler", &[user("system:kube-scheduler")]),
        cluster_binding("system:volume-scheduler", &[user("system:kube-scheduler")]),
        cluster_binding(
            "system:kube-controller-manager",
            &[user("system:kube-controller-manager")],
        ),
        cluster_binding("system:kube-dns", &[service_account("kube-dns")]),
    ]
}

/// Roles and bindings that live in a namespace.
fn namespaced() -> Vec<Value> {
    let in_namespace = |mut object: Value, namespace: &str| {
        object["metadata"]["namespace"] = json!(namespace);
        object
    };
    let authentication_reader = "extension-apiserver-authentication-reader";
    let mut role = object("Role", authentication_reader);
    role["rules"] = json!([named(
        READ,
        "",
        "configmaps",
        &["extension-apiserver-authentication"]
    )]);
    let binding_name = format!("system::{authentication_reader}");
    let binding = bound(
        object("RoleBinding", &binding_name),
        "Role",
        authentication_reader,
        &[
            user("system:kube-controller-manager"),
            user("system:kube-scheduler"),
        ],
    );
    vec![
        in_namespace(role, "kube-system"),
        in_namespace(binding, "kube-system"),
    ]
}

/// Writes the rules of the sums into them, as upstream's controller does a moment later.
fn fill_in_aggregated(objects: &mut [Value]) {
    let mut state = RbacState::default();
    for role in objects
        .iter()
        .filter(|object| object["kind"] == "ClusterRole")
    {
        state.set("clusterroles", role);
    }
    for role in objects
        .iter_mut()
        .filter(|object| object["aggregationRule"].is_object())
    {
        let name = role["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let rules = state
            .role_rules("ClusterRole", "", &name)
            .unwrap_or_default();
        role["rules"] = rules.iter().map(Rule::to_object).collect::<Vec<_>>().into();
    }
}

fn priority_classes() -> Vec<Value> {
    let class = |name: &str, value: i64, description: &str| {
        json!({
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "preemptionPolicy": "PreemptLowerPriority",
            "description": description,
        })
    };
    vec![
        class(
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to \
             another node if necessary.",
        ),
        class(
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
    ]
}
