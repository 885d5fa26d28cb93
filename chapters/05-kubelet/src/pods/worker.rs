//! One pod's worker: looks, decides, acts, says how it is, and waits for news.
//!
//! ```text
//!            ┌──────────────────────────────────────────────────────────┐
//!            ▼                                                          │
//!   look at the runtime ─▶ decide (pure) ─▶ act ─▶ state the status ─▶ wait for: the pod
//!            │                                                          changed, a container
//!            │ deleted                                                  ended, a probe's verdict,
//!            ▼                                                          a pull, a back-off's end
//!        terminate
//! ```
//!
//! Nothing here waits for long: pulls and kills run beside it, and wake it.
//! Upstream: `pkg/kubelet/pod_workers.go` and `kubelet.go: SyncPod`.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container as ContainerSpec, Pod, PodStatus};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::check::{self, Target};
use super::launch::{self, Launch};
use super::messages;
use super::probes::Probes;
use super::writer::StatusWriter;
use super::{hooks, kill, terminate};
use crate::Result;
use crate::context::Context;
use crate::decide::actions::{self, PodActions};
use crate::decide::backoff::Backoff;
use crate::decide::conditions::OWNED;
use crate::decide::fields::PodAddresses;
use crate::decide::status::{self, Ended, StatusInput, Waiting};
use crate::decide::{RuntimePod, pod_key, spec};
use crate::events::Severity;
use crate::images::{Images, Standing};
use crate::runtime::{ContainerState, RuntimeError, SandboxState};
use crate::volumes::Volumes;

/// How often volumes that show what the API holds are brought up to date.
const VOLUME_REFRESH: Duration = Duration::from_secs(30);

/// What the API server wants of a pod.
#[derive(Debug, Clone)]
pub struct Desired {
    /// The pod as last seen.
    pub pod: Arc<Pod>,
    /// It is not in the API any more.
    pub gone: bool,
}

/// The state of one worker.
pub struct Worker {
    pub(super) context: Arc<Context>,
    pub(super) uid: String,
    pub(super) desired: watch::Receiver<Desired>,
    pub(super) wake: Arc<Notify>,
    pub(super) probes: Probes,
    pub(super) writer: StatusWriter,
    images: Images,
    volumes: Volumes,
    mount_failures: u32,
    /// When the volumes were last brought up to date; `None`: not by this kubelet.
    refreshed: Option<Instant>,
    backoff: Backoff,
    waiting: HashMap<String, Waiting>,
    /// When to try again what could not be started.
    retry_at: HashMap<String, Instant>,
    ended: Option<Ended>,
    /// The status last stated.
    status: Option<PodStatus>,
    kills: kill::Kills,
}

/// When to look again without being woken.
type RetryIn = Option<Duration>;

impl Worker {
    /// A worker for a pod, woken through `wake`.
    pub fn new(
        context: Arc<Context>,
        desired: watch::Receiver<Desired>,
        wake: Arc<Notify>,
    ) -> Worker {
        let pod = desired.borrow().pod.clone();
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        Worker {
            probes: Probes::new(context.clone(), wake.clone()),
            writer: StatusWriter::new(context.client.clone(), &pod),
            images: Images::new(context.clone(), wake.clone()),
            volumes: Volumes::new(context.clone(), &uid),
            kills: kill::Kills::new(context.clone(), wake.clone()),
            mount_failures: 0,
            refreshed: None,
            backoff: Backoff::new(),
            waiting: HashMap::new(),
            retry_at: HashMap::new(),
            ended: None,
            status: None,
            context,
            uid,
            desired,
            wake,
        }
    }

    /// Works until the pod is gone from the node.
    pub async fn run(mut self) {
        loop {
            let desired = self.desired.borrow_and_update().clone();
            if is_leaving(&desired) {
                return terminate::terminate(self).await;
            }
            let retry_in = match self.sync(&desired.pod).await {
                Ok(retry_in) => retry_in,
                Err(error) => {
                    tracing::warn!(pod = pod_key(&desired.pod), %error, "sync failed");
                    Some(Duration::from_secs(1))
                }
            };
            let mut network = self.context.network_ready.clone();
            network.mark_unchanged();
            tokio::select! {
                changed = self.desired.changed() => {
                    if changed.is_err() {
                        // The kubelet stops; its pods go on.
                        return;
                    }
                }
                () = self.wake.notified() => {}
                _ = network.changed() => {}
                () = sleep(retry_in) => {}
            }
        }
    }

