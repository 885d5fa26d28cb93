//! Rehearsals (`dryRun=All`): everything is done but the write.

use serde_json::{Value, json};

use super::{APPLY, CONFIG_MAPS, MERGE, config_map};
use crate::support::{Client, Server};

const PODS: &str = "/api/v1/namespaces/default/pods";
const SERVICES: &str = "/api/v1/namespaces/default/services";

/// The newest version of anything: that of an empty list.
async fn version(client: &mut Client) -> Value {
    let (_, listed) = client.get("/api/v1/namespaces/none/secrets").await;
    listed["metadata"]["resourceVersion"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_stored() {
    let (server, mut admin) = Server::fresh().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account = json!({"metadata": {"name": "default"}});
    assert_eq!(admin.call("POST", accounts, account).await.0, 201);
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "5"}},
        "status": {"hard": {"configmaps": "5"}, "used": {"configmaps": "0"}}});
    let quotas = "/api/v1/namespaces/default/resourcequotas";
    assert_eq!(admin.call("POST", quotas, quota.clone()).await.0, 201);
    let status = format!("{quotas}/q/status");
    let mut counted = quota;
    counted["apiVersion"] = "v1".into();
    counted["kind"] = "ResourceQuota".into();
    assert_eq!(admin.call("PUT", &status, counted).await.0, 200);
    let mut held = config_map("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    assert_eq!(admin.call("POST", CONFIG_MAPS, held).await.0, 201);
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "c", "image": "x"}]}});
    assert_eq!(admin.call("POST", PODS, pod).await.0, 201);
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({"metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "x"}]}}}});
    assert_eq!(admin.call("POST", deployments, deployment).await.0, 201);

    let before = version(&mut admin).await;
    let json_type = "application/json";
    let merge = json!({"metadata": {"labels": {"a": "b"}}});
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {"name": "d"}, "spec": {"replicas": 7}});
    let service = json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort",
        "ports": [{"port": 80, "nodePort": 30007}], "clusterIP": "10.96.7.7"}});
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": "p"}});
    let token = json!({"spec": {"audiences": ["a"]}});
    let (held, pod) = (format!("{CONFIG_MAPS}/held"), format!("{PODS}/p"));
    let scaled = format!("{deployments}/d/scale");
    for (method, path, kind, body, code) in [
        ("POST", CONFIG_MAPS, json_type, config_map("new"), 201),
        ("POST", CONFIG_MAPS, json_type, config_map("held"), 409),
        ("PUT", &held, json_type, config_map("held"), 200),
        ("PATCH", &held, MERGE, merge.clone(), 200),
        (
            "PATCH",
            &format!("{CONFIG_MAPS}/new"),
            APPLY,
            config_map("new"),
            201,
        ),
        ("POST", SERVICES, json_type, service.clone(), 201),
        ("PUT", &scaled, json_type, scale.clone(), 200),
        ("PATCH", &scaled, MERGE, scale, 200),
        (
            "POST",
            &format!("{pod}/binding"),
            json_type,
            binding.clone(),
            201,
        ),
        (
            "POST",
            "/api/v1/namespaces/default/bindings",
            json_type,
            binding,
            201,
        ),
        ("POST", &format!("{pod}/eviction"), json_type, eviction, 201),
        ("PATCH", &format!("{pod}/status"), MERGE, merge, 200),
        (
            "POST",
            &format!("{accounts}/default/token"),
            json_type,
            token,
            201,
        ),
        ("DELETE", &pod, json_type, Value::Null, 200),
        ("DELETE", PODS, json_type, Value::Null, 200),
        ("DELETE", &held, json_type, Value::Null, 200),
    ] {
        let manager = if kind == APPLY { "&fieldManager=m" } else { "" };
        let path = format!("{path}?dryRun=All{manager}");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (answered, object) = admin.call_as(method, &path, kind, body).await;
        assert_eq!(answered, code, "{method} {path}: {object}");
        assert_eq!(version(&mut admin).await, before, "{method} {path}");
    }
    // The end that was rehearsed is told, and has not begun.
    let options = json!({"dryRun": ["All"]});
    let (_, ending) = admin.call("DELETE", &held, options).await;
    assert!(
        ending["metadata"]["deletionTimestamp"].is_string(),
        "{ending}"
    );
    let (_, live) = admin.get(&held).await;
    assert_eq!(live["metadata"]["deletionTimestamp"], Value::Null);
    // What a Service would have had is still to be had.
    assert_eq!(admin.call("POST", SERVICES, service).await.0, 201);
    // Nothing was counted but what is there.
    let (_, quota) = admin.get(&format!("{quotas}/q")).await;
    assert_eq!(quota["status"]["used"]["configmaps"], "1");

    // Of a deletion with a body, the query's options are not read. Upstream does the same.
    let path = format!("{pod}?dryRun=All");
    assert_eq!(admin.call("DELETE", &path, json!({})).await.0, 200);
    assert_eq!(admin.get(&pod).await.0, 404);
    server.stop().await;
}
