//! Whole kubelets, with a runtime that runs nothing and an API server that is a table.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Parser;
use futures::FutureExt;
use kubelet::Config;
use kubelet::runtime::fake::FakeRuntime;
use kubelet::runtime::{
    Container, ContainerConfig, ContainerRuntime, ContainerState, Duplex, ExecOutput, ExecRequest,
    Image, ProcessStreams, PullAuth, Resources, Result, RuntimeEvent, Sandbox, SandboxConfig,
};
use serde_json::{Value, json};
use support::Api;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// A machine: what outlives its kubelets.
struct Machine {
    folder: tempfile::TempDir,
    api: Arc<Api>,
    runtime: Arc<FakeRuntime>,
}

/// A kubelet in a thread of its own, which it dies with.
struct Running {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Machine {
    fn new() -> Machine {
        let folder = tempfile::tempdir().expect("a folder");
        Machine {
            api: Api::serve(folder.path()),
            runtime: Arc::new(FakeRuntime::new()),
            folder,
        }
    }

    fn kubelet(&self, runtime: Arc<dyn ContainerRuntime>, stop: CancellationToken) -> Running {
        self.kubelet_with(runtime, stop, &[], CancellationToken::new())
    }

    fn kubelet_with(
        &self,
        runtime: Arc<dyn ContainerRuntime>,
        stop: CancellationToken,
        flags: &[&str],
        shutdown: CancellationToken,
    ) -> Running {
        #[derive(Parser)]
        struct Args {
            #[command(flatten)]
            config: Config,
        }
        let path = |path: &std::path::Path| path.display().to_string();
        let root = self.folder.path().join("root");
        let manifests = self.folder.path().join("manifests");
        std::fs::create_dir_all(&manifests).expect("a folder");
        let (kubeconfig, root, manifests) =
            (path(self.api.kubeconfig()), path(&root), path(&manifests));
        let usual = [
            "kubelet",
            "--kubeconfig",
            &kubeconfig,
            "--root-dir",
            &root,
            "--pod-manifest-path",
            &manifests,
            "--node-name",
            "n",
            "--node-ip",
            "127.0.0.1",
            "--address",
            "127.0.0.1",
            "--port",
            "0",
            // However full the disk of whoever runs this is.
            "--eviction-hard",
            "memory.available<1Mi",
            "--pod-cidr",
            "10.244.1.0/24",
        ];
        let config = Args::parse_from(usual.iter().chain(flags)).config;
        let until = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut tokio = tokio::runtime::Builder::new_current_thread();
            let tokio = tokio.enable_all().build().expect("a runtime");
            tokio.block_on(async {
                tokio::select! {
                    ended = kubelet::run_with(config, runtime, shutdown) => {
                        ended.expect("the kubelet runs");
                    }
                    () = until.cancelled() => {}
                }
            });
            // Dead in the middle of whatever it was doing.
            tokio.shutdown_background();
        });
        Running {
            stop,
            thread: Some(thread),
        }
    }

    fn start(&self) -> Running {
        self.kubelet(self.runtime.clone(), CancellationToken::new())
    }

    async fn containers(&self) -> Vec<Container> {
        self.runtime.list_containers(None).await.expect("a table")
    }

    fn phase(&self, name: &str) -> Option<String> {
        let pod = self.api.get("pods", "default", name)?;
        Some(pod["status"]["phase"].as_str()?.to_owned())
    }

    fn is_ready(&self, name: &str) -> bool {
        let pod = self.api.get("pods", "default", name).unwrap_or_default();
        let conditions = pod["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        conditions
            .iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "True")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn pod(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    spec["nodeName"] = json!("n");
    json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "default", "generation": 1 }, "spec": spec })
}

/// A runtime whose kubelet dies at one of its calls: before the call is carried out, or after.
struct Deadly {
    inner: Arc<FakeRuntime>,
    calls: AtomicUsize,
    deadly: usize,
    carried_out: bool,
    died: CancellationToken,
}

impl Deadly {
    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if number < self.deadly {
            return call.await;
        }
        if number == self.deadly && self.carried_out {
            call.await;
        }
        self.died.cancel();
        std::future::pending().await
    }
}

