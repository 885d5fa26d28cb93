//! The facts of [`super::facts`] about the kinds by which a cluster is run: certificates, storage
//! drivers, admission, flow control, API services, devices.

use super::facts::{ListFact, keyed, keyed_for_apply, set};

pub(super) const LISTS: &[ListFact] = &[
    keyed(
        "api.admissionregistration.v1.MutatingAdmissionPolicySpec",
        "matchConditions",
        &["name"],
    ),
    keyed(
        "api.admissionregistration.v1.MutatingWebhook",
        "matchConditions",
        &["name"],
    ),
    keyed(
        "api.admissionregistration.v1.MutatingWebhookConfiguration",
        "webhooks",
        &["name"],
    ),
    set(
        "api.admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec",
        "validationActions",
        false,
    ),
    keyed(
        "api.admissionregistration.v1.ValidatingAdmissionPolicySpec",
        "matchConditions",
        &["name"],
    ),
    keyed(
        "api.admissionregistration.v1.ValidatingAdmissionPolicySpec",
        "variables",
        &["name"],
    ),
    keyed_for_apply(
        "api.admissionregistration.v1.ValidatingAdmissionPolicyStatus",
        "conditions",
        &["type"],
    ),
    keyed(
        "api.admissionregistration.v1.ValidatingWebhook",
        "matchConditions",
        &["name"],
    ),
    keyed(
        "api.admissionregistration.v1.ValidatingWebhookConfiguration",
        "webhooks",
        &["name"],
    ),
    keyed_for_apply(
        "api.certificates.v1.CertificateSigningRequestStatus",
        "conditions",
        &["type"],
    ),
    keyed(
        "api.flowcontrol.v1.FlowSchemaStatus",
        "conditions",
        &["type"],
    ),
    set(
        "api.flowcontrol.v1.NonResourcePolicyRule",
        "nonResourceURLs",
        false,
    ),
    set("api.flowcontrol.v1.NonResourcePolicyRule", "verbs", false),
    keyed(
        "api.flowcontrol.v1.PriorityLevelConfigurationStatus",
        "conditions",
        &["type"],
    ),
    set("api.flowcontrol.v1.ResourcePolicyRule", "apiGroups", false),
    set("api.flowcontrol.v1.ResourcePolicyRule", "namespaces", false),
    set("api.flowcontrol.v1.ResourcePolicyRule", "resources", false),
    set("api.flowcontrol.v1.ResourcePolicyRule", "verbs", false),
    keyed_for_apply(
        "api.resource.v1.AllocatedDeviceStatus",
        "conditions",
        &["type"],
    ),
    keyed_for_apply(
        "api.resource.v1.ResourceClaimStatus",
        "devices",
        &["driver", "device", "pool", "shareID"],
    ),
    keyed(
        "api.resource.v1.ResourceClaimStatus",
        "reservedFor",
        &["uid"],
    ),
    set(
        "api.storage.v1.CSIDriverSpec",
        "volumeLifecycleModes",
        false,
    ),
    keyed("api.storage.v1.CSINodeSpec", "drivers", &["name"]),
    keyed(
        "kube-aggregator.pkg.apis.apiregistration.v1.APIServiceStatus",
        "conditions",
        &["type"],
    ),
];

pub(super) const ATOMIC_STRUCTS: &[&str] = &[
    "api.admissionregistration.v1.MatchResources",
    "api.admissionregistration.v1.NamedRuleWithOperations",
    "api.admissionregistration.v1.ParamKind",
    "api.admissionregistration.v1.ParamRef",
    "api.admissionregistration.v1.Variable",
];

