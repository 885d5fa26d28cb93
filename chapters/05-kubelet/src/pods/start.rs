//! Starting a pod's containers: volumes and sandbox, then one container after another.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as ContainerSpec, Pod};

use super::hooks;
use super::launch::{self, Launch};
use super::users;
use super::worker::{RetryIn, Worker, is_leaving, sooner};
use crate::Result;
use crate::decide::actions::{self, PodActions};
use crate::decide::fields::PodAddresses;
use crate::decide::status::Waiting;
use crate::decide::{RuntimePod, spec};
use crate::events::Severity;
use crate::images::Standing;
use crate::runtime::{ContainerState, RuntimeError};
use crate::volumes::{Mounted, Volumes, image};

impl Worker {
    /// Makes what the containers need, then the containers, as far as they can be made now.
    pub(super) async fn start(
        &mut self,
        pod: &Arc<Pod>,
        runtime: &mut RuntimePod,
        actions: &PodActions,
    ) -> Result<RetryIn> {
        if !*self.context.network_ready.borrow() && !spec::host_network(pod) {
            let message = "network is not ready: container runtime network not ready: no pod CIDR \
                           assigned";
            let recorder = &self.context.recorder;
            recorder.pod(
                pod,
                Severity::Warning,
                "NetworkNotReady",
                message.to_owned(),
            );
            return Ok(Some(Duration::from_secs(1)));
        }
        let mut addresses = self.addresses(pod, runtime);
        let context = self.context.clone();
        let handler = match self.handler(pod, runtime).await {
            Ok(handler) => handler,
            Err(why) => return Ok(Some(self.sandbox_failed(pod, &why))),
        };
        let sandbox = async {
            match actions.create_sandbox {
                None => Ok(()),
                Some(attempt) => {
                    let users = users::of_pod(&context, pod, &handler).await;
                    let users = users.map_err(RuntimeError::Other)?;
                    let config = launch::sandbox_config(&context, pod, attempt, &handler, users);
                    context.runtime.run_pod_sandbox(config).await.map(drop)
                }
            }
        };
        // What the API is asked for and what the kernel is asked for go side by side; but what is
        // mounted has to be there before the sandbox takes its view of the node's mounts.
        let (volumes, sandbox) = if Volumes::mounts_any(pod) {
            let volumes = self.volumes.mount(pod, &addresses).await;
            let sandbox = if volumes.is_ok() {
                sandbox.await
            } else {
                Ok(())
            };
            (volumes, sandbox)
        } else {
            tokio::join!(self.volumes.mount(pod, &addresses), sandbox)
        };
        if let Err(error) = sandbox {
            return Ok(Some(self.sandbox_failed(pod, &error)));
        }
        let volumes = match volumes {
            Ok(volumes) => volumes,
            Err(error) => return Ok(Some(self.mount_failed(pod, &error))),
        };
        self.mount_failures = 0;
        self.note_shown(pod);
        if actions.create_sandbox.is_some() {
            *runtime = self.look(pod).await?;
            addresses = self.addresses(pod, runtime);
            if uses_own_address(pod) {
                // Files that name the pod's address can be written only now.
                let again = self.volumes.mount(pod, &addresses).await;
                if let Err(error) = again {
                    return Ok(Some(self.mount_failed(pod, &error)));
                }
            }
        }
        let (mut retry_in, mut has_started) = (None, false);
        let init = actions
            .start_init
            .iter()
            .map(|index| &spec::init_containers(pod)[*index]);
        let main = actions
            .start
            .iter()
            .map(|index| &spec::of(pod).containers[*index]);
        let guests: Vec<ContainerSpec> = actions
            .start_ephemeral
            .iter()
            .map(|index| spec::as_container(&spec::ephemeral_containers(pod)[*index]))
            .collect();
        for container in guests.iter().chain(init).chain(main) {
            if is_leaving(&self.desired.borrow()) {
                break;
            }
            let started = self
                .start_container(pod, container, runtime, &volumes, &addresses)
                .await;
            match started {
                Ok(()) => {
                    self.waiting.remove(&container.name);
                    has_started = true;
                }
                Err(Stuck::Pulling) => {}
                Err(Stuck::Waiting(waiting, again_in)) => {
                    self.waiting.insert(container.name.clone(), waiting);
                    retry_in = sooner(retry_in, Some(again_in));
                }
                Err(Stuck::Failed(waiting)) => {
                    self.waiting.insert(container.name.clone(), waiting);
                    actions::hold(&mut self.notes, pod, container, Timestamp::now());
                    let period = actions::RETRY_PERIOD.try_into().unwrap_or_default();
                    retry_in = sooner(retry_in, Some(period));
                }
            }
        }
        *runtime = self.look(pod).await?;
        if has_started && !spec::init_containers(pod).is_empty() {
            // The next step of the pod may follow from this one.
            return Ok(Some(Duration::ZERO));
        }
        Ok(retry_in)
    }

