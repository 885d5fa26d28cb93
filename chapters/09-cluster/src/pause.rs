//! `cluster pause`: the first process of a pod that an engine runs.
//!
//! Containers of a pod join the namespaces of its first one, which has nothing else to do than to
//! be there: containers come and go, the pod's address stays. As process 1 of a shared PID
//! namespace it also inherits orphans, and reaps them.
//!
//! Upstream: `build/pause/linux/pause.c`.

use tokio::signal::unix::{SignalKind, signal};

use crate::lab::reaper;

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot listen to signals.
pub fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut child_ended = signal(SignalKind::child())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = child_ended.recv() => drop(reaper::collect()),
            }
        }
    })
}
