//! Calls to the engine: each has a deadline, and each answer a meaning.
//!
//! An engine may hang, and a call without an end would hold up a pod's worker for good. Upstream's
//! limit is `--runtime-request-timeout`, two minutes; what only looks has less here.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerSummary};
use bollard::query_parameters::{
    KillContainerOptions, ListContainersOptions, RemoveContainerOptions,
};

use crate::runtime::{Result, RuntimeError};

/// Longest wait for an answer to a question.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for something to be done. Upstream: `--runtime-request-timeout`.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(120);
/// The oldest API: that of Docker 20.10.
const API_MINOR_MIN: usize = 41;

/// A connection to an engine.
#[derive(Clone)]
pub struct Engine {
    /// For what streams: such a call is not over when it is answered.
    pub docker: Docker,
}

impl Engine {
    /// Connects to the engine at `host`: `unix:///var/run/docker.sock`.
    ///
    /// # Errors
    /// When none answers there, or one that is too old.
    pub async fn connect(host: &str) -> Result<Engine> {
        let docker = Docker::connect_with_host(host).map_err(other)?;
        let docker = tokio::time::timeout(LOOK_TIMEOUT, docker.negotiate_version())
            .await
            .map_err(|_| silent("the version"))?
            .map_err(other)?;
        let version = docker.client_version();
        if version.major_version == 1 && version.minor_version < API_MINOR_MIN {
            return Err(RuntimeError::Other(format!(
                "the engine at {host} speaks API {version}, and 1.{API_MINOR_MIN} is the oldest \
                 that will do"
            )));
        }
        Ok(Engine { docker })
    }

    /// Asks.
    ///
    /// # Errors
    /// What the engine says, or that it says nothing.
    pub async fn look<T>(
        &self,
        what: &str,
        call: impl Future<Output = std::result::Result<T, Error>>,
    ) -> Result<T> {
        within(LOOK_TIMEOUT, what, call).await
    }

    /// Has something done.
    ///
    /// # Errors
    /// What the engine says, or that it says nothing.
    pub async fn change<T>(
        &self,
        what: &str,
        call: impl Future<Output = std::result::Result<T, Error>>,
    ) -> Result<T> {
        within(CHANGE_TIMEOUT, what, call).await
    }

    /// Whether the engine answers.
    pub async fn ping(&self) -> Result<()> {
        self.look("a ping", self.docker.ping()).await.map(drop)
    }

    /// All containers that have these labels, `name=value`; those that do not run, too.
    pub async fn list(&self, labels: Vec<String>) -> Result<Vec<ContainerSummary>> {
        let options = ListContainersOptions {
            all: true,
            filters: Some(HashMap::from([("label".to_owned(), labels)])),
            ..ListContainersOptions::default()
        };
        let list = self.docker.list_containers(Some(options));
        self.look("the containers", list).await
    }

    /// All about one container.
    pub async fn inspect(&self, id: &str) -> Result<ContainerInspectResponse> {
        self.look(id, self.docker.inspect_container(id, None)).await
    }

    /// Kills a container and waits for its end. One that does not run is as good as killed.
    pub async fn kill(&self, id: &str) -> Result<()> {
        let options = KillContainerOptions {
            signal: "KILL".to_owned(),
        };
        let kill = self.docker.kill_container(id, Some(options));
        match self.change(id, kill).await {
            Err(RuntimeError::NotFound(_)) => Ok(()),
            Err(_) if self.has_ended(id).await => Ok(()),
            killed => killed,
        }
    }

    /// Removes a container, with its anonymous volumes, however it is. Idempotent.
    pub async fn remove(&self, id: &str) -> Result<()> {
        let options = RemoveContainerOptions {
            force: true,
            v: true,
            ..RemoveContainerOptions::default()
        };
        match self
            .change(id, self.docker.remove_container(id, Some(options)))
            .await
        {
            Err(RuntimeError::NotFound(_)) => Ok(()),
            // Somebody else's removal is under way, which will do.
            Err(RuntimeError::Other(why)) if why.contains("already in progress") => Ok(()),
            removed => removed,
        }
    }

    /// Whether a container does not run.
    pub async fn has_ended(&self, id: &str) -> bool {
        match self.inspect(id).await {
            Ok(found) => found.state.and_then(|state| state.running) != Some(true),
            Err(error) => matches!(error, RuntimeError::NotFound(_)),
        }
    }
}

async fn within<T>(
    limit: Duration,
    what: &str,
    call: impl Future<Output = std::result::Result<T, Error>>,
) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) if status(&error) == Some(404) => Err(RuntimeError::NotFound(what.into())),
        Ok(Err(error)) => Err(RuntimeError::Other(said(&error))),
        Err(_) => Err(silent(what)),
    }
}

/// The engine's status code, where it answered.
pub fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// What the engine said, in the words of its own client.
pub fn said(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => {
            format!("Error response from daemon: {message}")
        }
        Error::DockerStreamError { error } => error.clone(),
        other => other.to_string(),
    }
}

fn silent(what: &str) -> RuntimeError {
    RuntimeError::Other(format!("the Docker engine does not answer (asked: {what})"))
}

/// An error that has no other meaning.
pub fn other(error: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Other(error.to_string())
}
