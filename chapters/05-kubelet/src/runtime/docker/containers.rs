//! Containers: made, started, stopped, looked at, forgotten.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary, ContainerSummaryStateEnum,
};
use bollard::query_parameters::StopContainerOptions;
use jiff::Timestamp;

use super::engine::{other, said};
use super::labels::{self, Labels};
use super::sandboxes::SHARE_PROCESSES;
use super::spec::{self, EngineMount, PodNamespaces};
use super::{Inner, memory::MemoryVolume};
use crate::runtime::{
    Container, ContainerConfig, ContainerState, Propagation, Resources, Result, RuntimeError,
    SecurityProfile,
};

/// What is added to a grace period before the engine is given up on.
const STOP_TIMEOUT: Duration = Duration::from_secs(120);
/// Files of the sandbox, and where a container sees them.
const FILES: [(&str, &str); 3] = [
    ("hosts", "/etc/hosts"),
    ("hostname", "/etc/hostname"),
    ("resolv.conf", "/etc/resolv.conf"),
];

impl Inner {
    pub(super) async fn create(&self, sandbox_id: &str, config: ContainerConfig) -> Result<String> {
        let sandbox = self.engine.inspect(sandbox_id).await?;
        let of_sandbox = sandbox
            .config
            .and_then(|config| config.labels)
            .unwrap_or_default();
        let metadata = labels::metadata(&of_sandbox);
        let host_config = sandbox.host_config.unwrap_or_default();
        let own = self.place.own_namespace();
        let pod = PodNamespaces {
            pause: sandbox_id.to_owned(),
            host_network: host_config.network_mode.as_deref() != Some("none"),
            host_pid: host_config.pid_mode.as_deref() == Some("host"),
            host_ipc: host_config.ipc_mode == Some(own),
            share_process_namespace: of_sandbox.contains_key(SHARE_PROCESSES),
        };
        let image = self.engine.docker.inspect_image(&config.image_id);
        let image = self.engine.look(&config.image, image).await?;
        let image_user = image
            .config
            .and_then(|config| config.user)
            .unwrap_or_default();
        let digests = image.repo_digests.unwrap_or_default();
        let image_ref = digests
            .into_iter()
            .next()
            .unwrap_or_else(|| config.image_id.clone());
        let mounts = self.mounts(&config, &metadata).await?;
        let log_path = self.log_path(&metadata, &config.log_path);
        let own = labels::of_container(&config, &metadata, sandbox_id, &log_path, &image_ref);
        let own = self.with_own(own);
        let seccomp = seccomp_text(&config.security.seccomp)?;
        let seccomp = seccomp.as_deref();
        let place = &self.place;
        let body = spec::container(&config, &pod, place, &mounts, &image_user, seccomp, own);
        let name = labels::container_name(&config.name, &metadata, config.attempt);
        self.create_named(&name, body).await
    }

    /// Where the kubelet looks for a pod's logs.
    fn log_path(&self, pod: &crate::runtime::PodMetadata, log: &Path) -> PathBuf {
        let folder = format!("{}_{}_{}", pod.namespace, pod.name, pod.uid);
        self.config.root_dir.join("log/pods").join(folder).join(log)
    }

    /// The mounts of a container, as the engine has them.
    async fn mounts(
        &self,
        config: &ContainerConfig,
        pod: &crate::runtime::PodMetadata,
    ) -> Result<Vec<EngineMount>> {
        let memory = self.memory_volumes(&pod.uid);
        let mut mounts = Vec::new();
        for mount in &config.mounts {
            let (source, create) = self.source(&mount.host_path, &memory).await?;
            mounts.push(EngineMount {
                source,
                target: mount.container_path.clone(),
                read_only: mount.read_only,
                propagation: mount.propagation,
                create,
            });
        }
        let files = self.files(pod);
        for (name, target) in FILES {
            // What the pod mounts there itself wins.
            if mounts.iter().any(|mount| mount.target == Path::new(target)) {
                continue;
            }
            mounts.push(EngineMount {
                source: self.place.engine_path(&files.join(name))?,
                target: target.into(),
                read_only: config.security.read_only_root_filesystem,
                propagation: Propagation::None,
                create: false,
            });
        }
        Ok(mounts)
    }

