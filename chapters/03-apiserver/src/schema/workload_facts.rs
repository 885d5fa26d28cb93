//! The facts of [`super::facts`] about the kinds that keep pods, limit them, or lead to them: of
//! apps, autoscaling, batch, networking and policy, and the like of core.

use super::facts::{ListFact, keyed, set};

pub(super) const LISTS: &[ListFact] = &[
    keyed("api.apps.v1.DaemonSetStatus", "conditions", &["type"]),
    keyed("api.apps.v1.StatefulSetStatus", "conditions", &["type"]),
    keyed(
        "api.autoscaling.v2.HorizontalPodAutoscalerStatus",
        "conditions",
        &["type"],
    ),
    ListFact {
        owner: "api.batch.v1.JobStatus",
        field: "conditions",
        keys: &[],
        atomic: true,
        patch_key: Some("type"),
    },
    set(
        "api.batch.v1.PodFailurePolicyOnExitCodesRequirement",
        "values",
        false,
    ),
    set("api.batch.v1.UncountedTerminatedPods", "succeeded", false),
    set("api.batch.v1.UncountedTerminatedPods", "failed", false),
    keyed("api.core.v1.ComponentStatus", "conditions", &["type"]),
    keyed(
        "api.core.v1.ReplicationControllerStatus",
        "conditions",
        &["type"],
    ),
    keyed(
        "api.networking.v1.ServiceCIDRStatus",
        "conditions",
        &["type"],
    ),
];

pub(super) const ATOMIC_MAPS: &[(&str, &str)] =
    &[("api.core.v1.ReplicationControllerSpec", "selector")];

pub(super) const ATOMIC_STRUCTS: &[&str] = &[
    "api.autoscaling.v1.CrossVersionObjectReference",
    "api.core.v1.ScopeSelector",
    "api.networking.v1.ServiceBackendPort",
];

pub(super) const ZERO_MATTERS: &[(&str, &[&str])] = &[
    ("api.apps.v1.DaemonSetSpec", &["revisionHistoryLimit"]),
    ("api.apps.v1.DaemonSetStatus", &["collisionCount"]),
    (
        "api.apps.v1.RollingUpdateDaemonSet",
        &["maxUnavailable", "maxSurge"],
    ),
    (
        "api.apps.v1.RollingUpdateStatefulSetStrategy",
        &["partition", "maxUnavailable"],
    ),
    (
        "api.apps.v1.StatefulSetSpec",
        &["replicas", "revisionHistoryLimit"],
    ),
    (
        "api.apps.v1.StatefulSetStatus",
        &["availableReplicas", "collisionCount"],
    ),
    (
        "api.autoscaling.v1.HorizontalPodAutoscalerSpec",
        &["minReplicas", "targetCPUUtilizationPercentage"],
    ),
    (
        "api.autoscaling.v1.HorizontalPodAutoscalerStatus",
        &["observedGeneration", "currentCPUUtilizationPercentage"],
    ),
    (
        "api.autoscaling.v2.HPAScalingRules",
        &["stabilizationWindowSeconds", "selectPolicy", "tolerance"],
    ),
    (
        "api.autoscaling.v2.HorizontalPodAutoscalerSpec",
        &["minReplicas"],
    ),
    (
        "api.autoscaling.v2.HorizontalPodAutoscalerStatus",
        &["observedGeneration"],
    ),
    (
        "api.autoscaling.v2.MetricTarget",
        &["value", "averageValue", "averageUtilization"],
    ),
    (
        "api.autoscaling.v2.MetricValueStatus",
        &["value", "averageValue", "averageUtilization"],
    ),
    (
        "api.batch.v1.CronJobSpec",
        &[
            "timeZone",
            "startingDeadlineSeconds",
            "suspend",
            "successfulJobsHistoryLimit",
            "failedJobsHistoryLimit",
        ],
    ),
    (
        "api.batch.v1.JobSpec",
        &[
            "parallelism",
            "completions",
            "activeDeadlineSeconds",
            "backoffLimit",
            "backoffLimitPerIndex",
            "maxFailedIndexes",
            "manualSelector",
            "ttlSecondsAfterFinished",
            "completionMode",
            "suspend",
            "podReplacementPolicy",
            "managedBy",
        ],
    ),
    (
        "api.batch.v1.JobStatus",
        &["terminating", "failedIndexes", "ready"],
    ),
    (
        "api.batch.v1.PodFailurePolicyOnExitCodesRequirement",
        &["containerName"],
    ),
    (
        "api.batch.v1.SuccessPolicyRule",
        &["succeededIndexes", "succeededCount"],
    ),
    ("api.core.v1.ReplicationControllerSpec", &["replicas"]),
    ("api.networking.v1.HTTPIngressPath", &["pathType"]),
    (
        "api.networking.v1.IngressClassParametersReference",
        &["apiGroup", "scope", "namespace"],
    ),
    ("api.networking.v1.IngressPortStatus", &["error"]),
    ("api.networking.v1.IngressSpec", &["ingressClassName"]),
    (
        "api.networking.v1.NetworkPolicyPort",
        &["protocol", "port", "endPort"],
    ),
    (
        "api.policy.v1.PodDisruptionBudgetSpec",
        &[
            "minAvailable",
            "maxUnavailable",
            "unhealthyPodEvictionPolicy",
        ],
    ),
    // Not optional in Go: they are told even when nothing may go.
    (
        "api.policy.v1.PodDisruptionBudgetStatus",
        &[
            "currentHealthy",
            "desiredHealthy",
            "disruptionsAllowed",
            "expectedPods",
        ],
    ),
];

