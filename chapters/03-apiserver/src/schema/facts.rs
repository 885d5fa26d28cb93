//! Facts about fields that the generated schemas do not carry.
//!
//! Upstream keeps them as markers in the Go types (`staging/src/k8s.io/api/*/*/types.go`) and
//! publishes most as `x-kubernetes-*` extensions in `api/openapi-spec`. Type names leave out the
//! `io.k8s.` that all of them share. What is about the kinds by which a cluster is run is in
//! [`super::admin_facts`]; about those that keep pods and lead to them, in
//! [`super::workload_facts`].

use super::{admin_facts, workload_facts};

/// How a list of objects, or of values, is merged.
pub(super) struct ListFact {
    pub(super) owner: &'static str,
    pub(super) field: &'static str,
    /// Keys by which server-side apply tells entries apart; none for a set of values.
    pub(super) keys: &'static [&'static str],
    /// Whether server-side apply takes the list as a whole, whatever a patch does.
    pub(super) atomic: bool,
    /// What a strategic merge patch tells entries apart by; `None`: it replaces the list.
    pub(super) patch_key: Option<&'static str>,
}

/// Entries that both server-side apply and patches tell apart by the same first key.
pub(super) const fn keyed(
    owner: &'static str,
    field: &'static str,
    keys: &'static [&'static str],
) -> ListFact {
    ListFact {
        owner,
        field,
        keys,
        atomic: false,
        patch_key: Some(keys[0]),
    }
}

/// Entries that server-side apply tells apart, and a patch replaces.
pub(super) const fn keyed_for_apply(
    owner: &'static str,
    field: &'static str,
    keys: &'static [&'static str],
) -> ListFact {
    ListFact {
        owner,
        field,
        keys,
        atomic: false,
        patch_key: None,
    }
}

/// Distinct values; `merged` by a patch, or replaced.
pub(super) const fn set(owner: &'static str, field: &'static str, merged: bool) -> ListFact {
    let patch_key = if merged { Some("") } else { None };
    ListFact {
        owner,
        field,
        keys: &[],
        atomic: false,
        patch_key,
    }
}

/// Every list that is not replaced as a whole.
pub(super) const LISTS: &[ListFact] = &[
    keyed_for_apply(
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus",
        "conditions",
        &["type"],
    ),
    keyed_for_apply(
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
        "x-kubernetes-validations",
        &["rule"],
    ),
    keyed("api.apps.v1.DeploymentStatus", "conditions", &["type"]),
    keyed("api.apps.v1.ReplicaSetStatus", "conditions", &["type"]),
    keyed(
        "api.core.v1.Container",
        "ports",
        &["containerPort", "protocol"],
    ),
    keyed("api.core.v1.Container", "env", &["name"]),
    keyed("api.core.v1.Container", "volumeMounts", &["mountPath"]),
    keyed("api.core.v1.Container", "volumeDevices", &["devicePath"]),
    set(
        "api.core.v1.ContainerRestartRuleOnExitCodes",
        "values",
        false,
    ),
    keyed(
        "api.core.v1.ContainerStatus",
        "volumeMounts",
        &["mountPath"],
    ),
    keyed(
        "api.core.v1.ContainerStatus",
        "allocatedResourcesStatus",
        &["name"],
    ),
    keyed(
        "api.core.v1.EphemeralContainer",
        "ports",
        &["containerPort", "protocol"],
    ),
    keyed("api.core.v1.EphemeralContainer", "env", &["name"]),
    keyed(
        "api.core.v1.EphemeralContainer",
        "volumeMounts",
        &["mountPath"],
    ),
    keyed(
        "api.core.v1.EphemeralContainer",
        "volumeDevices",
        &["devicePath"],
    ),
    keyed("api.core.v1.NamespaceStatus", "conditions", &["type"]),
    set("api.core.v1.NodeSpec", "podCIDRs", true),
    keyed("api.core.v1.NodeStatus", "addresses", &["type"]),
    keyed("api.core.v1.NodeStatus", "conditions", &["type"]),
    keyed(
        "api.core.v1.PersistentVolumeClaimStatus",
        "conditions",
        &["type"],
    ),
    keyed("api.core.v1.PodSpec", "containers", &["name"]),
    keyed("api.core.v1.PodSpec", "ephemeralContainers", &["name"]),
    keyed("api.core.v1.PodSpec", "hostAliases", &["ip"]),
    keyed("api.core.v1.PodSpec", "imagePullSecrets", &["name"]),
    keyed("api.core.v1.PodSpec", "initContainers", &["name"]),
    keyed("api.core.v1.PodSpec", "resourceClaims", &["name"]),
    keyed("api.core.v1.PodSpec", "schedulingGates", &["name"]),
    keyed(
        "api.core.v1.PodSpec",
        "topologySpreadConstraints",
        &["topologyKey", "whenUnsatisfiable"],
    ),
    keyed("api.core.v1.PodSpec", "volumes", &["name"]),
    keyed("api.core.v1.PodStatus", "conditions", &["type"]),
    ListFact {
        owner: "api.core.v1.PodStatus",
        field: "hostIPs",
        keys: &[],
        atomic: true,
        patch_key: Some("ip"),
    },
    keyed("api.core.v1.PodStatus", "podIPs", &["ip"]),
    keyed("api.core.v1.PodStatus", "resourceClaimStatuses", &["name"]),
    keyed_for_apply("api.core.v1.ResourceRequirements", "claims", &["name"]),
    keyed_for_apply("api.core.v1.ResourceStatus", "resources", &["resourceID"]),
    keyed("api.core.v1.ServiceAccount", "secrets", &["name"]),
    keyed("api.core.v1.ServiceSpec", "ports", &["port", "protocol"]),
    keyed("api.core.v1.ServiceStatus", "conditions", &["type"]),
    set("api.discovery.v1.Endpoint", "addresses", false),
    keyed(
        "api.policy.v1.PodDisruptionBudgetStatus",
        "conditions",
        &["type"],
    ),
    set(
        "apimachinery.pkg.apis.meta.v1.ObjectMeta",
        "finalizers",
        true,
    ),
    keyed(
        "apimachinery.pkg.apis.meta.v1.ObjectMeta",
        "ownerReferences",
        &["uid"],
    ),
];