    /// The engine's path of a file of the node, and whether it may have to be made there.
    async fn source(&self, path: &Path, memory: &[MemoryVolume]) -> Result<(PathBuf, bool)> {
        for volume in memory {
            if let Ok(rest) = path.strip_prefix(&volume.path) {
                let root = self.mountpoint(&volume.volume).await?;
                let has_rest = !rest.as_os_str().is_empty();
                let source = if has_rest { root.join(rest) } else { root };
                return Ok((source, has_rest));
            }
        }
        Ok((self.place.engine_path(path)?, false))
    }

    pub(super) async fn start(&self, container_id: &str) -> Result<()> {
        let start = self.engine.docker.start_container(container_id, None);
        // What the engine cannot start it remembers as such: see `state_of`.
        let started = match tokio::time::timeout(STOP_TIMEOUT, start).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(RuntimeError::Start(said(&error))),
            Err(_) => Err(other("the Docker engine does not answer")),
        };
        if started.is_ok() {
            let found = self.engine.inspect(container_id).await?;
            let own = found
                .config
                .and_then(|config| config.labels)
                .unwrap_or_default();
            let path = PathBuf::from(labels::text(&own, labels::LOG_PATH));
            self.follow_log(container_id, &path);
        }
        started
    }

    pub(super) async fn stop(&self, container_id: &str, grace_period_seconds: i64) -> Result<()> {
        let Ok(grace @ 1..) = u64::try_from(grace_period_seconds) else {
            return self.engine.kill(container_id).await;
        };
        let options = StopContainerOptions {
            signal: None,
            t: Some(i32::try_from(grace).unwrap_or(i32::MAX)),
        };
        let stop = self
            .engine
            .docker
            .stop_container(container_id, Some(options));
        let limit = Duration::from_secs(grace) + STOP_TIMEOUT;
        match tokio::time::timeout(limit, stop).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) if self.engine.has_ended(container_id).await => Ok(()),
            Ok(Err(error)) => Err(other(said(&error))),
            Err(_) => Err(other("the Docker engine does not answer")),
        }
    }

    pub(super) async fn resize(&self, container_id: &str, resources: &Resources) -> Result<()> {
        let update = self
            .engine
            .docker
            .update_container(container_id, spec::update(resources));
        self.engine.change(container_id, update).await.map(drop)
    }

    pub(super) async fn remove(&self, container_id: &str) -> Result<()> {
        self.logs.end(container_id);
        self.engine.remove(container_id).await?;
        self.state().seen.remove(container_id);
        Ok(())
    }

    pub(super) async fn list_containers(&self, pod_uid: Option<&str>) -> Result<Vec<Container>> {
        let mut wanted = self.own_labels();
        wanted.push(format!("{}={}", labels::TYPE, labels::CONTAINER));
        wanted.extend(pod_uid.map(|uid| format!("{}={uid}", labels::POD_UID)));
        let mut containers = Vec::new();
        for found in self.engine.list(wanted).await? {
            match self.describe(found).await {
                Ok(container) => containers.push(container),
                // Removed since it was listed.
                Err(RuntimeError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        containers
            .sort_by_key(|container| std::cmp::Reverse((container.created_at, container.attempt)));
        if pod_uid.is_none() {
            let ids: Vec<&str> = containers.iter().map(|it| it.id.as_str()).collect();
            self.state().seen.retain(|id, _| ids.contains(&id.as_str()));
        }
        Ok(containers)
    }

    /// A container, looked at closely if its state is another than when last seen.
    async fn describe(&self, found: ContainerSummary) -> Result<Container> {
        let id = found.id.unwrap_or_default();
        let state = found.state.unwrap_or(ContainerSummaryStateEnum::EMPTY);
        if let Some((seen_in, container)) = self.state().seen.get(&id)
            && *seen_in == state
            // One that could not be started stays "created", with a reason.
            && state != ContainerSummaryStateEnum::CREATED
        {
            return Ok(container.clone());
        }
        let inspected = self.engine.inspect(&id).await?;
        let container = describe(&inspected)?;
        if matches!(container.state, ContainerState::Exited { .. }) {
            // What it said last is there when its end is told.
            self.logs.drained(&id).await;
        }
        let is_same =
            |inspected: ContainerStateStatusEnum| inspected.to_string() == state.to_string();
        let now = inspected.state.and_then(|state| state.status);
        if now.is_some_and(is_same) {
            self.state().seen.insert(id, (state, container.clone()));
        }
        Ok(container)
    }
}

/// A container in the kubelet's words.
fn describe(found: &ContainerInspectResponse) -> Result<Container> {
    let config = found.config.as_ref();
    let own: Labels = config
        .and_then(|config| config.labels.clone())
        .unwrap_or_default();
    let created_at = found.created.as_deref().and_then(time);
    let created_at = created_at.ok_or_else(|| other("a container without a time"))?;
    let state = found.state.clone().unwrap_or_default();
    let started_at = state.started_at.as_deref().and_then(time);
    Ok(Container {
        id: found.id.clone().unwrap_or_default(),
        sandbox_id: labels::text(&own, labels::SANDBOX_ID),
        name: labels::text(&own, labels::CONTAINER_NAME),
        attempt: labels::attempt(&own),
        image: labels::text(&own, labels::IMAGE),
        image_ref: labels::text(&own, labels::IMAGE_REF),
        state: state_of(&state, created_at),
        created_at,
        started_at,
        log_path: labels::text(&own, labels::LOG_PATH).into(),
        labels: labels::sorted(&own),
        // The engine tells what was asked for, not what became of it.
        user: None,
    })
}

/// Upstream: `cri-dockerd`, `core/container_status.go`.
fn state_of(state: &bollard::models::ContainerState, created_at: Timestamp) -> ContainerState {
    if state.running == Some(true) {
        return ContainerState::Running;
    }
    let exit_code = i32::try_from(state.exit_code.unwrap_or(0)).unwrap_or(-1);
    let message = state.error.clone().unwrap_or_default();
    let exited = |finished_at, reason: &str| ContainerState::Exited {
        exit_code,
        finished_at,
        reason: reason.to_owned(),
        message: message.clone(),
    };
    match state.finished_at.as_deref().and_then(time) {
        Some(at) if state.oom_killed == Some(true) => exited(at, "OOMKilled"),
        Some(at) if exit_code == 0 => exited(at, "Completed"),
        Some(at) => exited(at, "Error"),
        None if exit_code != 0 => exited(created_at, "ContainerCannotRun"),
        None => ContainerState::Created,
    }
}

/// A time of the engine's; the year 1 stands for none.
fn time(text: &str) -> Option<Timestamp> {
    let time: Timestamp = text.parse().ok()?;
    (time.as_second() > 0).then_some(time)
}

/// The text of the node's profile that a container asks for, if it asks for one.
fn seccomp_text(profile: &SecurityProfile) -> Result<Option<String>> {
    let SecurityProfile::Localhost(path) = profile else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        RuntimeError::Create(format!("cannot load seccomp profile \"{path}\": {error}"))
    })?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &str) {
        let state: bollard::models::ContainerState = serde_json::from_str(json).unwrap();
        let created = Timestamp::from_second(1).unwrap();
        let said = match state_of(&state, created) {
            ContainerState::Exited {
                exit_code,
                reason,
                finished_at,
                ..
            } => format!("{reason} {exit_code} {finished_at}"),
            other => format!("{other:?}"),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn states_are_told_apart() {
        check(
            r#"{"Running":true,"FinishedAt":"0001-01-01T00:00:00Z"}"#,
            "Running",
        );
        let never = r#""Running":false,"FinishedAt":"0001-01-01T00:00:00Z""#;
        check(&format!(r#"{{{never},"ExitCode":0}}"#), "Created");
        check(
            &format!(r#"{{{never},"ExitCode":127}}"#),
            "ContainerCannotRun 127 1970-01-01T00:00:01Z",
        );
        let ended = r#""Running":false,"FinishedAt":"2026-01-02T03:04:05Z""#;
        check(
            &format!(r#"{{{ended},"ExitCode":0}}"#),
            "Completed 0 2026-01-02T03:04:05Z",
        );
        check(
            &format!(r#"{{{ended},"ExitCode":3}}"#),
            "Error 3 2026-01-02T03:04:05Z",
        );
        check(
            &format!(r#"{{{ended},"ExitCode":137,"OOMKilled":true}}"#),
            "OOMKilled 137 2026-01-02T03:04:05Z",
        );
    }
}
