//! Priority and fairness: the objects that every cluster has from the start.
//!
//! A FlowSchema says which requests belong together, and which level of priority they have; a
//! PriorityLevelConfiguration, what share of the server that level gets, and who waits. Here they
//! are kept and checked, and not followed: every request is served at once.
//!
//! Two schemas and two levels are mandatory: what is exempt, and what nobody else wants. The rest
//! is a suggestion, which follows the server's version until somebody takes away the annotation
//! that says so.
//!
//! Upstream: `apiserver/pkg/apis/flowcontrol/bootstrap/default.go`,
//! `pkg/registry/flowcontrol/ensurer`.

use serde_json::{Value, json};

use crate::authn::{AUTHENTICATED, UNAUTHENTICATED};
use crate::authz::MASTERS;

/// The annotation by which an object follows the server's version.
pub const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
/// The schema and the level of what never waits.
pub const EXEMPT: &str = "exempt";
/// The schema and the level of what nobody else wants.
pub const CATCH_ALL: &str = "catch-all";

/// Whether an object of that name may not be other than it is.
pub fn is_mandatory(name: &str) -> bool {
    matches!(name, EXEMPT | CATCH_ALL)
}

/// The one spec that a mandatory object may have.
pub fn mandatory_spec(kind: &str, name: &str) -> Option<Value> {
    let mut objects = bootstrap_objects().into_iter();
    let found = objects.find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found
        .filter(|_| is_mandatory(name))
        .map(|mut object| object["spec"].take())
}

/// Everything that is there from the first start, each with its kind and apiVersion.
pub fn bootstrap_objects() -> Vec<Value> {
    let levels = priority_levels();
    let levels = levels
        .into_iter()
        .map(|(name, spec)| object("PriorityLevelConfiguration", name, spec));
    let schemas = flow_schemas();
    let schemas = schemas
        .into_iter()
        .map(|(name, spec)| object("FlowSchema", name, spec));
    levels.chain(schemas).collect()
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "annotations": {AUTO_UPDATE: "true"}},
        "spec": spec,
    })
}

fn priority_levels() -> Vec<(&'static str, Value)> {
    let queued = |shares: i64, lendable: i64, queues: i64, hand: i64| {
        json!({"type": "Limited", "limited": {
            "nominalConcurrencyShares": shares,
            "lendablePercent": lendable,
            "limitResponse": {"type": "Queue", "queuing":
                {"queues": queues, "handSize": hand, "queueLengthLimit": 50}},
        }})
    };
    vec![
        (
            EXEMPT,
            json!({"type": "Exempt",
                "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}),
        ),
        (
            CATCH_ALL,
            json!({"type": "Limited", "limited": {"nominalConcurrencyShares": 5,
                "lendablePercent": 0, "limitResponse": {"type": "Reject"}}}),
        ),
        ("system", queued(30, 33, 64, 6)),
        ("node-high", queued(40, 25, 64, 6)),
        ("leader-election", queued(10, 0, 16, 4)),
        ("workload-high", queued(40, 50, 128, 6)),
        ("workload-low", queued(100, 90, 128, 6)),
        ("global-default", queued(20, 50, 128, 6)),
    ]
}

fn group(name: &str) -> Value {
    json!({"kind": "Group", "group": {"name": name}})
}

fn user(name: &str) -> Value {
    json!({"kind": "User", "user": {"name": name}})
}

fn system_accounts() -> Value {
    json!({"kind": "ServiceAccount",
        "serviceAccount": {"namespace": "kube-system", "name": "*"}})
}

/// Requests for some resources in all namespaces, and outside of them if `cluster` says so.
fn resources(verbs: &[&str], group: &str, resources: &[&str], cluster: bool) -> Value {
    let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": resources,
        "namespaces": ["*"]});
    if cluster {
        rule["clusterScope"] = true.into();
    }
    rule
}

/// Whatever these subjects ask for.
fn everything(subjects: &[Value]) -> Value {
    json!([{
        "subjects": subjects,
        "resourceRules": [resources(&["*"], "*", &["*"], true)],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }])
}

fn flow_schemas() -> Vec<(&'static str, Value)> {
    let schema = |level: &str, precedence: i64, flow: &str, rules: Value| {
        let mut spec = json!({"priorityLevelConfiguration": {"name": level},
            "matchingPrecedence": precedence, "rules": rules});
        if !flow.is_empty() {
            spec["distinguisherMethod"] = json!({"type": flow});
        }
        spec
    };
    const BY_USER: &str = "ByUser";
    const BY_NAMESPACE: &str = "ByNamespace";
    const LEASES: &str = "coordination.k8s.io";
    let everybody = [group(UNAUTHENTICATED), group(AUTHENTICATED)];
    let (manager, scheduler) = (
        user("system:kube-controller-manager"),
        user("system:kube-scheduler"),
    );
    let nodes = [group("system:nodes")];
    let leaders = json!([{
        "subjects": [manager, scheduler, system_accounts()],
        "resourceRules": [resources(&["get", "create", "update"], LEASES, &["leases"], false)],
    }]);
    let alive = json!([{
        "subjects": nodes,
        "resourceRules": [
            resources(&["*"], "", &["nodes", "nodes/status"], true),
            resources(&["*"], LEASES, &["leases"], false),
        ],
    }]);
    let probes = json!([{
        "subjects": everybody,
        "nonResourceRules": [
            {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]},
        ],
    }]);
    vec![
        (EXEMPT, schema(EXEMPT, 1, "", everything(&[group(MASTERS)]))),
        ("probes", schema(EXEMPT, 2, "", probes)),
        (
            "system-leader-election",
            schema("leader-election", 100, BY_USER, leaders),
        ),
        ("system-node-high", schema("node-high", 400, BY_USER, alive)),
        (
            "system-nodes",
            schema("system", 500, BY_USER, everything(&nodes)),
        ),
        (
            "kube-controller-manager",
            schema("workload-high", 800, BY_NAMESPACE, everything(&[manager])),
        ),
        (
            "kube-scheduler",
            schema("workload-high", 800, BY_NAMESPACE, everything(&[scheduler])),
        ),
        (
            "kube-system-service-accounts",
            schema(
                "workload-high",
                900,
                BY_NAMESPACE,
                everything(&[system_accounts()]),
            ),
        ),
        (
            "service-accounts",
            schema(
                "workload-low",
                9000,
                BY_USER,
                everything(&[group("system:serviceaccounts")]),
            ),
        ),
        (
            "global-default",
            schema("global-default", 9900, BY_USER, everything(&everybody)),
        ),
        (
            CATCH_ALL,
            schema(CATCH_ALL, 10000, BY_USER, everything(&everybody)),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_has_its_level() {
        let levels = priority_levels();
        for (name, spec) in flow_schemas() {
            let level = &spec["priorityLevelConfiguration"]["name"];
            assert!(
                levels.iter().any(|(name, _)| level == name),
                "{name}: {level}"
            );
        }
        assert_eq!(mandatory_spec("FlowSchema", "probes"), None);
        let catch_all = mandatory_spec("FlowSchema", CATCH_ALL).expect("is mandatory");
        assert_eq!(catch_all["matchingPrecedence"], 10000);
    }
}