#[async_trait::async_trait]
impl ContainerRuntime for Deadly {
    fn version(&self) -> String {
        self.inner.version()
    }
    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<()> {
        self.inner.update_pod_cidr(pod_cidr).await
    }
    async fn run_pod_sandbox(&self, config: SandboxConfig) -> Result<Sandbox> {
        self.call(self.inner.run_pod_sandbox(config)).await
    }
    async fn stop_pod_sandbox(&self, id: &str) -> Result<()> {
        self.call(self.inner.stop_pod_sandbox(id)).await
    }
    async fn remove_pod_sandbox(&self, id: &str) -> Result<()> {
        self.call(self.inner.remove_pod_sandbox(id)).await
    }
    async fn list_pod_sandboxes(&self, pod_uid: Option<&str>) -> Result<Vec<Sandbox>> {
        self.inner.list_pod_sandboxes(pod_uid).await
    }
    async fn create_container(&self, sandbox: &str, config: ContainerConfig) -> Result<String> {
        self.call(self.inner.create_container(sandbox, config))
            .await
    }
    async fn start_container(&self, id: &str) -> Result<()> {
        self.call(self.inner.start_container(id)).await
    }
    async fn stop_container(&self, id: &str, grace: i64) -> Result<()> {
        self.call(self.inner.stop_container(id, grace)).await
    }
    async fn remove_container(&self, id: &str) -> Result<()> {
        self.call(self.inner.remove_container(id)).await
    }
    async fn update_container_resources(&self, id: &str, resources: Resources) -> Result<()> {
        self.call(self.inner.update_container_resources(id, resources))
            .await
    }
    async fn list_containers(&self, pod_uid: Option<&str>) -> Result<Vec<Container>> {
        self.inner.list_containers(pod_uid).await
    }
    async fn exec_sync(&self, id: &str, cmd: Vec<String>, t: Duration) -> Result<ExecOutput> {
        self.inner.exec_sync(id, cmd, t).await
    }
    async fn exec(&self, id: &str, request: ExecRequest) -> Result<ProcessStreams> {
        self.inner.exec(id, request).await
    }
    async fn attach(&self, id: &str, request: ExecRequest) -> Result<ProcessStreams> {
        self.inner.attach(id, request).await
    }
    async fn port_forward(&self, id: &str, port: u16) -> Result<std::pin::Pin<Box<dyn Duplex>>> {
        self.inner.port_forward(id, port).await
    }
    async fn pull_image(&self, image: &str, auth: Option<PullAuth>) -> Result<String> {
        self.call(self.inner.pull_image(image, auth)).await
    }
    async fn image_status(&self, image: &str) -> Result<Option<Image>> {
        self.inner.image_status(image).await
    }
    async fn list_images(&self) -> Result<Vec<Image>> {
        self.inner.list_images().await
    }
    async fn remove_image(&self, image: &str) -> Result<()> {
        self.call(self.inner.remove_image(image)).await
    }
    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.inner.events()
    }
}

fn three_kinds() -> Value {
    pod(
        "web",
        json!({
            "terminationGracePeriodSeconds": 1,
            "initContainers": [
                { "name": "setup", "image": "i" },
                { "name": "proxy", "image": "i", "restartPolicy": "Always" },
            ],
            "containers": [{ "name": "web", "image": "i" }, { "name": "log", "image": "i" }],
        }),
    )
}

/// Starts the pod with a kubelet that dies at call `deadly`, then another one. Returns how many
/// calls the first made.
async fn starts_in_spite_of_death(deadly: usize, carried_out: bool) -> usize {
    let machine = Machine::new();
    machine.api.put("pods", three_kinds());
    let died = CancellationToken::new();
    let runtime = Arc::new(Deadly {
        inner: machine.runtime.clone(),
        calls: AtomicUsize::new(0),
        deadly,
        carried_out,
        died: died.clone(),
    });
    let first = machine.kubelet(runtime.clone(), died.clone());
    let is_up = || {
        // Its work takes no time.
        machine.runtime.exit("setup", 0);
        machine.is_ready("web")
    };
    machine
        .api
        .wait("it is up, or dead", || is_up() || died.is_cancelled())
        .await;
    drop(first);
    let second = machine.start();
    machine.api.wait("it is up", is_up).await;
    drop(second);

    let when = format!("died at call {deadly}, carried out: {carried_out}");
    let mut names: Vec<String> = Vec::new();
    for container in machine.containers().await {
        assert_eq!(container.attempt, 0, "{when}: {container:?}");
        names.push(container.name);
    }
    names.sort();
    assert_eq!(
        names,
        ["log", "proxy", "setup", "web"],
        "{when}: each is made once"
    );
    let sandboxes = machine
        .runtime
        .list_pod_sandboxes(None)
        .await
        .expect("a table");
    assert_eq!(sandboxes.len(), 1, "{when}");
    runtime.calls.load(Ordering::SeqCst)
}