    /// The handler of the pod's runtime: that of its sandbox, else what its class says. Asked for
    /// once, as neither can change.
    async fn handler(
        &mut self,
        pod: &Pod,
        runtime: &RuntimePod,
    ) -> std::result::Result<String, String> {
        if let Some(known) = &self.handler {
            return Ok(known.clone());
        }
        let handler = match runtime.sandboxes.first() {
            Some(sandbox) => sandbox.runtime_handler.clone(),
            None => launch::runtime_handler(&self.context, pod).await?,
        };
        self.images.set_runtime(self.context.runtime_of(&handler));
        self.handler = Some(handler.clone());
        Ok(handler)
    }

    /// Returns when to try again.
    fn sandbox_failed(&mut self, pod: &Pod, error: &dyn std::fmt::Display) -> Duration {
        actions::hold_sandbox(&mut self.notes, Timestamp::now());
        let message = format!("Failed to create pod sandbox: {error}");
        let recorder = &self.context.recorder;
        recorder.pod(pod, Severity::Warning, "FailedCreatePodSandBox", message);
        actions::RETRY_PERIOD.try_into().unwrap_or_default()
    }

    async fn start_container(
        &mut self,
        pod: &Arc<Pod>,
        container: &ContainerSpec,
        runtime: &RuntimePod,
        volumes: &BTreeMap<String, Mounted>,
        addresses: &PodAddresses,
    ) -> std::result::Result<(), Stuck> {
        let name = &container.name;
        let recorder = self.context.recorder.clone();
        let image_id = self.image(pod, container).await?;
        self.mount_images(pod, container).await?;
        let Some(sandbox) = runtime.ready_sandbox() else {
            return Err(Stuck::Pulling);
        };
        let latest = runtime.latest(name);
        if let Some(made) = made_and_not_started(container, runtime) {
            // A kubelet died between the two; this one goes on where that one was.
            return self.start_made(pod, container, runtime, &made).await;
        }
        let attempt = match latest {
            Some(latest) => latest.attempt + 1,
            None => self.restarts_before(pod, name),
        };
        let launch = Launch {
            pod,
            container,
            attempt,
            image_id: &image_id,
            volumes,
            addresses,
            pid_target: pid_target(pod, name, runtime)?,
        };
        let fail = |waiting: Waiting| {
            let message = format!("Error: {}", waiting.message);
            recorder.container(pod, name, Severity::Warning, "Failed", message);
            Stuck::Failed(waiting)
        };
        let config = launch.config(&self.context).await.map_err(fail)?;
        self.note_actuated(container).map_err(|error| {
            let reason = "CreateContainerError".to_owned();
            let message = error.to_string();
            Stuck::Failed(Waiting { reason, message })
        })?;
        let created = self
            .context
            .runtime
            .create_container(&sandbox.id, config)
            .await;
        let id = match created {
            Ok(id) => id,
            Err(error) => {
                let reason = "CreateContainerError".to_owned();
                return Err(fail(Waiting {
                    reason,
                    message: error.to_string(),
                }));
            }
        };
        let failed_at = latest.and_then(actions::finished_at);
        if let Some(failed_at) = failed_at {
            let key = actions::backoff_key(pod, container);
            self.backoff.next(&key, failed_at, Timestamp::now());
        }
        let normal = Severity::Normal;
        recorder.container(pod, name, normal, "Created", "Container created".to_owned());
        self.start_made(pod, container, runtime, &id).await
    }

