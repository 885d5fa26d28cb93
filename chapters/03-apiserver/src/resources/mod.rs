//! The table of resources: what this API server serves, and how each is told apart.
//!
//! Everything that depends on the resource alone is data here; discovery, routing, storage keys
//! and OpenAPI are all derived from it. Each API group has a file of its own.

mod apps;
mod authentication;
mod authorization;
mod coordination;
mod core;
mod discovery;
mod events;
mod node;
mod rbac;
mod scheduling;
mod storage;

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

/// The groups, in the order of discovery. Upstream gives each a priority, in
/// `pkg/controlplane/apiserver/aggregator.go`.
static GROUPS: &[&[Resource]] = &[
    core::RESOURCES,
    apps::RESOURCES,
    events::RESOURCES,
    authentication::RESOURCES,
    authorization::RESOURCES,
    rbac::RESOURCES,
    storage::RESOURCES,
    scheduling::RESOURCES,
    coordination::RESOURCES,
    node::RESOURCES,
    discovery::RESOURCES,
];

/// Everything that is served, in the order of discovery: groups, then names.
pub fn all() -> impl Iterator<Item = &'static Resource> {
    GROUPS.iter().copied().flatten()
}

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
    all().find(|r| r.group == group && r.version == version && r.plural == plural)
}

/// The resource of a kind.
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Resource> {
    all().find(|r| r.group == group && r.version == version && r.kind == kind)
}