#[tokio::test]
async fn nothing_is_made_twice_whenever_the_kubelet_dies() {
    let calls = starts_in_spite_of_death(usize::MAX, false).await;
    assert!(
        calls >= 9,
        "a sandbox, and each container made and started: {calls}"
    );
    for deadly in 1..=calls {
        starts_in_spite_of_death(deadly, false).await;
        starts_in_spite_of_death(deadly, true).await;
    }
}

/// Deletes the pod under a kubelet that dies at call `deadly`, then starts another one.
async fn ends_in_spite_of_death(deadly: usize, carried_out: bool) -> usize {
    let machine = Machine::new();
    machine.api.put("pods", three_kinds());
    let first = machine.start();
    machine
        .api
        .wait("it is up", || {
            machine.runtime.exit("setup", 0);
            machine.is_ready("web")
        })
        .await;
    drop(first);
    let mut pod = machine.api.get("pods", "default", "web").expect("the pod");
    pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(1);
    machine.api.put("pods", pod);

    let died = CancellationToken::new();
    let runtime = Arc::new(Deadly {
        inner: machine.runtime.clone(),
        calls: AtomicUsize::new(0),
        deadly,
        carried_out,
        died: died.clone(),
    });
    let second = machine.kubelet(runtime.clone(), died.clone());
    let is_gone = || {
        let sandboxes = machine.runtime.list_pod_sandboxes(None).now_or_never();
        machine.phase("web").is_none()
            && sandboxes.expect("is a table").expect("a table").is_empty()
    };
    machine
        .api
        .wait("it is gone, or dead", || is_gone() || died.is_cancelled())
        .await;
    drop(second);
    let third = machine.start();
    let when = format!("it is gone, after a death at call {deadly}, carried out: {carried_out}");
    machine.api.wait(&when, is_gone).await;
    drop(third);
    assert!(machine.containers().await.is_empty(), "{when}");
    runtime.calls.load(Ordering::SeqCst)
}

#[tokio::test]
async fn a_pod_ends_whenever_the_kubelet_dies() {
    let calls = ends_in_spite_of_death(usize::MAX, false).await;
    for deadly in 1..=calls {
        ends_in_spite_of_death(deadly, false).await;
        ends_in_spite_of_death(deadly, true).await;
    }
}

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
async fn a_pod_for_which_there_is_no_room_has_failed() {
    let machine = Machine::new();
    let port = json!([{ "containerPort": 80, "hostPort": 80 }]);
    let with_port = json!({ "containers": [{ "name": "c", "image": "i", "ports": port }] });
    machine.api.put("pods", pod("first", with_port.clone()));
    let kubelet = machine.start();
    machine
        .api
        .wait("the first runs", || machine.is_ready("first"))
        .await;
    machine.api.put("pods", pod("second", with_port));
    let failed = || machine.phase("second").as_deref() == Some("Failed");
    machine.api.wait("the second is rejected", failed).await;
    let status = machine
        .api
        .get("pods", "default", "second")
        .expect("it is there")["status"]
        .clone();
    assert_eq!(status["reason"], "NodePorts");
    assert_eq!(
        status["message"],
        "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the \
         requested pod ports"
    );

    // A restarted kubelet takes again what it took, and not what it did not.
    drop(kubelet);
    let _kubelet = machine.start();
    machine.api.put(
        "pods",
        pod(
            "third",
            json!({ "containers": [{ "name": "c", "image": "i" }] }),
        ),
    );
    machine
        .api
        .wait("the third runs", || machine.is_ready("third"))
        .await;
    assert!(machine.is_ready("first") && failed());
    let containers = machine.containers().await;
    let running = containers
        .iter()
        .filter(|c| c.state == ContainerState::Running);
    assert_eq!(running.count(), 2, "{containers:?}");
}

