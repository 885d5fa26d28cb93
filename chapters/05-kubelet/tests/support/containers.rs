//! What the tests of the real runtimes have in common: pods and containers as they want them, and
//! what is demanded of each runtime.

use std::path::PathBuf;
use std::time::Duration;

use kubelet::runtime::{ContainerConfig, ContainerRuntime, PodMetadata, SandboxConfig};

/// A pod with names of its own.
pub fn pod(name: &str, uid: String, log_directory: PathBuf) -> SandboxConfig {
    SandboxConfig {
        metadata: PodMetadata {
            name: name.into(),
            namespace: "default".into(),
            uid,
            attempt: 0,
        },
        hostname: name.into(),
        resolv_conf: "nameserver 10.96.0.10\n".into(),
        hosts: format!("127.0.0.1 localhost\n{{POD_IP}} {name}\n"),
        log_directory,
        ..SandboxConfig::default()
    }
}

/// A container that runs a script.
pub fn shell(name: &str, image: &str, script: &str) -> ContainerConfig {
    ContainerConfig {
        name: name.into(),
        image_id: image.into(),
        image: image.into(),
        command: sh(script),
        log_path: format!("{name}/0.log").into(),
        ..ContainerConfig::default()
    }
}

/// The command that runs a script.
pub fn sh(script: &str) -> Vec<String> {
    vec!["/bin/sh".into(), "-c".into(), script.into()]
}

/// Works for a while, writes a file of more than a megabyte, says so, and leaves a child.
pub const BUSY: &str = "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); echo $i filler filler filler \
                        filler filler filler filler filler; done > /file; \
                        sleep 1000 & : > /done; exec sleep 1000";

/// Demands that the runtime tells what a container that runs [`BUSY`] uses, with how many
/// processes it has if the runtime counts them; ends its sandbox.
pub async fn check_usage(
    runtime: &dyn ContainerRuntime,
    sandbox_id: &str,
    id: &str,
    processes: Option<u64>,
) {
    let done = sh("until [ -e /done ]; do sleep 0.01; done");
    let time = Duration::from_secs(10);
    let waited = runtime.exec_sync(id, done, time).await.unwrap();
    assert_eq!(waited.exit_code, 0);

    let usages = runtime.container_usage().await.unwrap();
    assert_eq!(usages.len(), 1);
    let usage = &usages[0];
    assert_eq!(usage.container_id, id);
    assert!(usage.cpu_nanos.unwrap() > 1_000_000, "{usage:?}");
    let memory = usage.memory.unwrap();
    assert!(memory.working_set_bytes > 10_000, "{usage:?}");
    assert!(memory.working_set_bytes <= memory.usage_bytes, "{usage:?}");
    assert_eq!(usage.processes, processes);

    let networks = runtime.network_usage().await.unwrap();
    assert_eq!(networks.len(), 1);
    assert_eq!(networks[0].sandbox_id, sandbox_id);
    let mut links = networks[0].interfaces.iter();
    assert!(links.any(|link| link.name == "eth0"), "{networks:?}");

    // containerd looks at layers now and then only: see `stats_collect_period`.
    let mut layers = runtime.writable_layers().await.unwrap();
    while layers[id].bytes < 1 << 20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        layers = runtime.writable_layers().await.unwrap();
    }

    runtime.stop_pod_sandbox(sandbox_id).await.unwrap();
    assert_eq!(runtime.container_usage().await.unwrap(), []);
    assert_eq!(runtime.network_usage().await.unwrap(), []);
    runtime.remove_pod_sandbox(sandbox_id).await.unwrap();
}
