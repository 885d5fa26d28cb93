//! What a kubelet may do: nothing but what the pods of its node need.
//!
//! A role could only give every kubelet every secret. Instead, a [`super::graph`] says which node
//! has which pod, and what that leads to; a kubelet may read what it can be reached from. What it
//! writes is checked at admission, where the object can be seen
//! ([`crate::admission::node_restriction`]).
//!
//! Upstream: `plugin/pkg/auth/authorizer/node/`, with field selectors authorised (KEP-4601).

use super::graph::NodeGraph;
use super::{Attributes, Rule, bootstrap};

/// Whether a kubelet may do this: `None` if the user is no kubelet, `Err` with what to tell it
/// if this gives it no leave (a role may still).
pub fn authorize_node(
    attributes: &Attributes,
    graph: &dyn NodeGraph,
) -> Option<Result<(), String>> {
    let node = attributes.user.node()?;
    if attributes.path.is_some() {
        return Some(by_rules(attributes));
    }
    Some(match (attributes.group, attributes.resource) {
        ("", resource @ ("secrets" | "configmaps")) => {
            read_object(node, resource, attributes, graph)
        }
        ("", "persistentvolumeclaims") if attributes.subresource == "status" => {
            write_status(node, attributes, graph)
        }
        ("", resource @ ("persistentvolumeclaims" | "persistentvolumes"))
        | ("storage.k8s.io", resource @ "volumeattachments")
        | ("resource.k8s.io", resource @ "resourceclaims") => {
            get_object(node, resource, attributes, graph)
        }
        ("storage.k8s.io", "csinodes") => own_csi_node(node, attributes),
        ("resource.k8s.io", "resourceslices") => own_slices(node, attributes, graph),
        ("", "serviceaccounts") => create_token(node, attributes, graph),
        ("", "nodes") => own_node(node, attributes),
        ("", "pods") => own_pods(node, attributes, graph),
        ("coordination.k8s.io", "leases") => own_lease(node, attributes),
        _ => by_rules(attributes),
    })
}

/// What every kubelet may do alike.
fn by_rules(attributes: &Attributes) -> Result<(), String> {
    let rules = bootstrap::node_rules();
    if rules.iter().any(|rule: &Rule| rule.allows(attributes)) {
        Ok(())
    } else {
        refuse("")
    }
}

fn refuse(why: impl Into<String>) -> Result<(), String> {
    Err(why.into())
}

fn unrelated(node: &str) -> Result<(), String> {
    refuse(format!(
        "no relationship found between node '{node}' and this object"
    ))
}

fn read_object(
    node: &str,
    resource: &str,
    attributes: &Attributes,
    graph: &dyn NodeGraph,
) -> Result<(), String> {
    let Attributes {
        verb,
        subresource,
        namespace,
        name,
        ..
    } = *attributes;
    if !matches!(verb, "get" | "list" | "watch") {
        return refuse("can only read resources of this type");
    }
    if !subresource.is_empty() {
        return refuse("cannot read subresource");
    }
    if namespace.is_empty() {
        return refuse("can only read namespaced object of this type");
    }
    if name.is_empty() {
        return refuse("No Object name found");
    }
    if graph.node_needs(node, resource, namespace, name) {
        Ok(())
    } else {
        unrelated(node)
    }
}

fn get_object(
    node: &str,
    resource: &str,
    attributes: &Attributes,
    graph: &dyn NodeGraph,
) -> Result<(), String> {
    if attributes.verb != "get" || attributes.name.is_empty() {
        return refuse("can only get individual resources of this type");
    }
    if !attributes.subresource.is_empty() {
        return refuse("cannot get subresource");
    }
    if graph.node_needs(node, resource, attributes.namespace, attributes.name) {
        Ok(())
    } else {
        unrelated(node)
    }
}

/// What a kubelet says of a claim whose volume it has grown.
fn write_status(node: &str, attributes: &Attributes, graph: &dyn NodeGraph) -> Result<(), String> {
    if !matches!(attributes.verb, "update" | "patch") {
        return refuse("can only get/update/patch this type");
    }
    let (namespace, name) = (attributes.namespace, attributes.name);
    if name.is_empty() {
        return refuse("No Object name found");
    }
    if graph.node_needs(node, attributes.resource, namespace, name) {
        Ok(())
    } else {
        unrelated(node)
    }
}