pub(super) const ZERO_MATTERS: &[(&str, &[&str])] = &[
    (
        "api.admissionregistration.v1.MatchResources",
        &["matchPolicy"],
    ),
    (
        "api.admissionregistration.v1.MutatingAdmissionPolicySpec",
        &["failurePolicy"],
    ),
    (
        "api.admissionregistration.v1.MutatingWebhook",
        &[
            "failurePolicy",
            "matchPolicy",
            "timeoutSeconds",
            "reinvocationPolicy",
        ],
    ),
    (
        "api.admissionregistration.v1.ParamRef",
        &["parameterNotFoundAction"],
    ),
    ("api.admissionregistration.v1.Rule", &["scope"]),
    (
        "api.admissionregistration.v1.ServiceReference",
        &["path", "port"],
    ),
    (
        "api.admissionregistration.v1.ValidatingAdmissionPolicySpec",
        &["failurePolicy"],
    ),
    (
        "api.admissionregistration.v1.ValidatingWebhook",
        &["failurePolicy", "matchPolicy", "timeoutSeconds"],
    ),
    ("api.admissionregistration.v1.Validation", &["reason"]),
    ("api.admissionregistration.v1.WebhookClientConfig", &["url"]),
    (
        "api.certificates.v1.CertificateSigningRequestSpec",
        &["expirationSeconds"],
    ),
    (
        "api.flowcontrol.v1.ExemptPriorityLevelConfiguration",
        &["nominalConcurrencyShares", "lendablePercent"],
    ),
    (
        "api.flowcontrol.v1.LimitedPriorityLevelConfiguration",
        &["lendablePercent", "borrowingLimitPercent"],
    ),
    ("api.resource.v1.AllocatedDeviceStatus", &["shareID"]),
    (
        "api.resource.v1.Device",
        &[
            "nodeName",
            "allNodes",
            "bindsToNode",
            "allowMultipleAllocations",
        ],
    ),
    (
        "api.resource.v1.DeviceAttribute",
        &["int", "bool", "string", "version"],
    ),
    ("api.resource.v1.DeviceClassSpec", &["extendedResourceName"]),
    (
        "api.resource.v1.DeviceConstraint",
        &["matchAttribute", "distinctAttribute"],
    ),
    (
        "api.resource.v1.DeviceRequestAllocationResult",
        &["adminAccess", "shareID"],
    ),
    ("api.resource.v1.DeviceToleration", &["tolerationSeconds"]),
    ("api.resource.v1.ExactDeviceRequest", &["adminAccess"]),
    (
        "api.resource.v1.NodeAllocatableResourceMapping",
        &["capacityKey"],
    ),
    (
        "api.resource.v1.ResourceSliceSpec",
        &["nodeName", "allNodes", "perDeviceNodeSelection"],
    ),
    (
        "api.storage.v1.CSIDriverSpec",
        &[
            "attachRequired",
            "podInfoOnMount",
            "storageCapacity",
            "fsGroupPolicy",
            "requiresRepublish",
            "seLinuxMount",
            "nodeAllocatableUpdatePeriodSeconds",
            "serviceAccountTokenInSecrets",
            "preventPodSchedulingIfMissing",
        ],
    ),
    ("api.storage.v1.TokenRequest", &["expirationSeconds"]),
    (
        "api.storage.v1.VolumeAttachmentSource",
        &["persistentVolumeName"],
    ),
    ("api.storage.v1.VolumeError", &["errorCode"]),
    ("api.storage.v1.VolumeNodeResources", &["count"]),
    (
        "kube-aggregator.pkg.apis.apiregistration.v1.ServiceReference",
        &["port"],
    ),
];

pub(super) const VALUE_STRUCTS: &[(&str, &[&str])] = &[
    (
        "api.admissionregistration.v1.MutatingWebhook",
        &["clientConfig"],
    ),
    (
        "api.admissionregistration.v1.ValidatingWebhook",
        &["clientConfig"],
    ),
    (
        "api.flowcontrol.v1.FlowSchemaSpec",
        &["priorityLevelConfiguration"],
    ),
    (
        "api.flowcontrol.v1.LimitedPriorityLevelConfiguration",
        &["limitResponse"],
    ),
    ("api.resource.v1.AllocationResult", &["devices"]),
    ("api.resource.v1.ResourceClaimSpec", &["devices"]),
    (
        "api.resource.v1.ResourceClaimTemplateSpec",
        &["metadata", "spec"],
    ),
    ("api.resource.v1.ResourceSliceSpec", &["pool"]),
    ("api.storage.v1.VolumeAttachmentSpec", &["source"]),
];
