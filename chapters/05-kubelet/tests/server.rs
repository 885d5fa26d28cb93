//! A kubelet's own server, over the network: what it shows, and to whom.

#[allow(dead_code, reason = "other tests use the rest of it")]
mod support;

use std::sync::Arc;

use clap::Parser;
use http_body_util::BodyExt;
use kube::client::Body;
use kubelet::Config;
use kubelet::runtime::fake::FakeRuntime;
use kubelet::runtime::{ContainerRuntime, Security};
use serde_json::{Value, json};
use support::Api;
use tokio_util::sync::CancellationToken;

/// A kubelet with its server, in a thread of its own.
struct Node {
    api: Arc<Api>,
    runtime: Arc<FakeRuntime>,
    port: u16,
    shutdown: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Node {
    fn start() -> Node {
        Node::start_with(Arc::new(FakeRuntime::new()), &[])
    }

    fn start_with(runtime: Arc<FakeRuntime>, flags: &[&str]) -> Node {
        #[derive(Parser)]
        struct Args {
            #[command(flatten)]
            config: Config,
        }
        let folder = tempfile::tempdir().expect("a folder");
        let api = Api::serve(folder.path());
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let (root, port_text) = (folder.path().join("root"), port.to_string());
        let usual = [
            "kubelet",
            "--kubeconfig",
            api.kubeconfig().to_str().expect("text"),
            "--root-dir",
            root.to_str().expect("text"),
            "--node-name",
            "n",
            "--node-ip",
            "127.0.0.1",
            "--address",
            "127.0.0.1",
            "--port",
            &port_text,
            // However full the disk of whoever runs this is.
            "--eviction-hard",
            "memory.available<1Mi",
            "--pod-cidr",
            "10.244.1.0/24",
        ];
        let config = Args::parse_from(usual.iter().chain(flags)).config;
        let shutdown = CancellationToken::new();
        let (until, with) = (shutdown.clone(), runtime.clone());
        std::thread::spawn(move || {
            let mut tokio = tokio::runtime::Builder::new_current_thread();
            let tokio = tokio.enable_all().build().expect("a runtime");
            tokio
                .block_on(kubelet::run_with(config, with, until))
                .expect("the kubelet runs");
        });
        Node {
            api,
            runtime,
            port,
            shutdown,
            _folder: folder,
        }
    }

    /// One pod of one container, `web`, that runs.
    async fn with_pod() -> Node {
        let node = Node::start();
        node.api.put(
            "pods",
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": "web", "namespace": "default", "uid": "u" },
                "spec": { "nodeName": "n", "containers": [{
                    "name": "app", "image": "i:1",
                    "resources": { "limits": { "memory": "1Mi" } },
                }]},
            }),
        );
        node.runtime.uses("app", 2_500_000_000, 1000);
        let runs = || {
            let pod = node.api.get("pods", "default", "web").unwrap_or_default();
            pod["status"]["phase"] == "Running"
        };
        node.api.wait("the pod runs", runs).await;
        node
    }

    fn grant(&self, user: &str, verb: &str, subresource: &str) {
        let name = format!("{user}.{verb}.{subresource}");
        let grant = json!({ "metadata": { "name": name } });
        self.api.put("grants", grant);
    }

    /// Asks as somebody; nobody if empty.
    async fn ask(&self, user: &str, method: &str, path: &str) -> (u16, String) {
        let url = format!("https://127.0.0.1:{}", self.port);
        let mut config = kube::Config::new(url.parse().expect("a URL"));
        config.accept_invalid_certs = true;
        if !user.is_empty() {
            config.auth_info.token = Some(format!("token-of-{user}").into());
        }
        let client = kube::Client::try_from(config).expect("a client");
        let request = http::Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).expect("a request");
        let answer = client.send(request).await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("all of it");
        let body = String::from_utf8(body.to_bytes().to_vec()).expect("text");
        (status, body)
    }

    async fn get(&self, path: &str) -> String {
        let (status, body) = self.ask("admin", "GET", path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

#[tokio::test]
async fn what_a_pod_uses_is_shown() {
    let node = Node::with_pod().await;
    for subresource in ["stats", "metrics", "proxy"] {
        node.grant("admin", "get", subresource);
    }
    let summary: Value = serde_json::from_str(&node.get("/stats/summary").await).unwrap();
    assert_eq!(summary["node"]["nodeName"], "n");
    for field in ["cpu", "memory", "network", "fs", "runtime", "rlimit"] {
        assert!(summary["node"][field].is_object(), "{field}: {summary:#}");
    }
    let pod = &summary["pods"][0];
    let reference = json!({ "name": "web", "namespace": "default", "uid": "u" });
    assert_eq!(pod["podRef"], reference);
    let container = &pod["containers"][0];
    assert_eq!(container["name"], "app");
    assert_eq!(container["cpu"]["usageCoreNanoSeconds"], 2_500_000_000_u64);
    assert_eq!(container["memory"]["workingSetBytes"], 1000);
    assert_eq!(container["memory"]["availableBytes"], (1 << 20) - 1000);
    assert!(container["logs"]["usedBytes"].is_number(), "{pod:#}");
    let short = node.get("/stats/summary?only_cpu_and_memory=true").await;
    let short: Value = serde_json::from_str(&short).unwrap();
    assert!(short["pods"][0]["containers"][0]["logs"].is_null());
    assert!(short["node"]["fs"].is_null());

    let page = node.get("/metrics/resource").await;
    let line = r#"container_memory_working_set_bytes{container="app",namespace="default",pod="web"} 1000 "#;
    assert!(page.contains(line), "{page}");
    assert!(page.ends_with("resource_scrape_error 0\n"), "{page}");
    let page = node.get("/metrics").await;
    for line in [
        "kubelet_running_pods 1",
        r#"kubelet_node_name{node="n"} 1"#,
        "kubelet_pod_start_duration_seconds_count 1",
        r#"kubelet_runtime_operations_total{operation_type="run_podsandbox"} 1"#,
    ] {
        assert!(page.lines().any(|it| it == line), "{line} is not in {page}");
    }
    let page = node.get("/metrics/cadvisor").await;
    assert!(page.contains("machine_cpu_cores{"), "{page}");

    let pods: Value = serde_json::from_str(&node.get("/pods").await).unwrap();
    assert_eq!(pods["kind"], "PodList");
    assert_eq!(pods["items"][0]["metadata"]["name"], "web");
    let pods: Value = serde_json::from_str(&node.get("/runningpods/").await).unwrap();
    assert_eq!(pods["items"][0]["spec"]["containers"][0]["image"], "i:1");
    let flags: Value = serde_json::from_str(&node.get("/configz").await).unwrap();
    assert_eq!(flags["kubeletconfig"]["maxPods"], 110);
    assert_eq!(
        flags["kubeletconfig"]["evictionHard"],
        json!({ "memory.available": "1048576" })
    );
    assert_eq!(node.get("/healthz").await, "ok");
    assert_eq!(node.get("/healthz/syncloop").await, "ok");
}

#[tokio::test]
async fn images_that_nobody_uses_go_when_the_disk_is_full() {
    let runtime = Arc::new(FakeRuntime::new());
    for image in ["old:1", "used:1"] {
        runtime.pull_image(image, None).await.unwrap();
    }
    let sandbox = json!({
        "metadata": { "name": "web", "namespace": "default", "uid": "u", "attempt": 0 },
        "hostname": "web", "resolv_conf": "", "hosts": "", "log_directory": "/no/such",
        "host_network": false, "host_pid": false, "host_ipc": false,
        "share_process_namespace": false, "sysctls": {},
    });
    let sandbox = serde_json::from_value(sandbox).unwrap();
    let sandbox = runtime.run_pod_sandbox(sandbox).await.unwrap();
    let container = json!({
        "name": "app", "attempt": 0, "image_id": "used:1", "image": "used", "command": [],
        "args": [], "working_dir": "", "env": [], "mounts": [], "log_path": "0.log",
        "stdin": false, "stdin_once": false, "tty": false, "labels": {},
        "security": Security::default(),
    });
    let container = serde_json::from_value(container).unwrap();
    let made = runtime.create_container(&sandbox.id, container).await;
    made.unwrap();
    // Any disk is fuller than that.
    let full = [
        "--image-gc-high-threshold=1",
        "--image-gc-low-threshold=0",
        "--minimum-image-ttl-duration=0s",
    ];
    let node = Node::start_with(runtime, &full);
    let told = || {
        let events = node.api.list("events");
        let mut reasons = events.iter().map(|event| &event["reason"]);
        reasons.any(|reason| reason == "FreeDiskSpaceFailed")
    };
    node.api.wait("images are not enough", told).await;
    let left = node.runtime.list_images().await.unwrap();
    let left: Vec<String> = left.into_iter().map(|image| image.id).collect();
    assert_eq!(left, ["used:1"]);
}

#[tokio::test]
async fn the_pod_that_uses_more_than_it_asked_for_is_evicted() {
    // No machine has so much.
    let short = [
        "--eviction-soft=memory.available<1024Ti",
        "--eviction-soft-grace-period=memory.available=0s",
    ];
    let runtime = Arc::new(FakeRuntime::new());
    runtime.uses("modest", 0, 50 << 20);
    runtime.uses("greedy", 0, 2 << 20);
    let node = Node::start_with(runtime, &short);
    for (name, asks) in [("modest", "100Mi"), ("greedy", "1Mi")] {
        node.api.put(
            "pods",
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": name, "namespace": "default", "uid": name },
                "spec": { "nodeName": "n", "containers": [{
                    "name": name, "image": "i:1", "resources": { "requests": { "memory": asks } },
                }]},
            }),
        );
    }
    let status = |name: &str| {
        let pod = node.api.get("pods", "default", name).unwrap_or_default();
        pod["status"].clone()
    };
    let evicted = || {
        ["modest", "greedy"]
            .iter()
            .any(|pod| status(pod)["reason"] == "Evicted")
    };
    node.api.wait("a pod is evicted", evicted).await;
    assert_eq!(status("modest")["phase"], "Running");
    let greedy = status("greedy");
    assert_eq!(greedy["phase"], "Failed");
    let message = greedy["message"].as_str().unwrap();
    let start = "The node was low on resource: memory. Threshold quantity: 1024Ti, available: ";
    let end = "Container greedy was using 2Mi, request is 1Mi, has larger consumption of memory. ";
    assert!(
        message.starts_with(start) && message.ends_with(end),
        "{message}"
    );
    let pressure = || {
        let node = node.api.get("nodes", "", "n").unwrap_or_default();
        let conditions = node["status"]["conditions"].as_array().cloned();
        let mut conditions = conditions.unwrap_or_default().into_iter();
        conditions.any(|it| it["type"] == "MemoryPressure" && it["status"] == "True")
    };
    node.api.wait("the node says why", pressure).await;
}

