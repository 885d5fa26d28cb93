//! The table of resources: what this API server serves, and how each is told apart.
//!
//! Everything that depends on the resource alone is data here; discovery, routing, storage keys
//! and OpenAPI are all derived from it. A kind is listed once it does something in the cluster.

/// A resource that is served: `pods` of core/v1.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// API group; empty for core.
    pub group: &'static str,
    /// `v1`
    pub version: &'static str,
    /// `Pod`
    pub kind: &'static str,
    /// `pods`, as in paths
    pub plural: &'static str,
    /// `pod`
    pub singular: &'static str,
    /// `po`
    pub short_names: &'static [&'static str],
    /// `all` for what `kubectl get all` lists
    pub categories: &'static [&'static str],
    /// Lives in a namespace
    pub namespaced: bool,
    /// What can be done with it
    pub verbs: &'static [&'static str],
    /// Paths below the object
    pub subresources: &'static [Subresource],
    /// Name of its type in OpenAPI v2: `io.k8s.api.core.v1.Pod`
    pub schema: &'static str,
}

/// A path below an object: `pods/log`.
#[derive(Debug, PartialEq, Eq)]
pub struct Subresource {
    /// `log`
    pub name: &'static str,
    /// Kind of what is read or written there
    pub kind: &'static str,
    /// Group and version of that kind, where they are not the parent's
    pub group_version: Option<(&'static str, &'static str)>,
    /// What can be done with it
    pub verbs: &'static [&'static str],
}

/// Verbs of a resource that is stored.
const STORED: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
/// Verbs of a resource that answers and forgets.
const ASKED: &[&str] = &["create"];
/// Verbs of `status` and `scale`.
const PART: &[&str] = &["get", "patch", "update"];

const fn status_of(kind: &'static str) -> Subresource {
    Subresource {
        name: "status",
        kind,
        group_version: None,
        verbs: PART,
    }
}

const SCALE: Subresource = Subresource {
    name: "scale",
    kind: "Scale",
    group_version: Some(("autoscaling", "v1")),
    verbs: PART,
};

const fn pod_stream(name: &'static str, kind: &'static str) -> Subresource {
    Subresource {
        name,
        kind,
        group_version: None,
        verbs: &["create", "get"],
    }
}

/// The part through which HTTP reaches what runs behind an object.
const fn proxy_of(kind: &'static str) -> Subresource {
    Subresource {
        name: "proxy",
        kind,
        group_version: None,
        verbs: &["create", "delete", "get", "patch", "update"],
    }
}

const POD_SUBRESOURCES: &[Subresource] = &[
    pod_stream("attach", "PodAttachOptions"),
    Subresource {
        name: "binding",
        kind: "Binding",
        group_version: None,
        verbs: ASKED,
    },
    Subresource {
        name: "ephemeralcontainers",
        kind: "Pod",
        group_version: None,
        verbs: PART,
    },
    Subresource {
        name: "eviction",
        kind: "Eviction",
        group_version: Some(("policy", "v1")),
        verbs: ASKED,
    },
    pod_stream("exec", "PodExecOptions"),
    Subresource {
        name: "log",
        kind: "Pod",
        group_version: None,
        verbs: &["get"],
    },
    pod_stream("portforward", "PodPortForwardOptions"),
    proxy_of("PodProxyOptions"),
    Subresource {
        name: "resize",
        kind: "Pod",
        group_version: None,
        verbs: PART,
    },
    status_of("Pod"),
];

const BASE: Resource = Resource {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    singular: "",
    short_names: &[],
    categories: &[],
    namespaced: true,
    verbs: STORED,
    subresources: &[],
    schema: "",
};

