//! The table of resources: what this API server serves, and how each is told apart.
//!
//! Everything that depends on the resource alone is data here; discovery, routing, storage keys
//! and OpenAPI are all derived from it. Each API group has a file of its own.
//!
//! What is built in is a table. What clients define themselves comes and goes while the server
//! runs: the [`Catalog`] has both.

mod admissionregistration;
mod apiextensions;
mod apiregistration;
mod apps;
mod authentication;
mod authorization;
mod autoscaling;
mod batch;
mod catalog;
mod certificates;
mod coordination;
mod core;
mod custom;
mod discovery;
mod events;
mod flowcontrol;
mod networking;
mod node;
mod policy;
mod rbac;
mod resource;
mod scheduling;
mod storage;

pub use catalog::{Catalog, Served};
pub use custom::{Custom, Definition, has_condition};

/// A resource that is served: `pods` of core/v1. What is built in lives as long as the program;
/// what is defined by clients, as long as somebody holds its [`Served`].
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    /// API group; empty for core.
    pub group: &'a str,
    /// `v1`
    pub version: &'a str,
    /// `Pod`
    pub kind: &'a str,
    /// `pods`, as in paths
    pub plural: &'a str,
    /// `pod`
    pub singular: &'a str,
    /// `po`; see [`Resource::short_names`]
    pub short_names: &'static [&'static str],
    /// `all` for what `kubectl get all` lists; see [`Resource::categories`]
    pub categories: &'static [&'static str],
    /// Lives in a namespace
    pub namespaced: bool,
    /// What can be done with it
    pub verbs: &'static [&'static str],
    /// Paths below the object
    pub subresources: &'static [Subresource],
    /// Name of its type in OpenAPI v2: `io.k8s.api.core.v1.Pod`
    pub schema: &'a str,
    /// Its definition, where a client has defined it.
    pub custom: Option<&'a Custom>,
}

/// A path below an object: `pods/log`.
#[derive(Debug, PartialEq, Eq)]
pub struct Subresource {
    /// `log`
    pub name: &'static str,
    /// Kind of what is read or written there; empty for the resource's own
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

const BASE: Resource<'static> = Resource {
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
    custom: None,
};

/// The groups, in the order of discovery. Upstream gives each a priority, in
/// `pkg/controlplane/apiserver/aggregator.go`.
static GROUPS: &[&[Resource<'static>]] = &[
    core::RESOURCES,
    // Whoever aggregates puts its own group first.
    apiregistration::RESOURCES,
    apps::RESOURCES,
    events::RESOURCES,
    authentication::RESOURCES,
    authorization::RESOURCES,
    autoscaling::RESOURCES,
    batch::RESOURCES,
    certificates::RESOURCES,
    networking::RESOURCES,
    policy::RESOURCES,
    rbac::RESOURCES,
    storage::RESOURCES,
    admissionregistration::RESOURCES,
    apiextensions::RESOURCES,
    scheduling::RESOURCES,
    coordination::RESOURCES,
    node::RESOURCES,
    discovery::RESOURCES,
    flowcontrol::RESOURCES,
    resource::RESOURCES,
];

/// Everything that is built in, in the order of discovery: groups, then names.
pub fn all() -> impl Iterator<Item = &'static Resource<'static>> {
    GROUPS.iter().copied().flatten()
}

impl<'a> Resource<'a> {
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

    /// Kind of what is read or written at a subresource.
    pub fn kind_of(&self, subresource: &Subresource) -> &'a str {
        match subresource.kind {
            "" => self.kind,
            kind => kind,
        }
    }

    /// `PodList`
    pub fn list_kind(&self) -> String {
        match self.custom {
            Some(custom) => custom.definition.list_kind.clone(),
            None => format!("{}List", self.kind),
        }
    }

    /// Name of the type of its lists in OpenAPI v2.
    pub fn list_schema(&self) -> String {
        let start = self.schema.len() - self.schema.rsplit('.').next().map_or(0, str::len);
        format!("{}{}", &self.schema[..start], self.list_kind())
    }

    /// `po`
    pub fn short_names(&self) -> Vec<&'a str> {
        match self.custom {
            Some(custom) => custom.definition.short_names(),
            None => self.short_names.to_vec(),
        }
    }

    /// `all` for what `kubectl get all` lists.
    pub fn categories(&self) -> Vec<&'a str> {
        match self.custom {
            Some(custom) => custom.definition.categories(),
            None => self.categories.to_vec(),
        }
    }

    /// Whether both have the same path. A resource that was deleted and defined anew has, too.
    pub fn is(&self, other: &Resource) -> bool {
        self.plural == other.plural && self.group == other.group && self.version == other.version
    }
}

impl PartialEq for Resource<'_> {
    fn eq(&self, other: &Resource) -> bool {
        self.is(other)
    }
}

/// The built-in resource at `/apis/{group}/{version}/…/{plural}`.
pub fn by_path(group: &str, version: &str, plural: &str) -> Option<&'static Resource<'static>> {
    all().find(|r| r.group == group && r.version == version && r.plural == plural)
}

/// The built-in resource of a kind.
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Resource<'static>> {
    all().find(|r| r.group == group && r.version == version && r.kind == kind)
}
