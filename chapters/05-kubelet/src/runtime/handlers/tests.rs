//! Two tables of containers behind one.

use super::*;
use crate::runtime::ContainerState;
use crate::runtime::fake::FakeRuntime;

fn two() -> (Arc<FakeRuntime>, Arc<FakeRuntime>, Handlers) {
    let (usual, other) = (Arc::new(FakeRuntime::new()), Arc::new(FakeRuntime::new()));
    let handlers = Handlers::new(
        ("sandbox".to_owned(), usual.clone()),
        vec![("docker".to_owned(), other.clone())],
    );
    (usual, other, handlers)
}

fn pod(name: &str, handler: &str) -> SandboxConfig {
    let config = serde_json::json!({
        "metadata": { "name": name, "namespace": "ns", "uid": name, "attempt": 0 },
        "hostname": name, "resolv_conf": "", "hosts": "", "log_directory": "/log",
        "host_network": false, "host_pid": false, "host_ipc": false,
        "share_process_namespace": false, "sysctls": {}, "runtime_handler": handler,
    });
    serde_json::from_value(config).unwrap()
}

fn container(name: &str) -> ContainerConfig {
    let config = serde_json::json!({
        "name": name, "attempt": 0, "image_id": "i", "image": "i", "command": [], "args": [],
        "working_dir": "", "env": [], "mounts": [], "log_path": "0.log", "stdin": false,
        "stdin_once": false, "tty": false, "security": crate::runtime::Security::default(),
        "memory_limit_bytes": null, "cpu_limit_millis": null, "cpu_request_millis": null,
        "pid_target": null, "labels": {},
    });
    serde_json::from_value(config).unwrap()
}

#[tokio::test]
async fn a_handler_picks_a_runtime_and_ids_find_it_again() {
    let (usual, other, handlers) = two();
    // The second makes an id first, so that ids of the two differ.
    other.run_pod_sandbox(pod("before", "")).await.unwrap();
    handlers.run_pod_sandbox(pod("plain", "")).await.unwrap();
    let classy = handlers.run_pod_sandbox(pod("classy", "docker")).await;
    let classy = classy.unwrap();
    assert_eq!(classy.runtime_handler, "docker");
    assert_eq!(usual.list_pod_sandboxes(None).await.unwrap().len(), 1);
    assert_eq!(other.list_pod_sandboxes(None).await.unwrap().len(), 2);

    let id = handlers.create_container(&classy.id, container("c")).await;
    let id = id.unwrap();
    handlers.start_container(&id).await.unwrap();
    let state = || async {
        other.list_containers(Some("classy")).await.unwrap()[0]
            .state
            .clone()
    };
    assert_eq!(state().await, ContainerState::Running);

    // A kubelet that starts anew knows no id.
    let again = Handlers::new(
        ("sandbox".to_owned(), usual.clone()),
        vec![("docker".to_owned(), other.clone())],
    );
    again.stop_container(&id, 0).await.unwrap();
    assert!(matches!(state().await, ContainerState::Exited { .. }));
    let all = again.list_pod_sandboxes(None).await.unwrap();
    let mut named: Vec<_> = all
        .iter()
        .map(|one| (one.metadata.name.as_str(), one.runtime_handler.as_str()))
        .collect();
    named.sort_unstable();
    assert_eq!(
        named,
        [("before", "docker"), ("classy", "docker"), ("plain", "")]
    );
    again.stop_pod_sandbox(&classy.id).await.unwrap();
    again.remove_pod_sandbox(&classy.id).await.unwrap();
    assert_eq!(other.list_pod_sandboxes(None).await.unwrap().len(), 1);
    assert_eq!(again.list_containers(None).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_handler_that_nobody_is() {
    let (usual, other, handlers) = two();
    let error = handlers.run_pod_sandbox(pod("p", "vm")).await.unwrap_err();
    let expected = "failed to get sandbox runtime: no runtime for \"vm\" is configured";
    assert_eq!(error.to_string(), expected);
    for runtime in [usual, other] {
        assert!(runtime.list_pod_sandboxes(None).await.unwrap().is_empty());
    }
    let told = handlers.runtime_handlers().await.unwrap();
    let names: Vec<String> = told.into_iter().map(|handler| handler.name).collect();
    assert_eq!(names, ["", "sandbox", "docker"]);
}

#[tokio::test]
async fn events_are_those_of_all() {
    let (usual, other, handlers) = two();
    let mut events = handlers.events();
    for (runtime, name) in [(usual, "a"), (other, "b")] {
        let sandbox = runtime.run_pod_sandbox(pod(name, "")).await.unwrap();
        runtime.stop_pod_sandbox(&sandbox.id).await.unwrap();
        assert_eq!(events.recv().await.unwrap().pod_uid, name);
    }
}

#[tokio::test]
async fn images_are_those_of_the_pod_s_runtime() {
    let (_, other, handlers) = two();
    assert!(handlers.of_handler("").is_none());
    let docker = handlers.of_handler("docker").unwrap();
    docker.pull_image("busybox", None).await.unwrap();
    assert!(handlers.image_status("busybox").await.unwrap().is_none());
    assert_eq!(handlers.list_images().await.unwrap().len(), 1);
    handlers.remove_image("busybox").await.unwrap();
    assert!(other.list_images().await.unwrap().is_empty());
}
