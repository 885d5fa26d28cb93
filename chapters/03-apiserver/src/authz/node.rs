//! What a kubelet may do: nothing but what the pods of its node need.
//!
//! A role could only give every kubelet every secret. Instead, a graph says which node has which
//! pod, and which secrets, config maps, service accounts and claims that pod names, and which
//! volume is a claim's; a kubelet may read what it can be reached from. What it writes is checked at admission, where the object can be
//! seen ([`crate::admission::node_restriction`]).
//!
//! Upstream: `plugin/pkg/auth/authorizer/node/`, with field selectors authorised (KEP-4601).

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::{Attributes, Rule, bootstrap};

/// Which node may read what.
pub trait NodeGraph {
    /// The node that the pod is bound to.
    fn node_of_pod(&self, namespace: &str, pod: &str) -> Option<&str>;

    /// Whether a pod of the node names the object: one of `secrets`, `configmaps`,
    /// `serviceaccounts`, `persistentvolumeclaims`; or it is one of `persistentvolumes`, and a
    /// pod of the node names its claim.
    fn node_needs(&self, node: &str, plural: &str, namespace: &str, name: &str) -> bool;
}

/// The resources that pods name objects of.
const NEEDED: [&str; 4] = [
    "secrets",
    "configmaps",
    "serviceaccounts",
    "persistentvolumeclaims",
];

/// What a pod names: the plural of each with its name.
type Needs = Vec<(&'static str, String)>;

/// The graph, kept from the pods there are.
#[derive(Debug, Default)]
pub struct PodGraph {
    /// By namespace and name: the node, and what the pod names.
    pods: BTreeMap<(String, String), (String, Needs)>,
    /// By node, then plural, namespace and name: how many of its pods name that.
    needs: HashMap<String, HashMap<(&'static str, String, String), usize>>,
    /// By a volume's name: the namespace and name of the claim that it is bound to.
    claims: HashMap<String, (String, String)>,
}

impl PodGraph {
    /// Where in a pod [`PodGraph::has_pod`] looks.
    pub const POD_PLACES: &[&[&str]] = &[
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["spec", "nodeName"],
        &["spec", "ephemeralContainers"],
    ];

    /// Whether all is known already that a pod names. What a bound one names is fixed with its
    /// spec, but for ephemeral containers; one without a node is nobody's yet.
    pub fn has_pod(&self, pod: &Value) -> bool {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &pod["metadata"];
        let known = self.node_of_pod(&text(&metadata["namespace"]), &text(&metadata["name"]));
        let can_grow = !pod["spec"]["ephemeralContainers"].is_null();
        match (known, pod["spec"]["nodeName"].as_str()) {
            (None, None | Some("")) => true,
            (Some(known), Some(node)) => known == node && !can_grow,
            _ => false,
        }
    }

    /// Takes in a new or changed pod.
    pub fn set_pod(&mut self, pod: &Value) {
        if self.has_pod(pod) {
            return;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let namespace = text(&pod["metadata"]["namespace"]);
        let name = text(&pod["metadata"]["name"]);
        let node = text(&pod["spec"]["nodeName"]);
        self.remove_pod(&namespace, &name);
        if node.is_empty() {
            return;
        }
        let needs = needs_of(&pod["spec"]);
        let of_node = self.needs.entry(node.clone()).or_default();
        for (plural, object) in &needs {
            *of_node
                .entry((plural, namespace.clone(), object.clone()))
                .or_default() += 1;
        }
        self.pods.insert((namespace, name), (node, needs));
    }

    /// Takes in a new or changed PersistentVolume.
    pub fn set_volume(&mut self, volume: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&volume["metadata"]["name"]);
        let claim = &volume["spec"]["claimRef"];
        match claim["name"].as_str() {
            Some(claimed) => {
                let claim = (text(&claim["namespace"]), claimed.to_owned());
                self.claims.insert(name, claim);
            }
            None => self.remove_volume(&name),
        }
    }

    /// Takes in that a PersistentVolume is gone, or nobody's.
    pub fn remove_volume(&mut self, name: &str) {
        self.claims.remove(name);
    }

    /// Takes in that a pod is gone.
    pub fn remove_pod(&mut self, namespace: &str, name: &str) {
        let Some((node, needs)) = self.pods.remove(&(namespace.to_owned(), name.to_owned())) else {
            return;
        };
        let Some(of_node) = self.needs.get_mut(&node) else {
            return;
        };
        for (plural, object) in needs {
            let key = (plural, namespace.to_owned(), object);
            if let Some(count) = of_node.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    of_node.remove(&key);
                }
            }
        }
        if of_node.is_empty() {
            self.needs.remove(&node);
        }
    }
}

impl NodeGraph for PodGraph {
    fn node_of_pod(&self, namespace: &str, pod: &str) -> Option<&str> {
        let (node, _) = self.pods.get(&(namespace.to_owned(), pod.to_owned()))?;
        Some(node)
    }

    fn node_needs(&self, node: &str, plural: &str, namespace: &str, name: &str) -> bool {
        if plural == "persistentvolumes" {
            return self.claims.get(name).is_some_and(|(namespace, claim)| {
                self.node_needs(node, "persistentvolumeclaims", namespace, claim)
            });
        }
        let Some(of_node) = self.needs.get(node) else {
            return false;
        };
        NEEDED
            .into_iter()
            .filter(|known| *known == plural)
            .any(|known| of_node.contains_key(&(known, namespace.to_owned(), name.to_owned())))
    }
}

/// Everything that a pod's spec names by way of volumes, environment and credentials.
fn needs_of(spec: &Value) -> Needs {
    let mut needs = Needs::new();
    let mut add = |plural: &'static str, name: &Value| {
        if let Some(name) = name.as_str() {
            needs.push((plural, name.to_owned()));
        }
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    add("serviceaccounts", &spec["serviceAccountName"]);
    for secret in list(&spec["imagePullSecrets"]) {
        add("secrets", &secret["name"]);
    }
    for volume in list(&spec["volumes"]) {
        add("secrets", &volume["secret"]["secretName"]);
        add("configmaps", &volume["configMap"]["name"]);
        add(
            "persistentvolumeclaims",
            &volume["persistentVolumeClaim"]["claimName"],
        );
        for source in list(&volume["projected"]["sources"]) {
            add("secrets", &source["secret"]["name"]);
            add("configmaps", &source["configMap"]["name"]);
        }
    }
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        for container in list(&spec[field]) {
            for source in list(&container["envFrom"]) {
                add("secrets", &source["secretRef"]["name"]);
                add("configmaps", &source["configMapRef"]["name"]);
            }
            for variable in list(&container["env"]) {
                add("secrets", &variable["valueFrom"]["secretKeyRef"]["name"]);
                add(
                    "configmaps",
                    &variable["valueFrom"]["configMapKeyRef"]["name"],
                );
            }
        }
    }
    needs.sort();
    needs.dedup();
    needs
}

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
        ("", resource @ ("persistentvolumeclaims" | "persistentvolumes")) => {
            get_object(node, resource, attributes, graph)
        }
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
    use crate::{authn::User, selectors::FieldSelector};

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
        let user = User {
            name: "system:node:one".into(),
            groups: vec!["system:nodes".into()],
            ..User::default()
        };
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
