//! `/configz`: the flags, as upstream's `KubeletConfiguration` names them. Pure.
//!
//! Upstream: `staging/src/k8s.io/kubelet/config/v1beta1/types.go`. Only what this kubelet acts on
//! is there.

use serde_json::{Value, json};

use crate::Config;

/// The object: `kubectl get --raw /api/v1/nodes/NAME/proxy/configz`.
pub fn object(config: &Config) -> Value {
    let seconds = |seconds: u32| format!("{seconds}s");
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
        "volumeStatsAggPeriod": "1m0s",
        "maxPods": config.max_pods,
        "evictionHard": config.eviction_hard.to_map(),
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
