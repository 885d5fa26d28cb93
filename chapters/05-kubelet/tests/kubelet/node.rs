//! What the node has room for, and what becomes of its pods when it has none or goes.

use super::*;

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

#[tokio::test]
async fn what_is_reserved_is_not_given_away() {
    let machine = Machine::new();
    let flags = [
        "--system-reserved",
        "cpu=100m,memory=64Mi",
        "--kube-reserved",
        "memory=32Mi",
    ];
    let (stop, shutdown) = (CancellationToken::new(), CancellationToken::new());
    let _kubelet = machine.kubelet_with(machine.runtime.clone(), stop, &flags, shutdown);
    let node = || machine.api.get("nodes", "", "n");
    let told = || node().is_some_and(|node| node["status"]["allocatable"].is_object());
    machine.api.wait("the node says what it has", told).await;
    let status = node().expect("it is there")["status"].clone();
    let kibibytes = |list: &str| -> i64 {
        let text = status[list]["memory"].as_str().expect("text");
        let number = text.strip_suffix("Ki").expect("whole kibibytes");
        number.parse().expect("a number")
    };
    // With the threshold that all kubelets of these tests have.
    let reserved = (64 + 32 + 1) << 10;
    assert_eq!(kibibytes("capacity") - kibibytes("allocatable"), reserved);
    let cpus = |list: &str| status[list]["cpu"].as_str().expect("text").to_owned();
    let millis = cpus("capacity").parse::<i64>().expect("whole processors") * 1000 - 100;
    assert_eq!(cpus("allocatable"), format!("{millis}m"));
    assert_eq!(status["capacity"]["pods"], status["allocatable"]["pods"]);
}
