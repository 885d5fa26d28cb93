//! An autoscaler in its two versions, over one stored form.

#[allow(dead_code, reason = "the server's own test uses all of it")]
mod support;

use serde_json::{Value, json};
use support::Server;

const V1: &str = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
const V2: &str = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
const MERGE: &str = "application/merge-patch+json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_are_one_object() {
    let (server, mut admin) = Server::fresh().await;
    let (_, group) = admin.get("/apis/autoscaling").await;
    let versions: Vec<&Value> = group["versions"]
        .as_array()
        .expect("is a list")
        .iter()
        .map(|version| &version["version"])
        .collect();
    assert_eq!(versions, ["v2", "v1"]);
    assert_eq!(group["preferredVersion"]["version"], "v2");

    let target = json!({"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"});
    let object = json!({"metadata": {"name": "web"}, "spec": {"scaleTargetRef": target,
        "maxReplicas": 3, "targetCPUUtilizationPercentage": 60}});
    let (code, made) = admin.call("POST", V1, object).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["apiVersion"], "autoscaling/v1");
    assert_eq!(made["spec"]["minReplicas"], 1);
    assert_eq!(made["spec"]["targetCPUUtilizationPercentage"], 60);
    let (_, newer) = admin.get(&format!("{V2}/web")).await;
    assert_eq!(
        newer["spec"]["metrics"],
        json!([{"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 60}}}])
    );
    assert_eq!(newer["metadata"]["uid"], made["metadata"]["uid"]);

    // What the first version has no field for is in its annotations, and stays.
    let more = json!({"spec": {"metrics": [{"type": "Pods", "pods": {"metric": {"name": "rate"},
        "target": {"type": "AverageValue", "averageValue": "10"}}}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}}}});
    let path = format!("{V2}/web");
    let (code, patched) = admin.call_as("PATCH", &path, MERGE, more.to_string()).await;
    assert_eq!(code, 200, "{patched}");
    assert_eq!(
        patched["spec"]["behavior"]["scaleUp"]["selectPolicy"],
        "Max"
    );
    let (_, mut older) = admin.get(&format!("{V1}/web")).await;
    let metrics = &older["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"];
    assert!(
        metrics
            .as_str()
            .is_some_and(|text| text.contains("targetAverageValue")),
        "{older}"
    );
    older["spec"]["maxReplicas"] = json!(5);
    let (code, changed) = admin.call("PUT", &format!("{V1}/web"), older).await;
    assert_eq!(
        (code, &changed["spec"]["maxReplicas"]),
        (200, &json!(5)),
        "{changed}"
    );
    let (_, newer) = admin.get(&path).await;
    assert_eq!(newer["spec"]["metrics"], patched["spec"]["metrics"]);
    assert_eq!(newer["spec"]["behavior"], patched["spec"]["behavior"]);

    let status = json!({"status": {"currentReplicas": 2, "desiredReplicas": 3}});
    let path = format!("{V1}/web/status");
    let (code, noted) = admin
        .call_as("PATCH", &path, MERGE, status.to_string())
        .await;
    assert_eq!(
        (code, &noted["status"]["desiredReplicas"]),
        (200, &json!(3)),
        "{noted}"
    );
    let wrong = json!({"metadata": {"name": "w"}, "spec": {"maxReplicas": 0,
        "scaleTargetRef": {"kind": "Deployment"}}});
    let (code, told) = admin.call("POST", V2, wrong).await;
    assert_eq!(code, 422);
    let message = told["message"].as_str().expect("has one");
    for part in [
        "spec.maxReplicas: Invalid value: 0: must be greater than 0",
        "must be greater than or equal to `minReplicas`",
        "spec.scaleTargetRef.name: Required value",
    ] {
        assert!(message.contains(part), "{message}");
    }
    server.stop().await;
}
