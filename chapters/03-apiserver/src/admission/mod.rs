//! Admission: what else must hold for a write, given everything else there is; and what is
//! written for the client on the way.
//!
//! Where defaults and validation look at the object alone, these look around: is there such a
//! namespace, such a service account, such a priority class? Each is a function over a
//! [`Request`] and a [`Lookup`], run in this order, as upstream's plugins of these names are:
//!
//! | plugin | on | does |
//! | --- | --- | --- |
//! | NamespaceLifecycle | create, delete | no objects in a missing or dying namespace; three can't be deleted |
//! | LimitRanger | pods, claims | what they leave out; whether they stay within bounds |
//! | ServiceAccount | create pods | gives each pod an account, and its token as a volume |
//! | TaintNodesByCondition | create nodes | a node starts as not ready |
//! | Priority | create pods, classes | a class's number becomes the pod's |
//! | DefaultTolerationSeconds | create pods | five minutes on a node that failed |
//! | StorageObjectInUseProtection, DefaultStorageClass, PersistentVolumeClaimResize | volumes and claims | what is in use stays; a class for each claim; what may grow |
//! | DefaultIngressClass | create Ingresses | a class for each |
//! | RuntimeClass | create pods | a class's overhead and wishes for nodes become the pod's |
//! | CertificateApproval, CertificateSigning, CertificateSubjectRestriction | requests for certificates | by whose leave; never for `system:masters` |
//! | ResourceQuota | all creates, and what may grow | what is left of the namespace's quotas; charged last, when all else is good ([`quota`]) |
//! | NodeRestriction | all by kubelets | each writes what is its own node's |
//! | MutatingAdmissionPolicy, ValidatingAdmissionPolicy | what clients' own rules are about | what they say ([`policy`]) |
//!
//! Upstream: `plugin/pkg/admission/`; `staging/src/k8s.io/apiserver/pkg/admission/`. Left out:
//! webhooks.

mod certificates;
mod devices;
pub mod ingress;
pub mod limit_ranger;
pub mod namespace;
pub mod node_restriction;
pub mod pods;
pub mod policy;
pub mod quota;
pub mod runtime_class;
pub mod service_account;
pub mod storage;

use serde_json::{Value, json};

use crate::{
    authn::User,
    authz::Attributes,
    resources::Resource,
    status::{ApiError, Subject},
};

/// What there is, as of now: the watch cache.
pub trait Lookup {
    /// An object of core, node.k8s.io, scheduling.k8s.io or storage.k8s.io by its resource's plural.
    /// `namespace` is empty for the cluster's.
    fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value>;

    /// All of a kind; in one namespace if it is not empty.
    fn list(&self, plural: &str, namespace: &str) -> Vec<Value>;

    /// Whether somebody may do something else, on which a write depends. Nobody may, unless there
    /// is an authorizer to ask.
    fn may(&self, _: &Attributes) -> bool {
        false
    }
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A new object, or something said to one (`pods/binding`, `serviceaccounts/token`).
    Create,
    /// A change of an object, by update, patch or apply.
    Update,
    /// Its deletion.
    Delete,
    /// A connection to it: `pods/exec`, `services/proxy`. Only policies look at these.
    Connect,
}

/// A write that is to be admitted.
#[derive(Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub user: &'a User,
    /// What is being done.
    pub operation: Operation,
    /// To an object of this.
    pub resource: &'a Resource<'a>,
    /// `status`; empty for the object itself.
    pub subresource: &'a str,
    /// Empty for what is the cluster's.
    pub namespace: &'a str,
    /// Empty if it is yet to be generated.
    pub name: &'a str,
    /// What is to be written; of a subresource, what was said to it. None for deletions.
    pub object: Option<&'a mut Value>,
    /// What is there, for updates and deletions; for a subresource, the object it is of.
    pub old: Option<&'a Value>,
    /// Nothing is written in the end.
    pub dry_run: bool,
}

impl Request<'_> {
    /// Whether it is about this resource of the core group, the object itself.
    fn is(&self, operation: Operation, group: &str, plural: &str) -> bool {
        self.operation == operation
            && self.subresource.is_empty()
            && self.resource.group == group
            && self.resource.plural == plural
    }

    /// 403 as upstream's `admission.NewForbidden` says it.
    pub fn forbidden(&self, why: impl AsRef<str>) -> ApiError {
        let metadata = |key: &str| {
            let object = self.object.as_deref()?;
            object["metadata"][key]
                .as_str()
                .filter(|text| !text.is_empty())
        };
        let name = Some(self.name).filter(|name| !name.is_empty());
        let name = name
            .or_else(|| metadata("name"))
            .or_else(|| metadata("generateName"));
        let subject = Subject {
            group: self.resource.group,
            resource: self.resource.plural,
            kind: self.resource.kind,
            name: name.unwrap_or("unknown"),
        };
        ApiError::forbidden(subject, why)
    }
}

/// The plugins' settings.
#[derive(Debug, Clone)]
pub struct Admission {
    /// `--default-not-ready-toleration-seconds`
    pub not_ready_toleration_seconds: i64,
    /// `--default-unreachable-toleration-seconds`
    pub unreachable_toleration_seconds: i64,
}

