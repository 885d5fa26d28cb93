//! `lab up --runtime docker`: network, volumes, nodes, then as any lab: wait until it answers.

use bollard::query_parameters::{CreateContainerOptions, UploadToContainerOptions};
use tokio::sync::mpsc;

use super::engine::{Engine, failed};
use super::{container, doctor, files, image, network, node};
use crate::lab::layout::Layout;
use crate::lab::progress::Progress;
use crate::lab::record::{Node, Record};
use crate::lab::supervisor::{Event, boot};
use crate::lab::{Error, pki};

/// How long the steps after the nodes' start may take, all in all.
const BOOT: std::time::Duration = std::time::Duration::from_secs(120);

/// Starts the lab, or what of it is stopped, and waits until it answers.
///
/// # Errors
/// What the machine lacks, or what did not come up.
pub fn run(layout: &Layout, record: &mut Record, progress: &mut Progress) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::system("an async runtime"))?;
    runtime.block_on(start(layout, record, progress))
}

async fn start(layout: &Layout, record: &mut Record, progress: &mut Progress) -> Result<(), Error> {
    progress.doing("Docker engine");
    let engine = Engine::connect().await?;
    doctor::has_room(&engine).await?;
    progress.doing("images");
    let image = image::ensure(&engine).await?;
    progress.did("The engine has the lab's images");
    if engine.networks(&record.name).await?.is_empty() {
        record.network = engine.create_network(&record.name).await?;
        record.save(layout)?;
    }
    pki::ensure(layout, record)?;
    let mut containers = engine.containers(&record.name).await?;
    containers.retain(|it| names(it).any(|name| name.starts_with(&network(&record.name))));
    for node in record.nodes() {
        let name = container(&record.name, &node.name);
        let there = containers.iter().any(|it| names(it).any(|it| it == name));
        if !there {
            create(&engine, layout, record, &node, &image).await?;
        }
        let started = engine.docker.start_container(&name, None).await;
        started.map_err(failed("start a node"))?;
    }
    progress.did(&format!("{} nodes are containers", record.workers + 1));
    wait(layout, record, progress).await
}

fn names(container: &bollard::models::ContainerSummary) -> impl Iterator<Item = &str> {
    let names = container.names.iter().flatten();
    names.map(|name| name.trim_start_matches('/'))
}

/// Makes a node, with all that it needs in its volume.
async fn create(
    engine: &Engine,
    layout: &Layout,
    record: &Record,
    node: &Node,
    image: &str,
) -> Result<(), Error> {
    let name = container(&record.name, &node.name);
    engine.create_volume(&record.name, &name).await?;
    let options = CreateContainerOptions {
        name: Some(name.clone()),
        ..CreateContainerOptions::default()
    };
    let spec = node::spec(record, node, image, &engine.socket);
    let made = engine.docker.create_container(Some(options), spec).await;
    made.map_err(failed("make a node"))?;
    let archive = files::archive(layout, record, node, &engine.socket)?;
    let options = UploadToContainerOptions {
        path: node::STATE.into(),
        ..UploadToContainerOptions::default()
    };
    let body = bollard::body_full(archive.into());
    let put = engine
        .docker
        .upload_to_container(&name, Some(options), body)
        .await;
    put.map_err(failed("put a node's files into its volume"))
}

/// Shows the steps of the boot as they are taken.
async fn wait(layout: &Layout, record: &Record, progress: &mut Progress) -> Result<(), Error> {
    let refused =
        |error: Box<dyn std::error::Error + Send + Sync>| Error::Refused(error.to_string());
    let client = boot::client(&layout.kubeconfig()).await.map_err(refused)?;
    let (events, mut told) = mpsc::channel(64);
    let booting = boot::run(client, boot::Steps { events }, None);
    let mut booting = std::pin::pin!(tokio::time::timeout(BOOT, booting));
    let mut states = std::collections::BTreeMap::new();
    let mut doing = String::new();
    loop {
        tokio::select! {
            booted = &mut booting => {
                let late = |_| Error::Refused(format!(
                    "{doing}: not there after {} seconds; `cargo xtask lab logs` shows why",
                    BOOT.as_secs()
                ));
                booted.map_err(late)?.map_err(refused)?;
                while let Ok(Event::Did(what)) = told.try_recv() {
                    progress.did(&what);
                }
                return Ok(());
            }
            Some(event) = told.recv() => match event {
                Event::Doing(what) => {
                    progress.doing(&what);
                    doing = what;
                }
                Event::Did(what) => progress.did(&what),
                Event::NodeState(name, state, all_ready) => {
                    states.insert(name, state);
                    let nodes = record.nodes();
                    let ready = |node: &Node| states.get(&node.name).is_some_and(|it| it == "Ready");
                    if nodes.iter().all(ready) {
                        let _told_before = all_ready.try_send(nodes.len());
                    }
                }
                _ => {}
            },
        }
    }
}
