//! `cargo run -p etcd -- serve`: the store behind etcd's own API.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use etcd::grpc::flags;

/// A key-value store that speaks etcd's v3 API.
#[derive(Parser)]
#[command(name = "etcd", version = etcd::grpc::API_VERSION)]
enum Cli {
    /// Serves clients until it is told to stop. Each flag may be given by the environment as well:
    /// `--data-dir` by `ETCD_DATA_DIR`.
    Serve(Box<etcd::grpc::Config>),
    /// Makes a store of a file that `etcdctl snapshot save` wrote.
    Restore {
        /// The file.
        file: PathBuf,
        /// Where the store is made; there must be nothing.
        #[arg(long, default_value = "default.etcd")]
        data_dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let command = Cli::command().mut_subcommand("serve", flags::by_environment);
    let matches = command.get_matches_from(arguments(std::env::args_os()));
    match Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()) {
        Cli::Serve(config) => {
            component::init_logs_at(config.log_level());
            component::main(|shutdown| etcd::grpc::run(*config, shutdown))
        }
        Cli::Restore { file, data_dir } => restore(&file, &data_dir),
    }
}

fn restore(file: &Path, data_dir: &Path) -> ExitCode {
    match etcd::restore(file, data_dir) {
        Ok(()) => {
            println!("restored {} to {}", file.display(), data_dir.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What was given on the command line. Flags without a command are etcd's own way to say `serve`.
fn arguments(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = flags::with_two_dashes(args).collect();
    let about = ["--help", "--version"];
    let first = args.get(1).and_then(|arg| arg.to_str()).unwrap_or_default();
    if first.starts_with("--") && !about.contains(&first) {
        args.insert(1, "serve".into());
    }
    args
}