/// Unions: a strategic merge patch that sets one member says with `$retainKeys` which stay.
pub(super) const RETAIN_KEYS: &[(&str, &str)] = &[
    ("api.apps.v1.DeploymentSpec", "strategy"),
    ("api.core.v1.PodSpec", "resourceClaims"),
    ("api.core.v1.PodSpec", "volumes"),
    ("api.core.v1.PodStatus", "resourceClaimStatuses"),
];

/// Structs that a strategic merge patch replaces as a whole.
pub(super) const PATCH_REPLACES: &[(&str, &str)] =
    &[("api.policy.v1.PodDisruptionBudgetSpec", "selector")];

/// Maps that server-side apply takes as a whole.
pub(super) const ATOMIC_MAPS: &[(&str, &str)] = &[
    ("api.core.v1.PodSpec", "nodeSelector"),
    ("api.core.v1.ServiceSpec", "selector"),
];

/// Structs that server-side apply takes as a whole.
pub(super) const ATOMIC_STRUCTS: &[&str] = &[
    "api.core.v1.ConfigMapKeySelector",
    "api.core.v1.EndpointAddress",
    "api.core.v1.EndpointPort",
    "api.core.v1.FileKeySelector",
    "api.core.v1.LocalObjectReference",
    "api.core.v1.NodeSelector",
    "api.core.v1.NodeSelectorTerm",
    "api.core.v1.ObjectFieldSelector",
    "api.core.v1.ObjectReference",
    "api.core.v1.ResourceFieldSelector",
    "api.core.v1.SecretKeySelector",
    "api.core.v1.SecretReference",
    "api.core.v1.TopologySelectorTerm",
    "api.core.v1.TypedLocalObjectReference",
    "api.discovery.v1.EndpointPort",
    "api.rbac.v1.RoleRef",
    "api.rbac.v1.Subject",
    "apimachinery.pkg.apis.meta.v1.LabelSelector",
    "apimachinery.pkg.apis.meta.v1.OwnerReference",
];

/// Keys of keyed lists that may be left out, and what they then are.
pub(super) const KEY_DEFAULTS: &[(&str, &str, &str)] = &[
    ("api.core.v1.ContainerPort", "protocol", "TCP"),
    ("api.core.v1.ServicePort", "protocol", "TCP"),
];

