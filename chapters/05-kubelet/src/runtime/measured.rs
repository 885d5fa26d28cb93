//! A runtime whose calls are counted and timed, for `/metrics`.
//!
//! Upstream: `pkg/kubelet/kuberuntime/instrumented_services.go`, whose names of operations these
//! are.

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

use super::usage::{ContainerUsage, DiskUsage, NetworkUsage};
use super::{
    Container, ContainerConfig, ContainerRuntime, Duplex, ExecOutput, ExecRequest, Features,
    Handler, Image, ProcessStreams, PullAuth, Resources, Result, RuntimeEvent, Sandbox,
    SandboxConfig,
};
use crate::metrics::Metrics;

/// Any runtime, measured.
pub struct Measured {
    inner: Arc<dyn ContainerRuntime>,
    metrics: Arc<Metrics>,
}

impl Measured {
    /// Counts what is asked of `inner`.
    pub fn new(inner: Arc<dyn ContainerRuntime>, metrics: Arc<Metrics>) -> Measured {
        Measured { inner, metrics }
    }

    async fn timed<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let began = Instant::now();
        let answer = call.await;
        let took = began.elapsed();
        self.metrics.runtime_called(name, took, answer.is_err());
        answer
    }
}

#[async_trait::async_trait]
impl ContainerRuntime for Measured {
    fn version(&self) -> String {
        self.inner.version()
    }

    fn features(&self) -> Features {
        self.inner.features()
    }

    async fn status(&self) -> Result<()> {
        self.timed("status", self.inner.status()).await
    }

    async fn runtime_handlers(&self) -> Result<Vec<Handler>> {
        self.timed("status", self.inner.runtime_handlers()).await
    }

    fn of_handler(&self, handler: &str) -> Option<Arc<dyn ContainerRuntime>> {
        self.inner.of_handler(handler)
    }

    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<()> {
        self.timed(
            "update_runtime_config",
            self.inner.update_pod_cidr(pod_cidr),
        )
        .await
    }

    async fn run_pod_sandbox(&self, config: SandboxConfig) -> Result<Sandbox> {
        self.timed("run_podsandbox", self.inner.run_pod_sandbox(config))
            .await
    }

    async fn stop_pod_sandbox(&self, sandbox_id: &str) -> Result<()> {
        self.timed("stop_podsandbox", self.inner.stop_pod_sandbox(sandbox_id))
            .await
    }

    async fn remove_pod_sandbox(&self, sandbox_id: &str) -> Result<()> {
        self.timed(
            "remove_podsandbox",
            self.inner.remove_pod_sandbox(sandbox_id),
        )
        .await
    }

    async fn list_pod_sandboxes(&self, pod_uid: Option<&str>) -> Result<Vec<Sandbox>> {
        self.timed("list_podsandbox", self.inner.list_pod_sandboxes(pod_uid))
            .await
    }

    async fn create_container(&self, sandbox_id: &str, config: ContainerConfig) -> Result<String> {
        self.timed(
            "create_container",
            self.inner.create_container(sandbox_id, config),
        )
        .await
    }

    async fn start_container(&self, container_id: &str) -> Result<()> {
        self.timed("start_container", self.inner.start_container(container_id))
            .await
    }

    async fn stop_container(&self, container_id: &str, grace_period_seconds: i64) -> Result<()> {
        self.timed(
            "stop_container",
            self.inner
                .stop_container(container_id, grace_period_seconds),
        )
        .await
    }

    async fn update_container_resources(
        &self,
        container_id: &str,
        resources: Resources,
    ) -> Result<()> {
        self.timed(
            "update_container",
            self.inner
                .update_container_resources(container_id, resources),
        )
        .await
    }

    async fn remove_container(&self, container_id: &str) -> Result<()> {
        self.timed(
            "remove_container",
            self.inner.remove_container(container_id),
        )
        .await
    }

    async fn list_containers(&self, pod_uid: Option<&str>) -> Result<Vec<Container>> {
        self.timed("list_containers", self.inner.list_containers(pod_uid))
            .await
    }

