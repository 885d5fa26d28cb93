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
//! Nothing here waits for long: pulls and kills run beside it, and wake it. How containers are
//! started is in `start.rs`, how the pod ends in `terminate.rs`.
//!
//! Upstream: `pkg/kubelet/pod_workers.go` and `kubelet.go: SyncPod`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container as ContainerSpec, Pod, PodStatus};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::check::{self, Target};
use super::messages;
use super::probes::Probes;
use super::timing::Timing;
use super::writer::StatusWriter;
use super::{allocation, kill, terminate};
use crate::Result;
use crate::context::Context;
use crate::decide::actions::{self, PodActions};
use crate::decide::admission::Rejection;
use crate::decide::backoff::Backoff;
use crate::decide::conditions::OWNED;
use crate::decide::ending;
use crate::decide::fields::PodAddresses;
use crate::decide::resize::Allocation;
use crate::decide::status::{self, Ended, StatusInput, Waiting};
use crate::decide::{Notes, RuntimePod, pod_key, spec, static_pod};
use crate::events::Severity;
use crate::images::Images;
use crate::runtime::{Container, SandboxState};
use crate::volumes::Volumes;

/// What the API server wants of a pod.
#[derive(Debug, Clone)]
pub struct Desired {
    /// The pod as last seen.
    pub pod: Arc<Pod>,
    /// It is not in the API any more, or not in the folder of static pods.
    pub gone: bool,
    /// Where the status of a static pod goes.
    pub mirror: Option<Arc<Pod>>,
    /// The node wants it to end.
    pub order: Option<Order>,
}

/// Why and how the node ends a pod.
#[derive(Debug, Clone)]
pub struct Order {
    /// `Evicted`, or `Terminated` at a shutdown.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// How long its containers have.
    pub grace_seconds: i64,
    /// Somebody should look.
    pub warning: bool,
}

/// The state of one worker.
pub struct Worker {
    pub(super) context: Arc<Context>,
    pub(super) uid: String,
    pub(super) desired: watch::Receiver<Desired>,
    pub(super) wake: Arc<Notify>,
    pub(super) probes: Probes,
    pub(super) writer: StatusWriter,
    /// The mirror that the writer writes to.
    mirror_uid: Option<String>,
    pub(super) images: Images,
    pub(super) volumes: Volumes,
    pub(super) mount_failures: u32,
    /// When the volumes were last brought up to date; `None`: not by this kubelet.
    pub(super) refreshed: Option<Instant>,
    /// The labels and annotations that the volumes show.
    pub(super) shown: Option<(Texts, Texts)>,
    pub(super) backoff: Backoff,
    pub(super) waiting: HashMap<String, Waiting>,
    /// The handler of the pod's runtime, once it is known.
    pub(super) handler: Option<String>,
    pub(super) ended: Option<Ended>,
    /// How long its containers have to end, if the kubelet decides that itself.
    pub(super) grace_override: Option<i64>,
    /// Set if the node does not take the pod.
    pub(super) rejected: Option<Rejection>,
    /// The node has taken the pod.
    pub(super) admitted: bool,
    pub(super) allocation: Allocation,
    /// A resize is under way.
    pub(super) resizing: bool,
    pub(super) notes: Notes,
    /// The status last stated.
    pub(super) status: Option<PodStatus>,
    pub(super) kills: kill::Kills,
    timing: Timing,
}

/// Labels or annotations.
pub(super) type Texts = Option<BTreeMap<String, String>>;

