//! Every command of the workshop: `cargo xtask COMMAND`.
//!
//! Few dependencies on purpose: this is the first thing that a newcomer's machine compiles. What
//! needs the cluster's code is a subcommand of the `cluster` program, which [`build`] makes.

mod bless;
mod book;
mod build;
mod compare;
mod exercise;
mod image;
mod kubectl;
mod owners;
mod soak;
mod test;
mod tidy;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Every command of the workshop.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start, look at and end a cluster on this machine (`lab --help` lists its commands)
    #[command(disable_help_flag = true)]
    Lab {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run the stock kubectl against the lab (`kubectl --name LAB …` for another lab)
    #[command(disable_help_flag = true)]
    Kubectl {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run a command against the lab and draw who called whom: `trace -- kubectl apply -f …`
    #[command(disable_help_flag = true)]
    Trace {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run one script of kubectl lines on two clusters and show what differs
    Diff(compare::Diff),
    /// Put the image workshop/echo into the Docker engine, built from this workspace
    Image {
        /// Its name there
        #[arg(default_value = "workshop/echo")]
        name: String,
    },
    /// Run every test, those of whole clusters included
    #[command(disable_help_flag = true)]
    Test {
        /// Handed to cargo nextest (or cargo test)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Check the chapters' order, the format, clippy and the book
    Tidy,
    /// Build the book (`--open`: in a browser; `--serve`: again whenever it changes; `--check`)
    #[command(disable_help_flag = true)]
    Book {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Record transcripts anew: those of that name, or all
    Bless {
        /// A part of their names
        name: Option<OsString>,
    },
    /// Who owns a field of an object of the lab's: `who-owns deployment/web spec.replicas`
    WhoOwns(owners::WhoOwns),
    /// Exercises: list, start, check, hint, reset, solve
    #[command(visible_alias = "ex")]
    Exercise(exercise::Exercise),
    /// Planted bugs: list, start, check, hint, reset, solve
    Bug(exercise::Bug),
    /// Let the store's or the API server's checks run for long
    Soak(soak::Soak),
    /// Measure: `bench store`, `bench apiserver`, and the start of labs and pods (`bench --help` lists what)
    #[command(disable_help_flag = true)]
    Bench {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Lab { args } => build::lab(&args),
        Command::Kubectl { args } => kubectl::run(&args),
        Command::Trace { args } => build::trace(&args),
        Command::Diff(diff) => compare::run(&diff),
        Command::WhoOwns(asked) => owners::run(&asked),
        Command::Image { name } => image::run(&name),
        Command::Test { args } => test::run(&args),
        Command::Tidy => tidy::run(),
        Command::Book { args } => book::run(&args),
        Command::Bless { name } => bless::run(name),
        Command::Exercise(exercise) => exercise::run_exercise(&exercise),
        Command::Bug(bug) => exercise::run_bug(&bug),
        Command::Soak(soak) => soak::run(&soak),
        Command::Bench { args } => build::bench(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
