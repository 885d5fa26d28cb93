//! What is read about the node: its pods, its health, its configuration, what it uses.

use std::sync::Arc;

use http::{Response, StatusCode, header};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as ContainerSpec, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::kubelet_metrics::{self, Now};
use super::{
    Body, Query, Refusal, Shared, cadvisor, containers_of, exposition, internal, resource, text,
};
use crate::decide::spec;
use crate::node::machine;
use crate::runtime::{ContainerState, SandboxState};
use crate::stats::process::Process;
use crate::stats::{self, Depth};

type Answer = std::result::Result<Response<Body>, Refusal>;

/// An object as an answer.
pub fn object(value: &Value) -> Response<Body> {
    with_type(text(StatusCode::OK, value.to_string()), "application/json")
}

/// A page of metrics as an answer.
pub fn metrics(page: String) -> Response<Body> {
    with_type(text(StatusCode::OK, page), exposition::CONTENT_TYPE)
}

fn with_type(mut response: Response<Body>, kind: &'static str) -> Response<Body> {
    let kind = http::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn pod_list(mut items: Vec<Pod>) -> Response<Body> {
    let name = |pod: &Pod| (pod.metadata.namespace.clone(), pod.metadata.name.clone());
    items.sort_by_key(name);
    object(&json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items }))
}

impl Shared {
    fn known_pods(&self) -> Vec<Arc<Pod>> {
        let known = self.known.lock().expect("no panics inside");
        known.values().cloned().collect()
    }

    /// `/pods`: all that the node was given, those that have ended too.
    pub(super) fn pods(&self) -> Response<Body> {
        let pods = self.known_pods();
        pod_list(pods.iter().map(|pod| Pod::clone(pod)).collect())
    }

    /// `/runningpods/`: what the runtime runs, whoever asked for it.
    pub(super) async fn running_pods(&self) -> Answer {
        let runtime = &self.context.runtime;
        let sandboxes = runtime.list_pod_sandboxes(None).await.map_err(internal)?;
        let containers = runtime.list_containers(None).await.map_err(internal)?;
        let ready = sandboxes
            .iter()
            .filter(|sandbox| sandbox.state == SandboxState::Ready);
        let pods = ready.map(|sandbox| {
            let running = containers.iter().filter(|container| {
                container.sandbox_id == sandbox.id && container.state == ContainerState::Running
            });
            let running = running.map(|container| ContainerSpec {
                name: container.name.clone(),
                image: Some(container.image.clone()),
                ..ContainerSpec::default()
            });
            Pod {
                metadata: ObjectMeta {
                    name: Some(sandbox.metadata.name.clone()),
                    namespace: Some(sandbox.metadata.namespace.clone()),
                    uid: Some(sandbox.metadata.uid.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(PodSpec {
                    containers: running.collect(),
                    ..PodSpec::default()
                }),
                status: None,
            }
        });
        Ok(pod_list(pods.collect()))
    }

    /// `/stats/summary`; with `?only_cpu_and_memory=true` without networks and disks.
    pub(super) async fn stats_summary(&self, query: &Query) -> Answer {
        let depth = match query.flag("only_cpu_and_memory") {
            true => Depth::CpuAndMemory,
            false => Depth::All,
        };
        let pods = self.known_pods();
        let summary = stats::summary(&self.context, &pods, depth).await;
        Ok(object(&summary.map_err(internal)?.to_json()))
    }

    /// `/metrics/resource`.
    pub(super) async fn resource_metrics(&self) -> Response<Body> {
        let pods = self.known_pods();
        let summary = stats::summary(&self.context, &pods, Depth::CpuAndMemory).await;
        let summary = summary.inspect_err(|error| tracing::warn!(%error, "nothing to measure"));
        metrics(resource::page(summary.ok().as_ref()))
    }

    /// `/metrics`.
    pub(super) async fn kubelet_metrics(&self) -> Answer {
        let runtime = &self.context.runtime;
        let containers = runtime.list_containers(None).await.map_err(internal)?;
        let sandboxes = runtime.list_pod_sandboxes(None).await.map_err(internal)?;
        let process = Process::read();
        let now = Now {
            node_name: &self.context.node_name,
            sandboxes: &sandboxes,
            containers: &containers,
            started_seconds: process.start_seconds(),
            process,
        };
        let counts = self.context.metrics.counts();
        Ok(metrics(kubelet_metrics::page(&counts, &now)))
    }

    /// `/metrics/probes`.
    pub(super) fn probe_metrics(&self) -> Response<Body> {
        metrics(kubelet_metrics::probes(&self.context.metrics.counts()))
    }

    /// `/metrics/cadvisor`.
    pub(super) async fn cadvisor_metrics(&self) -> Answer {
        let pods = self.known_pods();
        let summary = stats::summary(&self.context, &pods, Depth::All).await;
        let summary = summary.map_err(internal)?;
        let capacity = machine::capacity(&self.context.config.root_dir);
        let info = machine::system_info(self.context.runtime.version());
        Ok(metrics(cadvisor::page(&summary, &capacity, &info)))
    }

    /// `/checkpoint/{namespace}/{pod}/{container}`: everything of a process, in a file. What the
    /// answer says is where that is.
    pub(super) async fn checkpoint(&self, namespace: &str, pod: &str, container: &str) -> Answer {
        let found = self.pod(namespace, pod, None)?;
        let missing = || {
            let message = format!("container {container} does not exist");
            Refusal(StatusCode::NOT_FOUND, message)
        };
        spec::find_container(&found, container).ok_or_else(missing)?;
        let records = containers_of(&self.context, &found, container).await?;
        let running = records
            .iter()
            .find(|container| container.state == ContainerState::Running)
            .ok_or_else(missing)?;
        let folder = self.context.config.root_dir.join("checkpoints");
        let time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let path = folder.join(format!(
            "checkpoint-{pod}_{namespace}-{container}-{time}.tar"
        ));
        let made = match std::fs::create_dir_all(&folder) {
            Ok(()) => {
                let runtime = &self.context.runtime;
                let made = runtime.checkpoint_container(&running.id, &path).await;
                made.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        made.map_err(|why| {
            internal(format!(
                "checkpointing of {namespace}/{pod}/{container} failed ({why})"
            ))
        })?;
        Ok(object(&json!({ "items": [path] })))
    }
}