/// When to look again without being woken.
pub(super) type RetryIn = Option<Duration>;

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
            probes: Probes::new(context.clone(), wake.clone(), &pod),
            writer: StatusWriter::new(context.client.clone(), &pod),
            mirror_uid: None,
            images: Images::new(context.clone(), wake.clone()),
            volumes: Volumes::new(context.clone(), &uid, wake.clone()),
            kills: kill::Kills::new(context.clone(), wake.clone()),
            mount_failures: 0,
            refreshed: None,
            shown: None,
            backoff: Backoff::new(),
            waiting: HashMap::new(),
            handler: None,
            ended: None,
            grace_override: None,
            rejected: None,
            admitted: false,
            allocation: allocation::load(&context.pod_dir(&uid)).unwrap_or_default(),
            resizing: false,
            notes: Notes::default(),
            status: None,
            timing: Timing::new(&pod),
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
            let mut room = self.context.ledger.changes();
            let began = Instant::now();
            let synced = self.sync(&desired.pod).await;
            let metrics = &self.context.metrics;
            self.timing.stepped(metrics, &desired.pod, began.elapsed());
            let retry_in = match synced {
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
                _ = room.changed(), if self.notes.resize_pending.is_some() => {}
                () = sleep(retry_in) => {}
            }
        }
    }

    /// Takes the pod one step towards what is wanted.
    async fn sync(&mut self, wanted: &Arc<Pod>) -> Result<RetryIn> {
        self.admit(wanted).await?;
        if self.rejected.is_some() {
            self.state(wanted, &RuntimePod::default(), true);
            return Ok(None);
        }
        let pod = &self.allocate(wanted)?;
        let mut runtime = self.look(pod).await?;
        self.obey(pod);
        self.end_if_too_old(pod);
        if self.is_over(pod) {
            self.stop_all(pod, &runtime).await;
            let runtime = self.look(pod).await?;
            self.state(pod, &runtime, runtime.is_stopped());
            if runtime.is_stopped() {
                if self.grace_override.is_some() {
                    // A node that goes waits for this pod to leave the ledger.
                    self.writer.flush().await;
                }
                self.context.ledger.leave(&self.uid);
            }
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
            let container = spec::find_container(pod, &kill.name);
            let target = self.target(pod, &runtime, container, &kill.container_id);
            let grace = kill
                .grace_period_seconds
                .unwrap_or(spec::grace_period_seconds(pod));
            self.kills.start(target, grace, kill.message.clone());
            if kill.restarts {
                self.notes.restarting.insert(kill.container_id.clone());
            }
        }
        retry_in = sooner(retry_in, self.resize(pod, &actions.resize).await?);
        runtime.notes.clone_from(&self.notes);
        if actions.create_sandbox.is_some()
            || !actions.start.is_empty()
            || !actions.start_init.is_empty()
            || !actions.start_ephemeral.is_empty()
        {
            retry_in = sooner(retry_in, self.start(pod, &mut runtime, &actions).await?);
        }
        self.probes.update(pod, &runtime);
        self.state(pod, &runtime, false);
        self.note_resized(pod);
        self.collect_garbage(pod, &runtime).await;
        retry_in = sooner(retry_in, self.refresh_volumes(pod, &runtime).await);
        Ok(sooner(retry_in, self.until_too_old(pod)))
    }

    /// What the runtime says there is.
    pub(super) async fn look(&self, pod: &Pod) -> Result<RuntimePod> {
        let (runtime, uid) = (&self.context.runtime, Some(self.uid.as_str()));
        let sandboxes = runtime.list_pod_sandboxes(uid).await?;
        let containers = runtime.list_containers(uid).await?;
        let mut runtime = RuntimePod {
            sandboxes,
            containers,
            notes: self.notes.clone(),
        };
        let messages = messages::read(pod, &runtime);
        status::add_termination_messages(&mut runtime, &messages);
        Ok(runtime)
    }

    /// States the pod's status, from what is known now.
    pub(super) fn state(&mut self, pod: &Arc<Pod>, runtime: &RuntimePod, stopped: bool) {
        let probes = self.probes.results();
        let handler = runtime.sandboxes.first().map(|one| &*one.runtime_handler);
        let scheme = self.context.scheme(handler.unwrap_or_default());
        let input = StatusInput {
            runtime,
            probes: &probes,
            waiting: &self.waiting,
            ended: self.ended.as_ref(),
            stopped,
            scheme: &scheme,
            node_ips: &self.context.node_ips,
            features: self.context.runtime.features(),
            now: Timestamp::now(),
        };
        let base = self.with_last_status(pod);
        let status = match &self.rejected {
            Some(rejection) => status::rejected(pod, rejection),
            None => status::pod_status(&base, &input),
        };
        let pulling = self.images.time_of_pulls();
        let metrics = &self.context.metrics;
        self.timing.stated(metrics, pod, &status, pulling);
        self.status = Some(status.clone());
        if static_pod::is_static(pod) {
            self.say_to_mirror(status);
        } else {
            self.writer.say(pod, status);
        }
    }

    /// A static pod's status goes to its mirror, once there is one. Each mirror has a writer of
    /// its own, as it is another object of the API.
    fn say_to_mirror(&mut self, status: PodStatus) {
        let Some(mirror) = self.desired.borrow().mirror.clone() else {
            return;
        };
        if self.mirror_uid != mirror.metadata.uid {
            self.mirror_uid.clone_from(&mirror.metadata.uid);
            self.writer = StatusWriter::new(self.context.client.clone(), &mirror);
        }
        self.writer.say(&mirror, status);
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

    /// Ends the pod if the node wants that: once, and for good.
    fn obey(&mut self, pod: &Pod) {
        let order = self.desired.borrow().order.clone();
        let Some(order) = order.filter(|_| self.ended.is_none() && !spec::is_terminal(pod)) else {
            return;
        };
        let ended = Ended {
            reason: order.reason,
            message: order.message,
        };
        let severity = if order.warning {
            Severity::Warning
        } else {
            Severity::Normal
        };
        let recorder = &self.context.recorder;
        recorder.pod(pod, severity, &ended.reason, ended.message.clone());
        self.grace_override = Some(order.grace_seconds);
        self.notes.disruption = Some(Waiting {
            reason: "TerminationByKubelet".to_owned(),
            message: ended.message.clone(),
        });
        self.ended = Some(ended);
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
                .and_then(|container| self.backoff.delay(&actions::backoff_key(pod, &container)))
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
        let held = actions.held.iter().map(|(_, remaining)| remaining);
        for remaining in held.chain(&actions.sandbox_held) {
            let remaining = Duration::try_from(*remaining).unwrap_or_default();
            retry_in = sooner(retry_in, Some(remaining + Duration::from_millis(1)));
        }
        retry_in
    }

    /// Stops all that is left of a pod that is over, or whose sandbox is.
    async fn stop_all(&mut self, pod: &Arc<Pod>, runtime: &RuntimePod) {
        self.probes.stop();
        let grace = self
            .grace_override
            .unwrap_or(spec::grace_period_seconds(pod));
        kill::stop_waves(&self.context, self.targets(pod, runtime), grace).await;
        for sandbox in &runtime.sandboxes {
            if sandbox.state == SandboxState::Ready
                && let Err(error) = self.context.runtime.stop_pod_sandbox(&sandbox.id).await
            {
                tracing::warn!(pod = pod_key(pod), %error, "sandbox not stopped");
            }
        }
    }

    /// What runs of the pod, in the order in which it ends.
    pub(super) fn targets(&self, pod: &Arc<Pod>, runtime: &RuntimePod) -> Vec<Vec<Target>> {
        let target = |container: &Container| {
            let spec = spec::find_container(pod, &container.name);
            self.target(pod, runtime, spec, &container.id)
        };
        let waves = ending::waves(pod, runtime).into_iter();
        waves
            .map(|wave| wave.iter().map(target).collect())
            .collect()
    }

    pub(super) fn target(
        &self,
        pod: &Arc<Pod>,
        runtime: &RuntimePod,
        container: Option<Cow<'_, ContainerSpec>>,
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
            container: container
                .map(Cow::into_owned)
                .unwrap_or_else(|| ContainerSpec {
                    name: name.unwrap_or_default(),
                    ..ContainerSpec::default()
                }),
            container_id: id.to_owned(),
            pod_ip: check::pod_ip(&self.context, pod, &ips),
        }
    }

    pub(super) fn addresses(&self, pod: &Pod, runtime: &RuntimePod) -> PodAddresses {
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

/// Whether the pod has to go from the node.
pub(super) fn is_leaving(desired: &Desired) -> bool {
    desired.gone || desired.pod.metadata.deletion_timestamp.is_some()
}

pub(super) fn sooner(a: RetryIn, b: RetryIn) -> RetryIn {
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