#[tokio::test]
async fn what_was_allocated_outlives_the_kubelet() {
    let machine = Machine::new();
    let asks = |cpu: &str| {
        let resources = json!({ "requests": { "cpu": cpu } });
        pod(
            "web",
            json!({ "containers": [{ "name": "c", "image": "i", "resources": resources }] }),
        )
    };
    machine.api.put("pods", asks("100m"));
    let kubelet = machine.start();
    machine
        .api
        .wait("it runs", || machine.is_ready("web"))
        .await;
    let wish = |cpu: &str| {
        let mut pod = machine
            .api
            .get("pods", "default", "web")
            .expect("it is there");
        pod["spec"] = asks(cpu)["spec"].clone();
        machine.api.put("pods", pod);
    };
    let has = |cpu: &str| {
        let pod = machine
            .api
            .get("pods", "default", "web")
            .expect("it is there");
        let status = &pod["status"]["containerStatuses"][0];
        let conditions = pod["status"]["conditions"].to_string();
        let pending = conditions.contains("Infeasible");
        (status["resources"]["requests"]["cpu"] == cpu, pending)
    };
    wish("200m");
    machine
        .api
        .wait("it has more", || has("200m") == (true, false))
        .await;
    // More than any machine has: it keeps what it has, whoever asks.
    wish("100k");
    machine
        .api
        .wait("the wish waits", || has("200m") == (true, true))
        .await;
    drop(kubelet);
    let _kubelet = machine.start();
    machine.api.put(
        "pods",
        pod(
            "next",
            json!({ "containers": [{ "name": "c", "image": "i" }] }),
        ),
    );
    machine
        .api
        .wait("the next kubelet works", || machine.is_ready("next"))
        .await;
    assert_eq!(has("200m"), (true, true));
    let containers = machine.containers().await;
    assert_eq!(containers.len(), 2, "none was made anew: {containers:?}");
}

