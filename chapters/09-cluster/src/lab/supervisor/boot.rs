//! From the first process to a cluster that answers: each step waits for its event.

use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Node;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc;

use super::Event;
use crate::lab::components::{CONTROL_PLANE_ROLE, DNS_IP, DOMAIN};
use crate::lab::gateway::names;
use crate::lab::record::CONTROL_PLANE;

/// How often something is asked that cannot be watched.
const RETRY: Duration = Duration::from_millis(3);
/// The name under which the lab's own objects are applied.
const FIELD_MANAGER: &str = "workshop-lab";

/// What a step may fail with.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Tells the steps as they are taken.
#[derive(Clone)]
pub struct Steps {
    /// Where to.
    pub events: mpsc::Sender<Event>,
}

impl Steps {
    async fn doing(&self, what: impl Into<String>) {
        let _ = self.events.send(Event::Doing(what.into())).await;
    }

    async fn did(&self, what: impl Into<String>) {
        let _ = self.events.send(Event::Did(what.into())).await;
    }
}

/// A client of the API server, as the administrator.
///
/// # Errors
/// When the kubeconfig cannot be read.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    let config = kube::config::Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await?;
    Ok(Client::try_from(config)?)
}

/// Takes all steps. `control_plane` is the network namespace of the control plane, from which the
/// cluster's DNS is asked; without it, that is left out.
///
/// # Errors
/// When an object cannot be applied, or no answer is had any more.
pub async fn run(client: Client, steps: Steps, control_plane: Option<OwnedFd>) -> Result<()> {
    steps.doing("API server").await;
    // The socket listens since before the lab began, so this waits in its queue: no polling.
    while let Err(error) = client.request_text(get("/readyz")).await {
        tracing::debug!(%error, "not ready yet");
        tokio::time::sleep(RETRY).await;
    }
    steps.did("API server is ready").await;
    steps.doing("nodes").await;
    let system = async {
        apply(&client, system_objects()?).await?;
        deployments(&client).await
    };
    let nodes_then_system = async {
        let count = nodes_ready(&client, &steps).await?;
        steps.did(format!("{count} nodes are Ready")).await;
        steps.doing("system pods").await;
        Result::Ok(())
    };
    let (nodes, system) = futures::join!(nodes_then_system, system);
    nodes?;
    steps.did(format!("System pods run: {}", system?)).await;
    if let Some(control_plane) = control_plane {
        steps.doing("cluster DNS").await;
        let answered = tokio::task::spawn_blocking(move || dns_answers(&control_plane));
        steps
            .did(format!("DNS answers for {}", answered.await??))
            .await;
    }
    Ok(())
}

fn get(path: &str) -> http::Request<Vec<u8>> {
    http::Request::get(path)
        .body(Vec::new())
        .expect("the path is well-formed")
}

/// What every lab has besides its components.
fn system_objects() -> Result<Vec<DynamicObject>> {
    proxy::dns::manifests()
        .into_iter()
        .map(|object| Ok(serde_json::from_value(object)?))
        .collect()
}

/// Makes the objects, or brings those that are there in line.
async fn apply(client: &Client, objects: Vec<DynamicObject>) -> Result<()> {
    let each = objects.into_iter().map(|object| apply_one(client, object));
    futures::future::try_join_all(each).await.map(drop)
}

async fn apply_one(client: &Client, object: DynamicObject) -> Result<()> {
    let kind = object.types.clone().ok_or("a manifest without a kind")?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(kind)?);
    let name = object
        .metadata
        .name
        .clone()
        .ok_or("a manifest without a name")?;
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let post = PostParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PostParams::default()
    };
    match api.create(&post, &object).await {
        // It is there. A Service says so with 422 before anything can say 409: the address that it
        // asks for is taken, by itself.
        Err(kube::Error::Api(status)) if matches!(status.code, 409 | 422) => {
            let patch = PatchParams::apply(FIELD_MANAGER).force();
            api.patch(&name, &patch, &Patch::Apply(&object)).await?;
        }
        other => drop(other.map_err(|error| format!("{} {name}: {error}", resource.kind))?),
    }
    Ok(())
}

