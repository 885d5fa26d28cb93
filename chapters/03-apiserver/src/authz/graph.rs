//! Which node has which pods, and what these lead to: the objects that its kubelet may read.
//!
//! ```text
//! node ◀─ pod ◀─ secrets, config maps, service accounts
//!          ◀──── claims of volumes ◀─ volumes ◀─ secrets
//!          ◀──── claims of devices
//! node ◀─ slices of devices, attachments of volumes
//! ```
//!
//! Upstream: `plugin/pkg/auth/authorizer/node/graph.go`.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

/// Which node may read what.
pub trait NodeGraph {
    /// The node that the pod is bound to.
    fn node_of_pod(&self, namespace: &str, pod: &str) -> Option<&str>;

    /// Whether a pod of the node names the object, one of [`NEEDED`]; whether it is one of
    /// `persistentvolumes`, or a secret that such a one names, and a pod of the node names its claim;
    /// or whether it is one of [`OWNED`], and says that it is the node's.
    fn node_needs(&self, node: &str, plural: &str, namespace: &str, name: &str) -> bool;
}

/// The resources that pods name objects of.
pub const NEEDED: [&str; 5] = [
    "secrets",
    "configmaps",
    "serviceaccounts",
    "persistentvolumeclaims",
    "resourceclaims",
];
/// The resources whose objects name a node.
pub const OWNED: [&str; 2] = ["volumeattachments", "resourceslices"];

