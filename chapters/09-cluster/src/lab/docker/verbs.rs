//! The other verbs of the Docker lab.

use std::io::Write;
use std::path::Path;

use bollard::models::ContainerSummary;
use bollard::query_parameters::{
    ImportImageOptions, KillContainerOptions, ListImagesOptions, LogsOptions, RemoveImageOptions,
};
use futures::StreamExt;

use super::engine::{Engine, failed};
use super::{LAB, NODE, ROLE, container, image, network};
use crate::lab::layout::Layout;
use crate::lab::record::Record;
use crate::lab::{Error, down};

/// Runs a verb to its end.
///
/// # Errors
/// Those of the verb.
pub fn block_on<T>(verb: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::system("an async runtime"))?;
    runtime.block_on(verb)
}

/// `lab down`: removes what has the lab's label, then its folder.
///
/// # Errors
/// When the engine does not answer, or something cannot be removed.
pub async fn down(lab: &str, layout: &Layout) -> Result<(), Error> {
    let engine = Engine::connect().await?;
    // Nodes first: a kubelet that runs would make anew what is removed.
    let (nodes, pods): (Vec<_>, Vec<_>) =
        engine.containers(lab).await?.into_iter().partition(is_node);
    for container in nodes.iter().chain(&pods) {
        engine
            .remove_container(container.id.as_deref().unwrap_or_default())
            .await?;
    }
    // What a kubelet made at the very end.
    for container in engine.containers(lab).await? {
        engine
            .remove_container(container.id.as_deref().unwrap_or_default())
            .await?;
    }
    for volume in engine.volumes(lab).await? {
        engine.remove_volume(&volume.name).await?;
    }
    for network in engine.networks(lab).await? {
        engine
            .remove_network(network.id.as_deref().unwrap_or_default())
            .await?;
    }
    remove_images(&engine).await?;
    down::remove(&layout.dir)
}

/// Removes our images, unless another lab has containers.
async fn remove_images(engine: &Engine) -> Result<(), Error> {
    let filters = [("label".to_owned(), vec![LAB.to_owned()])].into();
    let options = bollard::query_parameters::ListContainersOptions {
        all: true,
        filters: Some(filters),
        ..Default::default()
    };
    let others = engine.docker.list_containers(Some(options)).await;
    if !others.map_err(failed("list containers"))?.is_empty() {
        return Ok(());
    }
    let filters = [("label".to_owned(), vec![image::LABEL.to_owned()])].into();
    let options = ListImagesOptions {
        filters: Some(filters),
        ..ListImagesOptions::default()
    };
    let images = engine.docker.list_images(Some(options)).await;
    for image in images.map_err(failed("list images"))? {
        let options = RemoveImageOptions {
            force: true,
            ..RemoveImageOptions::default()
        };
        // Another lab that starts just now may need it: then it stays.
        let _in_use = engine
            .docker
            .remove_image(&image.id, Some(options), None)
            .await;
    }
    Ok(())
}

fn is_node(container: &ContainerSummary) -> bool {
    label(container, ROLE) == Some("node")
}

fn label<'a>(container: &'a ContainerSummary, name: &str) -> Option<&'a str> {
    container.labels.as_ref()?.get(name).map(String::as_str)
}

/// `lab stop-node`: pulls its plug, and that of what runs on it.
///
/// # Errors
/// When there is no such node.
pub async fn stop_node(record: &Record, node: &str) -> Result<(), Error> {
    check(record, node)?;
    let engine = Engine::connect().await?;
    let own = |it: &ContainerSummary| label(it, NODE) == Some(node) && is_running(it);
    let containers = engine.containers(&record.name).await?;
    let (nodes, pods): (Vec<_>, Vec<_>) = containers.into_iter().filter(own).partition(is_node);
    for container in nodes.iter().chain(&pods) {
        let options = KillContainerOptions {
            signal: "KILL".into(),
        };
        let id = container.id.as_deref().unwrap_or_default();
        // It may have ended just now.
        let _gone = engine.docker.kill_container(id, Some(options)).await;
    }
    println!("node {node} is stopped");
    Ok(())
}

/// `lab start-node`: brings it back.
///
/// # Errors
/// When there is no such node.
pub async fn start_node(record: &Record, node: &str) -> Result<(), Error> {
    check(record, node)?;
    let engine = Engine::connect().await?;
    let name = container(&record.name, node);
    let started = engine.docker.start_container(&name, None).await;
    started.map_err(failed("start the node"))?;
    println!("node {node} is started");
    Ok(())
}

fn check(record: &Record, node: &str) -> Result<(), Error> {
    let nodes: Vec<String> = record.nodes().into_iter().map(|node| node.name).collect();
    if nodes.iter().any(|name| name == node) {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "there is no node {node:?}; there are: {}",
        nodes.join(", ")
    )))
}

fn is_running(container: &ContainerSummary) -> bool {
    container.state == Some(bollard::models::ContainerSummaryStateEnum::RUNNING)
}

