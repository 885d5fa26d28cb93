//! Cluster roles for what a cluster may have beside its own components. They are there, and bound
//! to nobody.

use serde_json::Value;

use super::{READ, STORAGE, cluster_role, events, named, rule};

const CERTIFICATES: &str = "certificates.k8s.io";

pub(super) fn cluster_roles() -> Vec<Value> {
    let mut roles = vec![
        cluster_role(
            "system:kubelet-api-admin",
            vec![
                rule(READ, &[""], &["nodes"]),
                rule(&["proxy"], &[""], &["nodes"]),
                rule(
                    &["*"],
                    &[""],
                    &[
                        "nodes/configz",
                        "nodes/healthz",
                        "nodes/log",
                        "nodes/metrics",
                        "nodes/pods",
                        "nodes/proxy",
                        "nodes/stats",
                    ],
                ),
            ],
        ),
        cluster_role(
            "system:node-problem-detector",
            vec![
                rule(&["get"], &[""], &["nodes"]),
                rule(&["patch"], &[""], &["nodes/status"]),
                events(),
            ],
        ),
        // With a bootstrap token: a kubelet asks for its first certificate.
        cluster_role(
            "system:node-bootstrapper",
            vec![rule(
                &["create", "get", "list", "watch"],
                &[CERTIFICATES],
                &["certificatesigningrequests"],
            )],
        ),
        cluster_role(
            "system:kube-aggregator",
            vec![rule(READ, &[""], &["endpoints", "services"])],
        ),
        cluster_role(
            "system:persistent-volume-provisioner",
            vec![
                rule(
                    &["create", "delete", "get", "list", "watch"],
                    &[""],
                    &["persistentvolumes"],
                ),
                rule(
                    &["get", "list", "update", "watch"],
                    &[""],
                    &["persistentvolumeclaims"],
                ),
                rule(READ, &[STORAGE], &["storageclasses"]),
                rule(&["watch"], &[""], &["events"]),
                events(),
            ],
        ),
    ];
    roles.extend(request_kinds());
    roles.extend(approvers());
    roles
}

/// Whose requests for certificates are approved without asking anybody.
fn request_kinds() -> impl Iterator<Item = Value> {
    ["nodeclient", "selfnodeclient"].into_iter().map(|kind| {
        let resource = format!("certificatesigningrequests/{kind}");
        cluster_role(
            &format!("system:certificates.k8s.io:certificatesigningrequests:{kind}"),
            vec![rule(&["create"], &[CERTIFICATES], &[&resource])],
        )
    })
}

/// Who may approve for which signer.
fn approvers() -> impl Iterator<Item = Value> {
    let signers = [
        "kube-apiserver-client",
        "kube-apiserver-client-kubelet",
        "kubelet-serving",
        "legacy-unknown",
    ];
    signers.into_iter().map(|signer| {
        let name = format!("kubernetes.io/{signer}");
        cluster_role(
            &format!("system:certificates.k8s.io:{signer}-approver"),
            vec![named(&["approve"], CERTIFICATES, "signers", &[&name])],
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_signer_has_its_approver() {
        let roles = cluster_roles();
        let role = roles
            .iter()
            .find(|role| {
                role["metadata"]["name"] == "system:certificates.k8s.io:kubelet-serving-approver"
            })
            .expect("is there");
        assert_eq!(
            role["rules"],
            json!([{"verbs": ["approve"], "apiGroups": [CERTIFICATES], "resources": ["signers"],
                "resourceNames": ["kubernetes.io/kubelet-serving"]}])
        );
    }
}