/// What a pod names: the plural of each with its name.
type Needs = Vec<(&'static str, String)>;
/// A namespace and a name in it.
type Place = (String, String);

/// The graph, kept from the objects there are.
#[derive(Debug, Default)]
pub struct PodGraph {
    /// By namespace and name: the node, and what the pod names.
    pods: BTreeMap<Place, (String, Needs)>,
    /// By node, then plural, namespace and name: how many of its pods name that.
    needs: HashMap<String, HashMap<(&'static str, String, String), usize>>,
    /// By a volume's name.
    volumes: HashMap<String, Volume>,
    /// By plural and name: the node that it is of.
    owned: HashMap<(&'static str, String), String>,
}

/// A volume that is somebody's.
#[derive(Debug)]
struct Volume {
    /// The claim that it is bound to.
    claim: Place,
    /// The secrets by which a kubelet gets at it.
    secrets: Vec<Place>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

impl PodGraph {
    /// Where in a pod [`PodGraph::has_pod`] looks.
    pub const POD_PLACES: &[&[&str]] = &[
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["spec", "nodeName"],
        &["spec", "ephemeralContainers"],
        &["spec", "resourceClaims"],
        &["status", "extendedResourceClaimStatus"],
    ];
    /// Where in an object of [`OWNED`] its name and its node stand.
    pub const OWNED_PLACES: &[&[&str]] = &[&["metadata", "name"], &["spec", "nodeName"]];

    /// Whether all is known already that a pod names. What a bound one names is fixed with its
    /// spec, but for ephemeral containers, and claims that are made for it; one without a node is
    /// nobody's yet.
    pub fn has_pod(&self, pod: &Value) -> bool {
        let metadata = &pod["metadata"];
        let known = self.node_of_pod(&text(&metadata["namespace"]), &text(&metadata["name"]));
        let can_grow = !pod["spec"]["ephemeralContainers"].is_null()
            || !pod["spec"]["resourceClaims"].is_null()
            || !pod["status"]["extendedResourceClaimStatus"].is_null();
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
        let namespace = text(&pod["metadata"]["namespace"]);
        let name = text(&pod["metadata"]["name"]);
        let node = text(&pod["spec"]["nodeName"]);
        self.remove_pod(&namespace, &name);
        if node.is_empty() {
            return;
        }
        let needs = needs_of(pod);
        let of_node = self.needs.entry(node.clone()).or_default();
        for (plural, object) in &needs {
            *of_node
                .entry((plural, namespace.clone(), object.clone()))
                .or_default() += 1;
        }
        self.pods.insert((namespace, name), (node, needs));
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

    /// Takes in a new or changed PersistentVolume.
    pub fn set_volume(&mut self, volume: &Value) {
        let name = text(&volume["metadata"]["name"]);
        let claim = &volume["spec"]["claimRef"];
        if claim["name"].is_null() {
            return self.remove_volume(&name);
        }
        let claim = (text(&claim["namespace"]), text(&claim["name"]));
        let secrets = secrets_of_volume(&volume["spec"], &claim.0);
        self.volumes.insert(name, Volume { claim, secrets });
    }

    /// Takes in that a PersistentVolume is gone, or nobody's.
    pub fn remove_volume(&mut self, name: &str) {
        self.volumes.remove(name);
    }

    /// Takes in an object of [`OWNED`], whose node may be none.
    pub fn set_owned(&mut self, plural: &'static str, name: &str, node: &Value) {
        match text(node) {
            node if node.is_empty() => self.remove_owned(plural, name),
            node => {
                self.owned.insert((plural, name.to_owned()), node);
            }
        }
    }

    /// Takes in that such an object is gone.
    pub fn remove_owned(&mut self, plural: &'static str, name: &str) {
        self.owned.remove(&(plural, name.to_owned()));
    }

    fn pods_name(&self, node: &str, plural: &'static str, namespace: &str, name: &str) -> bool {
        let key = (plural, namespace.to_owned(), name.to_owned());
        self.needs
            .get(node)
            .is_some_and(|of_node| of_node.contains_key(&key))
    }

    fn pods_mount(&self, node: &str, volume: &Volume) -> bool {
        let (namespace, claim) = &volume.claim;
        self.pods_name(node, "persistentvolumeclaims", namespace, claim)
    }
}

impl NodeGraph for PodGraph {
    fn node_of_pod(&self, namespace: &str, pod: &str) -> Option<&str> {
        let (node, _) = self.pods.get(&(namespace.to_owned(), pod.to_owned()))?;
        Some(node)
    }

    fn node_needs(&self, node: &str, plural: &str, namespace: &str, name: &str) -> bool {
        if plural == "persistentvolumes" {
            let volume = self.volumes.get(name);
            return volume.is_some_and(|volume| self.pods_mount(node, volume));
        }
        if let Some(known) = OWNED.into_iter().find(|known| *known == plural) {
            let owner = self.owned.get(&(known, name.to_owned()));
            return owner.is_some_and(|owner| owner == node);
        }
        let known = NEEDED.into_iter().find(|known| *known == plural);
        if known.is_some_and(|plural| self.pods_name(node, plural, namespace, name)) {
            return true;
        }
        let place = (namespace.to_owned(), name.to_owned());
        plural == "secrets"
            && self
                .volumes
                .values()
                .any(|volume| volume.secrets.contains(&place) && self.pods_mount(node, volume))
    }
}

/// Everything that a pod names by way of volumes, environment, credentials and devices.
fn needs_of(pod: &Value) -> Needs {
    let spec = &pod["spec"];
    let mut needs = Needs::new();
    // What a kubelet itself has made gives it no leave.
    if !pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null() {
        return needs;
    }
    let mut add = |plural: &'static str, name: &Value| {
        if let Some(name) = name.as_str().filter(|name| !name.is_empty()) {
            needs.push((plural, name.to_owned()));
        }
    };
    add("serviceaccounts", &spec["serviceAccountName"]);
    for secret in list(&spec["imagePullSecrets"]) {
        add("secrets", &secret["name"]);
    }
    for volume in list(&spec["volumes"]) {
        add("secrets", &volume["secret"]["secretName"]);
        add("secrets", &volume["azureFile"]["secretName"]);
        add("secrets", &volume["csi"]["nodePublishSecretRef"]["name"]);
        for source in [
            "cephfs",
            "flexVolume",
            "iscsi",
            "rbd",
            "scaleIO",
            "storageos",
        ] {
            add("secrets", &volume[source]["secretRef"]["name"]);
        }
        add("configmaps", &volume["configMap"]["name"]);
        add(
            "persistentvolumeclaims",
            &volume["persistentVolumeClaim"]["claimName"],
        );
        if !volume["ephemeral"].is_null() {
            // Made for this pod, under a name of both.
            let (pod, volume) = (text(&pod["metadata"]["name"]), text(&volume["name"]));
            add("persistentvolumeclaims", &format!("{pod}-{volume}").into());
        }
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
    let status = &pod["status"];
    for claim in list(&spec["resourceClaims"]) {
        // By its name, or by that of what was made of its template.
        add("resourceclaims", &claim["resourceClaimName"]);
        let made = list(&status["resourceClaimStatuses"]);
        for made in made.iter().filter(|made| made["name"] == claim["name"]) {
            add("resourceclaims", &made["resourceClaimName"]);
        }
    }
    let extended = &status["extendedResourceClaimStatus"];
    add("resourceclaims", &extended["resourceClaimName"]);
    needs.sort();
    needs.dedup();
    needs
}

/// The secrets that a volume names for kubelets; of the claim's namespace where it names none.
fn secrets_of_volume(spec: &Value, namespace: &str) -> Vec<Place> {
    let csi = &spec["csi"];
    let references = [
        &csi["nodePublishSecretRef"],
        &csi["nodeStageSecretRef"],
        &csi["nodeExpandSecretRef"],
        &spec["cephfs"]["secretRef"],
        &spec["flexVolume"]["secretRef"],
        &spec["iscsi"]["secretRef"],
        &spec["rbd"]["secretRef"],
        &spec["scaleIO"]["secretRef"],
        &spec["storageos"]["secretRef"],
    ];
    let place = |namespace_named: &Value, name: &Value| {
        let name = name.as_str()?;
        let namespace = namespace_named.as_str().unwrap_or(namespace);
        Some((namespace.to_owned(), name.to_owned()))
    };
    let azure = &spec["azureFile"];
    let named = references.map(|secret| place(&secret["namespace"], &secret["name"]));
    let azure = place(&azure["secretNamespace"], &azure["secretName"]);
    named.into_iter().chain([azure]).flatten().collect()
}
