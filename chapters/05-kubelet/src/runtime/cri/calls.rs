//! The kubelet's trait, call by call.

use std::collections::HashMap;
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

use grpc::client::Code;

use super::messages as cri;
use super::{CriRuntime, DEADLINE, EXEC_GRACE, LIST_DEADLINE, RETRY};
use super::{convert, images, other, streaming};
use crate::runtime::usage::{ContainerUsage, DiskUsage, NetworkUsage};
use crate::runtime::{
    Container, ContainerConfig, ContainerRuntime, Duplex, ExecOutput, ExecRequest, Features,
    Handler, Image, ProcessStreams, PullAuth, Resources, Result, RuntimeError, RuntimeEvent,
    Sandbox, SandboxConfig, SandboxState,
};

#[async_trait::async_trait]
impl ContainerRuntime for CriRuntime {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn features(&self) -> Features {
        self.features
    }

    async fn status(&self) -> Result<()> {
        let reply = self
            .client
            .call(&cri::StatusRequest {}, LIST_DEADLINE)
            .await;
        let conditions = reply.map_err(other)?.status.unwrap_or_default().conditions;
        let mut failing = conditions
            .iter()
            .filter(|condition| condition.r#type == "RuntimeReady" && !condition.status);
        match failing.next() {
            Some(condition) => Err(other(&condition.message)),
            None => Ok(()),
        }
    }

    async fn runtime_handlers(&self) -> Result<Vec<Handler>> {
        let request = cri::StatusRequest {};
        let reply = self.client.call(&request, LIST_DEADLINE).await;
        Ok(convert::handlers(&reply.map_err(other)?))
    }

    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<()> {
        let network_config = Some(cri::NetworkConfig {
            pod_cidr: pod_cidr.to_owned(),
        });
        let request = cri::UpdateRuntimeConfigRequest {
            runtime_config: Some(cri::RuntimeConfig { network_config }),
        };
        self.call(&request).await.map_err(other)?;
        // The runtime writes its network's config from a template, and watches that folder.
        let began = Instant::now();
        loop {
            match self.network().await {
                Ok(()) => return Ok(()),
                Err(why) if began.elapsed() > LIST_DEADLINE => return Err(other(why)),
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }

    async fn run_pod_sandbox(&self, config: SandboxConfig) -> Result<Sandbox> {
        // containerd leaves making the folder to whoever names it.
        std::fs::create_dir_all(&config.log_directory).map_err(other)?;
        let request = cri::RunPodSandboxRequest {
            config: Some(convert::sandbox_config(&config, &self.cgroup_root)),
            runtime_handler: config.runtime_handler.clone(),
        };
        let reply = self.call(&request).await.map_err(other)?;
        let id = reply.pod_sandbox_id;
        let ips = self.addresses(&id).await?;
        self.records.write(&id, &config, ips.first())?;
        self.relist.soon();
        Ok(Sandbox {
            id,
            metadata: config.metadata,
            state: SandboxState::Ready,
            ips: if config.host_network { Vec::new() } else { ips },
            created_at: jiff::Timestamp::now(),
            runtime_handler: config.runtime_handler,
        })
    }

    async fn stop_pod_sandbox(&self, sandbox_id: &str) -> Result<()> {
        let request = cri::StopPodSandboxRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
        };
        self.call_idempotent(&request, DEADLINE).await
    }

    async fn remove_pod_sandbox(&self, sandbox_id: &str) -> Result<()> {
        let request = cri::RemovePodSandboxRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
        };
        self.call_idempotent(&request, DEADLINE).await?;
        self.known_addresses().remove(sandbox_id);
        self.records.remove(sandbox_id, &self.cgroup_root);
        Ok(())
    }

    async fn list_pod_sandboxes(&self, pod_uid: Option<&str>) -> Result<Vec<Sandbox>> {
        let filter = pod_uid.map(|uid| cri::PodSandboxFilter {
            label_selector: [("io.kubernetes.pod.uid".to_owned(), uid.to_owned())].into(),
        });
        let request = cri::ListPodSandboxRequest { filter };
        let reply = self.client.call(&request, LIST_DEADLINE).await;
        let listed = reply.map_err(other)?.items;
        let each = listed.into_iter().map(|sandbox| self.sandbox(sandbox));
        let mut sandboxes = futures::future::try_join_all(each).await?;
        sandboxes.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.created_at));
        Ok(sandboxes)
    }

    async fn create_container(&self, sandbox_id: &str, config: ContainerConfig) -> Result<String> {
        let sandbox = self.records.read(sandbox_id)?;
        let mut mounts = self.host_mounts(&config.image)?;
        mounts.push(cri::Mount {
            container_path: "/etc/hosts".to_owned(),
            host_path: self.records.hosts(sandbox_id).display().to_string(),
            readonly: false,
            ..cri::Mount::default()
        });
        // So does it leave the folder of each container's log.
        if let Some(folder) = sandbox.log_directory.join(&config.log_path).parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| RuntimeError::Create(error.to_string()))?;
        }
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
            config: Some(convert::container_config(&config, &sandbox, mounts)),
            sandbox_config: Some(convert::sandbox_config(&sandbox, &self.cgroup_root)),
        };
        match self.call(&request).await {
            Ok(reply) => Ok(reply.container_id),
            Err(status) => Err(RuntimeError::Create(status.to_string())),
        }
    }

    async fn start_container(&self, container_id: &str) -> Result<()> {
        let request = cri::StartContainerRequest {
            container_id: container_id.to_owned(),
        };
        let started = self.call(&request).await;
        self.relist.soon();
        match started {
            Ok(cri::Empty {}) => Ok(()),
            Err(status) if status.code == Code::NotFound => Err(RuntimeError::NotFound(format!(
                "container {container_id:?}"
            ))),
            Err(status) => Err(RuntimeError::Start(status.to_string())),
        }
    }

    async fn stop_container(&self, container_id: &str, grace_period_seconds: i64) -> Result<()> {
        let timeout = grace_period_seconds.max(0);
        let request = cri::StopContainerRequest {
            container_id: container_id.to_owned(),
            timeout,
        };
        let deadline = DEADLINE + Duration::from_secs(timeout as u64);
        self.call_idempotent(&request, deadline).await
    }

    async fn update_container_resources(
        &self,
        container_id: &str,
        resources: Resources,
    ) -> Result<()> {
        let mut linux = convert::resources(&resources);
        // 0 would be "as it is"; -1 takes a limit away.
        if resources.cpu_limit_millis.is_none() {
            linux.cpu_quota = -1;
        }
        if resources.memory_limit_bytes.is_none() {
            linux.memory_limit_in_bytes = -1;
        }
        let request = cri::UpdateContainerResourcesRequest {
            container_id: container_id.to_owned(),
            linux: Some(linux),
        };
        self.call(&request).await.map(drop).map_err(other)
    }

    async fn remove_container(&self, container_id: &str) -> Result<()> {
        let request = cri::RemoveContainerRequest {
            container_id: container_id.to_owned(),
        };
        self.call_idempotent(&request, DEADLINE).await
    }

    async fn list_containers(&self, pod_uid: Option<&str>) -> Result<Vec<Container>> {
        let filter = pod_uid.map(|uid| cri::ContainerFilter {
            label_selector: [("io.kubernetes.pod.uid".to_owned(), uid.to_owned())].into(),
        });
        let request = cri::ListContainersRequest { filter };
        let reply = self.client.call(&request, LIST_DEADLINE).await;
        self.statuses(reply.map_err(other)?.containers).await
    }

    async fn exec_sync(
        &self,
        container_id: &str,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecOutput> {
        let described = command.join(" ");
        let request = cri::ExecSyncRequest {
            container_id: container_id.to_owned(),
            cmd: command,
            timeout: convert::whole_seconds(timeout),
        };
        // containerd waits for whoever still holds the output, even when the time is up.
        let deadline = Duration::from_secs(request.timeout as u64) + EXEC_GRACE;
        match self.client.call(&request, deadline).await {
            Ok(reply) => Ok(ExecOutput {
                exit_code: reply.exit_code,
                stdout: reply.stdout,
                stderr: reply.stderr,
            }),
            Err(status) if status.code == Code::DeadlineExceeded => Err(other(format!(
                "command {described:?} timed out after {}s",
                timeout.as_secs_f64()
            ))),
            Err(status) => Err(other(status)),
        }
    }

    async fn exec(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams> {
        let asked = cri::ExecRequest {
            container_id: container_id.to_owned(),
            cmd: request.command.clone(),
            tty: request.tty,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr && !request.tty,
        };
        let reply = self.call(&asked).await.map_err(other)?;
        streaming::process(&reply.url, &request).await
    }

    async fn attach(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams> {
        let asked = cri::AttachRequest {
            container_id: container_id.to_owned(),
            stdin: request.stdin,
            tty: request.tty,
            stdout: request.stdout,
            stderr: request.stderr && !request.tty,
        };
        let reply = self.call(&asked).await.map_err(other)?;
        streaming::process(&reply.url, &request).await
    }

    async fn port_forward(&self, sandbox_id: &str, port: u16) -> Result<Pin<Box<dyn Duplex>>> {
        let request = cri::PortForwardRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
            port: vec![port.into()],
        };
        let reply = self.call(&request).await.map_err(other)?;
        streaming::port(&reply.url, port).await
    }

    async fn pull_image(&self, image: &str, auth: Option<PullAuth>) -> Result<String> {
        self.pull(image, auth).await
    }

    async fn image_status(&self, image: &str) -> Result<Option<Image>> {
        self.find_image(image).await
    }

    async fn list_images(&self) -> Result<Vec<Image>> {
        let request = cri::ListImagesRequest {};
        let reply = self.client.call(&request, LIST_DEADLINE).await;
        let images = reply.map_err(other)?.images;
        Ok(images.into_iter().map(convert::image).collect())
    }

    async fn remove_image(&self, image: &str) -> Result<()> {
        let request = cri::RemoveImageRequest {
            image: Some(cri::ImageSpec {
                image: images::full_name(image)?,
            }),
        };
        self.call_idempotent(&request, DEADLINE).await
    }

    async fn container_usage(&self) -> Result<Vec<ContainerUsage>> {
        self.usage().await
    }

    async fn network_usage(&self) -> Result<Vec<NetworkUsage>> {
        self.networks().await
    }

    async fn writable_layers(&self) -> Result<HashMap<String, DiskUsage>> {
        self.layers().await
    }

    async fn checkpoint_container(&self, container_id: &str, location: &Path) -> Result<()> {
        let request = cri::CheckpointContainerRequest {
            container_id: container_id.to_owned(),
            location: location.display().to_string(),
            timeout: 0,
        };
        self.call(&request).await.map(drop).map_err(other)
    }

    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.relist.events()
    }
}
