//! The same containers without a kubelet: what the runtime alone takes for them.
//!
//! - Docker: four calls to the engine, as `docker run` would make them: a pause container without a
//!   network, and a container in its namespaces.
//! - containerd: three calls to the node's own (`RunPodSandbox`, `CreateContainer`,
//!   `StartContainer`), the CNI plugin included, while the node's kubelet is halted.
//! - The embedded runtime is a part of the kubelet: there is nothing to compare it with.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{CreateContainerOptions, RemoveContainerOptions};
use futures::{StreamExt, TryStreamExt, stream};
use kubelet::runtime::cri::{CriConfig, CriRuntime};
use kubelet::runtime::{ContainerConfig, ContainerRuntime, PodMetadata, SandboxConfig};

use super::Failure;
use super::figures::Figures;
use super::kubelet::IMAGE;
use crate::lab::components;
use crate::lab::docker::engine::Engine;
use crate::lab::layout::Layout;
use crate::lab::record::{Record, Runtime};

/// Runs `count` pods, so many at once; the times from the first call of each (or, with many at
/// once, from the very first call) to its container started. Nothing for the embedded runtime.
///
/// # Errors
/// When the runtime does not run one.
pub async fn run(
    record: &Record,
    layout: &Layout,
    node: &str,
    count: u32,
    at_once: usize,
) -> Result<Option<Figures>, Failure> {
    match record.runtime {
        Runtime::Embedded => Ok(None),
        Runtime::Docker => docker(&record.name, count, at_once).await,
        Runtime::Containerd => containerd(record, layout, node, count, at_once).await,
    }
}

async fn docker(lab: &str, count: u32, at_once: usize) -> Result<Option<Figures>, Failure> {
    let engine = &Engine::connect().await?;
    let began = Instant::now();
    let each = stream::iter(0..count).map(|number| async move {
        let from = if at_once > 1 { began } else { Instant::now() };
        let pause = format!("{lab}-alone-pause-{number}");
        let pause = docker_run(engine, &pause, "none", "none").await?;
        let network = format!("container:{pause}");
        let container = format!("{lab}-alone-{number}");
        let container = docker_run(engine, &container, &network, "json-file").await?;
        Ok::<_, Failure>((from.elapsed(), [container, pause]))
    });
    let mut each = std::pin::pin!(each.buffer_unordered(at_once));
    let (mut took, mut made) = (Vec::new(), Vec::new());
    let mut result = Ok(());
    while let Some(one) = each.next().await {
        match one {
            Ok((time, containers)) => {
                took.push(time);
                made.extend(containers);
            }
            Err(error) => result = Err(error),
        }
    }
    for container in made {
        let options = RemoveContainerOptions {
            force: true,
            ..RemoveContainerOptions::default()
        };
        let removed = engine.docker.remove_container(&container, Some(options));
        removed.await?;
    }
    result.map(|()| Figures::of(took))
}

async fn docker_run(
    engine: &Engine,
    name: &str,
    network: &str,
    log: &str,
) -> Result<String, Failure> {
    let options = CreateContainerOptions {
        name: Some(name.to_owned()),
        ..CreateContainerOptions::default()
    };
    let body = ContainerCreateBody {
        image: Some(IMAGE.to_owned()),
        host_config: Some(HostConfig {
            network_mode: Some(network.to_owned()),
            log_config: Some(HostConfigLogConfig {
                typ: Some(log.to_owned()),
                config: None,
            }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let created = engine.docker.create_container(Some(options), body).await?;
    engine.docker.start_container(&created.id, None).await?;
    Ok(created.id)
}

async fn containerd(
    record: &Record,
    layout: &Layout,
    node: &str,
    count: u32,
    at_once: usize,
) -> Result<Option<Figures>, Failure> {
    let dir = layout.node(node).join("alone");
    let runtime = &CriRuntime::connect(CriConfig {
        endpoint: layout.containerd(node).endpoint(),
        root_dir: dir.clone(),
        image_store: layout.images(),
        bring_pause: false,
        // Below the lab's own, which goes with it.
        cgroup_root: format!("{}/alone", components::cgroup(&record.name)),
    })
    .await?;
    let image = runtime.image_status(IMAGE).await?;
    let image = &image.ok_or("the node does not have the image")?.id;
    let began = Instant::now();
    let (dir, mut took) = (&dir, Vec::new());
    let each = stream::iter(0..count).map(|number| async move {
        let from = if at_once > 1 { began } else { Instant::now() };
        let sandbox = runtime
            .run_pod_sandbox(sandbox(number, dir.join("logs")))
            .await?;
        let container = runtime
            .create_container(&sandbox.id, container(image))
            .await?;
        runtime.start_container(&container).await?;
        let time = from.elapsed();
        if at_once == 1 {
            remove(runtime, &sandbox.id).await?;
        }
        Ok::<_, Failure>((time, sandbox.id))
    });
    let each: Vec<(Duration, String)> = each.buffer_unordered(at_once).try_collect().await?;
    for (time, sandbox) in each {
        took.push(time);
        remove(runtime, &sandbox).await?;
    }
    Ok(Figures::of(took))
}

async fn remove(runtime: &CriRuntime, sandbox: &str) -> Result<(), Failure> {
    runtime.stop_pod_sandbox(sandbox).await?;
    Ok(runtime.remove_pod_sandbox(sandbox).await?)
}

fn sandbox(number: u32, log_directory: PathBuf) -> SandboxConfig {
    let name = format!("alone-{number}");
    SandboxConfig {
        metadata: PodMetadata {
            uid: name.clone(),
            namespace: "default".to_owned(),
            attempt: 0,
            name: name.clone(),
        },
        hostname: name,
        log_directory,
        ..SandboxConfig::default()
    }
}

fn container(image_id: &str) -> ContainerConfig {
    ContainerConfig {
        name: "echo".to_owned(),
        image_id: image_id.to_owned(),
        image: IMAGE.to_owned(),
        log_path: "echo/0.log".into(),
        ..ContainerConfig::default()
    }
}
