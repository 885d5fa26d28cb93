//! The roles and bindings of a new cluster, and its two priority classes.
//!
//! Upstream's, cut to what is served here. `admin`, `edit` and `view` are sums: each gathers the
//! rules of the cluster roles with its label, so that whoever adds a resource can add it to them.
//! These objects are made when they are missing, and left alone otherwise.
//!
//! Upstream: `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`, `controller_policy.go`.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{MASTERS, RbacState, Rule};
use crate::authn::{AUTHENTICATED, UNAUTHENTICATED};

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const APPS: &str = "apps";
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const COORDINATION: &str = "coordination.k8s.io";
const DISCOVERY: &str = "discovery.k8s.io";
const EVENTS: &str = "events.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

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
    let mut objects = cluster_roles();
    objects.extend(controller_roles());
    objects.extend(cluster_bindings());
    objects.extend(namespaced());
    fill_in_aggregated(&mut objects);
    objects.extend(priority_classes());
    objects
}

fn cluster_roles() -> Vec<Value> {
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
        cluster_role("system:kube-controller-manager", controller_manager_role()),
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
    roles.extend(user_roles());
    roles
}

/// `admin`, `edit`, `view`, and the three that they are sums of.
fn user_roles() -> Vec<Value> {
    let sum = |name: &str| {
        let mut role = object("ClusterRole", name);
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{name}");
        role["aggregationRule"] =
            json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
        role["rules"] = json!([]);
        role
    };
    let labelled = |mut role: Value, to: &str| {
        role["metadata"]["labels"][format!("rbac.authorization.k8s.io/aggregate-to-{to}")] =
            json!("true");
        role
    };
    let workloads = [
        "deployments",
        "deployments/rollback",
        "deployments/scale",
        "replicasets",
        "replicasets/scale",
    ];
    let to_admin = vec![
        rule(
            &["create"],
            &[AUTHORIZATION],
            &["localsubjectaccessreviews"],
        ),
        rule(&[READ, WRITE].concat(), &[RBAC], &["roles", "rolebindings"]),
    ];
    let to_edit = vec![
        rule(
            READ,
            &[""],
            &[
                "pods/attach",
                "pods/proxy",
                "pods/exec",
                "pods/portforward",
                "secrets",
                "services/proxy",
            ],
        ),
        rule(&["impersonate"], &[""], &["serviceaccounts"]),
        rule(
            WRITE,
            &[""],
            &[
                "pods",
                "pods/attach",
                "pods/proxy",
                "pods/exec",
                "pods/portforward",
            ],
        ),
        rule(&["create"], &[""], &["pods/eviction"]),
        rule(
            WRITE,
            &[""],
            &[
                "configmaps",
                "events",
                "secrets",
                "serviceaccounts",
                "services",
                "services/proxy",
            ],
        ),
        rule(&["create"], &[""], &["serviceaccounts/token"]),
        rule(WRITE, &[APPS], &workloads),
        rule(&[READ, WRITE].concat(), &[COORDINATION], &["leases"]),
    ];
    let to_view = vec![
        rule(
            READ,
            &[""],
            &[
                "configmaps",
                "endpoints",
                "pods",
                "serviceaccounts",
                "services",
                "services/status",
            ],
        ),
        rule(
            READ,
            &[""],
            &[
                "bindings",
                "events",
                "namespaces/status",
                "pods/log",
                "pods/status",
            ],
        ),
        rule(READ, &[""], &["namespaces"]),
        rule(
            READ,
            &[APPS],
            &[
                "deployments",
                "deployments/scale",
                "deployments/status",
                "replicasets",
                "replicasets/scale",
                "replicasets/status",
            ],
        ),
        rule(READ, &[DISCOVERY], &["endpointslices"]),
    ];
    vec![
        sum("admin"),
        labelled(sum("edit"), "admin"),
        labelled(sum("view"), "edit"),
        labelled(cluster_role("system:aggregate-to-admin", to_admin), "admin"),
        labelled(cluster_role("system:aggregate-to-edit", to_edit), "edit"),
        labelled(cluster_role("system:aggregate-to-view", to_view), "view"),
    ]
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
        rule(&["patch", "update"], &[""], &["nodes/status"]),
        rule(&["patch", "update"], &[""], &["nodes"]),
        events(),
        rule(READ, &[""], &["pods"]),
        rule(&["create", "delete"], &[""], &["pods"]),
        rule(&["patch", "update"], &[""], &["pods/status"]),
        rule(&["create"], &[""], &["pods/eviction"]),
        rule(READ, &[""], &["configmaps", "secrets"]),
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
pub(super) fn node_rules() -> &'static [Rule] {
    static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| Rule::list(&node_role().into()));
    &RULES
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
        rule(READ, &[APPS], &["replicasets"]),
        rule(READ, &["scheduling.k8s.io"], &["priorityclasses"]),
        rule(&["create"], &[AUTHENTICATION], &["tokenreviews"]),
        rule(&["create"], &[AUTHORIZATION], &["subjectaccessreviews"]),
    ]
}

