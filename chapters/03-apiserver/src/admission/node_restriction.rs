//! NodeRestriction: a kubelet writes what is its own node's, whatever it could otherwise.
//!
//! A node that is broken into gives away that node and its pods, and nothing of the others: it
//! can't take a label that draws pods with secrets to it, nor a token for a pod that is not there.
//!
//! Upstream: `plugin/pkg/admission/noderestriction/admission.go`.

use serde_json::Value;

use super::{Lookup, Operation, Request};
use crate::status::ApiError;

const MIRROR: &str = "kubernetes.io/config.mirror";

/// Labels of the Kubernetes domains that a kubelet knows of itself.
const OWN_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
];

/// Checks a kubelet's write; anybody else's passes.
pub(super) fn admit(request: &Request, lookup: &dyn Lookup) -> Result<(), ApiError> {
    let Some(node) = request.user.node() else {
        return Ok(());
    };
    let result = match (request.resource.group, request.resource.plural) {
        ("", "pods") => pods(request, node),
        ("", "nodes") => nodes(request, node),
        ("", "serviceaccounts") => tokens(request, node, lookup),
        ("", "persistentvolumeclaims") => claims(request, node),
        ("coordination.k8s.io", "leases") => leases(request, node),
        ("storage.k8s.io", "csinodes") if written_name(request) != node => {
            Err("can only access CSINode with the same name as the requesting node".to_owned())
        }
        ("resource.k8s.io", "resourceslices") => slices(request, node),
        _ => Ok(()),
    };
    result.map_err(|why| request.forbidden(why))
}

fn node_name(pod: Option<&Value>) -> &str {
    pod.and_then(|pod| pod["spec"]["nodeName"].as_str())
        .unwrap_or_default()
}

fn pods(request: &Request, node: &str) -> Result<(), String> {
    let is_own = |pod| node_name(pod) == node;
    let object = request.object.as_deref();
    let only = |holds: bool, what: &str| {
        let with = "with spec.nodeName set to itself";
        if holds {
            Ok(())
        } else {
            Err(format!("node {node:?} can only {what} {with}"))
        }
    };
    match (request.subresource, request.operation) {
        ("", Operation::Create) => {
            if object.is_none_or(|pod| pod["metadata"]["annotations"][MIRROR].is_null()) {
                return Err(format!(
                    "pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror \
                     pods"
                ));
            }
            only(is_own(object), "create pods")
        }
        ("", Operation::Delete) => only(is_own(request.old), "delete pods"),
        ("status", Operation::Update) => {
            only(is_own(request.old), "update pod status for pods")?;
            let labels = |pod: Option<&Value>| pod.map(|pod| pod["metadata"]["labels"].clone());
            if labels(object) != labels(request.old) {
                return Err(format!(
                    "node {node:?} cannot update labels through pod status"
                ));
            }
            Ok(())
        }
        ("eviction", Operation::Create) => only(is_own(request.old), "evict pods"),
        ("", operation) => {
            let operation = format!("{operation:?}").to_uppercase();
            Err(format!(
                "unexpected operation {operation:?}, node {node:?} can only create and delete mirror pods"
            ))
        }
        (other, _) => Err(format!(
            "unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"
        )),
    }
}

fn nodes(request: &Request, node: &str) -> Result<(), String> {
    let object = request.object.as_deref();
    let name = written_name(request);
    if name != node {
        return Err(format!(
            "node {node:?} is not allowed to modify node {name:?}"
        ));
    }
    let Some(object) = object else { return Ok(()) };
    let mut denied: Vec<String> = changed_labels(request.old, object)
        .into_iter()
        .filter(|label| !is_allowed_label(label))
        .collect();
    if !denied.is_empty() {
        denied.sort();
        let denied = denied.join(", ");
        return Err(match request.old {
            Some(_) => format!("is not allowed to modify labels: {denied}"),
            None => format!("node {node:?} is not allowed to set the following labels: {denied}"),
        });
    }
    match request.old {
        Some(old) if old["spec"]["taints"] != object["spec"]["taints"] => {
            Err(format!("node {node:?} is not allowed to modify taints"))
        }
        _ => Ok(()),
    }
}

/// The keys that one has and the other has not, or not so.
fn changed_labels(old: Option<&Value>, new: &Value) -> Vec<String> {
    let nothing = Value::Null;
    let old = old.map_or(&nothing, |old| &old["metadata"]["labels"]);
    let new = &new["metadata"]["labels"];
    let keys = [old, new]
        .into_iter()
        .filter_map(Value::as_object)
        .flat_map(|map| map.keys());
    let mut changed: Vec<String> = keys.filter(|key| old[*key] != new[*key]).cloned().collect();
    changed.dedup();
    changed
}

