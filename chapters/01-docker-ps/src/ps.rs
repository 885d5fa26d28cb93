//! `docker-ps`: from the command line to the table.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use jiff::tz::TimeZone;

use crate::columns::View;
use crate::engine::{self, Node, Query};
use crate::format::{Format, Options};
use crate::{filter, nodes};

/// What to list, and how to show it: the flags of `docker ps`.
#[derive(Debug, Args)]
pub struct PsArgs {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    pub all: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub filter: Vec<String>,
    /// Format output: `table`, `table TEMPLATE`, `json` or a Go template
    #[arg(long, default_value = "", hide_default_value = true)]
    pub format: String,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, default_value_t = -1, allow_negative_numbers = true, hide_default_value = true)]
    pub last: i32,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    pub latest: bool,
    /// Don't truncate output
    #[arg(long)]
    pub no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    pub quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    pub size: bool,
}

/// What a container's node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nodes {
    /// It has none to show.
    None,
    /// The engine that has it.
    Engines,
    /// What its label says: a lab's nodes share an engine. Containers without it are left out.
    Labels,
}

/// What to print, and what to complain about.
#[derive(Debug)]
pub struct Listed {
    /// The table.
    pub text: String,
    /// The nodes that did not answer, a text for each.
    pub failed: Vec<String>,
}

/// The engines that a command line names.
///
/// # Errors
/// If one of them cannot be one.
pub fn hosts(hosts: &[String], file: Option<&PathBuf>) -> Result<Vec<Node>, engine::Error> {
    let mut nodes: Vec<Node> = hosts
        .iter()
        .map(|host| host.parse())
        .collect::<Result<_, _>>()?;
    if let Some(file) = file {
        nodes.extend(engine::read_nodes(file)?);
    }
    if hosts.is_empty() && file.is_none() {
        nodes.push("default".parse()?);
    }
    Ok(nodes)
}

/// Lists the containers of `hosts`, each with its node if it has one.
///
/// # Errors
/// If the flags are wrong; if the only engine does not answer.
pub async fn run(args: &PsArgs, hosts: &[Node], of: Nodes) -> anyhow::Result<Listed> {
    if args.quiet && !args.format.is_empty() {
        eprintln!("WARNING: Ignoring custom format, because both --format and --quiet are set.");
    }
    let format = Format::parse(
        &args.format,
        Options {
            quiet: args.quiet,
            size: args.size,
            nodes: of != Nodes::None,
        },
    )?;
    let last = if args.latest && args.last == -1 {
        1
    } else {
        args.last
    };
    let mut query = Query {
        all: args.all,
        last: (last > 0).then_some(last),
        size: args.size || format.shows_size(),
        filters: filter::parse(&args.filter).map_err(anyhow::Error::msg)?,
    };
    if of == Nodes::Labels {
        let labels = query.filters.entry("label".to_owned()).or_default();
        labels.push(nodes::LABEL.to_owned());
    }
    let merged = match of {
        Nodes::Engines => nodes::list(hosts, &query).await,
        Nodes::Labels | Nodes::None => {
            let containers = engine::list(&hosts[0].host, &query).await?;
            nodes::of_one(containers, of == Nodes::Labels)
        }
    };
    let view = View {
        no_trunc: args.no_trunc,
        now: now(),
        zone: TimeZone::system(),
    };
    let complaint = |(node, error): (String, engine::Error)| format!("node {node}: {error}");
    Ok(Listed {
        text: format.render(&merged.rows, &view)?,
        failed: merged.failed.into_iter().map(complaint).collect(),
    })
}

/// Seconds of Unix time.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}
