//! Whole kubelets, with a runtime that runs nothing and an API server that is a table.

#[path = "kubelet/death.rs"]
mod death;
#[path = "kubelet/node.rs"]
mod node;
#[path = "kubelet/pods.rs"]
mod pods;
mod support;
#[path = "kubelet/volumes.rs"]
mod volumes;

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