    /// Takes the pod one step towards what is wanted.
    async fn sync(&mut self, pod: &Arc<Pod>) -> Result<RetryIn> {
        let mut runtime = self.look(pod).await?;
        self.end_if_too_old(pod);
        if self.is_over(pod) {
            self.stop_all(pod, &runtime).await;
            let runtime = self.look(pod).await?;
            self.state(pod, &runtime, runtime.is_stopped());
            return Ok((!runtime.is_stopped()).then_some(Duration::from_secs(1)));
        }
        let probes = self.probes.results();
        let now = Timestamp::now();
        let actions = actions::compute_actions(pod, &runtime, &probes, &self.backoff, now);
        tracing::debug!(pod = pod_key(pod), ?actions, "sync");
        let mut retry_in = self.note_back_off(pod, &actions);
        self.state(pod, &runtime, false);

        if actions.kill_pod {
            if actions.create_sandbox.is_some() {
                let message = "Pod sandbox changed, it will be killed and re-created.".to_owned();
                let recorder = &self.context.recorder;
                recorder.pod(pod, Severity::Normal, "SandboxChanged", message);
            }
            self.stop_all(pod, &runtime).await;
            runtime = self.look(pod).await?;
        }
        for kill in &actions.kill {
            let container = spec::find_container(pod, &kill.name).cloned();
            let target = self.target(pod, &runtime, container, &kill.container_id);
            let grace = kill
                .grace_period_seconds
                .unwrap_or(spec::grace_period_seconds(pod));
            self.kills.start(target, grace, kill.message.clone());
        }
        if actions.create_sandbox.is_some()
            || !actions.start.is_empty()
            || !actions.start_init.is_empty()
        {
            retry_in = sooner(retry_in, self.start(pod, &mut runtime, &actions).await?);
        }
        self.probes.update(pod, &runtime);
        self.state(pod, &runtime, false);
        self.collect_garbage(pod, &runtime).await;
        retry_in = sooner(retry_in, self.refresh_volumes(pod, &runtime).await);
        Ok(sooner(retry_in, self.until_too_old(pod)))
    }

    /// What the runtime says there is.
    pub(super) async fn look(&self, pod: &Pod) -> Result<RuntimePod> {
        let mut sandboxes = self.context.runtime.list_pod_sandboxes().await?;
        sandboxes.retain(|sandbox| sandbox.metadata.uid == self.uid);
        let containers = self
            .context
            .runtime
            .list_containers(Some(&self.uid))
            .await?;
        let mut runtime = RuntimePod {
            sandboxes,
            containers,
        };
        let messages = messages::read(pod, &runtime);
        status::add_termination_messages(&mut runtime, &messages);
        Ok(runtime)
    }

    /// States the pod's status, from what is known now.
    pub(super) fn state(&mut self, pod: &Arc<Pod>, runtime: &RuntimePod, stopped: bool) {
        let probes = self.probes.results();
        let scheme = self.context.scheme();
        let input = StatusInput {
            runtime,
            probes: &probes,
            waiting: &self.waiting,
            ended: self.ended.as_ref(),
            stopped,
            scheme: &scheme,
            node_ips: &self.context.node_ips,
            now: Timestamp::now(),
        };
        let base = self.with_last_status(pod);
        let status = status::pod_status(&base, &input);
        self.status = Some(status.clone());
        self.writer.say(pod, status);
    }

