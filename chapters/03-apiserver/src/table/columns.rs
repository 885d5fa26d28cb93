//! The columns of each kind.

use serde_json::{Value, json};

use super::{admin, autoscaling, ingress, workloads};
use crate::resources::Resource;

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Heading, which `kubectl` shows in capitals.
    pub name: &'static str,
    /// `string`, `integer` or `boolean`.
    pub kind: &'static str,
    /// `name` for the column that names the object.
    pub format: &'static str,
    /// What it says.
    pub description: &'static str,
    /// Shown with `-o wide` only.
    pub wide: bool,
}

impl Column {
    /// As a `TableColumnDefinition`.
    pub fn definition(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": self.description,
            "priority": i32::from(self.wide),
        })
    }
}

pub(super) const fn text(name: &'static str, description: &'static str) -> Column {
    Column {
        name,
        kind: "string",
        format: "",
        description,
        wide: false,
    }
}

pub(super) const fn number(name: &'static str, description: &'static str) -> Column {
    Column {
        name,
        kind: "integer",
        format: "",
        description,
        wide: false,
    }
}

pub(super) const fn wide(name: &'static str, description: &'static str) -> Column {
    Column {
        name,
        kind: "string",
        format: "",
        description,
        wide: true,
    }
}

pub(super) const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    description: "Name of the object, unique within its namespace.",
    wide: false,
};
pub(super) const AGE: Column = text("Age", "Time since the object was created.");
pub(super) const CREATED_AT: Column = Column {
    name: "Created At",
    kind: "date",
    format: "",
    description: "When the object was created.",
    wide: false,
};
pub(super) const CONTAINERS: Column =
    wide("Containers", "Names of each container in the template.");
pub(super) const IMAGES: Column = wide(
    "Images",
    "Images referenced by each container in the template.",
);
pub(super) const SELECTOR: Column = wide("Selector", "Label selector for pods.");

const BINDING: &[Column] = &[
    NAME,
    text("Role", "The role that is granted."),
    AGE,
    wide("Users", "Users it is granted to."),
    wide("Groups", "Groups it is granted to."),
    wide("ServiceAccounts", "Service accounts it is granted to."),
];

const CAPACITY: Column = text("Capacity", "How much can be stored.");
const ACCESS_MODES: Column = text("Access Modes", "From where it can be read and written.");
const CLASS: Column = text("StorageClass", "The class of storage.");
const ATTRIBUTES_CLASS: Column = text("VolumeAttributesClass", "The class of its attributes.");
const VOLUME_MODE: Column = wide("VolumeMode", "Files, or a raw device.");

const VOLUME: &[Column] = &[
    NAME,
    CAPACITY,
    ACCESS_MODES,
    text("Reclaim Policy", "What becomes of it after its claim."),
    text("Status", "The phase of the volume."),
    text("Claim", "The claim that it is bound to."),
    CLASS,
    ATTRIBUTES_CLASS,
    text("Reason", "Why it is in this phase."),
    AGE,
    VOLUME_MODE,
];

const CLAIM: &[Column] = &[
    NAME,
    text("Status", "The phase of the claim."),
    text("Volume", "The volume that it is bound to."),
    CAPACITY,
    ACCESS_MODES,
    CLASS,
    ATTRIBUTES_CLASS,
    AGE,
    VOLUME_MODE,
];

const STORAGE_CLASS: &[Column] = &[
    NAME,
    text("Provisioner", "Who makes volumes of the class."),
    text("ReclaimPolicy", "What becomes of a volume after its claim."),
    text("VolumeBindingMode", "When a claim gets its volume."),
    text("AllowVolumeExpansion", "Whether its volumes can grow."),
    AGE,
];