pub(super) const VALUE_STRUCTS: &[(&str, &[&str])] = &[
    ("api.apps.v1.DaemonSetSpec", &["template", "updateStrategy"]),
    (
        "api.apps.v1.StatefulSetSpec",
        &["template", "updateStrategy"],
    ),
    (
        "api.autoscaling.v1.HorizontalPodAutoscalerSpec",
        &["scaleTargetRef"],
    ),
    (
        "api.autoscaling.v2.ContainerResourceMetricSource",
        &["target"],
    ),
    (
        "api.autoscaling.v2.ContainerResourceMetricStatus",
        &["current"],
    ),
    (
        "api.autoscaling.v2.ExternalMetricSource",
        &["metric", "target"],
    ),
    (
        "api.autoscaling.v2.ExternalMetricStatus",
        &["metric", "current"],
    ),
    (
        "api.autoscaling.v2.HorizontalPodAutoscalerSpec",
        &["scaleTargetRef"],
    ),
    (
        "api.autoscaling.v2.ObjectMetricSource",
        &["describedObject", "target", "metric"],
    ),
    (
        "api.autoscaling.v2.ObjectMetricStatus",
        &["metric", "current", "describedObject"],
    ),
    ("api.autoscaling.v2.PodsMetricSource", &["metric", "target"]),
    (
        "api.autoscaling.v2.PodsMetricStatus",
        &["metric", "current"],
    ),
    ("api.autoscaling.v2.ResourceMetricSource", &["target"]),
    ("api.autoscaling.v2.ResourceMetricStatus", &["current"]),
    ("api.batch.v1.CronJobSpec", &["jobTemplate"]),
    ("api.batch.v1.JobSpec", &["template"]),
    ("api.batch.v1.JobTemplateSpec", &["metadata", "spec"]),
    ("api.core.v1.PodTemplate", &["template"]),
    ("api.networking.v1.HTTPIngressPath", &["backend"]),
    ("api.networking.v1.IngressServiceBackend", &["port"]),
    ("api.networking.v1.IngressStatus", &["loadBalancer"]),
    ("api.networking.v1.NetworkPolicySpec", &["podSelector"]),
];