#[tokio::test]
async fn nobody_sees_more_than_was_granted() {
    let node = Node::with_pod().await;
    node.grant("scraper", "get", "metrics");
    node.grant("looker", "get", "pods");
    node.grant("proxy", "get", "proxy");
    let forbidden = |user: &str, verb: &str, what: &str| {
        let message = format!(
            "Forbidden (user={user}, verb={verb}, resource=nodes, subresource(s)=[{what}])"
        );
        (403, message)
    };
    assert_eq!(
        node.ask("", "GET", "/healthz").await,
        (401, "Unauthorized".to_owned())
    );
    assert_eq!(node.ask("scraper", "GET", "/metrics/resource").await.0, 200);
    assert_eq!(node.ask("scraper", "GET", "/metrics").await.0, 200);
    assert_eq!(node.ask("looker", "GET", "/pods").await.0, 200);
    assert_eq!(node.ask("looker", "GET", "/runningpods/").await.0, 200);
    for path in ["/pods", "/configz", "/healthz"] {
        assert_eq!(node.ask("proxy", "GET", path).await.0, 200, "{path}");
    }
    for (user, method, path, verb, what) in [
        ("scraper", "GET", "/pods", "get", "pods proxy"),
        ("scraper", "GET", "/stats/summary", "get", "stats"),
        ("scraper", "POST", "/metrics", "create", "metrics"),
        ("scraper", "OPTIONS", "/metrics", "", "metrics"),
        (
            "looker",
            "GET",
            "/containerLogs/default/web/app",
            "get",
            "proxy",
        ),
        ("looker", "GET", "/exec/default/web/app", "get", "proxy"),
        ("proxy", "POST", "/exec/default/web/app", "create", "proxy"),
        ("proxy", "GET", "/stats/summary", "get", "stats"),
        (
            "proxy",
            "POST",
            "/checkpoint/default/web/app",
            "create",
            "checkpoint",
        ),
        // Another spelling is another path, and needs the most that there is.
        ("looker", "GET", "//pods", "get", "proxy"),
        ("looker", "GET", "/Pods", "get", "proxy"),
        ("looker", "GET", "/pods%2f", "get", "proxy"),
        ("looker", "GET", "/%70ods", "get", "proxy"),
        ("looker", "GET", "/../pods", "get", "proxy"),
    ] {
        let answer = node.ask(user, method, path).await;
        assert_eq!(
            answer,
            forbidden(user, verb, what),
            "{user} {method} {path}"
        );
    }
    // What is let in by its first segment is nothing but what it says.
    for path in [
        "/pods/../exec/default/web/app",
        "/pods//",
        "/pods/default/web",
        "/runningpods",
    ] {
        let (status, body) = node.ask("looker", "GET", path).await;
        assert_eq!(status, 404, "{path}: {body}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let node = Node::with_pod().await;
    for subresource in ["proxy", "log", "checkpoint"] {
        for verb in ["get", "create", "delete"] {
            node.grant("admin", verb, subresource);
        }
    }
    for (method, path, expected) in [
        ("GET", "/no/such/page", (404, "404 page not found")),
        ("GET", "/healthz/log", (404, "404 page not found")),
        ("GET", "/logs/", (404, "404 page not found")),
        ("DELETE", "/pods", (405, "405: Method Not Allowed")),
        (
            "DELETE",
            "/exec/default/web/app",
            (405, "405: Method Not Allowed"),
        ),
        (
            "GET",
            "/containerLogs/default/other/app",
            (404, "pod \"other_default\" does not exist"),
        ),
        (
            "POST",
            "/checkpoint/default/web/other",
            (404, "container other does not exist"),
        ),
        (
            "POST",
            "/checkpoint/default/web/app",
            (
                500,
                "checkpointing of default/web/app failed (this runtime cannot make checkpoints)",
            ),
        ),
    ] {
        let (status, body) = node.ask("admin", method, path).await;
        assert_eq!((status, body.as_str()), expected, "{method} {path}");
    }
}