fn is_allowed_label(key: &str) -> bool {
    let Some((domain, _)) = key.split_once('/') else {
        return true;
    };
    let is_in = |parent: &str| {
        domain == parent
            || domain
                .strip_suffix(parent)
                .is_some_and(|rest| rest.ends_with('.'))
    };
    if is_in("node-restriction.kubernetes.io") {
        return false;
    }
    let is_system = is_in("kubernetes.io") || is_in("k8s.io");
    !is_system
        || OWN_LABELS.contains(&key)
        || is_in("kubelet.kubernetes.io")
        || is_in("node.kubernetes.io")
}

/// The name of what is written, which a request for a new object has in its body only.
fn written_name<'a>(request: &'a Request) -> &'a str {
    let written = request.object.as_deref();
    match request.name {
        "" => written.map_or("", |object| {
            object["metadata"]["name"].as_str().unwrap_or_default()
        }),
        name => name,
    }
}

/// What a kubelet says of a claim is how large its volume has become.
fn claims(request: &Request, node: &str) -> Result<(), String> {
    const SAYS: [&str; 4] = [
        "capacity",
        "conditions",
        "allocatedResources",
        "allocatedResourceStatuses",
    ];
    if request.subresource != "status" {
        return Err("may only update PVC status".to_owned());
    }
    let rest = |claim: Option<&Value>| {
        let mut claim = claim.cloned().unwrap_or_default();
        for field in ["resourceVersion", "managedFields"] {
            claim["metadata"][field] = Value::Null;
        }
        for field in SAYS {
            claim["status"][field] = Value::Null;
        }
        claim
    };
    if rest(request.object.as_deref()) == rest(request.old) {
        Ok(())
    } else {
        // Upstream adds a list of what differs, in a form of Go's.
        Err(format!(
            "node {node:?} is not allowed to update fields other than status.capacity and \
             status.conditions"
        ))
    }
}

fn slices(request: &Request, node: &str) -> Result<(), String> {
    let (slice, verb) = match request.operation {
        Operation::Create => (request.object.as_deref(), "create"),
        Operation::Update => (request.object.as_deref(), "update"),
        Operation::Delete => (request.old, "delete"),
        Operation::Connect => return Ok(()),
    };
    if node_name(slice) == node {
        Ok(())
    } else {
        Err(format!(
            "can only {verb} ResourceSlice with the same NodeName as the requesting node"
        ))
    }
}

fn leases(request: &Request, node: &str) -> Result<(), String> {
    if request.namespace != "kube-node-lease" {
        return Err(
            "can only access leases in the \"kube-node-lease\" system namespace".to_owned(),
        );
    }
    if written_name(request) == node {
        Ok(())
    } else {
        Err("can only access node lease with the same name as the requesting node".to_owned())
    }
}

