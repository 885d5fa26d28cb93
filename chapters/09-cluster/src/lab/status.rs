//! `lab status`: nodes, components with their memory, ports.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use serde::Serialize;

use super::Error;
use super::components::{NODE_MONITOR_GRACE_SECONDS, TOLERATION_SECONDS};
use super::control::{ComponentStatus, Conversation, Reply, Request, Status};
use super::layout::Layout;
use super::processes::{self, LabProcess};
use super::record::Record;

/// `lab status`
#[derive(Debug, clap::Args)]
pub struct StatusOptions {
    /// Print JSON, for programs
    #[arg(long)]
    pub json: bool,
}

/// One process of the lab, or all of a kind.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The node that it runs on.
    pub node: String,
    /// What it is.
    pub component: String,
    /// Whether it runs.
    pub state: String,
    /// Its number on the host.
    pub pid: Option<i32>,
    /// How often it was started again.
    pub restarts: u32,
    /// Memory that is its own, and its share of what is shared, in KiB.
    pub pss_kib: u64,
    /// All memory that it maps, in KiB.
    pub rss_kib: u64,
}

/// Shows how the lab is.
///
/// # Errors
/// When it is not running.
pub fn run(name: &str, layout: &Layout, options: &StatusOptions) -> Result<(), Error> {
    let (record, status, rows) = ask(name, layout)?;
    if options.json {
        let json = serde_json::json!({
            "name": record.name, "port": record.port, "kubeconfig": layout.kubeconfig(),
            "nodes": status.nodes, "nodePorts": status.node_ports, "processes": rows,
        });
        println!("{json:#}");
        return Ok(());
    }
    let text = text(&record, layout, &status, &rows).expect("a string takes all that is written");
    // A reader that went away (`| head`) is no error.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// The lab's processes.
///
/// # Errors
/// When it is not running.
pub fn rows(name: &str, layout: &Layout) -> Result<Vec<Row>, Error> {
    ask(name, layout).map(|(_, _, rows)| rows)
}

fn ask(name: &str, layout: &Layout) -> Result<(Record, Status, Vec<Row>), Error> {
    let not_running = || Error::NotRunning(name.into());
    let record = Record::load(layout).ok_or_else(not_running)?;
    let conversation = Conversation::start(layout, &Request::Status)?.ok_or_else(not_running)?;
    let mut status = None;
    conversation.finish(|reply| {
        if let Reply::Status(told) = reply {
            status = Some(told);
        }
    })?;
    let status = status.ok_or(Error::Lost)?;
    let processes = record
        .supervisor
        .map(|root| processes::below(root.pid))
        .unwrap_or_default();
    let rows = assign(&record, &status, &processes);
    Ok((record, status, rows))
}

/// What each process of the lab is for: told by its place in the tree and its arguments.
fn assign(record: &Record, status: &Status, processes: &[LabProcess]) -> Vec<Row> {
    let root = record.supervisor.map(|supervisor| supervisor.pid);
    let mut left: Vec<&LabProcess> = processes.iter().collect();
    let mut take = |is: &dyn Fn(&LabProcess) -> bool| {
        let at = left.iter().position(|process| is(process))?;
        Some(left.swap_remove(at))
    };
    let mut rows = Vec::new();
    let supervisor = take(&|process| Some(process.pid) == root);
    rows.push(row("-", "supervisor", "Running".into(), 0, supervisor));
    for node in &status.nodes {
        let is_node = |process: &LabProcess| node_of(process.pid).as_deref() == Some(&node.name);
        let init = take(&|process| Some(process.parent) == root && is_node(process));
        let init_pid = init.map(|init| init.pid);
        if init.is_some() {
            rows.push(row(&node.name, "init", "Running".into(), 0, init));
        }
        for component in &node.components {
            let process = take(&|process| {
                Some(process.parent) == init_pid && is_role(process, &component.name)
            });
            rows.push(row(
                &node.name,
                &component.name,
                state(component),
                component.restarts,
                process,
            ));
        }
    }
    let sum = |of: fn(&LabProcess) -> u64| left.iter().map(|process| of(process)).sum();
    rows.push(Row {
        node: "-".into(),
        component: format!("pods ({} processes)", left.len()),
        state: String::new(),
        pid: None,
        restarts: 0,
        pss_kib: sum(|process| process.pss_kib),
        rss_kib: sum(|process| process.rss_kib),
    });
    rows
}

fn is_role(process: &LabProcess, role: &str) -> bool {
    let argument = |number: usize| process.command.get(number);
    argument(1).is_some_and(|arg| arg == role)
        // A member of etcd is told from the others by its name.
        || argument(1).is_some_and(|arg| arg.strip_prefix("--name=") == Some(role))
        // containerd has its name as its own.
        || argument(0).is_some_and(|program| program == role)
        // A scheduler that takes the place of ours is a program of its own.
        || (role == "scheduler" && process.command.iter().any(|arg| arg.contains("scheduler.kube")))
}

/// The node that a process was started for.
fn node_of(pid: i32) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment.split(|byte| *byte == 0).find_map(|variable| {
        let value = variable.strip_prefix(b"WORKSHOP_NODE=")?;
        String::from_utf8(value.to_vec()).ok()
    })
}

