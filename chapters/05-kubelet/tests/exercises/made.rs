//! Pods, containers and sandboxes for the checks.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kubelet::runtime::{Container, ContainerState, PodMetadata, Sandbox, SandboxState};
use serde_json::{Value, json};

/// A pod whose containers are called `c0`, `c1`, …, and its init containers `i0`, `i1`, ….
pub fn pod(restart_policy: &str, init: usize, containers: usize) -> Pod {
    let named = |letter: char, count: usize| -> Vec<Value> {
        (0..count)
            .map(|number| json!({ "name": format!("{letter}{number}"), "image": "i" }))
            .collect()
    };
    serde_json::from_value(json!({
        "metadata": { "name": "p", "namespace": "ns", "uid": "u" },
        "spec": {
            "restartPolicy": restart_policy,
            "initContainers": named('i', init),
            "containers": named('c', containers),
        },
    }))
    .expect("a pod")
}

/// A container of a sandbox, made as the given attempt.
pub fn container(name: &str, sandbox: &str, state: ContainerState) -> Container {
    Container {
        id: format!("{sandbox}-{name}"),
        sandbox_id: sandbox.to_owned(),
        name: name.to_owned(),
        attempt: 0,
        image: "i".into(),
        image_ref: "sha256:1".into(),
        state,
        created_at: Timestamp::UNIX_EPOCH,
        started_at: Some(Timestamp::UNIX_EPOCH),
        log_path: "log".into(),
        labels: Default::default(),
        user: None,
    }
}

/// The sandbox of a pod, of that attempt.
pub fn sandbox(id: &str, attempt: u32, state: SandboxState) -> Sandbox {
    Sandbox {
        id: id.to_owned(),
        metadata: PodMetadata {
            name: "p".into(),
            namespace: "ns".into(),
            uid: "u".into(),
            attempt,
        },
        state,
        ips: vec!["10.244.1.2".parse().expect("an address")],
        created_at: Timestamp::UNIX_EPOCH,
        runtime_handler: String::new(),
    }
}

/// A pod with this spec.
pub fn with_spec(spec: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": "p", "namespace": "ns", "uid": "u" },
        "spec": spec,
    }))
    .expect("a pod")
}

/// So many seconds after all began.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time")
}

/// The state of a container that ended with this code.
pub fn ended(exit_code: i32) -> ContainerState {
    ContainerState::Exited {
        exit_code,
        finished_at: Timestamp::UNIX_EPOCH,
        reason: String::new(),
        message: String::new(),
    }
}