/// `lab load`: the engine's own import.
///
/// # Errors
/// When the file is no archive of images.
pub async fn load(file: &Path) -> Result<(), Error> {
    let engine = Engine::connect().await?;
    let bytes = std::fs::read(file).map_err(|source| Error::File {
        path: file.into(),
        source,
    })?;
    let body = bollard::body_full(bytes.into());
    let mut said = engine
        .docker
        .import_image(ImportImageOptions::default(), body, None);
    while let Some(step) = said.next().await {
        let step = step.map_err(failed("load the archive"))?;
        if let Some(error) = step.error_detail.and_then(|detail| detail.message) {
            return Err(Error::Machine(format!("{}: {error}", file.display())));
        }
        print!("{}", step.stream.unwrap_or_default());
    }
    Ok(())
}

/// `lab logs`: of a node, of a component on all nodes, or of one on one.
///
/// # Errors
/// When neither is there.
pub async fn logs(record: &Record, what: &str, follow: bool) -> Result<(), Error> {
    let engine = Engine::connect().await?;
    let nodes: Vec<String> = record.nodes().into_iter().map(|node| node.name).collect();
    let (node, component) = match what.split_once('.') {
        Some((node, component)) => (Some(node), Some(component)),
        None if nodes.iter().any(|name| name == what) => (Some(what), None),
        None => (None, Some(what)),
    };
    if let Some(node) = node {
        check(record, node)?;
    }
    let wanted = nodes
        .iter()
        .filter(|name| node.is_none_or(|node| node == *name));
    let streams = wanted.map(|name| {
        let options = LogsOptions {
            follow,
            stdout: true,
            stderr: true,
            ..LogsOptions::default()
        };
        let container = container(&record.name, name);
        let several = node.is_none();
        Box::pin(
            engine
                .docker
                .logs(&container, Some(options))
                .map(move |piece| (several.then_some(name), piece)),
        )
    });
    let mut pieces = futures::stream::select_all(streams);
    let prefix = component.map(|component| format!("{component}: "));
    while let Some((node, piece)) = pieces.next().await {
        let piece = piece.map_err(failed("show a node's log"))?;
        let text = String::from_utf8_lossy(&piece.into_bytes()).into_owned();
        for line in text.lines() {
            let line = match &prefix {
                Some(prefix) => line.strip_prefix(prefix.as_str()),
                None => Some(line),
            };
            let Some(line) = line else { continue };
            let node = node.map(|node| format!("{node}: ")).unwrap_or_default();
            // A reader that went away (`| head`) is the end, not an error.
            if writeln!(std::io::stdout(), "{node}{line}").is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// `lab status`: nodes, and how many containers run on each.
///
/// # Errors
/// When the engine does not answer.
pub async fn status(record: &Record, layout: &Layout, json: bool) -> Result<(), Error> {
    let engine = Engine::connect().await?;
    let containers = engine.containers(&record.name).await?;
    let states = states(layout).await;
    let rows: Vec<serde_json::Value> = record
        .nodes()
        .iter()
        .map(|node| {
            let mut own = containers
                .iter()
                .filter(|it| label(it, NODE) == Some(&node.name));
            let is_up = own.any(|it| is_node(it) && is_running(it));
            let on_it = containers
                .iter()
                .filter(|it| label(it, NODE) == Some(&node.name) && !is_node(it) && is_running(it));
            let state = match (is_up, states.get(&node.name)) {
                (false, _) => "Stopped",
                (true, Some(state)) => state,
                (true, None) => "Unknown",
            };
            serde_json::json!({"name": node.name, "state": state, "ip": node.ip().to_string(),
            "container": container(&record.name, &node.name), "containers": on_it.count()})
        })
        .collect();
    if json {
        let json = serde_json::json!({"name": record.name, "port": record.port,
            "runtime": "docker", "network": network(&record.name),
            "kubeconfig": layout.kubeconfig(), "nodes": rows});
        println!("{json:#}");
        return Ok(());
    }
    println!(
        "Lab {:?}: https://127.0.0.1:{}, by Docker",
        record.name, record.port
    );
    println!("Kubeconfig: {}\n", layout.kubeconfig().display());
    println!(
        "{:<15} {:<10} {:<14} {:<34} PODS' CONTAINERS",
        "NODE", "STATUS", "IP", "CONTAINER"
    );
    for row in rows {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        println!(
            "{:<15} {:<10} {:<14} {:<34} {}",
            text("name"),
            text("state"),
            text("ip"),
            text("container"),
            row["containers"]
        );
    }
    println!("\nNodePorts are served at the nodes' addresses.");
    Ok(())
}

/// What the API server says of the nodes; nothing if it says nothing.
async fn states(layout: &Layout) -> std::collections::HashMap<String, &'static str> {
    let limit = std::time::Duration::from_secs(3);
    let ask = async {
        let client = crate::lab::supervisor::boot::client(&layout.kubeconfig())
            .await
            .ok()?;
        let nodes = kube::Api::<k8s_openapi::api::core::v1::Node>::all(client);
        nodes.list(&kube::api::ListParams::default()).await.ok()
    };
    let nodes = tokio::time::timeout(limit, ask).await.ok().flatten();
    let state = |node: k8s_openapi::api::core::v1::Node| {
        let conditions = node
            .status
            .and_then(|status| status.conditions)
            .unwrap_or_default();
        let ready = conditions
            .iter()
            .any(|it| it.type_ == "Ready" && it.status == "True");
        let state = if ready { "Ready" } else { "NotReady" };
        (node.metadata.name.unwrap_or_default(), state)
    };
    nodes.into_iter().flatten().map(state).collect()
}
