//! `pause`: the process that holds a pod's namespaces, and does nothing else.
//!
//! Where the pod's containers share one process namespace it is process 1 of it, which inherits
//! orphans: it collects them. Upstream: `build/pause/linux/pause.c`.

use std::process::ExitCode;

use rustix::process::{WaitOptions, wait};
use tokio::signal::unix::{SignalKind, signal};

/// The argument that makes a program of ours a pause process.
pub const PAUSE_ARG: &str = "pause";

/// Waits for a signal if that is what this process was started for. To be called first thing in
/// `main`; `Some` is then what `main` returns.
pub fn maybe_run_pause() -> Option<ExitCode> {
    let is_pause = std::env::args_os()
        .nth(1)
        .is_some_and(|arg| arg == PAUSE_ARG);
    is_pause.then(|| match pause() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    })
}

fn pause() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut child = signal(SignalKind::child())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = child.recv() => while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {},
            }
        }
    })
}