/// What the process itself needs, and, since all controllers run under its one identity here, what
/// they need together. Upstream gives each a service account of its own instead.
fn controller_manager_role() -> Vec<Value> {
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
    ("pod-garbage-collector", || {
        vec![
            rule(&["delete", "list", "watch"], &[""], &["pods"]),
            rule(&["get", "list"], &[""], &["nodes"]),
            rule(&["patch"], &[""], &["pods/status"]),
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
];

fn controller_roles() -> Vec<Value> {
    CONTROLLERS
        .iter()
        .flat_map(|(name, rules)| {
            let role = format!("system:controller:{name}");
            let binding = cluster_binding(&role, &[service_account(name)]);
            [cluster_role(&role, rules()), binding]
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        authn::User,
        authz::{Attributes, Authorizer, Decision},
        resources::by_path,
    };

    fn authorizer() -> Authorizer {
        let mut authorizer = Authorizer::default();
        for object in bootstrap_objects() {
            let kind = object["kind"].as_str().expect("a kind").to_lowercase();
            authorizer.rbac.set(&format!("{kind}s"), &object);
        }
        authorizer
    }

    fn jane() -> User {
        User {
            name: "jane".into(),
            groups: vec![AUTHENTICATED.into()],
            ..User::default()
        }
    }

    fn bind(authorizer: &mut Authorizer, role: &str, namespace: &str) {
        let binding = json!({
            "metadata": {"name": role, "namespace": namespace},
            "roleRef": {"kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": "jane"}],
        });
        authorizer.rbac.set("rolebindings", &binding);
    }

    #[test]
    fn who_may_do_what() {
        let mut authorizer = authorizer();
        let admin = User {
            groups: vec![MASTERS.into()],
            ..User::default()
        };
        assert!(
            authorizer
                .authorize(&Attributes::of(&admin, "x", "y"))
                .is_allowed()
        );

        let user = jane();
        let list = Attributes {
            namespace: "ns",
            ..Attributes::of(&user, "list", "pods")
        };
        assert_eq!(
            authorizer.authorize(&list),
            Decision::Deny(
                "User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \
                 \"ns\""
                    .into()
            )
        );
        bind(&mut authorizer, "view", "ns");
        assert_eq!(
            authorizer.authorize(&list),
            Decision::Allow(
                "RBAC: allowed by RoleBinding \"view/ns\" of ClusterRole \"view\" to User \"jane\""
                    .into()
            )
        );
        let log = Attributes {
            subresource: "log",
            verb: "get",
            ..list
        };
        assert!(authorizer.authorize(&log).is_allowed());
        let exec = Attributes {
            subresource: "exec",
            verb: "create",
            ..list
        };
        assert!(!authorizer.authorize(&exec).is_allowed());
        assert!(
            !authorizer
                .authorize(&Attributes {
                    namespace: "",
                    ..list
                })
                .is_allowed()
        );
        assert!(
            authorizer
                .authorize(&Attributes::of_path(&user, "get", "/apis/x"))
                .is_allowed()
        );
        let anonymous = User::anonymous();
        let path = Attributes::of_path(&anonymous, "get", "/");
        assert_eq!(
            authorizer.authorize(&path),
            Decision::Deny("User \"system:anonymous\" cannot get path \"/\"".into())
        );
        authorizer.rbac.remove("rolebindings", "ns", "view");
        assert!(!authorizer.authorize(&list).is_allowed());
        bind(&mut authorizer, "gone", "ns");
        let Decision::Deny(why) = authorizer.authorize(&list) else {
            panic!("no such role")
        };
        assert!(
            why.ends_with(": RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found"),
            "{why}"
        );
    }

    #[test]
    fn nobody_hands_out_more_than_they_have() {
        let mut authorizer = authorizer();
        bind(&mut authorizer, "admin", "ns");
        let roles = by_path(RBAC, "v1", "roles").expect("roles are served");
        let role =
            |rules: Value| json!({"metadata": {"namespace": "ns", "name": "x"}, "rules": rules});
        let held = role(json!([rule(
            &["get", "create"],
            &[""],
            &["pods", "secrets"]
        )]));
        assert_eq!(
            authorizer.check_escalation(&jane(), roles, &held, None),
            Ok(())
        );
        let more = role(json!([rule(&["get", "update"], &[""], &["nodes"])]));
        let error = authorizer
            .check_escalation(&jane(), roles, &more, None)
            .expect_err("too much");
        assert_eq!(
            error.message,
            "roles.rbac.authorization.k8s.io \"x\" is forbidden: user \"jane\" \
             (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not \
             currently held:\n{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\" \"update\"]}"
        );
        assert_eq!(
            authorizer.check_escalation(&jane(), roles, &more, Some(&more)),
            Ok(())
        );
        let cluster_roles = by_path(RBAC, "v1", "clusterroles").expect("they are served");
        let everywhere = authorizer.check_escalation(&jane(), cluster_roles, &held, None);
        assert!(
            everywhere.is_err(),
            "what is held in one namespace is not held in all"
        );
        let bindings = by_path(RBAC, "v1", "rolebindings").expect("bindings are served");
        let binding = |role: &str| {
            json!({
                "metadata": {"namespace": "ns", "name": "b"},
                "roleRef": {"kind": "ClusterRole", "name": role},
            })
        };
        let check = |role: &str| {
            authorizer
                .check_escalation(&jane(), bindings, &binding(role), None)
                .map_err(|e| e.code)
        };
        assert_eq!(check("view"), Ok(()));
        assert_eq!(check("cluster-admin"), Err(403));
        assert_eq!(check("none"), Err(404));
    }

    #[test]
    fn the_sums_hold_their_parts() {
        let objects = bootstrap_objects();
        let rules = |name: &str| {
            let role = objects
                .iter()
                .find(|object| object["metadata"]["name"] == name);
            role.expect(name)["rules"].as_array().expect("rules").len()
        };
        assert!(
            rules("view") > 0 && rules("edit") > rules("view") && rules("admin") > rules("edit")
        );
        let review = authorizer().rules_review(&jane(), "default");
        assert_eq!(review["incomplete"], false);
        assert!(
            review["nonResourceRules"]
                .as_array()
                .is_some_and(|rules| rules.len() >= 2)
        );
    }
}