fn own_csi_node(node: &str, attributes: &Attributes) -> Result<(), String> {
    let Attributes {
        verb,
        subresource,
        name,
        ..
    } = *attributes;
    if !matches!(verb, "get" | "create" | "update" | "patch" | "delete") {
        return refuse("can only get, create, update, patch, or delete a CSINode");
    }
    if !subresource.is_empty() {
        return refuse("cannot authorize CSINode subresources");
    }
    // The name of what is created is not known yet; admission checks it.
    if verb != "create" && name != node {
        return refuse("can only access CSINode with the same name as the requesting node");
    }
    Ok(())
}

/// Slices of the devices that a kubelet's plugins have found.
fn own_slices(node: &str, attributes: &Attributes, graph: &dyn NodeGraph) -> Result<(), String> {
    let Attributes {
        verb,
        subresource,
        name,
        ..
    } = *attributes;
    if !subresource.is_empty() {
        return refuse("cannot authorize ResourceSlice subresources");
    }
    match verb {
        // Admission sees to it that the slice is its own.
        "create" => Ok(()),
        "get" | "update" | "patch" | "delete" if name.is_empty() => refuse("No Object name found"),
        "get" | "update" | "patch" | "delete" => {
            if graph.node_needs(node, attributes.resource, "", name) {
                Ok(())
            } else {
                unrelated(node)
            }
        }
        "watch" | "list" | "deletecollection" => {
            let selected = attributes
                .fields
                .and_then(|fields| fields.exact("spec.nodeName"));
            if selected == Some(node) {
                Ok(())
            } else {
                refuse(
                    "can only list/watch/deletecollection resourceslices with nodeName field \
                     selector",
                )
            }
        }
        _ => refuse(
            "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, \
             update, patch, delete, deletecollection",
        ),
    }
}

fn create_token(node: &str, attributes: &Attributes, graph: &dyn NodeGraph) -> Result<(), String> {
    let Attributes {
        verb,
        subresource,
        namespace,
        name,
        ..
    } = *attributes;
    if verb != "create" || name.is_empty() {
        return refuse("can only create tokens for individual service accounts");
    }
    if subresource != "token" {
        return refuse("can only create token subresource of serviceaccount");
    }
    let needed = graph.node_needs(node, "serviceaccounts", namespace, name);
    if needed { Ok(()) } else { unrelated(node) }
}

fn own_node(node: &str, attributes: &Attributes) -> Result<(), String> {
    match (attributes.subresource, attributes.verb) {
        // Admission sees to it that the object is its own.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
        ("", "get" | "list" | "watch") => match attributes.name {
            name if name == node => Ok(()),
            "" => refuse(format!(
                "node '{node}' cannot read all nodes, only its own Node object"
            )),
            other => refuse(format!(
                "node '{node}' cannot read '{other}', only its own Node object"
            )),
        },
        _ => refuse(""),
    }
}

fn own_pods(node: &str, attributes: &Attributes, graph: &dyn NodeGraph) -> Result<(), String> {
    let Attributes {
        verb,
        subresource,
        namespace,
        name,
        ..
    } = *attributes;
    let is_own = || match graph.node_of_pod(namespace, name) {
        Some(bound) if bound == node => Ok(()),
        _ => unrelated(node),
    };
    match (subresource, verb) {
        ("", "get") => is_own(),
        ("", "list" | "watch") => {
            let selected = attributes
                .fields
                .and_then(|fields| fields.exact("spec.nodeName"));
            if selected == Some(node) {
                Ok(())
            } else if !name.is_empty() {
                is_own()
            } else {
                refuse("can only list/watch pods with spec.nodeName field selector")
            }
        }
        // Admission sees to it that the pod is its own.
        ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => {
            Ok(())
        }
        _ => refuse(""),
    }
}

