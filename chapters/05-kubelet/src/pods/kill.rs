//! Ending a container: its `preStop` hook, the signal, and no mercy after the grace period.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::check::Target;
use super::hooks;
use crate::context::Context;
use crate::events::Severity;

/// The least a container gets between the signal and the end, as upstream.
const MINIMUM_GRACE_SECONDS: i64 = 2;

/// Stops a container. Returns when it has ended.
///
/// Upstream: `kuberuntime_container.go: killContainer`.
pub async fn stop_container(context: Arc<Context>, target: Target, grace: i64, message: String) {
    stop_in_turn(&context, &target, grace, message, std::future::ready(())).await;
}

/// Stops the containers of a pod: those of a wave together, a wave when the one before it has
/// ended. All `preStop` hooks run at once; and who waits for its turn has that much less grace.
pub async fn stop_waves(context: &Context, waves: Vec<Vec<Target>>, grace: i64) {
    let mut turn = CancellationToken::new();
    turn.cancel();
    let mut stops = Vec::new();
    for wave in waves {
        let (mine, next) = (turn, CancellationToken::new());
        turn = next.clone();
        stops.push(async move {
            let stops = wave.iter().map(|target| {
                let message = format!("Stopping container {}", target.container.name);
                stop_in_turn(context, target, grace, message, mine.cancelled())
            });
            futures::future::join_all(stops).await;
            next.cancel();
        });
    }
    futures::future::join_all(stops).await;
}

async fn stop_in_turn(
    context: &Context,
    target: &Target,
    grace: i64,
    message: String,
    turn: impl Future<Output = ()>,
) {
    let (pod, name) = (&target.pod, &target.container.name);
    let recorder = &context.recorder;
    recorder.container(pod, name, Severity::Normal, "Killing", message);
    let started = Instant::now();
    let limit = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
    let lifecycle = target.container.lifecycle.as_ref();
    let hook = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    if let Some(hook) = hook.filter(|_| grace > 0) {
        let hooked = tokio::time::timeout(limit, hooks::run(context, target, hook, limit)).await;
        if let Ok(Err(error)) = hooked {
            let message = format!("PreStopHook failed: {error}");
            let reason = "FailedPreStopHook";
            recorder.container(pod, name, Severity::Warning, reason, message);
        }
    }
    let left = limit.saturating_sub(started.elapsed());
    let _its_turn_or_no_time_left = tokio::time::timeout(left, turn).await;
    let spent = i64::try_from(started.elapsed().as_secs()).unwrap_or(i64::MAX);
    let left = grace.saturating_sub(spent).max(MINIMUM_GRACE_SECONDS);
    let runtime = &context.runtime;
    if let Err(error) = runtime.stop_container(&target.container_id, left).await {
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
