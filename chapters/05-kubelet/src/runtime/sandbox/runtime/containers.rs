//! Containers: worked out, started, stopped, forgotten.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::super::client;
use super::super::pods::Entry;
use super::super::protocol::Request;
use super::super::record::{
    CONTAINER_FILE, ContainerRecord, ContainerStatus, Exit, STATUS_FILE, write_json,
};
use super::super::spec::{Context, RootSpec, container_spec};
use super::{SandboxRuntime, ignore_not_found, new_id, other};
use crate::runtime::{ContainerConfig, Result, RuntimeError};

impl SandboxRuntime {
    pub(super) async fn create(&self, sandbox_id: &str, config: ContainerConfig) -> Result<String> {
        let missing = || RuntimeError::NotFound(format!("image {:?}", config.image));
        let image = self.images.find(&config.image_id)?.ok_or_else(missing)?;
        let root = RootSpec {
            layers_dir: self.images.layers_dir(),
            layers: image.layers.clone(),
            host_paths: image.host_paths.clone(),
            read_only: config.security.read_only_root_filesystem,
        };
        let users = self.images.users(&image);
        let id = new_id();
        let record = {
            let state = self.pods.lock();
            let pod = state.pod(sandbox_id)?;
            let context = Context {
                sandbox: &pod.record.config,
                image: &image.config,
                users: &users,
                uid_map: &self.uid_map,
                gid_map: &self.gid_map,
            };
            let mut record = ContainerRecord {
                id: id.clone(),
                name: config.name.clone(),
                attempt: config.attempt,
                image: config.image.clone(),
                image_ref: image.image_ref(),
                created_at: Timestamp::now(),
                labels: config.labels.clone(),
                spec: container_spec(&config, root, context)?,
            };
            self.make_cgroups(pod, &mut record)?;
            record
        };
        let dir = self.pods.container_dir(sandbox_id, &id);
        let created = |error: io::Error| RuntimeError::Create(error.to_string());
        std::fs::create_dir_all(&dir).map_err(created)?;
        write_json(&dir.join(CONTAINER_FILE), &record).map_err(created)?;
        self.images.hold(&id, &image).map_err(created)?;
        let mut state = self.pods.lock();
        let missing = || RuntimeError::NotFound(format!("sandbox {sandbox_id:?}"));
        let pod = state.pods.get_mut(sandbox_id).ok_or_else(missing)?;
        pod.containers.insert(
            id.clone(),
            Entry {
                record,
                status: ContainerStatus::default(),
            },
        );
        Ok(id)
    }

    pub(super) async fn start(&self, container_id: &str) -> Result<()> {
        let (sandbox_id, uid) = {
            let state = self.pods.lock();
            let (pod, _) = state.container(container_id)?;
            if !pod.ready {
                let message = format!("sandbox {:?} is not ready", pod.record.id);
                return Err(RuntimeError::Start(message));
            }
            (
                pod.record.id.clone(),
                pod.record.config.metadata.uid.clone(),
            )
        };
        let request = Request::Start {
            container_id: container_id.into(),
        };
        match client::call(&self.pods.dir(&sandbox_id), request).await {
            Ok(_) => {
                self.pods.started(container_id);
                self.pods.changed(&uid);
                Ok(())
            }
            Err(error) => {
                let exit = Exit {
                    code: 128,
                    finished_at: Timestamp::now(),
                    reason: "StartError".into(),
                    message: error.to_string(),
                };
                let status = ContainerStatus {
                    started_at: None,
                    pid: None,
                    exit: Some(exit.clone()),
                };
                let dir = self.pods.container_dir(&sandbox_id, container_id);
                let _ = write_json(&dir.join(STATUS_FILE), &status);
                self.pods.exited(&sandbox_id, container_id, exit);
                Err(RuntimeError::Start(error.to_string()))
            }
        }
    }

    pub(super) async fn stop(&self, container_id: &str, grace_period_seconds: i64) -> Result<()> {
        let stop_signal = match self.pods.lock().container(container_id) {
            Ok((_, entry)) => entry.record.spec.stop_signal,
            Err(_) => return Ok(()),
        };
        if let Ok(grace @ 1..) = u64::try_from(grace_period_seconds) {
            self.signal(container_id, stop_signal).await?;
            let grace = Duration::from_secs(grace);
            if tokio::time::timeout(grace, self.ended(container_id))
                .await
                .is_ok()
            {
                return Ok(());
            }
        }
        self.signal(container_id, 9).await?;
        self.ended(container_id).await;
        Ok(())
    }

    pub(super) async fn remove(&self, container_id: &str) -> Result<()> {
        self.stop(container_id, 0).await?;
        let Ok(sandbox_id) = self
            .pods
            .lock()
            .container(container_id)
            .map(|(pod, _)| pod.record.id.clone())
        else {
            return Ok(());
        };
        let request = Request::Remove {
            container_id: container_id.into(),
        };
        // A shim that is gone has forgotten it already.
        let _ = client::call(&self.pods.dir(&sandbox_id), request).await;
        self.remove_cgroups(container_id);
        if let Some(pod) = self.pods.lock().pods.get_mut(&sandbox_id) {
            pod.containers.remove(container_id);
        }
        self.images.release(container_id);
        let dir = self.pods.container_dir(&sandbox_id, container_id);
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(dir));
        removed
            .await
            .map_err(other)?
            .or_else(ignore_not_found)
            .map_err(other)
    }

    /// Where a container's sandbox is, if the container runs.
    pub(super) fn running(&self, container_id: &str) -> Result<PathBuf> {
        let state = self.pods.lock();
        let (pod, entry) = state.container(container_id)?;
        if entry.status.started_at.is_none() || entry.status.exit.is_some() || !pod.ready {
            return Err(RuntimeError::Other(format!(
                "container {container_id:?} is not running"
            )));
        }
        Ok(self.pods.dir(&pod.record.id))
    }

    async fn signal(&self, container_id: &str, signal: i32) -> Result<()> {
        let Ok(dir) = self.running(container_id) else {
            return Ok(());
        };
        let container_id = container_id.to_string();
        match client::call(
            &dir,
            Request::Signal {
                container_id,
                signal,
            },
        )
        .await
        {
            // Gone meanwhile, and the container with it.
            Ok(_) | Err(RuntimeError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn ended(&self, container_id: &str) {
        self.pods
            .wait_until(|state| match state.container(container_id) {
                Ok((_, entry)) => entry.status.exit.is_some() || entry.status.started_at.is_none(),
                Err(_) => true,
            })
            .await;
    }
}