    async fn exec_sync(
        &self,
        container_id: &str,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecOutput> {
        self.timed(
            "exec_sync",
            self.inner.exec_sync(container_id, command, timeout),
        )
        .await
    }

    async fn exec(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams> {
        self.timed("exec", self.inner.exec(container_id, request))
            .await
    }

    async fn attach(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams> {
        self.timed("attach", self.inner.attach(container_id, request))
            .await
    }

    async fn port_forward(&self, sandbox_id: &str, port: u16) -> Result<Pin<Box<dyn Duplex>>> {
        self.timed("port_forward", self.inner.port_forward(sandbox_id, port))
            .await
    }

    async fn pull_image(&self, image: &str, auth: Option<PullAuth>) -> Result<String> {
        self.timed("pull_image", self.inner.pull_image(image, auth))
            .await
    }

    async fn image_status(&self, image: &str) -> Result<Option<Image>> {
        self.timed("image_status", self.inner.image_status(image))
            .await
    }

    async fn list_images(&self) -> Result<Vec<Image>> {
        self.timed("list_images", self.inner.list_images()).await
    }

    async fn remove_image(&self, image: &str) -> Result<()> {
        self.timed("remove_image", self.inner.remove_image(image))
            .await
    }

    async fn container_usage(&self) -> Result<Vec<ContainerUsage>> {
        self.timed("list_container_stats", self.inner.container_usage())
            .await
    }

    async fn network_usage(&self) -> Result<Vec<NetworkUsage>> {
        self.timed("list_podsandbox_stats", self.inner.network_usage())
            .await
    }

    async fn writable_layers(&self) -> Result<HashMap<String, DiskUsage>> {
        self.timed("image_fs_info", self.inner.writable_layers())
            .await
    }

    async fn checkpoint_container(&self, container_id: &str, location: &Path) -> Result<()> {
        self.timed(
            "checkpoint_container",
            self.inner.checkpoint_container(container_id, location),
        )
        .await
    }

    fn mount_image(&self, image_id: &str, target: &Path) -> Result<()> {
        self.inner.mount_image(image_id, target)
    }

    fn unmount_image(&self, target: &Path) {
        self.inner.unmount_image(target);
    }

    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.inner.events()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeRuntime;
    use super::*;

    #[tokio::test]
    async fn calls_are_counted_and_handed_on() {
        let metrics = Arc::new(Metrics::default());
        let runtime = Measured::new(Arc::new(FakeRuntime::new()), metrics.clone());
        runtime.pull_image("busybox", None).await.unwrap();
        runtime.pull_image("no-such", None).await.unwrap_err();
        assert_eq!(runtime.list_images().await.unwrap().len(), 1);
        let calls = metrics.counts().runtime;
        assert_eq!(calls["pull_image"].durations.count, 2);
        assert_eq!(calls["pull_image"].errors, 1);
        assert_eq!(calls["list_images"].durations.count, 1);
    }

    /// A method that the trait has a default for would get that default here, whatever the
    /// runtime behind it can do.
    #[test]
    fn every_method_is_handed_on() {
        let names = |source: &str, start: &str| -> Vec<String> {
            let (_, body) = source.split_once(start).unwrap();
            let (body, _) = body.split_once("\n}\n").unwrap();
            let functions = body
                .lines()
                .filter_map(|line| line.trim().split_once("fn "));
            let own = functions.filter(|(before, _)| matches!(*before, "" | "async "));
            own.filter_map(|(_, rest)| Some(rest.split_once('(')?.0.to_owned()))
                .collect()
        };
        let mut declared = names(include_str!("mod.rs"), "pub trait ContainerRuntime");
        let mut forwarded = names(
            include_str!("measured.rs"),
            "impl ContainerRuntime for Measured",
        );
        declared.sort();
        forwarded.sort();
        assert_eq!(forwarded, declared);
    }
}