/// Optional scalars for which `0`, `""` and `false` differ from nothing: pointers in Go. All other
/// optional scalars are left out when they are zero. (An empty `managedFields` resets it.)
pub(super) const ZERO_MATTERS: &[(&str, &[&str])] = &[
    (
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionVersion",
        &["deprecationWarning"],
    ),
    (
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
        &[
            "maxItems",
            "maxLength",
            "maxProperties",
            "maximum",
            "minItems",
            "minLength",
            "minProperties",
            "minimum",
            "multipleOf",
            "x-kubernetes-list-type",
            "x-kubernetes-map-type",
            "x-kubernetes-preserve-unknown-fields",
        ],
    ),
    (
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.ValidationRule",
        &["optionalOldSelf", "reason"],
    ),
    (
        "api.apps.v1.DeploymentSpec",
        &[
            "replicas",
            "revisionHistoryLimit",
            "progressDeadlineSeconds",
        ],
    ),
    (
        "api.apps.v1.DeploymentStatus",
        &["terminatingReplicas", "collisionCount"],
    ),
    ("api.apps.v1.ReplicaSetSpec", &["replicas"]),
    ("api.apps.v1.ReplicaSetStatus", &["terminatingReplicas"]),
    (
        "api.apps.v1.RollingUpdateDeployment",
        &["maxUnavailable", "maxSurge"],
    ),
    (
        "api.authentication.v1.TokenRequestSpec",
        &["expirationSeconds"],
    ),
    (
        "api.coordination.v1.LeaseSpec",
        &[
            "holderIdentity",
            "leaseDurationSeconds",
            "leaseTransitions",
            "strategy",
            "preferredHolder",
        ],
    ),
    ("api.core.v1.AppArmorProfile", &["localhostProfile"]),
    (
        "api.core.v1.AzureDiskVolumeSource",
        &["cachingMode", "fsType", "readOnly", "kind"],
    ),
    (
        "api.core.v1.AzureFilePersistentVolumeSource",
        &["secretNamespace"],
    ),
    ("api.core.v1.CSIVolumeSource", &["readOnly", "fsType"]),
    ("api.core.v1.ClientIPConfig", &["timeoutSeconds"]),
    (
        "api.core.v1.ClusterTrustBundleProjection",
        &["name", "signerName", "optional"],
    ),
    ("api.core.v1.ConfigMap", &["immutable"]),
    ("api.core.v1.ConfigMapEnvSource", &["optional"]),
    ("api.core.v1.ConfigMapKeySelector", &["optional"]),
    ("api.core.v1.ConfigMapProjection", &["optional"]),
    (
        "api.core.v1.ConfigMapVolumeSource",
        &["defaultMode", "optional"],
    ),
    ("api.core.v1.Container", &["restartPolicy"]),
    ("api.core.v1.ContainerStatus", &["started", "stopSignal"]),
    ("api.core.v1.DownwardAPIVolumeFile", &["mode"]),
    ("api.core.v1.DownwardAPIVolumeSource", &["defaultMode"]),
    ("api.core.v1.EndpointAddress", &["nodeName"]),
    ("api.core.v1.EndpointPort", &["appProtocol"]),
    ("api.core.v1.EphemeralContainer", &["restartPolicy"]),
    ("api.core.v1.FCVolumeSource", &["lun"]),
    ("api.core.v1.FileKeySelector", &["optional"]),
    ("api.core.v1.GRPCAction", &["service"]),
    (
        "api.core.v1.GlusterfsPersistentVolumeSource",
        &["endpointsNamespace"],
    ),
    ("api.core.v1.HostPathVolumeSource", &["type"]),
    (
        "api.core.v1.ISCSIPersistentVolumeSource",
        &["initiatorName"],
    ),
    ("api.core.v1.ISCSIVolumeSource", &["initiatorName"]),
    ("api.core.v1.KeyToPath", &["mode"]),
    ("api.core.v1.Lifecycle", &["stopSignal"]),
    ("api.core.v1.LoadBalancerIngress", &["ipMode"]),
    ("api.core.v1.LocalVolumeSource", &["fsType"]),
    ("api.core.v1.NodeFeatures", &["supplementalGroupsPolicy"]),
    (
        "api.core.v1.NodeRuntimeHandlerFeatures",
        &["recursiveReadOnlyMounts", "userNamespaces"],
    ),
    ("api.core.v1.NodeSwapStatus", &["capacity"]),
    (
        "api.core.v1.PersistentVolumeClaimSpec",
        &[
            "storageClassName",
            "volumeMode",
            "volumeAttributesClassName",
        ],
    ),
    (
        "api.core.v1.PersistentVolumeClaimStatus",
        &["currentVolumeAttributesClassName"],
    ),
    (
        "api.core.v1.PersistentVolumeSpec",
        &["volumeMode", "volumeAttributesClassName"],
    ),
    (
        "api.core.v1.PodCertificateProjection",
        &["maxExpirationSeconds"],
    ),
    ("api.core.v1.PodDNSConfigOption", &["value"]),
    (
        "api.core.v1.PodResourceClaim",
        &["resourceClaimName", "resourceClaimTemplateName"],
    ),
    ("api.core.v1.PodResourceClaimStatus", &["resourceClaimName"]),
    (
        "api.core.v1.PodSecurityContext",
        &[
            "runAsUser",
            "runAsGroup",
            "runAsNonRoot",
            "supplementalGroupsPolicy",
            "fsGroup",
            "fsGroupChangePolicy",
            "seLinuxChangePolicy",
        ],
    ),
    (
        "api.core.v1.PodSpec",
        &[
            "terminationGracePeriodSeconds",
            "activeDeadlineSeconds",
            "automountServiceAccountToken",
            "shareProcessNamespace",
            "priority",
            "runtimeClassName",
            "enableServiceLinks",
            "preemptionPolicy",
            "setHostnameAsFQDN",
            "hostUsers",
            "hostnameOverride",
        ],
    ),
    ("api.core.v1.PortStatus", &["error"]),
    ("api.core.v1.Probe", &["terminationGracePeriodSeconds"]),
    ("api.core.v1.ProjectedVolumeSource", &["defaultMode"]),
    ("api.core.v1.ResourceHealth", &["message"]),
    ("api.core.v1.SeccompProfile", &["localhostProfile"]),
    ("api.core.v1.Secret", &["immutable"]),
    ("api.core.v1.SecretEnvSource", &["optional"]),
    ("api.core.v1.SecretKeySelector", &["optional"]),
    ("api.core.v1.SecretProjection", &["optional"]),
    (
        "api.core.v1.SecretVolumeSource",
        &["defaultMode", "optional"],
    ),
    (
        "api.core.v1.SecurityContext",
        &[
            "privileged",
            "runAsUser",
            "runAsGroup",
            "runAsNonRoot",
            "readOnlyRootFilesystem",
            "allowPrivilegeEscalation",
            "procMount",
        ],
    ),
    (
        "api.core.v1.ServiceAccount",
        &["automountServiceAccountToken"],
    ),
    (
        "api.core.v1.ServiceAccountTokenProjection",
        &["expirationSeconds"],
    ),
    ("api.core.v1.ServicePort", &["appProtocol"]),
    (
        "api.core.v1.ServiceSpec",
        &[
            "ipFamilyPolicy",
            "allocateLoadBalancerNodePorts",
            "loadBalancerClass",
            "internalTrafficPolicy",
            "trafficDistribution",
        ],
    ),
    ("api.core.v1.Toleration", &["tolerationSeconds"]),
    (
        "api.core.v1.TopologySpreadConstraint",
        &["minDomains", "nodeAffinityPolicy", "nodeTaintsPolicy"],
    ),
    ("api.core.v1.TypedLocalObjectReference", &["apiGroup"]),
    (
        "api.core.v1.TypedObjectReference",
        &["apiGroup", "namespace"],
    ),
    (
        "api.core.v1.VolumeMount",
        &["recursiveReadOnly", "mountPropagation"],
    ),
    ("api.core.v1.VolumeMountStatus", &["recursiveReadOnly"]),
    (
        "api.core.v1.WindowsSecurityContextOptions",
        &[
            "gmsaCredentialSpecName",
            "gmsaCredentialSpec",
            "runAsUserName",
            "hostProcess",
        ],
    ),
    (
        "api.discovery.v1.Endpoint",
        &["hostname", "nodeName", "zone"],
    ),
    (
        "api.discovery.v1.EndpointConditions",
        &["ready", "serving", "terminating"],
    ),
    (
        "api.discovery.v1.EndpointPort",
        &["name", "protocol", "port", "appProtocol"],
    ),
    ("api.scheduling.v1.PriorityClass", &["preemptionPolicy"]),
    (
        "api.storage.v1.StorageClass",
        &["reclaimPolicy", "allowVolumeExpansion", "volumeBindingMode"],
    ),
    (
        "apimachinery.pkg.apis.meta.v1.DeleteOptions",
        &[
            "gracePeriodSeconds",
            "orphanDependents",
            "propagationPolicy",
            "ignoreStoreReadErrorWithClusterBreakingPotential",
        ],
    ),
    (
        "apimachinery.pkg.apis.meta.v1.ListMeta",
        &["remainingItemCount"],
    ),
    (
        "apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry",
        &["fieldsV1"],
    ),
    (
        "apimachinery.pkg.apis.meta.v1.ObjectMeta",
        &["deletionGracePeriodSeconds", "managedFields"],
    ),
    (
        "apimachinery.pkg.apis.meta.v1.OwnerReference",
        &["controller", "blockOwnerDeletion"],
    ),
    (
        "apimachinery.pkg.apis.meta.v1.Preconditions",
        &["uid", "resourceVersion"],
    ),
];

