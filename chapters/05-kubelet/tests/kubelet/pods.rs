//! Pods that come from a folder, and probes that are sent elsewhere.

use super::*;

#[tokio::test]
async fn a_static_pod_runs_and_its_mirror_shows_it() {
    let machine = Machine::new();
    let _kubelet = machine.start();
    let file = machine.folder.path().join("manifests/web.yaml");
    let manifest = |image: &str| {
        let containers = format!("[{{name: c, image: {image}}}]");
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec: {{containers: {containers}}}"
        )
    };
    let mirror = || machine.api.get("pods", "default", "web-n");
    std::fs::write(&file, manifest("one")).expect("the folder is there");
    machine
        .api
        .wait("the mirror shows that it runs", || {
            machine.is_ready("web-n")
        })
        .await;
    let first = mirror().expect("it is there");
    let annotations = &first["metadata"]["annotations"];
    let (hash, source) = ("kubernetes.io/config.mirror", "kubernetes.io/config.source");
    assert_eq!(
        (annotations[source].as_str(), annotations[hash].is_string()),
        (Some("file"), true)
    );

    // Somebody deletes the mirror: the pod is not theirs to delete.
    let mut deleted = first.clone();
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    machine.api.put("pods", deleted);
    let is_another = || mirror().is_some_and(|m| m["metadata"]["uid"] != first["metadata"]["uid"]);
    machine
        .api
        .wait("another mirror", || {
            is_another() && machine.is_ready("web-n")
        })
        .await;
    let containers = machine.containers().await;
    assert_eq!(containers.len(), 1, "the container went on: {containers:?}");

    // Another manifest is another pod.
    std::fs::write(&file, manifest("two")).expect("the folder is there");
    let shows = |image: &str| {
        let pod = mirror().unwrap_or_default();
        pod["status"]["containerStatuses"][0]["image"] == image
    };
    machine
        .api
        .wait("the new pod", || shows("two") && machine.is_ready("web-n"))
        .await;

    std::fs::remove_file(&file).expect("it was there");
    machine.api.wait("no mirror", || mirror().is_none()).await;
    let is_empty = || {
        let containers = machine.runtime.list_containers(None).now_or_never();
        containers.expect("is a table").expect("a table").is_empty()
    };
    machine.api.wait("no container", is_empty).await;
}

#[tokio::test]
async fn a_probe_follows_redirects_to_the_same_host_only() {
    use axum::response::Redirect;
    use axum::{Router, http::StatusCode, routing::get};
    let server = Router::new()
        .route("/here", get(|| async { Redirect::to("/bad") }))
        .route("/bad", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/away", get(|| async { Redirect::to("http://192.0.2.1/") }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move { axum::serve(listener, server).await });

    let machine = Machine::new();
    let asks = |name: &str| {
        let get = json!({ "host": "127.0.0.1", "port": port, "path": format!("/{name}") });
        let probe = json!({ "httpGet": get, "periodSeconds": 1 });
        pod(
            name,
            json!({ "containers": [{ "name": "c", "image": "i", "readinessProbe": probe }] }),
        )
    };
    machine.api.put("pods", asks("here"));
    machine.api.put("pods", asks("away"));
    let _kubelet = machine.start();
    let told = |reason: &str, message: &str| {
        let events = machine.api.list("events");
        events
            .iter()
            .any(|event| event["reason"] == reason && event["message"] == message)
    };
    let warning = "Readiness probe warning: Probe terminated redirects";
    let failure = "Readiness probe failed: HTTP probe failed with statuscode: 500";
    machine
        .api
        .wait("both answers count", || {
            machine.is_ready("away") && told("ProbeWarning", warning) && told("Unhealthy", failure)
        })
        .await;
    assert!(!machine.is_ready("here"));
}

#[tokio::test]
async fn users_of_its_own_a_pod_has_only_where_the_runtime_can() {
    let machine = Machine::new();
    let spec = json!({ "hostUsers": false, "containers": [{ "name": "c", "image": "i" }] });
    machine.api.put("pods", pod("own", spec));
    let _kubelet = machine.start();
    let said = "Failed to create pod sandbox: can't set `spec.hostUsers: false`, runtime does not \
                support user namespaces";
    let told = || {
        let events = machine.api.list("events");
        let mut events = events.iter();
        events.any(|event| event["reason"] == "FailedCreatePodSandBox" && event["message"] == said)
    };
    machine.api.wait("an event tells why it waits", told).await;
    assert!(machine.containers().await.is_empty());
}
