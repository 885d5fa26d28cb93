//! NodePort Services on the host's loopback: what a browser on the host opens.
//!
//! A node answers on a Service's port on its own address, which the host has no way to. So the
//! supervisor watches Services and listens on 127.0.0.1 under the same port, for TCP.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::LabSide;
use crate::lab::control::PortStatus;

/// A forwarded port.
struct Forward {
    service: String,
    task: Option<JoinHandle<()>>,
    problem: Option<String>,
}

impl Drop for Forward {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Follows the Services and forwards their ports to `node`; tells `changed` what is forwarded.
pub async fn serve(
    client: Client,
    lab: LabSide,
    node: Ipv4Addr,
    changed: mpsc::Sender<Vec<PortStatus>>,
) {
    let mut services: BTreeMap<String, Vec<(String, u16)>> = BTreeMap::new();
    let mut relisted = None;
    let mut forwards: BTreeMap<u16, Forward> = BTreeMap::new();
    let events = watcher(Api::<Service>::all(client), watcher::Config::default());
    let mut events = std::pin::pin!(events.default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(service)) => {
                services.insert(name_of(&service), ports_of(&service));
            }
            Ok(watcher::Event::Delete(service)) => {
                services.remove(&name_of(&service));
            }
            Ok(watcher::Event::Init) => relisted = Some(BTreeMap::new()),
            Ok(watcher::Event::InitApply(service)) => {
                let list = relisted.get_or_insert_with(BTreeMap::new);
                list.insert(name_of(&service), ports_of(&service));
            }
            Ok(watcher::Event::InitDone) => services = relisted.take().unwrap_or_default(),
            Err(_) => continue,
        }
        if relisted.is_none() && update(&mut forwards, &services, &lab, node).await {
            let list = forwards.iter().map(|(port, forward)| PortStatus {
                port: *port,
                service: forward.service.clone(),
                problem: forward.problem.clone(),
            });
            if changed.send(list.collect()).await.is_err() {
                return;
            }
        }
    }
}

fn name_of(service: &Service) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    format!(
        "{}/{}",
        part(&service.metadata.namespace),
        part(&service.metadata.name)
    )
}

/// The NodePorts of a Service that are for TCP, each with the name of its port.
fn ports_of(service: &Service) -> Vec<(String, u16)> {
    let ports = service
        .spec
        .iter()
        .flat_map(|spec| spec.ports.iter().flatten());
    ports
        .filter(|port| {
            port.protocol
                .as_deref()
                .is_none_or(|protocol| protocol == "TCP")
        })
        .filter_map(|port| {
            let name = port.name.clone().unwrap_or_else(|| port.port.to_string());
            Some((name, u16::try_from(port.node_port?).ok()?))
        })
        .collect()
}

/// Brings the forwards in line with the services; says whether any changed.
async fn update(
    forwards: &mut BTreeMap<u16, Forward>,
    services: &BTreeMap<String, Vec<(String, u16)>>,
    lab: &LabSide,
    node: Ipv4Addr,
) -> bool {
    let wanted: BTreeMap<u16, String> = services
        .iter()
        .flat_map(|(service, ports)| {
            ports
                .iter()
                .map(move |(name, port)| (*port, format!("{service}:{name}")))
        })
        .collect();
    let before = forwards.len();
    forwards.retain(|port, forward| wanted.get(port) == Some(&forward.service));
    let mut changed = forwards.len() != before;
    for (port, service) in wanted {
        if forwards.contains_key(&port) {
            continue;
        }
        changed = true;
        let (task, problem) = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => {
                let to = SocketAddr::from((node, port));
                (Some(tokio::spawn(forward(listener, lab.clone(), to))), None)
            }
            Err(error) => {
                tracing::warn!(port, service, %error, "NodePort is not forwarded from the host");
                (None, Some(error.to_string()))
            }
        };
        forwards.insert(
            port,
            Forward {
                service,
                task,
                problem,
            },
        );
    }
    changed
}

async fn forward(listener: TcpListener, lab: LabSide, to: SocketAddr) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else {
            continue;
        };
        let lab = lab.clone();
        tokio::spawn(async move {
            // A refused connection is passed on as one that ends at once.
            if let Ok(mut server) = lab.connect(to).await {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}
