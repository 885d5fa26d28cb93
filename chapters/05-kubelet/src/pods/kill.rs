//! Ending a container: its `preStop` hook, the signal, and no mercy after the grace period.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::check::Target;
use super::hooks;
use crate::context::Context;
use crate::events::Severity;

/// The least a container gets after its `preStop` hook used up the grace.
const MINIMUM_GRACE_SECONDS: i64 = 2;

/// Stops a container. Returns when it has ended.
///
/// Upstream: `kuberuntime_container.go: killContainer`.
pub async fn stop_container(context: Arc<Context>, target: Target, grace: i64, message: String) {
    let (pod, name) = (&target.pod, &target.container.name);
    context
        .recorder
        .container(pod, name, Severity::Normal, "Killing", message);
    let mut grace = grace;
    let lifecycle = target.container.lifecycle.as_ref();
    if let Some(hook) = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref()) {
        let started = Instant::now();
        let limit = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        let hooked = tokio::time::timeout(limit, hooks::run(&context, &target, hook, limit)).await;
        if let Ok(Err(error)) = hooked {
            let message = format!("PreStopHook failed: {error}");
            let reason = "FailedPreStopHook";
            context
                .recorder
                .container(pod, name, Severity::Warning, reason, message);
        }
        grace -= i64::try_from(started.elapsed().as_secs()).unwrap_or(i64::MAX);
        grace = grace.max(MINIMUM_GRACE_SECONDS);
    }
    if let Err(error) = context
        .runtime
        .stop_container(&target.container_id, grace)
        .await
    {
        tracing::warn!(container = name, %error, "container not stopped");
    }
}

/// Kills under way beside a worker.
pub struct Kills {
    context: Arc<Context>,
    wake: Arc<Notify>,
    tasks: HashMap<String, JoinHandle<()>>,
}

impl Kills {
    /// For a worker that is woken through `wake` when a kill is done.
    pub fn new(context: Arc<Context>, wake: Arc<Notify>) -> Kills {
        Kills {
            context,
            wake,
            tasks: HashMap::new(),
        }
    }

    /// Starts to stop a container, unless that is under way.
    pub fn start(&mut self, target: Target, grace: i64, message: String) {
        self.tasks.retain(|_, task| !task.is_finished());
        let id = target.container_id.clone();
        if self.tasks.contains_key(&id) {
            return;
        }
        let (context, wake) = (self.context.clone(), self.wake.clone());
        let task = tokio::spawn(async move {
            stop_container(context, target, grace, message).await;
            wake.notify_one();
        });
        self.tasks.insert(id, task);
    }
}