fn tokens(request: &Request, node: &str, lookup: &dyn Lookup) -> Result<(), String> {
    if request.subresource != "token" {
        return Ok(());
    }
    let Some(object) = request.object.as_deref() else {
        return Ok(());
    };
    let bound = &object["spec"]["boundObjectRef"];
    if bound["kind"] != "Pod" {
        return Err("node requested token not bound to a pod".to_owned());
    }
    let (Some(name), Some(uid)) = (bound["name"].as_str(), bound["uid"].as_str()) else {
        return Err("node requested token with a pod binding without a uid".to_owned());
    };
    let Some(pod) = lookup.get("pods", request.namespace, name) else {
        return Err(format!("pod {:?} not found", name));
    };
    let found = pod["metadata"]["uid"].as_str().unwrap_or_default();
    if found != uid {
        return Err(format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The \
             object might have been deleted and then recreated"
        ));
    }
    if node_name(Some(&pod)) != node {
        return Err("node requested token bound to a pod scheduled on a different node".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        admission::{Admission, tests::World},
        authn::User,
        resources,
    };

    fn kubelet(
        operation: Operation,
        kind: &str,
        subresource: &str,
        mut object: Value,
        old: Option<&Value>,
    ) -> Result<(), String> {
        let resource = resources::all().find(|r| r.kind == kind).expect(kind);
        let user = User {
            name: "system:node:one".into(),
            groups: vec!["system:nodes".into()],
            ..User::default()
        };
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let is_lease = kind == "Lease";
        let pod = |node: &str| json!({"metadata": {"uid": "u"}, "spec": {"nodeName": node}});
        let world = World::new()
            .with("namespaces", "kube-node-lease", json!({}))
            .with("pods", "mine", pod("one"))
            .with("pods", "other", pod("two"));
        let mut request = Request {
            user: &user,
            operation,
            resource,
            subresource,
            namespace: if is_lease { "kube-node-lease" } else { "ns" },
            name: &name,
            object: (operation != Operation::Delete).then_some(&mut object),
            old,
            dry_run: false,
        };
        Admission::default()
            .admit(&mut request, &world)
            .map_err(|error| error.message)
    }

    #[test]
    fn a_kubelet_keeps_to_its_node() {
        use Operation::{Create, Delete, Update};
        let named = |name: &str| json!({"metadata": {"name": name}});
        assert_eq!(kubelet(Create, "Node", "", named("one"), None), Ok(()));
        assert_eq!(
            kubelet(Create, "Node", "", named("two"), None),
            Err(
                "nodes \"two\" is forbidden: node \"one\" is not allowed to modify node \"two\""
                    .into()
            )
        );
        let labelled = |label: &str| json!({"metadata": {"name": "one", "labels": {label: "x"}}});
        assert_eq!(
            kubelet(Create, "Node", "", labelled("kubernetes.io/os"), None),
            Ok(())
        );
        assert_eq!(
            kubelet(Create, "Node", "", labelled("example.com/x"), None),
            Ok(())
        );
        let role = labelled("node-role.kubernetes.io/control-plane");
        assert!(kubelet(Create, "Node", "", role.clone(), None).is_err());
        assert_eq!(
            kubelet(Update, "Node", "", role.clone(), Some(&role)),
            Ok(()),
            "not its doing"
        );
        let tainted = json!({"metadata": {"name": "one"}, "spec": {"taints": []}});
        assert!(kubelet(Update, "Node", "", tainted, Some(&named("one"))).is_err());

        assert_eq!(kubelet(Create, "Lease", "", named("one"), None), Ok(()));
        assert!(kubelet(Create, "Lease", "", named("two"), None).is_err());

        let (mine, other) = (
            json!({"spec": {"nodeName": "one"}}),
            json!({"spec": {"nodeName": "two"}}),
        );
        assert_eq!(
            kubelet(Update, "Pod", "status", mine.clone(), Some(&mine)),
            Ok(())
        );
        assert!(kubelet(Update, "Pod", "status", mine.clone(), Some(&other)).is_err());
        assert_eq!(kubelet(Delete, "Pod", "", named("p"), Some(&mine)), Ok(()));
        assert!(kubelet(Delete, "Pod", "", named("p"), Some(&other)).is_err());
        assert!(kubelet(Create, "Pod", "", mine, None).is_err());

        assert_eq!(kubelet(Create, "CSINode", "", named("one"), None), Ok(()));
        assert!(kubelet(Create, "CSINode", "", named("two"), None).is_err());
        let slice = |node: &str| json!({"metadata": {"name": "s"}, "spec": {"nodeName": node}});
        let (own, foreign) = (slice("one"), slice("two"));
        assert_eq!(
            kubelet(Create, "ResourceSlice", "", own.clone(), None),
            Ok(())
        );
        assert!(kubelet(Create, "ResourceSlice", "", foreign.clone(), None).is_err());
        assert_eq!(
            kubelet(Delete, "ResourceSlice", "", own.clone(), Some(&own)),
            Ok(())
        );
        assert!(kubelet(Delete, "ResourceSlice", "", own, Some(&foreign)).is_err());
        let claim = |labels: Value, capacity: &str| {
            json!({"metadata": {"name": "c", "labels": labels},
            "status": {"capacity": {"storage": capacity}, "phase": "Bound"}})
        };
        let (small, large) = (claim(json!({}), "1Gi"), claim(json!({}), "2Gi"));
        let status = |claim| {
            kubelet(
                Update,
                "PersistentVolumeClaim",
                "status",
                claim,
                Some(&small),
            )
        };
        assert_eq!(status(large), Ok(()));
        assert!(status(claim(json!({"a": "b"}), "2Gi")).is_err());

        let token = |pod: &str| json!({"spec": {"boundObjectRef": {"kind": "Pod", "name": pod, "uid": "u"}}});
        assert_eq!(
            kubelet(Create, "ServiceAccount", "token", token("mine"), None),
            Ok(())
        );
        assert!(kubelet(Create, "ServiceAccount", "token", token("other"), None).is_err());
        assert!(kubelet(Create, "ServiceAccount", "token", json!({}), None).is_err());
    }
}
