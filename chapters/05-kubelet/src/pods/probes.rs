//! Probes of one pod's containers: a small task for each, while its container runs.
//!
//! Upstream: `pkg/kubelet/prober`. One thing is done sooner here: while a container is in its
//! first second and nobody listens on its port yet, it is asked again after a few milliseconds,
//! without counting or telling; so a server is ready when it is, not when the next period begins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as ContainerSpec, Pod, Probe};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::check::{self, Action, Answer, Target};
use crate::context::Context;
use crate::decide::probe::{Kind, ProbeState, found_before, is_asked};
use crate::decide::{Outcome, ProbeResults, RuntimePod, spec};
use crate::events::Severity;
use crate::metrics::ProbeLabels;
use crate::runtime::ContainerState;

/// The probes of one pod.
pub struct Probes {
    context: Arc<Context>,
    wake: Arc<Notify>,
    results: Arc<Mutex<ProbeResults>>,
    tasks: HashMap<(String, Kind), AbortHandle>,
}

impl Probes {
    /// For a worker of `pod` that is woken through `wake` when a verdict changes.
    pub fn new(context: Arc<Context>, wake: Arc<Notify>, pod: &Pod) -> Probes {
        Probes {
            context,
            wake,
            results: Arc::new(Mutex::new(found_before(pod))),
            tasks: HashMap::new(),
        }
    }

    /// What they say now.
    pub fn results(&self) -> ProbeResults {
        self.results.lock().expect("no panics inside").clone()
    }

    /// Starts probes of containers that run, ends those of containers that do not.
    pub fn update(&mut self, pod: &Arc<Pod>, runtime: &RuntimePod) {
        self.tasks.retain(|(id, _), task| {
            let runs = runtime.running().any(|container| container.id == *id);
            if !runs {
                task.abort();
            }
            runs
        });
        let ids: Vec<&str> = runtime.containers.iter().map(|c| c.id.as_str()).collect();
        let mut results = self.results.lock().expect("no panics inside");
        let results = &mut *results;
        for kind in [
            &mut results.startup,
            &mut results.readiness,
            &mut results.liveness,
        ] {
            kind.retain(|id, _| ids.contains(&id.as_str()));
        }

        let ips = runtime.sandbox().map(|s| s.ips.clone()).unwrap_or_default();
        let pod_ip = check::pod_ip(&self.context, pod, &ips);
        for container in runtime.running() {
            let Some(container_spec) = spec::find_container(pod, &container.name) else {
                continue;
            };
            let started_at = match container.state {
                ContainerState::Running => container.started_at.unwrap_or(container.created_at),
                _ => continue,
            };
            for (kind, probe) in probes_of(&container_spec) {
                let key = (container.id.clone(), kind);
                let is_settled =
                    kind == Kind::Startup && results.startup.contains_key(&container.id);
                if is_settled || self.tasks.contains_key(&key) {
                    continue;
                }
                let prober = Prober {
                    context: self.context.clone(),
                    wake: self.wake.clone(),
                    results: self.results.clone(),
                    target: Target {
                        pod: pod.clone(),
                        container: container_spec.clone().into_owned(),
                        container_id: container.id.clone(),
                        pod_ip: pod_ip.clone(),
                    },
                    kind,
                    probe: probe.clone(),
                    started_at,
                };
                self.tasks
                    .insert(key, tokio::spawn(prober.run()).abort_handle());
            }
        }
    }

    /// Ends all probes: the pod is going.
    pub fn stop(&mut self) {
        for (_, task) in self.tasks.drain() {
            task.abort();
        }
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.stop();
    }
}

fn probes_of(container: &ContainerSpec) -> impl Iterator<Item = (Kind, &Probe)> {
    let startup = container
        .startup_probe
        .iter()
        .map(|probe| (Kind::Startup, probe));
    let readiness = container
        .readiness_probe
        .iter()
        .map(|probe| (Kind::Readiness, probe));
    let liveness = container
        .liveness_probe
        .iter()
        .map(|probe| (Kind::Liveness, probe));
    startup.chain(readiness).chain(liveness)
}