impl Default for Admission {
    fn default() -> Admission {
        Admission {
            not_ready_toleration_seconds: 300,
            unreachable_toleration_seconds: 300,
        }
    }
}

impl Admission {
    /// Admits a write, changing the object where a plugin does. Runs after defaults and before
    /// validation. Running it twice on one object changes nothing more, as a retry does.
    ///
    /// # Errors
    /// What a plugin has against it, mostly 403.
    pub fn admit(&self, request: &mut Request, lookup: &dyn Lookup) -> Result<(), ApiError> {
        namespace::lifecycle(request, lookup)?;
        limit_ranger::fill_in(request, lookup);
        if request.is(Operation::Create, "", "pods") {
            service_account::admit(request, lookup)?;
            pods::priority(request, lookup)?;
            self.default_tolerations(request);
            runtime_class::admit(request, lookup)?;
        }
        if request.is(Operation::Create, "", "nodes") {
            taint_new_node(request);
        }
        pods::one_default_class(request, lookup)?;
        storage::admit(request, lookup)?;
        ingress::default_class(request, lookup);
        certificates::admit(request, lookup)?;
        devices::admit(request, lookup)?;
        node_restriction::admit(request, lookup)
    }

    fn default_tolerations(&self, request: &mut Request) {
        let Some(pod) = request.object.as_deref_mut() else {
            return;
        };
        pods::tolerate(
            pod,
            "node.kubernetes.io/not-ready",
            self.not_ready_toleration_seconds,
        );
        pods::tolerate(
            pod,
            "node.kubernetes.io/unreachable",
            self.unreachable_toleration_seconds,
        );
    }
}

/// A node that has just said that it is there gets no pods before it says that it is ready.
fn taint_new_node(request: &mut Request) {
    let Some(node) = request.object.as_deref_mut() else {
        return;
    };
    let taint = json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"});
    let taints = &mut node["spec"]["taints"];
    match taints.as_array_mut() {
        Some(taints) => {
            let same = |t: &Value| t["key"] == taint["key"] && t["effect"] == taint["effect"];
            if !taints.iter().any(same) {
                taints.push(taint);
            }
        }
        None => *taints = json!([taint]),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::resources::by_kind;

    /// What there is, in a test: by plural and name.
    #[derive(Default)]
    pub(crate) struct World(BTreeMap<(&'static str, &'static str), Value>);

    impl World {
        pub(crate) fn with(mut self, plural: &'static str, name: &'static str, v: Value) -> World {
            self.0.insert((plural, name), v);
            self
        }

        /// A namespace with its default account.
        pub(crate) fn new() -> World {
            let active = json!({"metadata": {"name": "ns"}, "status": {"phase": "Active"}});
            World::default().with("namespaces", "ns", active).with(
                "serviceaccounts",
                "default",
                json!({"metadata": {"name": "default"}}),
            )
        }
    }

    impl Lookup for World {
        fn get(&self, plural: &str, _: &str, name: &str) -> Option<Value> {
            let mut all = self.0.iter();
            all.find(|((p, n), _)| *p == plural && *n == name)
                .map(|(_, value)| value.clone())
        }

        fn list(&self, plural: &str, _: &str) -> Vec<Value> {
            self.0
                .iter()
                .filter(|((p, _), _)| *p == plural)
                .map(|(_, v)| v.clone())
                .collect()
        }
    }

    /// Creates an object as the admin.
    pub(crate) fn create(world: &World, kind: &str, object: &mut Value) -> Result<(), ApiError> {
        let resource = crate::resources::all()
            .find(|r| r.kind == kind)
            .expect(kind);
        let mut request = Request {
            user: &User::default(),
            operation: Operation::Create,
            resource,
            subresource: "",
            namespace: if resource.namespaced { "ns" } else { "" },
            name: "x",
            object: Some(object),
            old: None,
            dry_run: false,
        };
        Admission::default().admit(&mut request, world)
    }

    #[test]
    fn a_new_node_is_not_ready() {
        let mut node = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}});
        create(&World::new(), "Node", &mut node).expect("admitted");
        assert_eq!(
            node["spec"]["taints"][1]["key"],
            "node.kubernetes.io/not-ready"
        );
    }

    #[test]
    fn twice_is_once() {
        let world = World::new();
        let mut pod = json!({"spec": {"containers": [{"name": "a"}]}});
        create(&world, "Pod", &mut pod).expect("admitted");
        assert_eq!(
            pod["spec"].get("initContainers"),
            None,
            "nothing is put there that was not"
        );
        let once = pod.clone();
        create(&world, "Pod", &mut pod).expect("admitted");
        assert_eq!(pod, once);
        let tolerations = pod["spec"]["tolerations"].as_array().expect("tolerations");
        assert_eq!(tolerations.len(), 2);
        assert_eq!(tolerations[0]["tolerationSeconds"], 300);
        assert!(by_kind("", "v1", "Pod").is_some());
    }
}