#[tokio::test]
async fn the_pods_of_a_node_that_goes_end_first() {
    let machine = Machine::new();
    machine.api.put(
        "pods",
        pod(
            "web",
            json!({ "containers": [{ "name": "c", "image": "i" }] }),
        ),
    );
    let shutdown = CancellationToken::new();
    let kubelet = machine.kubelet_with(
        machine.runtime.clone(),
        CancellationToken::new(),
        &[
            "--shutdown-grace-period",
            "20",
            "--shutdown-grace-period-critical-pods",
            "10",
        ],
        shutdown.clone(),
    );
    machine
        .api
        .wait("it runs", || machine.is_ready("web"))
        .await;
    shutdown.cancel();
    let thread = || kubelet.thread.as_ref().expect("it was started");
    machine
        .api
        .wait("the kubelet has ended", || thread().is_finished())
        .await;

    let status = machine
        .api
        .get("pods", "default", "web")
        .expect("it is there")["status"]
        .clone();
    let said = (&status["phase"], &status["reason"], &status["message"]);
    let message = "Pod was terminated in response to imminent node shutdown.";
    assert_eq!(
        said,
        (&json!("Failed"), &json!("Terminated"), &json!(message))
    );
    let conditions = status["conditions"].as_array().expect("a list");
    let target = conditions.iter().find(|c| c["type"] == "DisruptionTarget");
    let target = target.expect("it is told on whose behalf");
    assert_eq!(
        (&target["status"], &target["reason"]),
        (&json!("True"), &json!("TerminationByKubelet"))
    );
    let containers = machine.containers().await;
    assert!(
        containers
            .iter()
            .all(|c| c.state != ContainerState::Running),
        "{containers:?}"
    );
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

/// Where a file of a pod's volume is on the machine.
fn shown(machine: &Machine, pod: &str, kind: &str, file: &str) -> Option<String> {
    let pod = machine.api.get("pods", "default", pod)?;
    let uid = pod["metadata"]["uid"].as_str()?.to_owned();
    let volumes = machine.folder.path().join("root/pods").join(uid);
    let path = volumes
        .join("volumes")
        .join(format!("kubernetes.io~{kind}"));
    std::fs::read_to_string(path.join(file)).ok()
}

#[tokio::test]
async fn volumes_show_what_the_api_holds_as_soon_as_it_changes() {
    let machine = Machine::new();
    let map = |name: &str, value: &str| {
        json!({ "metadata": { "name": name, "namespace": "default" }, "data": { "key": value },
            "immutable": name == "fixed" })
    };
    machine.api.put("configmaps", map("conf", "one"));
    machine.api.put("configmaps", map("fixed", "for ever"));
    for name in ["a", "b"] {
        let spec = json!({
            "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "c", "image": "i" }],
            "volumes": [
                { "name": "conf", "configMap": { "name": "conf" } },
                { "name": "fixed", "configMap": { "name": "fixed" } },
                { "name": "me", "downwardAPI": { "items": [
                    { "path": "labels", "fieldRef": { "fieldPath": "metadata.labels" } },
                ] } },
            ],
        });
        machine.api.put("pods", pod(name, spec));
    }
    let _kubelet = machine.start();
    let both = |kind: &str, file: &str, expect: &str| {
        let is = |pod| shown(&machine, pod, kind, file).as_deref() == Some(expect);
        is("a") && is("b")
    };
    let ready = || machine.is_ready("a") && machine.is_ready("b");
    machine.api.wait("both run", ready).await;
    assert!(both("configmap", "conf/key", "one"));
    // One for both pods, and none for what never changes.
    let one_watch = || machine.api.watches("configmaps") == 1;
    machine.api.wait("one watch is open", one_watch).await;

    machine.api.put("configmaps", map("conf", "two"));
    let updated = || both("configmap", "conf/key", "two");
    machine.api.wait("both show the change", updated).await;

    let mut labelled = machine
        .api
        .get("pods", "default", "a")
        .expect("it is there");
    labelled["metadata"]["labels"] = json!({ "shade": "blue" });
    machine.api.put("pods", labelled);
    let relabelled = || {
        let labels = shown(&machine, "a", "downward-api", "me/labels");
        labels.is_some_and(|labels| labels.contains("blue"))
    };
    machine.api.wait("the label is shown", relabelled).await;

    for name in ["a", "b"] {
        let mut going = machine
            .api
            .get("pods", "default", name)
            .expect("it is there");
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        going["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        machine.api.put("pods", going);
    }
    let none = || machine.api.watches("configmaps") == 0;
    machine
        .api
        .wait("the watch ends with the last pod", none)
        .await;
}

#[tokio::test]
async fn a_pod_waits_for_its_claim() {
    let machine = Machine::new();
    let data = machine.folder.path().join("data");
    let claim = |phase: &str| {
        json!({ "metadata": { "name": "claim", "namespace": "default", "uid": "u1" },
            "spec": { "volumeName": "pv" }, "status": { "phase": phase } })
    };
    machine.api.put("persistentvolumeclaims", claim("Pending"));
    machine.api.put(
        "persistentvolumes",
        json!({ "metadata": { "name": "pv" }, "spec": {
            "claimRef": { "namespace": "default", "name": "claim", "uid": "u1" },
            "hostPath": { "path": data, "type": "DirectoryOrCreate" } } }),
    );
    let spec = json!({
        "containers": [{ "name": "c", "image": "i",
            "volumeMounts": [{ "name": "v", "mountPath": "/data", "subPath": "part" }] }],
        "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "claim" } }],
    });
    machine.api.put("pods", pod("p", spec));
    let _kubelet = machine.start();
    let told = || {
        let events = machine.api.list("events");
        events.iter().any(|event| {
            event["reason"] == "FailedMount"
                && event["message"]
                    == "Unable to attach or mount volumes: unmounted volumes=[v], unattached \
                        volumes=[], failed to process volumes=[v]: error processing PVC \
                        default/claim: PVC is not bound"
        })
    };
    machine
        .api
        .wait("it is said what is waited for", told)
        .await;
    assert!(!data.exists());
    machine.api.put("persistentvolumeclaims", claim("Bound"));
    machine
        .api
        .wait("the pod runs", || machine.is_ready("p"))
        .await;
    assert!(data.join("part").is_dir());
}

#[tokio::test]
async fn a_pod_that_fills_the_disk_is_evicted() {
    let machine = Machine::new();
    let spec = |limit: &str| {
        json!({
            "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "c", "image": "i" }],
            "volumes": [{ "name": "cache", "emptyDir": { "sizeLimit": limit } }],
        })
    };
    machine.api.put("pods", pod("modest", spec("1Gi")));
    machine.api.put("pods", pod("greedy", spec("1Mi")));
    let _kubelet = machine.start();
    let ready = || machine.is_ready("modest") && machine.is_ready("greedy");
    machine.api.wait("both run", ready).await;
    for name in ["modest", "greedy"] {
        let pod = machine
            .api
            .get("pods", "default", name)
            .expect("it is there");
        let uid = pod["metadata"]["uid"].as_str().expect("it has one");
        let cache = "volumes/kubernetes.io~empty-dir/cache";
        let folder = machine
            .folder
            .path()
            .join("root/pods")
            .join(uid)
            .join(cache);
        std::fs::write(folder.join("file"), vec![1; 2 << 20]).expect("there is room");
    }
    let failed = || machine.phase("greedy").as_deref() == Some("Failed");
    machine.api.wait("the greedy one has failed", failed).await;
    let pod = machine
        .api
        .get("pods", "default", "greedy")
        .expect("it is there");
    assert_eq!(pod["status"]["reason"], "Evicted");
    assert_eq!(
        pod["status"]["message"],
        "Usage of EmptyDir volume \"cache\" exceeds the limit \"1Mi\". "
    );
    assert!(machine.is_ready("modest"));
}
