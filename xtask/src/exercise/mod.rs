//! `cargo xtask exercise` and `cargo xtask bug`: exercises from one source.
//!
//! The reference solution is the chapter's own code. A region of it, between two markers, is an
//! exercise; `exercises/04.1-….toml` says what it asks, what stands there while it is open, what
//! the hints are, and which wrong solutions its check has to refuse. A planted bug is a piece of
//! code and what takes its place.
//!
//! ```text
//!              start                    check
//!  reference ────────► hole ─► … own ────────► solved      (the own lines stay)
//!      ▲                ▲        │
//!      │                └────────┤ reset                   (kept in .workshop/kept)
//!      └─────────────────────────┘ solve                   (kept, and the difference shown)
//! ```
//!
//! Pure: [`task`] and [`parse`] (what an exercise is), [`region`] (between the markers), [`said`] (what a check
//! said), [`diff`], [`verify::plan`]. Shell: [`store`] (`.workshop`), [`source`] (the files),
//! [`scratch`] (a copy to build in), [`run`] (cargo and the checks), and the commands.

mod check;
mod commands;
mod diff;
mod lab;
mod list;
mod parse;
mod region;
mod run;
mod said;
mod scratch;
mod show;
mod source;
mod store;
mod task;
mod undo;
mod verify;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};

use self::commands::Workshop;
pub use self::lab::say_what_is_open;
use crate::build::root;

/// Where the workspace is.
#[derive(Args)]
pub struct Where {
    /// Another workspace than this one
    #[arg(long, global = true, hide = true)]
    root: Option<PathBuf>,
}

impl Where {
    fn root(&self) -> &Path {
        self.root.as_deref().unwrap_or_else(|| root())
    }
}

/// `cargo xtask exercise …`
#[derive(Args)]
pub struct Exercise {
    #[command(flatten)]
    at: Where,
    #[command(subcommand)]
    command: ExerciseCommand,
}

#[derive(Subcommand)]
enum ExerciseCommand {
    /// What there is, by chapter, and how far you are
    List,
    /// Put the hole of an exercise into its file, and say what is to be written
    Start {
        /// Its number: 04.2
        id: String,
    },
    /// Start the next one that is not solved
    Next,
    /// Check what you wrote
    Check {
        /// Its number; without it, the one that was started last
        id: Option<String>,
        /// Again whenever a file changes, until it holds
        #[arg(long)]
        watch: bool,
    },
    /// One more hint
    Hint {
        /// Its number; without it, the one that was started last
        id: Option<String>,
    },
    /// Put the hole back; what you wrote is kept
    Reset {
        /// Its number
        id: String,
    },
    /// Put the reference back and show the difference; what you wrote is kept
    Solve {
        /// Its number
        id: String,
    },
    /// Check the checks: that they refuse holes, wrong solutions and planted bugs
    Verify {
        /// Exercises and bugs by number; without any, all
        ids: Vec<String>,
        /// Those of one chapter
        #[arg(long)]
        chapter: Option<u8>,
    },
}

/// Runs a command on exercises.
pub fn run_exercise(exercise: &Exercise) -> Result<()> {
    let root = exercise.at.root();
    if let ExerciseCommand::Verify { ids, chapter } = &exercise.command {
        return verify::run(root, ids, *chapter);
    }
    let workshop = Workshop::open(root, false)?;
    match &exercise.command {
        ExerciseCommand::List => workshop.list(),
        ExerciseCommand::Start { id } => workshop.start(workshop.pick(Some(id))?),
        ExerciseCommand::Next => workshop.start_next(),
        ExerciseCommand::Check { id, watch: true } => workshop.watch(workshop.pick(id.as_deref())?),
        ExerciseCommand::Check { id, .. } => workshop.check(workshop.pick(id.as_deref())?),
        ExerciseCommand::Hint { id } => workshop.hint(workshop.pick(id.as_deref())?),
        ExerciseCommand::Reset { id } => workshop.reset(workshop.pick(Some(id))?),
        ExerciseCommand::Solve { id } => workshop.solve(workshop.pick(Some(id))?),
        ExerciseCommand::Verify { .. } => unreachable!("handled above"),
    }
}

/// `cargo xtask bug …`
#[derive(Args)]
pub struct Bug {
    #[command(flatten)]
    at: Where,
    #[command(subcommand)]
    command: BugCommand,
}

#[derive(Subcommand)]
enum BugCommand {
    /// What there is, by chapter
    List,
    /// Plant a bug into a chapter, and say what is to be seen of it
    Start {
        /// Its chapter, or its number: 05.2
        chapter: String,
    },
    /// Run the test that would have caught it
    Check {
        /// Its chapter or number; without it, the one that was started last
        chapter: Option<String>,
        /// Again whenever a file changes, until it holds
        #[arg(long)]
        watch: bool,
    },
    /// One more hint
    Hint {
        /// Its chapter or number; without it, the one that was started last
        chapter: Option<String>,
    },
    /// Plant it again; what you wrote is kept
    Reset {
        /// Its chapter, or its number: 05.2
        chapter: String,
    },
    /// Take it out and show where it was; what you wrote is kept
    Solve {
        /// Its chapter, or its number: 05.2
        chapter: String,
    },
}

/// Runs a command on planted bugs.
pub fn run_bug(bug: &Bug) -> Result<()> {
    let workshop = Workshop::open(bug.at.root(), true)?;
    let pick = |chapter: &Option<String>| workshop.pick(chapter.as_deref());
    match &bug.command {
        BugCommand::List => workshop.list(),
        BugCommand::Start { chapter } => workshop.start(workshop.pick(Some(chapter))?),
        BugCommand::Check {
            chapter,
            watch: true,
        } => workshop.watch(pick(chapter)?),
        BugCommand::Check { chapter, .. } => workshop.check(pick(chapter)?),
        BugCommand::Hint { chapter } => workshop.hint(pick(chapter)?),
        BugCommand::Reset { chapter } => workshop.reset(workshop.pick(Some(chapter))?),
        BugCommand::Solve { chapter } => workshop.solve(workshop.pick(Some(chapter))?),
    }
}