/// Everything that is served, in the order of discovery: groups, then names.
pub static RESOURCES: &[Resource] = &[
    Resource {
        kind: "Binding",
        plural: "bindings",
        singular: "binding",
        verbs: ASKED,
        schema: "io.k8s.api.core.v1.Binding",
        ..BASE
    },
    Resource {
        kind: "ConfigMap",
        plural: "configmaps",
        singular: "configmap",
        short_names: &["cm"],
        schema: "io.k8s.api.core.v1.ConfigMap",
        ..BASE
    },
    Resource {
        kind: "Endpoints",
        plural: "endpoints",
        singular: "endpoints",
        short_names: &["ep"],
        schema: "io.k8s.api.core.v1.Endpoints",
        ..BASE
    },
    Resource {
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        schema: "io.k8s.api.core.v1.Event",
        ..BASE
    },
    Resource {
        kind: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        short_names: &["ns"],
        namespaced: false,
        verbs: &[
            "create", "delete", "get", "list", "patch", "update", "watch",
        ],
        subresources: &[
            Subresource {
                name: "finalize",
                kind: "Namespace",
                group_version: None,
                verbs: &["update"],
            },
            status_of("Namespace"),
        ],
        schema: "io.k8s.api.core.v1.Namespace",
        ..BASE
    },
    Resource {
        kind: "Node",
        plural: "nodes",
        singular: "node",
        short_names: &["no"],
        namespaced: false,
        subresources: &[proxy_of("NodeProxyOptions"), status_of("Node")],
        schema: "io.k8s.api.core.v1.Node",
        ..BASE
    },
    Resource {
        kind: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
        singular: "persistentvolumeclaim",
        short_names: &["pvc"],
        subresources: &[status_of("PersistentVolumeClaim")],
        schema: "io.k8s.api.core.v1.PersistentVolumeClaim",
        ..BASE
    },
    Resource {
        kind: "PersistentVolume",
        plural: "persistentvolumes",
        singular: "persistentvolume",
        short_names: &["pv"],
        namespaced: false,
        subresources: &[status_of("PersistentVolume")],
        schema: "io.k8s.api.core.v1.PersistentVolume",
        ..BASE
    },
    Resource {
        kind: "Pod",
        plural: "pods",
        singular: "pod",
        short_names: &["po"],
        categories: &["all"],
        subresources: POD_SUBRESOURCES,
        schema: "io.k8s.api.core.v1.Pod",
        ..BASE
    },
    Resource {
        kind: "Secret",
        plural: "secrets",
        singular: "secret",
        schema: "io.k8s.api.core.v1.Secret",
        ..BASE
    },
    Resource {
        kind: "ServiceAccount",
        plural: "serviceaccounts",
        singular: "serviceaccount",
        short_names: &["sa"],
        subresources: &[Subresource {
            name: "token",
            kind: "TokenRequest",
            group_version: Some(("authentication.k8s.io", "v1")),
            verbs: ASKED,
        }],
        schema: "io.k8s.api.core.v1.ServiceAccount",
        ..BASE
    },
    Resource {
        kind: "Service",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        categories: &["all"],
        subresources: &[proxy_of("ServiceProxyOptions"), status_of("Service")],
        schema: "io.k8s.api.core.v1.Service",
        ..BASE
    },
    Resource {
        group: "apps",
        kind: "Deployment",
        plural: "deployments",
        singular: "deployment",
        short_names: &["deploy"],
        categories: &["all"],
        subresources: &[SCALE, status_of("Deployment")],
        schema: "io.k8s.api.apps.v1.Deployment",
        ..BASE
    },
    Resource {
        group: "apps",
        kind: "ReplicaSet",
        plural: "replicasets",
        singular: "replicaset",
        short_names: &["rs"],
        categories: &["all"],
        subresources: &[SCALE, status_of("ReplicaSet")],
        schema: "io.k8s.api.apps.v1.ReplicaSet",
        ..BASE
    },
    Resource {
        group: "authentication.k8s.io",
        kind: "SelfSubjectReview",
        plural: "selfsubjectreviews",
        singular: "selfsubjectreview",
        namespaced: false,
        verbs: ASKED,
        schema: "io.k8s.api.authentication.v1.SelfSubjectReview",
        ..BASE
    },
    Resource {
        group: "authentication.k8s.io",
        kind: "TokenReview",
        plural: "tokenreviews",
        singular: "tokenreview",
        namespaced: false,
        verbs: ASKED,
        schema: "io.k8s.api.authentication.v1.TokenReview",
        ..BASE
    },
    Resource {
        group: "authorization.k8s.io",
        kind: "LocalSubjectAccessReview",
        plural: "localsubjectaccessreviews",
        singular: "localsubjectaccessreview",
        verbs: ASKED,
        schema: "io.k8s.api.authorization.v1.LocalSubjectAccessReview",
        ..BASE
    },
    Resource {
        group: "authorization.k8s.io",
        kind: "SelfSubjectAccessReview",
        plural: "selfsubjectaccessreviews",
        singular: "selfsubjectaccessreview",
        namespaced: false,
        verbs: ASKED,
        schema: "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
        ..BASE
    },
    Resource {
        group: "authorization.k8s.io",
        kind: "SelfSubjectRulesReview",
        plural: "selfsubjectrulesreviews",
        singular: "selfsubjectrulesreview",
        namespaced: false,
        verbs: ASKED,
        schema: "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
        ..BASE
    },
    Resource {
        group: "authorization.k8s.io",
        kind: "SubjectAccessReview",
        plural: "subjectaccessreviews",
        singular: "subjectaccessreview",
        namespaced: false,
        verbs: ASKED,
        schema: "io.k8s.api.authorization.v1.SubjectAccessReview",
        ..BASE
    },
    Resource {
        group: "coordination.k8s.io",
        kind: "Lease",
        plural: "leases",
        singular: "lease",
        schema: "io.k8s.api.coordination.v1.Lease",
        ..BASE
    },
    Resource {
        group: "discovery.k8s.io",
        kind: "EndpointSlice",
        plural: "endpointslices",
        singular: "endpointslice",
        schema: "io.k8s.api.discovery.v1.EndpointSlice",
        ..BASE
    },
    Resource {
        group: "events.k8s.io",
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        schema: "io.k8s.api.events.v1.Event",
        ..BASE
    },
    Resource {
        group: "node.k8s.io",
        kind: "RuntimeClass",
        plural: "runtimeclasses",
        singular: "runtimeclass",
        namespaced: false,
        schema: "io.k8s.api.node.v1.RuntimeClass",
        ..BASE
    },
    Resource {
        group: "rbac.authorization.k8s.io",
        kind: "ClusterRoleBinding",
        plural: "clusterrolebindings",
        singular: "clusterrolebinding",
        namespaced: false,
        schema: "io.k8s.api.rbac.v1.ClusterRoleBinding",
        ..BASE
    },
    Resource {
        group: "rbac.authorization.k8s.io",
        kind: "ClusterRole",
        plural: "clusterroles",
        singular: "clusterrole",
        namespaced: false,
        schema: "io.k8s.api.rbac.v1.ClusterRole",
        ..BASE
    },
    Resource {
        group: "rbac.authorization.k8s.io",
        kind: "RoleBinding",
        plural: "rolebindings",
        singular: "rolebinding",
        schema: "io.k8s.api.rbac.v1.RoleBinding",
        ..BASE
    },
    Resource {
        group: "rbac.authorization.k8s.io",
        kind: "Role",
        plural: "roles",
        singular: "role",
        schema: "io.k8s.api.rbac.v1.Role",
        ..BASE
    },
    Resource {
        group: "scheduling.k8s.io",
        kind: "PriorityClass",
        plural: "priorityclasses",
        singular: "priorityclass",
        short_names: &["pc"],
        namespaced: false,
        schema: "io.k8s.api.scheduling.v1.PriorityClass",
        ..BASE
    },
    Resource {
        group: "storage.k8s.io",
        kind: "StorageClass",
        plural: "storageclasses",
        singular: "storageclass",
        short_names: &["sc"],
        namespaced: false,
        schema: "io.k8s.api.storage.v1.StorageClass",
        ..BASE
    },
];

impl Resource {
    /// `v1`, or `apps/v1`.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Whether it can be read back: it has a place in the store.
    pub fn is_stored(&self) -> bool {
        self.verbs.contains(&"get")
    }

    /// Subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources
            .iter()
            .find(|subresource| subresource.name == name)
    }
}

/// The resource at `/apis/{group}/{version}/…/{plural}`.
pub fn by_path(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    RESOURCES
        .iter()
        .find(|r| r.group == group && r.version == version && r.plural == plural)
}

/// The resource of a kind.
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Resource> {
    RESOURCES
        .iter()
        .find(|r| r.group == group && r.version == version && r.kind == kind)
}
