//! The Docker engine, as far as the lab asks it.

use std::collections::HashMap;

use bollard::Docker;
use bollard::errors::Error as Bollard;
use bollard::models::{
    ContainerSummary, Network, NetworkCreateRequest, Volume, VolumeCreateRequest,
};
use bollard::models::{Ipam, IpamConfig};
use bollard::query_parameters::{
    ListContainersOptions, ListNetworksOptions, ListVolumesOptions, RemoveContainerOptions,
    RemoveVolumeOptions,
};

use super::LAB;
use crate::lab::Error;

/// How long the engine may take for one answer.
const TIMEOUT_SECONDS: u64 = 120;
/// How many networks are tried, one after another: labs run side by side.
const NETWORKS: u8 = 250;

/// A connection to the engine.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The client.
    pub docker: Docker,
    /// Its socket on this machine: nodes get it, too.
    pub socket: String,
}

impl Engine {
    /// Connects to the engine of `DOCKER_HOST`, or the usual one.
    ///
    /// # Errors
    /// When none answers: the text says how to get one.
    pub async fn connect() -> Result<Self, Error> {
        let host = std::env::var("DOCKER_HOST")
            .ok()
            .filter(|host| !host.is_empty());
        let host = host.unwrap_or_else(|| "unix:///var/run/docker.sock".into());
        let Some(socket) = host.strip_prefix("unix://") else {
            return Err(Error::Machine(format!(
                "DOCKER_HOST is {host}: the Docker lab needs an engine on this machine, by its \
                 socket"
            )));
        };
        let docker =
            Docker::connect_with_unix(socket, TIMEOUT_SECONDS, bollard::API_DEFAULT_VERSION);
        let docker = docker.map_err(|error| unreachable(socket, &error))?;
        // An older engine than the client says which version it speaks.
        let docker = docker.negotiate_version().await;
        let docker = docker.map_err(|error| unreachable(socket, &error))?;
        docker
            .ping()
            .await
            .map_err(|error| unreachable(socket, &error))?;
        Ok(Self {
            docker,
            socket: socket.to_owned(),
        })
    }

    /// All containers of a lab, nodes and pods, whatever their state.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn containers(&self, lab: &str) -> Result<Vec<ContainerSummary>, Error> {
        let options = ListContainersOptions {
            all: true,
            filters: Some(labelled(lab)),
            ..ListContainersOptions::default()
        };
        let listed = self.docker.list_containers(Some(options)).await;
        listed.map_err(failed("list containers"))
    }

    /// The networks of a lab.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn networks(&self, lab: &str) -> Result<Vec<Network>, Error> {
        let filters = Some(labelled(lab));
        let options = ListNetworksOptions { filters };
        let listed = self.docker.list_networks(Some(options)).await;
        listed.map_err(failed("list networks"))
    }

    /// The volumes of a lab.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn volumes(&self, lab: &str) -> Result<Vec<Volume>, Error> {
        let filters = Some(labelled(lab));
        let options = ListVolumesOptions { filters };
        let listed = self.docker.list_volumes(Some(options)).await;
        Ok(listed
            .map_err(failed("list volumes"))?
            .volumes
            .unwrap_or_default())
    }

    /// Makes the lab's network, one that overlaps with no other. Returns the third number of its
    /// addresses.
    ///
    /// # Errors
    /// When none is free.
    pub async fn create_network(&self, lab: &str) -> Result<u8, Error> {
        let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
        for number in candidates(lab).filter(|number| !is_routed(&routes, *number)) {
            let request = NetworkCreateRequest {
                name: super::network(lab),
                driver: Some("bridge".into()),
                labels: Some(labels(lab)),
                ipam: Some(Ipam {
                    config: Some(vec![IpamConfig {
                        subnet: Some(format!("172.30.{number}.0/24")),
                        gateway: Some(format!("172.30.{number}.1")),
                        ..IpamConfig::default()
                    }]),
                    ..Ipam::default()
                }),
                ..NetworkCreateRequest::default()
            };
            match self.docker.create_network(request).await {
                Ok(_) => return Ok(number),
                Err(error) if error.to_string().contains("overlaps") => {}
                Err(error) => return Err(failed("make the lab's network")(error)),
            }
        }
        Err(Error::Machine(
            "no network 172.30.N.0/24 is free: `docker network ls` shows who has them".into(),
        ))
    }

    /// Makes a volume, if it is not there.
    ///
    /// # Errors
    /// When the engine cannot.
    pub async fn create_volume(&self, lab: &str, name: &str) -> Result<(), Error> {
        let request = VolumeCreateRequest {
            name: Some(name.into()),
            labels: Some(labels(lab)),
            ..VolumeCreateRequest::default()
        };
        let made = self.docker.create_volume(request).await;
        made.map(drop).map_err(failed("make a volume"))
    }

    /// Removes a container, running or not. One that is gone is no error.
    ///
    /// # Errors
    /// When the engine cannot.
    pub async fn remove_container(&self, id: &str) -> Result<(), Error> {
        let options = RemoveContainerOptions {
            force: true,
            v: true,
            ..RemoveContainerOptions::default()
        };
        gone_is_fine(self.docker.remove_container(id, Some(options)).await)
            .map_err(failed("remove a container"))
    }

    /// Removes a volume. One that is gone is no error.
    ///
    /// # Errors
    /// When the engine cannot.
    pub async fn remove_volume(&self, name: &str) -> Result<(), Error> {
        let options = RemoveVolumeOptions { force: true };
        gone_is_fine(self.docker.remove_volume(name, Some(options)).await)
            .map_err(failed("remove a volume"))
    }

    /// Removes a network. One that is gone is no error.
    ///
    /// # Errors
    /// When the engine cannot.
    pub async fn remove_network(&self, name: &str) -> Result<(), Error> {
        gone_is_fine(self.docker.remove_network(name).await).map_err(failed("remove a network"))
    }
}