    /// The pod with the status this worker last stated, which may be ahead of what the API server
    /// sent, and with everybody else's conditions from there.
    fn with_last_status(&self, pod: &Arc<Pod>) -> Pod {
        let mut base = Pod::clone(pod);
        let Some(mut status) = self.status.clone() else {
            return base;
        };
        let theirs = pod
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_deref());
        let theirs = theirs.unwrap_or_default().iter();
        let ours = status.conditions.take().unwrap_or_default().into_iter();
        let is_ours = |type_: &str| OWNED.contains(&type_);
        let conditions = ours.filter(|condition| is_ours(&condition.type_)).chain(
            theirs
                .filter(|condition| !is_ours(&condition.type_))
                .cloned(),
        );
        status.conditions = Some(conditions.collect());
        base.status = Some(status);
        base
    }

    /// Whether the pod has ended and will not run again.
    fn is_over(&self, pod: &Pod) -> bool {
        let stated = self
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        self.ended.is_some()
            || spec::is_terminal(pod)
            || matches!(stated, Some("Succeeded" | "Failed"))
    }

    /// `activeDeadlineSeconds`: the pod may not run longer.
    fn end_if_too_old(&mut self, pod: &Pod) {
        if self.ended.is_some() || spec::is_terminal(pod) {
            return;
        }
        if self.until_too_old(pod) == Some(Duration::ZERO) {
            let message = "Pod was active on the node longer than the specified deadline";
            let ended = Ended {
                reason: "DeadlineExceeded".to_owned(),
                message: message.to_owned(),
            };
            let recorder = &self.context.recorder;
            recorder.pod(pod, Severity::Normal, &ended.reason, ended.message.clone());
            self.ended = Some(ended);
        }
    }

    fn until_too_old(&self, pod: &Pod) -> RetryIn {
        let seconds = spec::of(pod).active_deadline_seconds?;
        let stated = self
            .status
            .as_ref()
            .and_then(|status| status.start_time.clone());
        let start = stated.or_else(|| pod.status.as_ref()?.start_time.clone())?;
        let deadline = start.0 + SignedDuration::from_secs(seconds);
        Some(
            Timestamp::now()
                .duration_until(deadline)
                .try_into()
                .unwrap_or_default(),
        )
    }

    /// Tells of containers that wait out their back-off; returns when the first may start.
    fn note_back_off(&mut self, pod: &Pod, actions: &PodActions) -> RetryIn {
        let key = format!(
            "{}_{}({})",
            pod.metadata.name.as_deref().unwrap_or_default(),
            pod.metadata.namespace.as_deref().unwrap_or_default(),
            self.uid
        );
        let mut retry_in = None;
        for (name, remaining) in &actions.backing_off {
            let container = spec::find_container(pod, name);
            let delay = container
                .and_then(|container| self.backoff.delay(&actions::backoff_key(pod, container)))
                .unwrap_or_default();
            let minutes = delay.as_secs() / 60;
            let seconds = delay.as_secs() % 60;
            let delay = if minutes > 0 {
                format!("{minutes}m{seconds}s")
            } else {
                format!("{seconds}s")
            };
            let message = format!("back-off {delay} restarting failed container={name} pod={key}");
            let waiting = Waiting {
                reason: "CrashLoopBackOff".to_owned(),
                message,
            };
            if self.waiting.insert(name.clone(), waiting.clone()) != Some(waiting) {
                let message = format!("Back-off restarting failed container {name} in pod {key}");
                let recorder = &self.context.recorder;
                recorder.container(pod, name, Severity::Warning, "BackOff", message);
            }
            let remaining = Duration::try_from(*remaining).unwrap_or_default();
            retry_in = sooner(retry_in, Some(remaining + Duration::from_millis(1)));
        }
        retry_in
    }

    /// Makes what the containers need, then the containers, as far as they can be made now.
    async fn start(
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
        let sandbox = async {
            match actions.create_sandbox {
                None => Ok(()),
                Some(attempt) => {
                    let config = launch::sandbox_config(&context, pod, attempt);
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
            let message = format!("Failed to create pod sandbox: {error}");
            let recorder = &self.context.recorder;
            recorder.pod(pod, Severity::Warning, "FailedCreatePodSandBox", message);
            return Ok(Some(Duration::from_secs(1)));
        }
        let volumes = match volumes {
            Ok(volumes) => volumes,
            Err(error) => return Ok(Some(self.mount_failed(pod, &error))),
        };
        self.mount_failures = 0;
        self.refreshed = Some(Instant::now());
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
        let mut retry_in = None;
        let init = actions
            .start_init
            .iter()
            .map(|index| &spec::init_containers(pod)[*index]);
        let main = actions
            .start
            .iter()
            .map(|index| &spec::of(pod).containers[*index]);
        for container in init.chain(main) {
            if is_leaving(&self.desired.borrow()) {
                break;
            }
            let started = self
                .start_container(pod, container, runtime, &volumes, &addresses)
                .await;
            match started {
                Ok(()) => {
                    self.waiting.remove(&container.name);
                    self.retry_at.remove(&container.name);
                    // The next step of the pod may follow from this one.
                    retry_in = Some(Duration::ZERO);
                }
                Err(Stuck::Pulling) => {}
                Err(Stuck::Waiting(waiting, again_in)) => {
                    self.waiting.insert(container.name.clone(), waiting);
                    self.retry_at
                        .insert(container.name.clone(), Instant::now() + again_in);
                    retry_in = sooner(retry_in, Some(again_in));
                }
            }
        }
        *runtime = self.look(pod).await?;
        if retry_in == Some(Duration::ZERO) && spec::init_containers(pod).is_empty() {
            retry_in = None;
        }
        Ok(retry_in)
    }

    async fn start_container(
        &mut self,
        pod: &Arc<Pod>,
        container: &ContainerSpec,
        runtime: &RuntimePod,
        volumes: &BTreeMap<String, PathBuf>,
        addresses: &PodAddresses,
    ) -> std::result::Result<(), Stuck> {
        let name = &container.name;
        let recorder = self.context.recorder.clone();
        let image_id = match self.images.ensure(pod, container).await {
            Standing::Present(id) => id,
            Standing::Pulling => return Err(Stuck::Pulling),
            Standing::Failed(waiting, again_in) => {
                return Err(Stuck::Waiting(
                    waiting,
                    again_in.try_into().unwrap_or_default(),
                ));
            }
        };
        let Some(sandbox) = runtime.ready_sandbox() else {
            return Err(Stuck::Pulling);
        };
        let latest = runtime.latest(name);
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
        };
        let fail = |waiting: Waiting| {
            let message = format!("Error: {}", waiting.message);
            recorder.container(pod, name, Severity::Warning, "Failed", message);
            Stuck::Waiting(waiting, Duration::from_secs(10))
        };
        let config = launch.config(&self.context).await.map_err(fail)?;
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
        if let Err(error) = self.context.runtime.start_container(&id).await {
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
        recorder.container(pod, name, normal, "Started", "Container started".to_owned());
        self.post_start(pod, container, runtime, &id).await;
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
        let target = self.target(pod, runtime, Some(container.clone()), id);
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
            let message = format!(
                "MountVolume.SetUp failed for volume \"{}\" : {}",
                error.volume, error.message
            );
            self.context
                .recorder
                .pod(pod, Severity::Warning, "FailedMount", message);
        }
        delay.min(Duration::from_secs(122))
    }

    /// Brings volumes that show what the API holds up to date, when it is time.
    async fn refresh_volumes(&mut self, pod: &Pod, runtime: &RuntimePod) -> RetryIn {
        if runtime.ready_sandbox().is_none() || !Volumes::may_change(pod) {
            return None;
        }
        let is_due = |at: Instant| at.elapsed() >= VOLUME_REFRESH;
        if self.refreshed.is_none_or(is_due) {
            self.refreshed = Some(Instant::now());
            let addresses = self.addresses(pod, runtime);
            if let Err(error) = self.volumes.mount(pod, &addresses).await {
                // What was shown stays; so upstream.
                tracing::debug!(pod = pod_key(pod), ?error, "volume not refreshed");
            }
        }
        self.refreshed
            .map(|at| VOLUME_REFRESH.saturating_sub(at.elapsed()))
    }

    /// Removes ended containers but the last two of a name, and sandboxes without any.
    async fn collect_garbage(&self, pod: &Pod, runtime: &RuntimePod) {
        let mut kept: HashMap<&str, usize> = HashMap::new();
        let mut needed: Vec<&str> = Vec::new();
        for container in &runtime.containers {
            let count = kept.entry(&container.name).or_default();
            *count += 1;
            let ended = matches!(container.state, ContainerState::Exited { .. });
            if *count > 2 && ended && spec::find_container(pod, &container.name).is_some() {
                let removed = self.context.runtime.remove_container(&container.id).await;
                if removed.is_ok() {
                    let _already_gone = std::fs::remove_file(&container.log_path);
                }
            } else {
                needed.push(&container.sandbox_id);
            }
        }
        for old in runtime.sandboxes.iter().skip(1) {
            let unused = !needed.contains(&old.id.as_str());
            if unused && old.state == SandboxState::NotReady {
                let removed = self.context.runtime.remove_pod_sandbox(&old.id).await;
                if let Err(error) = removed {
                    tracing::debug!(sandbox = old.id, %error, "old sandbox not removed");
                }
            }
        }
    }

    /// Stops all that is left of a pod that is over, or whose sandbox is.
    async fn stop_all(&mut self, pod: &Arc<Pod>, runtime: &RuntimePod) {
        self.probes.stop();
        let grace = spec::grace_period_seconds(pod);
        let running: Vec<_> = runtime.running().cloned().collect();
        let stops = running.iter().map(|container| {
            let target = self.target(
                pod,
                runtime,
                spec::find_container(pod, &container.name).cloned(),
                &container.id,
            );
            let message = format!("Stopping container {}", container.name);
            kill::stop_container(self.context.clone(), target, grace, message)
        });
        futures::future::join_all(stops).await;
        for sandbox in &runtime.sandboxes {
            if sandbox.state == SandboxState::Ready
                && let Err(error) = self.context.runtime.stop_pod_sandbox(&sandbox.id).await
            {
                tracing::warn!(pod = pod_key(pod), %error, "sandbox not stopped");
            }
        }
    }

    pub(super) fn target(
        &self,
        pod: &Arc<Pod>,
        runtime: &RuntimePod,
        container: Option<ContainerSpec>,
        id: &str,
    ) -> Target {
        let ips = runtime
            .sandbox()
            .map(|sandbox| sandbox.ips.clone())
            .unwrap_or_default();
        let name = runtime
            .containers
            .iter()
            .find(|c| c.id == id)
            .map(|c| c.name.clone());
        Target {
            pod: pod.clone(),
            container: container.unwrap_or_else(|| ContainerSpec {
                name: name.unwrap_or_default(),
                ..ContainerSpec::default()
            }),
            container_id: id.to_owned(),
            pod_ip: check::pod_ip(&self.context, pod, &ips),
        }
    }

    fn addresses(&self, pod: &Pod, runtime: &RuntimePod) -> PodAddresses {
        let text = |ips: &[std::net::IpAddr]| ips.iter().map(ToString::to_string).collect();
        let host_ips: Vec<String> = text(&self.context.node_ips);
        let own = runtime.ready_sandbox().map(|sandbox| text(&sandbox.ips));
        let pod_ips = if spec::host_network(pod) {
            host_ips.clone()
        } else {
            own.unwrap_or_default()
        };
        PodAddresses { pod_ips, host_ips }
    }
}

/// Why a container has not been started.
enum Stuck {
    /// Its image is on its way, and will wake the worker.
    Pulling,
    /// Something else; try again after the delay.
    Waiting(Waiting, Duration),
}

/// Whether the pod has to go from the node.
pub(super) fn is_leaving(desired: &Desired) -> bool {
    desired.gone || desired.pod.metadata.deletion_timestamp.is_some()
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

fn sooner(a: RetryIn, b: RetryIn) -> RetryIn {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

async fn sleep(retry_in: RetryIn) {
    match retry_in {
        Some(delay) => tokio::time::sleep(delay).await,
        None => std::future::pending().await,
    }
}