    /// The id of a container's image, if it is on the node.
    async fn image(
        &mut self,
        pod: &Pod,
        container: &ContainerSpec,
    ) -> std::result::Result<String, Stuck> {
        match self.images.ensure(pod, container).await {
            Standing::Present(id) => Ok(id),
            Standing::Pulling => Err(Stuck::Pulling),
            Standing::Failed(waiting, again_in) => {
                let again_in = again_in.try_into().unwrap_or_default();
                Err(Stuck::Waiting(waiting, again_in))
            }
        }
    }

    /// Mounts the images that the container has as volumes.
    async fn mount_images(
        &mut self,
        pod: &Pod,
        container: &ContainerSpec,
    ) -> std::result::Result<(), Stuck> {
        for (volume, wanted) in image::wanted(pod, container) {
            let id = self.image(pod, &wanted).await?;
            let target = image::path(&self.context.pod_dir(&self.uid), &volume);
            if let Err(error) = self.images.runtime().mount_image(&id, &target) {
                let waiting = Waiting {
                    reason: "CreateContainerConfigError".to_owned(),
                    message: format!("failed to mount image volume \"{volume}\": {error}"),
                };
                return Err(Stuck::Failed(waiting));
            }
        }
        Ok(())
    }

    /// Starts the process of a container that has been made.
    async fn start_made(
        &mut self,
        pod: &Arc<Pod>,
        container: &ContainerSpec,
        runtime: &RuntimePod,
        id: &str,
    ) -> std::result::Result<(), Stuck> {
        let name = &container.name;
        let recorder = self.context.recorder.clone();
        if let Err(error) = self.context.runtime.start_container(id).await {
            // The runtime records it as ended, so restart policy and back-off do the rest; a
            // program that does not exist is also said as the reason that it waits for.
            let message = format!("Error: {error}");
            recorder.container(pod, name, Severity::Warning, "Failed", message);
            let reason = match error {
                RuntimeError::Start(_) => "StartError",
                _ => "RunContainerError",
            };
            let waiting = Waiting {
                reason: reason.to_owned(),
                message: error.to_string(),
            };
            return Err(Stuck::Waiting(waiting, Duration::from_millis(50)));
        }
        let normal = Severity::Normal;
        recorder.container(pod, name, normal, "Started", "Container started".to_owned());
        self.post_start(pod, container, runtime, id).await;
        Ok(())
    }

    /// Runs the `postStart` hook; a container whose hook fails is killed.
    async fn post_start(
        &mut self,
        pod: &Arc<Pod>,
        container: &ContainerSpec,
        runtime: &RuntimePod,
        id: &str,
    ) {
        let lifecycle = container.lifecycle.as_ref();
        let Some(hook) = lifecycle.and_then(|lifecycle| lifecycle.post_start.as_ref()) else {
            return;
        };
        let target = self.target(pod, runtime, Some(Cow::Borrowed(container)), id);
        let mut desired = self.desired.clone();
        let hooked = tokio::select! {
            hooked = hooks::run(&self.context, &target, hook, Duration::from_secs(600)) => hooked,
            _ = desired.wait_for(is_leaving) => return,
        };
        if let Err(error) = hooked {
            let message = format!("PostStartHook failed: {error}");
            let recorder = &self.context.recorder;
            let name = &container.name;
            recorder.container(pod, name, Severity::Warning, "FailedPostStartHook", message);
            let grace = spec::grace_period_seconds(pod);
            self.kills
                .start(target, grace, "FailedPostStartHook".to_owned());
        }
    }

