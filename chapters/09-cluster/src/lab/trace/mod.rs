//! `lab trace`: who called whom because of one command, drawn from a recording of it.
//!
//! ```text
//!  COMMAND ─► forwarder ─► API server ◄─ components
//!             ([`tap`])        │ records of every request and every line of a watch
//!                              ▼ ([`apiserver::trace`])
//!                         causality ─► drawing ─► text, SVG
//! ```
//!
//! The command gets a kubeconfig of its own, which leads through a small forwarder: so its
//! connections are known by their ports, whatever it is (`kubectl`, `helm`, a script of several).
//! Then [`causality`] says which records descend from it, [`drawing`] who takes part and what is
//! drawn between them, and [`text`](mod@text) and [`svg`](mod@svg) draw; these are pure.
//!
//! Nobody can say when a cluster is done: the next reaction may always be on its way. A trace ends
//! when nothing that descends from the command has happened for a while (`--settle`): the longest
//! pause between two reactions of a healthy lab is that of a probe, a second. `--timeout` bounds
//! it for what never ends, such as a pod that crashes again and again.
//!
//! Left out: what a kubelet does with its runtime, which is inside of it (its `patch pods/… status`
//! tells), and reads from the store. A watch's news is recorded when it is made ready to be sent.

pub mod causality;
pub mod drawing;
mod fold;
pub mod names;
pub mod revision;
pub mod svg;
pub mod tap;
pub mod text;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use apiserver::trace::Record;
use tokio::time::Instant;

use super::Error;
use super::layout::Layout;
use super::record;
use causality::Own;
use revision::Revisions;
use tap::{Forwarder, Recording};

/// `lab trace`
#[derive(Debug, clap::Args)]
pub struct Trace {
    /// Write NAME.svg and NAME.txt, with revisions counted from the first write
    #[arg(long, value_name = "NAME", conflicts_with = "svg")]
    out: Option<PathBuf>,
    /// Write the picture there [default: trace.svg in the lab's folder]
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Keep the records, one line of JSON each
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    /// Show everything that happens meanwhile, heartbeats and other people's doings too
    #[arg(long)]
    all: bool,
    /// Show nobody but the command and these components: scheduler, kubelet, …
    #[arg(long, value_name = "COMPONENT")]
    only: Vec<String>,
    /// The trace ends when nothing has come of the command for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1.5)]
    settle: f64,
    /// … or so many seconds after the command has ended
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    timeout: f64,
    /// What to run, with the lab's KUBECONFIG: kubectl apply -f web.yaml
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the command, and draws what came of it.
///
/// # Errors
/// When no lab runs, the command cannot be run, or a file cannot be written.
pub fn run(name: &str, layout: &Layout, options: &Trace) -> Result<(), Error> {
    let lab = record::Record::load(layout).filter(|lab| {
        let supervisor = lab.supervisor.as_ref();
        supervisor.is_some_and(record::Process::is_alive)
    });
    let lab = lab.ok_or_else(|| Error::NotRunning(name.into()))?;
    let seconds = |what: &str, seconds: f64| {
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| Error::Usage(format!("--{what} {seconds}: that is no time")))
    };
    let settle = seconds("settle", options.settle)?;
    let timeout = seconds("timeout", options.timeout)?;
    component::install_crypto();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::system("an async runtime"))?;
    let (records, own, status) =
        runtime.block_on(record(layout, lab.port, &options.command, settle, timeout))?;
    show(layout, options, &records, &own)?;
    match status.success() {
        true => Ok(()),
        // It has said why itself; whoever asks for the code asks for the command's.
        false => std::process::exit(status.code().unwrap_or(1)),
    }
}

/// Runs the command while everything is recorded, until nothing comes of it any more.
async fn record(
    layout: &Layout,
    port: u16,
    command: &[OsString],
    settle: Duration,
    timeout: Duration,
) -> Result<(Vec<Record>, Own, ExitStatus), Error> {
    let mut recording = Recording::start(layout).await?;
    let forwarder = Forwarder::start(port).await?;
    let kubeconfig = tap::Kubeconfig::write(layout, port, forwarder.port)?;
    let [program, args @ ..] = command else {
        return Err(Error::Usage("there is no command to trace".into()));
    };
    let mut child = tokio::process::Command::new(program)
        .args(args)
        .env("KUBECONFIG", kubeconfig.path())
        .spawn()
        .map_err(Error::system(format!("run {}", program.display())))?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
        .map_err(Error::system("SIGINT"))?;
    let status = loop {
        tokio::select! {
            ended = child.wait() => break ended.map_err(Error::system("wait for the command"))?,
            more = recording.next() => more?,
            // The terminal tells the command too, whose end then is the end of the trace.
            _ = interrupt.recv() => {}
        }
    };
    let deadline = Instant::now() + timeout;
    let mut quiet_since = Instant::now();
    while Instant::now() < deadline.min(quiet_since + settle) {
        tokio::select! {
            more = recording.next() => more?,
            _ = interrupt.recv() => break,
            () = tokio::time::sleep_until(deadline.min(quiet_since + settle)) => {
                let last = recording.last_of(&forwarder.connections());
                quiet_since = quiet_since.max(last.unwrap_or(quiet_since));
            }
        }
    }
    Ok((recording.records(), forwarder.connections(), status))
}

/// Draws, prints and writes.
fn show(layout: &Layout, options: &Trace, records: &[Record], own: &Own) -> Result<(), Error> {
    let mut kept = match options.all {
        true => causality::in_order(records),
        false => causality::descendants(records, own),
    };
    if !options.only.is_empty() {
        kept.retain(|record| names::is_of(record, own, &options.only));
    }
    let drawing = drawing::draw(&kept, own);
    println!("\n{}", text::text(&drawing, Revisions::Absolute));
    let title = title(&options.command);
    let write = |path: &Path, text: &str| {
        record::write_atomically(path, text.as_bytes(), 0o644)?;
        println!("written: {}", path.display());
        Ok(())
    };
    match &options.out {
        Some(out) => {
            let since = Revisions::since(&kept);
            let text = format!("# {title}\n\n{}", text::text(&drawing, since));
            write(&with_end(out, ".txt"), &text)?;
            let svg = svg::svg(&drawing, &title, since);
            write(&with_end(out, ".svg"), &svg)?;
        }
        None => {
            let default = layout.dir.join("trace.svg");
            let svg = svg::svg(&drawing, &title, Revisions::Absolute);
            write(options.svg.as_deref().unwrap_or(&default), &svg)?;
        }
    }
    if let Some(path) = &options.records {
        let lines = records.iter().map(|record| {
            serde_json::to_string(record).expect("a record has only plain fields") + "\n"
        });
        write(path, &lines.collect::<String>())?;
    }
    Ok(())
}

/// `NAME` → `NAME.svg`, also where `NAME` has a dot in it.
fn with_end(name: &Path, end: &str) -> PathBuf {
    let mut path = name.as_os_str().to_owned();
    path.push(end);
    path.into()
}

/// The command as it would be typed.
fn title(command: &[OsString]) -> String {
    let word = |word: &OsString| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@{}".contains(c);
        match word.chars().all(plain) && !word.is_empty() {
            true => word.into_owned(),
            false => format!("'{}'", word.replace('\'', "'\\''")),
        }
    };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}
