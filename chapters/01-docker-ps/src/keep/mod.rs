//! Holds one engine at a desired state: a file says what should run, a loop makes it so.
//!
//! ```text
//!   file ──► Wanted ──┐
//!                     ├─► plan() ──► actions ──► engine ──► events ─┐
//! engine ──► Actual ──┘                                             │
//!    ▲                                                              │
//!    └──────────────── look again ◄─────────────────────────────────┘
//! ```
//!
//! The loop remembers nothing that matters. Whose a container is, and what it was made from, are
//! labels on the container itself: a loop that starts anew looks, and goes on. What is not
//! labelled as its own it never touches.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`wanted`] | the file |
//! | [`actual`] | what the engine has, as far as it matters here |
//! | [`plan`] | from both to actions (the core) |
//! | [`backoff`] | how long to wait before trying the same again |
//! | `act` | carries actions out |
//! | `hold` | the loop: events, a resync, the file, an engine that comes back |
//! | `watch` | tells when the file changes |
//!
//! Upstream it is the kubelet: `syncLoop` and `SyncPod` in `pkg/kubelet/kubelet.go`, with the
//! label `io.kubernetes.container.hash` for what a container was made from
//! (`pkg/kubelet/kuberuntime/labels.go`). Left out: images (they are there or they are not),
//! probes, and re-creation when an image's tag moves.

mod act;
pub mod actual;
pub mod backoff;
mod hold;
pub mod plan;
pub mod wanted;
mod watch;

use std::path::PathBuf;

use clap::Args;
use component::CancellationToken;

use crate::engine;
use plan::plan;

/// The label that says whose a container is.
pub const OWNER_LABEL: &str = "workshop.keep.owner";
/// The label that says what a container was made from: the hash of its part of the file.
pub const SPEC_LABEL: &str = "workshop.keep.spec";

/// `docker-ps keep FILE`
#[derive(Debug, Args)]
pub struct KeepArgs {
    /// The containers that should run (YAML)
    pub file: PathBuf,
    /// Whose containers these are: those of this owner that the file does not name are removed
    #[arg(long, default_value = "keep")]
    pub owner: String,
    /// Make it so once, and end
    #[arg(long)]
    pub once: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Seconds between two looks at everything, whether something was heard or not
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub resync: u64,
}

/// Holds the engine at `host` at what the file says, until it is told to stop.
///
/// # Errors
/// If the file cannot be used; with `--once` or `--dry-run`, also if the engine does not answer or
/// something could not be done.
pub async fn run(args: KeepArgs, host: &str, shutdown: CancellationToken) -> anyhow::Result<()> {
    let wanted = wanted::read(&args.file)?;
    if !args.once && !args.dry_run {
        return hold::hold(&args, host, wanted, shutdown).await;
    }
    let docker = engine::connect(host).await?;
    let actual = act::look(&docker, host).await?;
    let actions = plan(&args.owner, &wanted, &actual);
    if actions.is_empty() {
        println!("nothing to do");
    }
    let mut failed = 0;
    for action in &actions {
        if args.dry_run {
            println!("{}", action.would());
        } else if let Err(error) = act::carry_out(&docker, host, &args.owner, action).await {
            eprintln!("{}", action.failed(&error));
            failed += 1;
        } else {
            println!("{}", action.done());
        }
    }
    if failed > 0 {
        anyhow::bail!("{failed} of {} actions failed", actions.len());
    }
    Ok(())
}