/// The columns that a resource's table has, in order.
pub fn columns(resource: &Resource) -> &'static [Column] {
    match resource.kind {
        "Pod" => {
            const {
                &[
                    NAME,
                    text(
                        "Ready",
                        "The aggregate readiness state of this pod for accepting traffic.",
                    ),
                    text(
                        "Status",
                        "The aggregate status of the containers in this pod.",
                    ),
                    text(
                        "Restarts",
                        "How often its containers were restarted, and when they last were.",
                    ),
                    AGE,
                    wide("IP", "Address of the pod."),
                    wide("Node", "Node that the pod runs on."),
                    wide("Nominated Node", "Node where others make room for it."),
                    wide(
                        "Readiness Gates",
                        "Further conditions of its readiness that are true.",
                    ),
                ]
            }
        }
        "Deployment" => {
            const {
                &[
                    NAME,
                    text(
                        "Ready",
                        "Number of the pods with a ready condition, of those desired.",
                    ),
                    number(
                        "Up-to-date",
                        "Number of pods that have the desired template.",
                    ),
                    number(
                        "Available",
                        "Number of pods that were ready for long enough.",
                    ),
                    AGE,
                    CONTAINERS,
                    IMAGES,
                    SELECTOR,
                ]
            }
        }
        "ReplicaSet" => workloads::CONTROLLER,
        "Service" => {
            const {
                &[
                    NAME,
                    text("Type", "How the service is exposed."),
                    text("Cluster-IP", "Address of the service within the cluster."),
                    text("External-IP", "Addresses outside that lead to it."),
                    text("Port(s)", "Ports that are exposed."),
                    AGE,
                    wide("Selector", "Labels of the pods that traffic goes to."),
                ]
            }
        }
        "Endpoints" => {
            const {
                &[
                    NAME,
                    text("Endpoints", "Addresses and ports of a service."),
                    AGE,
                ]
            }
        }
        "EndpointSlice" => {
            const {
                &[
                    NAME,
                    text("AddressType", "Type of its addresses."),
                    text("Ports", "Ports that each endpoint has."),
                    text("Endpoints", "Addresses of the endpoints."),
                    AGE,
                ]
            }
        }
        "Node" => {
            const {
                &[
                    NAME,
                    text("Status", "The status of the node."),
                    text("Roles", "The roles of the node."),
                    AGE,
                    text("Version", "Version of the kubelet."),
                    wide("Internal-IP", "Address within the cluster."),
                    wide("External-IP", "Address from outside."),
                    wide("OS-Image", "Operating system."),
                    wide("Kernel-Version", "Version of the kernel."),
                    wide("Container-Runtime", "Container runtime and its version."),
                ]
            }
        }
        "Namespace" => const { &[NAME, text("Status", "The status of the namespace."), AGE] },
        "Event" => {
            const {
                &[
                    text("Last Seen", "Time since it was last seen."),
                    text("Type", "Normal or Warning."),
                    text("Reason", "Short, for machines."),
                    text("Object", "What the event is about."),
                    wide("Subobject", "Which part of it."),
                    wide("Source", "Who reports it."),
                    text("Message", "What happened, for people."),
                    wide("First Seen", "Time since it was first seen."),
                    wide("Count", "How often it was seen."),
                    Column { wide: true, ..NAME },
                ]
            }
        }
        "ConfigMap" => const { &[NAME, number("Data", "Number of entries."), AGE] },
        "Secret" => {
            const {
                &[
                    NAME,
                    text("Type", "What the secret is for."),
                    number("Data", "Number of entries."),
                    AGE,
                ]
            }
        }
        "ServiceAccount" => {
            const {
                &[
                    NAME,
                    number("Secrets", "Number of secrets its pods may use."),
                    AGE,
                ]
            }
        }
        "Lease" => const { &[NAME, text("Holder", "Who holds the lease."), AGE] },
        "Role" | "ClusterRole" | "CustomResourceDefinition" => const { &[NAME, CREATED_AT] },
        "RoleBinding" | "ClusterRoleBinding" => BINDING,
        "RuntimeClass" => {
            const {
                &[
                    NAME,
                    text("Handler", "What runs its pods, as nodes know it."),
                    AGE,
                ]
            }
        }
        "PriorityClass" => {
            const {
                &[
                    NAME,
                    number("Value", "Priority of pods of this class."),
                    Column {
                        kind: "boolean",
                        ..text("Global-Default", "Whether pods get it by default.")
                    },
                    AGE,
                    text("PreemptionPolicy", "Whether its pods displace others."),
                ]
            }
        }
        "PersistentVolume" => VOLUME,
        "PersistentVolumeClaim" => CLAIM,
        "StorageClass" => STORAGE_CLASS,
        _ => admin::columns(resource)
            .or_else(|| workloads::columns(resource))
            .or_else(|| ingress::columns(resource))
            .or_else(|| autoscaling::columns(resource))
            .unwrap_or(const { &[NAME, AGE] }),
    }
}