    /// The restart count of a container whose records are lost: one more than the API knows, if
    /// it ever ran.
    fn restarts_before(&self, pod: &Pod, name: &str) -> u32 {
        let status = self.status.as_ref().or(pod.status.as_ref());
        let statuses = status.map(|status| {
            status
                .init_container_statuses
                .iter()
                .chain(&status.container_statuses)
                .flatten()
        });
        let known = statuses.and_then(|mut statuses| statuses.find(|status| status.name == name));
        let Some(known) = known else { return 0 };
        let ran = known.container_id.is_some()
            || known
                .last_state
                .as_ref()
                .is_some_and(|state| state.terminated.is_some());
        u32::try_from(known.restart_count).unwrap_or(0) + u32::from(ran)
    }

    /// Returns when to try again: soon at first, since what is missing is often just being made.
    fn mount_failed(&mut self, pod: &Pod, error: &crate::volumes::MountError) -> Duration {
        let delay = Duration::from_millis(25 << self.mount_failures.min(13));
        self.mount_failures += 1;
        if self.mount_failures > 4 {
            let message = error.message.clone();
            self.context
                .recorder
                .pod(pod, Severity::Warning, "FailedMount", message);
        }
        // What others do is not told to this kubelet, so it looks more often.
        delay.min(Duration::from_secs(if error.waits { 2 } else { 122 }))
    }
}

/// The container that was made of this spec in the pod's sandbox and never started, if any.
fn made_and_not_started(container: &ContainerSpec, runtime: &RuntimePod) -> Option<String> {
    let made = runtime.current(&container.name)?;
    let hash = made.labels.get(spec::HASH_LABEL);
    let is_of_this = hash.is_some_and(|hash| *hash == spec::container_hash(container));
    (made.state == ContainerState::Created && is_of_this).then(|| made.id.clone())
}

/// Whose processes an ephemeral container wants to see: the id of a container that runs.
fn pid_target(
    pod: &Pod,
    name: &str,
    runtime: &RuntimePod,
) -> std::result::Result<Option<String>, Stuck> {
    let mut guests = spec::ephemeral_containers(pod).iter();
    let target = guests
        .find(|guest| guest.name == name)
        .and_then(|guest| guest.target_container_name.as_deref())
        .filter(|target| !target.is_empty());
    let Some(target) = target else {
        return Ok(None);
    };
    match runtime.running().find(|c| c.name == target) {
        Some(container) => Ok(Some(container.id.clone())),
        None => Err(Stuck::Failed(Waiting {
            reason: "CreateContainerConfigError".to_owned(),
            message: format!("unable to find target container {target:?}"),
        })),
    }
}

/// Why a container has not been started.
enum Stuck {
    /// It cannot be made from what there is now.
    Failed(Waiting),
    /// Its image is on its way, and will wake the worker.
    Pulling,
    /// Something else; try again after the delay.
    Waiting(Waiting, Duration),
}

/// Whether a file of the pod's downward API names the pod's own address.
fn uses_own_address(pod: &Pod) -> bool {
    let volumes = spec::of(pod).volumes.as_deref().unwrap_or_default();
    let items = volumes.iter().flat_map(|volume| {
        let own = volume
            .downward_api
            .iter()
            .flat_map(|source| source.items.iter().flatten());
        let projected = volume
            .projected
            .iter()
            .flat_map(|source| source.sources.iter().flatten());
        let projected = projected.filter_map(|source| source.downward_api.as_ref());
        own.chain(projected.flat_map(|source| source.items.iter().flatten()))
    });
    items
        .filter_map(|item| item.field_ref.as_ref())
        .any(|reference| reference.field_path.starts_with("status.podIP"))
}
