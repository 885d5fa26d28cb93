//! `/configz`: the flags, as upstream's `KubeletConfiguration` names them. Pure.
//!
//! Upstream: `staging/src/k8s.io/kubelet/config/v1beta1/types.go`. Only what this kubelet acts on
//! is there.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::Config;

/// The object: `kubectl get --raw /api/v1/nodes/NAME/proxy/configz`.
pub fn object(config: &Config) -> Value {
    let seconds = |seconds: u32| go_duration(SignedDuration::from_secs(seconds.into()));
    let mut kubelet = json!({
        "enableServer": true,
        "address": config.address.to_string(),
        "port": config.port,
        "authentication": {
            "x509": { "clientCAFile": config.client_ca_file },
            "webhook": { "enabled": true, "cacheTTL": "0s" },
            "anonymous": { "enabled": false },
        },
        "authorization": {
            "mode": "Webhook",
            "webhook": { "cacheAuthorizedTTL": "0s", "cacheUnauthorizedTTL": "0s" },
        },
        "registerNode": true,
        "clusterDomain": config.cluster_domain,
        "clusterDNS": config.cluster_dns,
        "nodeStatusUpdateFrequency": "10s",
        "nodeStatusReportFrequency": "5m0s",
        "nodeLeaseDurationSeconds": 40,
        "imageMinimumGCAge": go_duration(config.minimum_image_ttl_duration),
        "imageGCHighThresholdPercent": config.image_gc_high_threshold,
        "imageGCLowThresholdPercent": config.image_gc_low_threshold,
        "volumeStatsAggPeriod": "1m0s",
        "maxPods": config.max_pods,
        "allowedUnsafeSysctls": config.allowed_unsafe_sysctls.patterns(),
        "systemReserved": config.system_reserved.to_map(),
        "kubeReserved": config.kube_reserved.to_map(),
        "enforceNodeAllocatable": ["pods"],
        "evictionHard": config.eviction_hard.to_map(),
        "evictionSoft": config.eviction_soft.to_map(),
        "evictionMinimumReclaim": config.eviction_minimum_reclaim.to_map(),
        "evictionMaxPodGracePeriod": config.eviction_max_pod_grace_period,
        "evictionPressureTransitionPeriod":
            go_duration(config.eviction_pressure_transition_period),
        "shutdownGracePeriod": seconds(config.shutdown_grace_period),
        "shutdownGracePeriodCriticalPods": seconds(config.shutdown_grace_period_critical_pods),
    });
    let optional = [
        ("staticPodPath", json!(config.pod_manifest_path)),
        ("tlsCertFile", json!(config.tls_cert_file)),
        ("tlsPrivateKeyFile", json!(config.tls_private_key_file)),
        ("podCIDR", json!(config.pod_cidr)),
        (
            "containerRuntimeEndpoint",
            json!(config.cri.container_runtime_endpoint),
        ),
    ];
    for (name, value) in optional {
        if !value.is_null() {
            kubelet[name] = value;
        }
    }
    json!({ "kubeletconfig": kubelet })
}

/// As Go writes it: `2m0s`.
fn go_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_does() {
        let written =
            [0, 59, 120, 3600].map(|seconds| go_duration(SignedDuration::from_secs(seconds)));
        assert_eq!(written, ["0s", "59s", "2m0s", "1h0m0s"]);
    }
}