/// Waits until all nodes are Ready, as said after this start; then goes on telling how they are,
/// on a task of its own.
async fn nodes_ready(client: &Client, steps: &Steps) -> Result<usize> {
    let (told, mut all_ready) = mpsc::channel(1);
    let events = steps.events.clone();
    let began = Timestamp::now();
    let api = Api::<Node>::all(client.clone());
    tokio::spawn(async move {
        let nodes = watcher(api.clone(), watcher::Config::default());
        let mut nodes = std::pin::pin!(nodes.default_backoff().touched_objects());
        while let Some(node) = nodes.next().await {
            let Ok(node) = node else { continue };
            if let Err(error) = label_control_plane(&api, &node).await {
                tracing::warn!(%error, "the control plane's node has no role");
            }
            let state = state(&node, began);
            let name = node.metadata.name.unwrap_or_default();
            if events
                .send(Event::NodeState(name, state, told.clone()))
                .await
                .is_err()
            {
                return;
            }
        }
    });
    all_ready
        .recv()
        .await
        .ok_or_else(|| "the supervisor ends".into())
}

/// Gives the control plane's node its role, for all to see: `kubeadm` does so as well.
async fn label_control_plane(api: &Api<Node>, node: &Node) -> kube::Result<()> {
    let labelled = node
        .metadata
        .labels
        .iter()
        .flatten()
        .any(|(name, _)| name == CONTROL_PLANE_ROLE);
    if node.metadata.name.as_deref() != Some(CONTROL_PLANE) || labelled {
        return Ok(());
    }
    let labels = serde_json::json!({"metadata": {"labels": {CONTROL_PLANE_ROLE: ""}}});
    let patch = Patch::Merge(&labels);
    api.patch(CONTROL_PLANE, &PatchParams::default(), &patch)
        .await
        .map(drop)
}

/// What a node's condition says, unless it was said before `began`.
fn state(node: &Node, began: Timestamp) -> String {
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions
        .into_iter()
        .find(|condition| condition.type_ == "Ready");
    let Some(ready) = ready else {
        return "Unknown".into();
    };
    // Times in the API have whole seconds.
    let fresh = ready
        .last_heartbeat_time
        .as_ref()
        .is_none_or(|time| time.0.as_second() >= began.as_second() - 1);
    match (ready.status.as_str(), fresh) {
        ("True", true) => "Ready".into(),
        _ => "NotReady".into(),
    }
}

/// Waits until the Deployments of `kube-system` have all their pods; names them.
async fn deployments(client: &Client) -> Result<String> {
    let api = Api::<Deployment>::namespaced(client.clone(), "kube-system");
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut waiting = std::collections::BTreeMap::new();
    let mut listed = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(deployment) | watcher::Event::InitApply(deployment)) => {
                let missing = !is_available(&deployment);
                waiting.insert(deployment.metadata.name.unwrap_or_default(), missing);
            }
            Ok(watcher::Event::Delete(deployment)) => {
                waiting.remove(&deployment.metadata.name.unwrap_or_default());
            }
            Ok(watcher::Event::Init) => waiting.clear(),
            Ok(watcher::Event::InitDone) => listed = true,
            Err(_) => continue,
        }
        if listed && !waiting.is_empty() && waiting.values().all(|missing| !missing) {
            return Ok(waiting.into_keys().collect::<Vec<_>>().join(", "));
        }
    }
    Err("the watch of Deployments ended".into())
}

fn is_available(deployment: &Deployment) -> bool {
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let Some(status) = &deployment.status else {
        return wanted == 0;
    };
    status.observed_generation >= deployment.metadata.generation
        && status.available_replicas.unwrap_or(0) >= wanted
        && status.updated_replicas.unwrap_or(0) >= wanted
}

/// Waits until the cluster's DNS answers on its Service's address, asked from a node.
fn dns_answers(node: &OwnedFd) -> std::io::Result<String> {
    let name = format!("kubernetes.default.svc.{DOMAIN}");
    let question = names::question(1, &name).expect("the name is well-formed");
    let ask = || {
        // A socket for each try: the kernel remembers for a flow that there was no rule for it.
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        socket.connect((DNS_IP, 53))?;
        socket.send(&question)?;
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer)?;
        std::io::Result::Ok(names::addresses(&buffer[..length]).unwrap_or_default())
    };
    netlink::netns::in_netns(node, || {
        while ask().map_or(true, |addresses| addresses.is_empty()) {
            std::thread::sleep(RETRY);
        }
    })
    .map_err(std::io::Error::other)?;
    Ok(name)
}
