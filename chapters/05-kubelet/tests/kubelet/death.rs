//! A kubelet dies at every call that it makes, and the next one goes on.

use super::*;

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