fn own_lease(node: &str, attributes: &Attributes) -> Result<(), String> {
    let Attributes {
        verb,
        namespace,
        name,
        ..
    } = *attributes;
    if !matches!(verb, "get" | "create" | "update" | "patch" | "delete") {
        return refuse("can only get, create, update, patch, or delete a node lease");
    }
    if namespace != "kube-node-lease" {
        return refuse("can only access leases in the \"kube-node-lease\" system namespace");
    }
    // The name of what is created is not known yet; admission checks it.
    if verb != "create" && name != node {
        return refuse("can only access node lease with the same name as the requesting node");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{authn::User, authz::PodGraph, selectors::FieldSelector};

    fn kubelet() -> User {
        User {
            name: "system:node:one".into(),
            groups: vec!["system:nodes".into()],
            ..User::default()
        }
    }

    #[test]
    fn a_kubelet_reaches_what_its_pods_lead_to() {
        let mut graph = PodGraph::default();
        let mut pod = json!({
            "metadata": {"namespace": "ns", "name": "a"},
            "spec": {
                "nodeName": "one",
                "resourceClaims": [
                    {"name": "gpu", "resourceClaimName": "shared"},
                    {"name": "made", "resourceClaimTemplateName": "t"},
                ],
                "volumes": [
                    {"name": "scratch", "ephemeral": {}},
                    {"csi": {"nodePublishSecretRef": {"name": "inline"}}},
                ],
            },
        });
        graph.set_pod(&pod);
        let volume = json!({"metadata": {"name": "pv"}, "spec": {
            "claimRef": {"namespace": "ns", "name": "a-scratch"},
            "csi": {"nodeStageSecretRef": {"namespace": "vault", "name": "staged"}}}});
        graph.set_volume(&volume);
        graph.set_owned("volumeattachments", "mine", &json!("one"));
        graph.set_owned("volumeattachments", "other", &json!("two"));
        graph.set_owned("resourceslices", "mine", &json!("one"));
        let user = kubelet();
        let may =
            |graph: &PodGraph, verb: &str, group: &str, path: &str, (ns, name): (&str, &str)| {
                let (resource, subresource) = path.split_once('/').unwrap_or((path, ""));
                let attributes = Attributes {
                    group,
                    subresource,
                    namespace: ns,
                    name,
                    ..Attributes::of(&user, verb, resource)
                };
                authorize_node(&attributes, graph).expect("it is a kubelet")
            };
        let unrelated = Err("no relationship found between node 'one' and this object".to_owned());
        let (devices, storage) = ("resource.k8s.io", "storage.k8s.io");
        let claims = "resourceclaims";
        assert_eq!(
            may(&graph, "get", devices, claims, ("ns", "shared")),
            Ok(())
        );
        assert_eq!(
            may(&graph, "get", devices, claims, ("ns", "of-t")),
            unrelated
        );
        pod["status"]["resourceClaimStatuses"] =
            json!([{"name": "made", "resourceClaimName": "of-t"}]);
        graph.set_pod(&pod);
        assert_eq!(may(&graph, "get", devices, claims, ("ns", "of-t")), Ok(()));
        assert_eq!(
            may(&graph, "list", devices, claims, ("ns", "")),
            Err("can only get individual resources of this type".to_owned())
        );

        assert_eq!(may(&graph, "get", "", "secrets", ("ns", "inline")), Ok(()));
        assert_eq!(
            may(&graph, "get", "", "secrets", ("vault", "staged")),
            Ok(())
        );
        assert_eq!(
            may(&graph, "get", "", "secrets", ("ns", "staged")),
            unrelated
        );
        let status = "persistentvolumeclaims/status";
        assert_eq!(
            may(&graph, "patch", "", status, ("ns", "a-scratch")),
            Ok(())
        );
        assert_eq!(
            may(&graph, "patch", "", status, ("ns", "b-scratch")),
            unrelated
        );
        let attachments = "volumeattachments";
        assert_eq!(
            may(&graph, "get", storage, attachments, ("", "mine")),
            Ok(())
        );
        assert_eq!(
            may(&graph, "get", storage, attachments, ("", "other")),
            unrelated
        );

        let other = "can only access CSINode with the same name as the requesting node";
        assert_eq!(
            may(&graph, "update", storage, "csinodes", ("", "one")),
            Ok(())
        );
        assert_eq!(may(&graph, "create", storage, "csinodes", ("", "")), Ok(()));
        assert_eq!(
            may(&graph, "get", storage, "csinodes", ("", "two")),
            Err(other.to_owned())
        );
        assert!(may(&graph, "list", storage, "csinodes", ("", "")).is_err());
        let slices = "resourceslices";
        assert_eq!(may(&graph, "delete", devices, slices, ("", "mine")), Ok(()));
        assert_eq!(
            may(&graph, "delete", devices, slices, ("", "other")),
            unrelated
        );
        assert!(may(&graph, "list", devices, slices, ("", "")).is_err());

        // A pod that a kubelet has made of a file of its own leads nowhere.
        pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        graph.remove_pod("ns", "a");
        graph.set_pod(&pod);
        assert_eq!(
            may(&graph, "get", "", "secrets", ("ns", "inline")),
            unrelated
        );
    }

    #[test]
    fn a_kubelet_reads_what_its_pods_need() {
        let mut graph = PodGraph::default();
        let pod = |name: &str, node: &str| {
            json!({
                "metadata": {"namespace": "ns", "name": name},
                "spec": {
                    "nodeName": node,
                    "serviceAccountName": "web",
                    "containers": [{"envFrom": [{"secretRef": {"name": format!("{name}-env")}}]}],
                    "volumes": [
                        {"projected": {"sources": [{"configMap": {"name": "ca"}}]}},
                        {"persistentVolumeClaim": {"claimName": format!("{name}-data")}},
                    ],
                },
            })
        };
        graph.set_pod(&pod("a", "one"));
        graph.set_pod(&pod("b", "two"));
        graph.set_pod(&pod("c", ""));
        for (volume, claim) in [("pv-a", "a-data"), ("pv-b", "b-data")] {
            graph.set_volume(&json!({
                "metadata": {"name": volume},
                "spec": {"claimRef": {"namespace": "ns", "name": claim}},
            }));
        }
        let user = kubelet();
        let may = |graph: &PodGraph, verb: &str, resource: &str, subresource: &str, name: &str| {
            let of_cluster = matches!(resource, "nodes" | "persistentvolumes");
            let namespace = if of_cluster { "" } else { "ns" };
            let attributes = Attributes {
                namespace,
                name,
                subresource,
                ..Attributes::of(&user, verb, resource)
            };
            authorize_node(&attributes, graph).expect("it is a kubelet")
        };
        assert_eq!(may(&graph, "get", "secrets", "", "a-env"), Ok(()));
        assert_eq!(
            may(&graph, "get", "secrets", "", "b-env"),
            Err("no relationship found between node 'one' and this object".to_owned())
        );
        assert_eq!(may(&graph, "watch", "configmaps", "", "ca"), Ok(()));
        assert!(may(&graph, "list", "configmaps", "", "").is_err());
        let claims = |verb: &str, name: &str| may(&graph, verb, "persistentvolumeclaims", "", name);
        assert_eq!(claims("get", "a-data"), Ok(()));
        assert!(claims("get", "b-data").is_err() && claims("watch", "a-data").is_err());
        assert_eq!(may(&graph, "get", "persistentvolumes", "", "pv-a"), Ok(()));
        assert!(may(&graph, "get", "persistentvolumes", "", "pv-b").is_err());
        assert_eq!(
            may(&graph, "create", "serviceaccounts", "token", "web"),
            Ok(())
        );
        assert!(may(&graph, "get", "serviceaccounts", "", "web").is_err());
        assert_eq!(may(&graph, "get", "pods", "", "a"), Ok(()));
        assert!(may(&graph, "get", "pods", "", "b").is_err());
        assert_eq!(may(&graph, "patch", "pods", "status", "a"), Ok(()));
        assert_eq!(may(&graph, "get", "nodes", "", "one"), Ok(()));
        assert!(may(&graph, "get", "nodes", "", "two").is_err());
        assert_eq!(may(&graph, "list", "services", "", ""), Ok(()));
        assert!(may(&graph, "delete", "services", "", "x").is_err());

        let fields = FieldSelector::parse("spec.nodeName=one").expect("valid");
        let list = Attributes {
            fields: Some(&fields),
            ..Attributes::of(&user, "list", "pods")
        };
        assert_eq!(authorize_node(&list, &graph), Some(Ok(())));
        let list = Attributes {
            fields: None,
            ..list
        };
        assert!(
            authorize_node(&list, &graph)
                .expect("it is a kubelet")
                .is_err()
        );

        graph.remove_pod("ns", "a");
        assert!(may(&graph, "get", "secrets", "", "a-env").is_err());
        let jane = User {
            name: "jane".into(),
            ..User::default()
        };
        assert_eq!(
            authorize_node(&Attributes::of(&jane, "get", "pods"), &graph),
            None
        );
    }
}