/// Structs that are part of their owner rather than pointed to: always there, if only as `{}`.
/// Beside them, the `metadata`, `spec` and `status` of every kind are.
pub(super) const VALUE_STRUCTS: &[(&str, &[&str])] = &[
    (
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec",
        &["names"],
    ),
    (
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus",
        &["acceptedNames"],
    ),
    ("api.apps.v1.DeploymentSpec", &["strategy", "template"]),
    ("api.apps.v1.ReplicaSetSpec", &["template"]),
    ("api.core.v1.Binding", &["target"]),
    ("api.core.v1.Container", &["resources"]),
    ("api.core.v1.ContainerStatus", &["lastState", "state"]),
    ("api.core.v1.EphemeralContainer", &["resources"]),
    ("api.core.v1.Event", &["involvedObject", "source"]),
    ("api.core.v1.NodeDaemonEndpoints", &["kubeletEndpoint"]),
    ("api.core.v1.NodeStatus", &["daemonEndpoints", "nodeInfo"]),
    ("api.core.v1.PersistentVolumeClaimSpec", &["resources"]),
    ("api.core.v1.PersistentVolumeClaimTemplate", &["spec"]),
    ("api.core.v1.PodTemplateSpec", &["metadata", "spec"]),
    ("api.core.v1.PreferredSchedulingTerm", &["preference"]),
    ("api.core.v1.ServiceStatus", &["loadBalancer"]),
    ("api.core.v1.WeightedPodAffinityTerm", &["podAffinityTerm"]),
    (
        "api.authentication.v1.SelfSubjectReviewStatus",
        &["userInfo"],
    ),
    ("api.authentication.v1.TokenReviewStatus", &["user"]),
    ("api.discovery.v1.Endpoint", &["conditions"]),
    ("api.events.v1.Event", &["deprecatedSource", "regarding"]),
    ("api.rbac.v1.ClusterRoleBinding", &["roleRef"]),
    ("api.rbac.v1.RoleBinding", &["roleRef"]),
];

