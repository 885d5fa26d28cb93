//! What the `main` of every component does, once: logs, signals, the TLS provider, and what is
//! to be done at the hole of an exercise.
//!
//! A component is a library with `run(config, shutdown)`. Its binary parses the config with
//! `clap` and hands it to [`main`]; the `cluster` binary does the same for each of its roles, and
//! a test calls `run` itself with a token of its own.

pub mod open_exercise;

use std::future::Future;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
pub use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::LevelFilter;

/// Runs a component on a single-threaded runtime until it ends or a signal stops it.
///
/// One thread is enough for every component but the API server, and costs the least memory:
/// a node carries several of them.
pub fn main<F, Fut, E>(component: F) -> ExitCode
where
    F: FnOnce(CancellationToken) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Into<anyhow::Error>,
{
    run_on(
        &mut tokio::runtime::Builder::new_current_thread(),
        component,
    )
}

/// Runs a component on a runtime with `threads` workers, for the one that serves everyone.
pub fn main_threaded<F, Fut, E>(threads: usize, component: F) -> ExitCode
where
    F: FnOnce(CancellationToken) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Into<anyhow::Error>,
{
    run_on(
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads),
        component,
    )
}

fn run_on<F, Fut, E>(builder: &mut tokio::runtime::Builder, component: F) -> ExitCode
where
    F: FnOnce(CancellationToken) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Into<anyhow::Error>,
{
    init_logs();
    install_crypto();
    open_exercise::end_at_holes();
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        cancel_on_signal(shutdown.clone());
        component(shutdown).await
    });
    // Blocking reads (a log being followed) must not hold up the exit.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {:#}", error.into());
            ExitCode::FAILURE
        }
    }
}

/// Cancels `shutdown` at the first SIGTERM or SIGINT. A second one ends the process at once, for
/// the reader who presses Ctrl-C twice.
fn cancel_on_signal(shutdown: CancellationToken) {
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be handled");
    tokio::spawn(async move {
        for attempt in 0.. {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            if attempt > 0 {
                std::process::exit(130);
            }
            shutdown.cancel();
        }
    });
}

/// Logs to stderr at the level named by `WORKSHOP_LOG` (`error`, `warn`, `info`, `debug`,
/// `trace`; default `info`). Safe to call more than once.
pub fn init_logs() {
    init_logs_at("info");
}

/// As [`init_logs`], with another default. The first call counts.
pub fn init_logs_at(level: &str) {
    let level = std::env::var("WORKSHOP_LOG")
        .ok()
        .and_then(|level| level.parse().ok())
        .or(level.parse().ok());
    let _already_set = tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(LevelFilter::INFO))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .try_init();
}

/// Makes `ring` the process's TLS provider. Safe to call more than once.
pub fn install_crypto() {
    let _already_set = rustls::crypto::ring::default_provider().install_default();
}