struct Prober {
    context: Arc<Context>,
    wake: Arc<Notify>,
    results: Arc<Mutex<ProbeResults>>,
    target: Target,
    kind: Kind,
    probe: Probe,
    started_at: Timestamp,
}

impl Prober {
    async fn run(self) {
        let period = seconds(self.probe.period_seconds, 10);
        let delay = i64::from(self.probe.initial_delay_seconds.unwrap_or(0));
        let first = self.started_at + jiff::SignedDuration::from_secs(delay);
        let wait = Timestamp::now().duration_until(first);
        tokio::time::sleep(wait.try_into().unwrap_or_default()).await;
        self.wait_for_startup().await;
        let mut state = ProbeState::default();
        let Some(action) = action_of(&self.probe) else {
            return;
        };
        self.ask_until_somebody_listens(action).await;
        let mut tick = tokio::time::interval(period);
        loop {
            tick.tick().await;
            let result = self.ask(action).await;
            self.count(result.is_ok());
            let outcome = if result.is_ok() {
                Outcome::Success
            } else {
                Outcome::Failure
            };
            let told = match result {
                Ok(Answer::Fine) => None,
                Ok(Answer::Warning(warning)) => Some(("ProbeWarning", "warning", warning)),
                Err(output) => Some(("Unhealthy", "failed", output)),
            };
            if let Some((reason, word, output)) = told {
                let message = format!("{} probe {word}: {output}", self.kind.title());
                let (pod, name) = (&self.target.pod, &self.target.container.name);
                let recorder = &self.context.recorder;
                recorder.container(pod, name, Severity::Warning, reason, message);
            }
            if let Some(verdict) = state.record(&self.probe, outcome) {
                self.tell(verdict);
                // Startup is asked only until it is decided.
                if self.kind == Kind::Startup {
                    return;
                }
            }
        }
    }

    async fn ask(&self, action: Action<'_>) -> Result<Answer, String> {
        let timeout = seconds(self.probe.timeout_seconds, 1);
        check::run(&self.context, &self.target, action, timeout).await
    }

    fn count(&self, good: bool) {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let meta = &self.target.pod.metadata;
        self.context.metrics.probed(ProbeLabels {
            probe_type: self.kind.title(),
            result: if good { "successful" } else { "failed" },
            container: self.target.container.name.clone(),
            pod: text(&meta.name),
            namespace: text(&meta.namespace),
            pod_uid: text(&meta.uid),
        });
    }

    /// Readiness and liveness are not asked before the startup probe has succeeded.
    async fn wait_for_startup(&self) {
        loop {
            let startup = {
                let results = self.results.lock().expect("no panics inside");
                results.startup.get(&self.target.container_id).copied()
            };
            if is_asked(self.kind, &self.target.container, startup) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn ask_until_somebody_listens(&self, action: Action<'_>) {
        let is_network = !matches!(action, Action::Exec(_));
        if !is_network {
            return;
        }
        let mut wait = Duration::from_millis(2);
        while Timestamp::now().duration_since(self.started_at).as_secs() < 1 {
            match self.ask(action).await {
                Err(error) if check::nobody_listens(&error) => {}
                _ => return,
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_millis(100));
        }
    }

    fn tell(&self, verdict: Outcome) {
        let mut results = self.results.lock().expect("no panics inside");
        let of_kind = match self.kind {
            Kind::Startup => &mut results.startup,
            Kind::Readiness => &mut results.readiness,
            Kind::Liveness => &mut results.liveness,
        };
        of_kind.insert(self.target.container_id.clone(), verdict);
        drop(results);
        self.wake.notify_one();
    }
}

fn action_of(probe: &Probe) -> Option<Action<'_>> {
    let exec = probe.exec.as_ref().map(Action::Exec);
    exec.or(probe.http_get.as_ref().map(Action::Http))
        .or(probe.tcp_socket.as_ref().map(Action::Tcp))
        .or(probe.grpc.as_ref().map(Action::Grpc))
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    let value = value
        .and_then(|value| u64::try_from(value).ok())
        .filter(|value| *value > 0);
    Duration::from_secs(value.unwrap_or(default))
}