/// What is known of a list, if it is not replaced as a whole.
pub(super) fn list(owner: &str, field: &str) -> Option<&'static ListFact> {
    let all = LISTS.iter().chain(admin_facts::LISTS);
    let mut all = all.chain(workload_facts::LISTS);
    all.find(|fact| fact.owner == owner && fact.field == field)
}

/// The optional scalars of a type for which zero differs from nothing.
pub(super) fn zero_matters(owner: &str) -> &'static [&'static str] {
    let all = ZERO_MATTERS.iter().chain(admin_facts::ZERO_MATTERS);
    fields(all.chain(workload_facts::ZERO_MATTERS), owner)
}

/// The structs that are part of a type.
pub(super) fn value_structs(owner: &str) -> &'static [&'static str] {
    let all = VALUE_STRUCTS.iter().chain(admin_facts::VALUE_STRUCTS);
    fields(all.chain(workload_facts::VALUE_STRUCTS), owner)
}

/// Whether server-side apply takes a struct as a whole.
pub(super) fn is_atomic_struct(name: &str) -> bool {
    [
        ATOMIC_STRUCTS,
        admin_facts::ATOMIC_STRUCTS,
        workload_facts::ATOMIC_STRUCTS,
    ]
    .iter()
    .any(|names| names.contains(&name))
}

/// Whether server-side apply takes a map as a whole.
pub(super) fn is_atomic_map(owner: &str, field: &str) -> bool {
    let mut all = ATOMIC_MAPS.iter().chain(workload_facts::ATOMIC_MAPS);
    all.any(|map| *map == (owner, field))
}

type Fields = (&'static str, &'static [&'static str]);

fn fields(
    mut facts: impl Iterator<Item = &'static Fields>,
    owner: &str,
) -> &'static [&'static str] {
    facts
        .find(|(name, _)| *name == owner)
        .map_or(&[], |(_, fields)| fields)
}