fn state(component: &ComponentStatus) -> String {
    if let Some(number) = &component.open_exercise {
        return format!("Exercise {number} open");
    }
    match (component.running, &component.last_exit) {
        (true, _) => "Running".into(),
        (false, Some(how)) => format!("Ended ({how})"),
        (false, None) => "Starting".into(),
    }
}

fn row(
    node: &str,
    component: &str,
    state: String,
    restarts: u32,
    process: Option<&LabProcess>,
) -> Row {
    Row {
        node: node.into(),
        component: component.into(),
        state,
        restarts,
        pid: process.map(|process| process.pid),
        pss_kib: process.map_or(0, |process| process.pss_kib),
        rss_kib: process.map_or(0, |process| process.rss_kib),
    }
}

fn text(
    record: &Record,
    layout: &Layout,
    status: &Status,
    rows: &[Row],
) -> Result<String, fmt::Error> {
    let mut out = String::new();
    writeln!(
        out,
        "Lab {:?}: https://127.0.0.1:{}",
        record.name, record.port
    )?;
    writeln!(out, "Kubeconfig: {}\n", layout.kubeconfig().display())?;
    writeln!(out, "{:<15} {:<10} IP", "NODE", "STATUS")?;
    for node in &status.nodes {
        writeln!(out, "{:<15} {:<10} {}", node.name, node.state, node.ip)?;
    }
    let head = [
        "NODE",
        "COMPONENT",
        "STATE",
        "PID",
        "RESTARTS",
        "PSS",
        "RSS",
    ];
    writeln!(out, "\n{}", line(&head.map(str::to_owned)))?;
    for row in rows {
        let cells = [
            row.node.clone(),
            row.component.clone(),
            row.state.clone(),
            row.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            row.restarts.to_string(),
            mib(row.pss_kib),
            mib(row.rss_kib),
        ];
        writeln!(out, "{}", line(&cells))?;
    }
    let total = mib(rows.iter().map(|row| row.pss_kib).sum());
    let cells = ["all", "", "", "", "", &total, ""].map(str::to_owned);
    writeln!(out, "{}", line(&cells))?;
    writeln!(
        out,
        "\nPorts of 127.0.0.1:\n  {:<6} API server",
        record.port
    )?;
    for port in &status.node_ports {
        let problem = port
            .problem
            .as_ref()
            .map(|why| format!(" (not forwarded: {why})"));
        writeln!(
            out,
            "  {:<6} {}{}",
            port.port,
            port.service,
            problem.unwrap_or_default()
        )?;
    }
    writeln!(
        out,
        "\nA node that says nothing for {NODE_MONITOR_GRACE_SECONDS} s is NotReady, and its pods \
         are replaced after another {TOLERATION_SECONDS} s (upstream: 50 s and 300 s)."
    )?;
    Ok(out)
}

fn line([node, component, state, pid, restarts, pss, rss]: &[String; 7]) -> String {
    let line = format!(
        "{node:<15} {component:<22} {state:<20} {pid:>8} {restarts:>8} {pss:>10} {rss:>10}"
    );
    line.trim_end().to_owned()
}

fn mib(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_says_how_it_is() {
        let component = |running, last_exit: Option<&str>, open: Option<&str>| ComponentStatus {
            name: "scheduler".into(),
            running,
            restarts: 0,
            last_exit: last_exit.map(Into::into),
            open_exercise: open.map(Into::into),
        };
        assert_eq!(state(&component(true, Some("signal 9"), None)), "Running");
        assert_eq!(state(&component(false, None, None)), "Starting");
        let ended = component(false, Some("exit code 1"), None);
        assert_eq!(state(&ended), "Ended (exit code 1)");
        let open = component(false, Some("exit code 79"), Some("04.1"));
        assert_eq!(state(&open), "Exercise 04.1 open");
    }
}