/// The third numbers of networks, in the order in which they are tried. Each lab begins with
/// another one: of two that start at once neither sees the other's network yet.
fn candidates(lab: &str) -> impl Iterator<Item = u8> {
    let sum = |sum: u32, byte: u8| sum.wrapping_mul(31).wrapping_add(byte.into());
    let first = lab.bytes().fold(7, sum) % u32::from(NETWORKS);
    (0..u32::from(NETWORKS)).map(move |n| ((first + n) % u32::from(NETWORKS)) as u8 + 1)
}

/// Whether this machine has a route of its own to 172.30.N.0/24: the network of another engine,
/// which this one knows nothing of. `routes` is the text of `/proc/net/route`, where addresses are
/// hexadecimal, the last byte first.
fn is_routed(routes: &str, number: u8) -> bool {
    let destinations = routes
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(1));
    let wanted = format!("00{number:02X}1EAC");
    destinations.into_iter().any(|it| it == wanted)
}

/// The label of a lab, for what is made.
pub fn labels(lab: &str) -> HashMap<String, String> {
    HashMap::from([(LAB.to_owned(), lab.to_owned())])
}

/// The label of a lab, as a filter.
fn labelled(lab: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{LAB}={lab}")])])
}

/// For `map_err`: the engine refused `what`.
pub fn failed(what: &'static str) -> impl FnOnce(Bollard) -> Error {
    move |error| Error::Machine(format!("the Docker engine cannot {what}: {}", said(&error)))
}

/// What the engine said, without what the client puts around it.
pub fn said(error: &Bollard) -> String {
    match error {
        Bollard::DockerResponseServerError { message, .. } => message.clone(),
        other => other.to_string(),
    }
}

fn gone_is_fine(result: Result<(), Bollard>) -> Result<(), Bollard> {
    match result {
        Err(Bollard::DockerResponseServerError {
            status_code: 404 | 409,
            ..
        })
        | Ok(()) => Ok(()),
        other => other,
    }
}

fn unreachable(socket: &str, error: &Bollard) -> Error {
    Error::Machine(format!(
        "no Docker engine answers at {socket}: {}\n  start it (`systemctl start docker`, or \
         `dockerd &` as root), or install it (Debian, Ubuntu: `apt-get install docker.io`); an \
         ordinary user has to be in the group `docker`",
        said(error)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_is_tried_once() {
        let mut tried: Vec<u8> = candidates("workshop").collect();
        tried.sort_unstable();
        assert_eq!(tried, (1..=NETWORKS).collect::<Vec<_>>());
        assert_ne!(candidates("one").next(), candidates("two").next());
    }

    #[test]
    fn networks_of_another_engine_are_left_alone() {
        let routes = "Iface Destination Gateway\neth0 00000000 0100000A\nbr-1 00091EAC 00000000\n";
        assert!(is_routed(routes, 9));
        assert!(!is_routed(routes, 8));
    }
}
