//! Process 1 of a node that is a container: it keeps the node's components running.
//!
//! | what happens | what it does |
//! | --- | --- |
//! | the node starts | ends containers left from an earlier life, as a reboot would; starts components |
//! | a component ends | starts it again, after a wait that doubles from 20 ms to 10 s |
//! | `docker stop` (SIGTERM) | ends the node's pods, then its components, as a shutdown would |
//! | `docker kill` | nothing: the pods' containers go on without network until the node is back |
//!
//! What components say comes out with their names in front: `docker logs` shows a node's log.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bollard::query_parameters::{KillContainerOptions, StopContainerOptions};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::engine::Engine;
use super::{NODE, ROLE, files};
use crate::lab::components::Component;
use crate::lab::{Error, reaper};

/// Waits between restarts of a component.
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
const BACKOFF_LAST: Duration = Duration::from_secs(10);
/// A component that ran as long as this begins with the first wait again.
const BACKOFF_RESET: Duration = Duration::from_secs(60);
/// How long pods get at a shutdown; `docker stop` gives the whole node ten seconds.
const PODS_GRACE_SECONDS: i32 = 3;
/// How long all of a shutdown may take.
const SHUTDOWN: Duration = Duration::from_secs(8);

/// What a node's process 1 is started with.
#[derive(Debug, clap::Args)]
pub struct DockerNode {
    /// The node's folder
    #[arg(long)]
    state: PathBuf,
}

/// Runs a node until SIGTERM.
///
/// # Errors
/// When it does not know what to run.
pub fn run(config: &DockerNode) -> Result<(), Error> {
    let path = config.state.join(files::COMPONENTS);
    let list = std::fs::read(&path).map_err(|source| Error::File { path, source })?;
    let components: Vec<Component> = serde_json::from_slice(&list)
        .map_err(|error| Error::Usage(format!("{}: {error}", files::COMPONENTS)))?;
    // Shims and helpers that outlive their parent fall to this process, which is not 1: the node
    // sees the engine's processes, as it has to reach into those of its pods.
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own)).map_err(Error::system("be a reaper"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::system("an async runtime"))?;
    runtime.block_on(serve(components))
}

async fn serve(components: Vec<Component>) -> Result<(), Error> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut child_ended = listen(SignalKind::child())?;
    let name = std::env::var("WORKSHOP_NODE").unwrap_or_default();
    end_leftovers(&name).await;
    let (due_sender, mut due) = mpsc::channel(8);
    let mut running: BTreeMap<String, Running> = BTreeMap::new();
    for component in components {
        running.insert(component.name.clone(), Running::new(component));
    }
    for component in running.values_mut() {
        component.start();
    }
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = child_ended.recv() => {
                for exit in reaper::collect() {
                    let mut all = running.values_mut();
                    let Some(ended) = all.find(|it| it.pid == Some(exit.pid)) else { continue };
                    let wait = ended.ended(&exit.how);
                    let (due, name) = (due_sender.clone(), ended.component.name.clone());
                    tokio::spawn(async move {
                        tokio::time::sleep(wait).await;
                        let _ = due.send(name).await;
                    });
                }
            }
            Some(name) = due.recv() => {
                if let Some(component) = running.get_mut(&name) {
                    component.start();
                }
            }
        }
    }
    let _late = tokio::time::timeout(SHUTDOWN, shut_down(&name, &running)).await;
    Ok(())
}

fn listen(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Error> {
    signal(kind).map_err(Error::system("listen to signals"))
}

/// A component, and how it is.
struct Running {
    component: Component,
    pid: Option<i32>,
    since: Instant,
    backoff: Duration,
}

impl Running {
    fn new(component: Component) -> Self {
        Self {
            component,
            pid: None,
            since: Instant::now(),
            backoff: BACKOFF_FIRST,
        }
    }

    fn start(&mut self) {
        let name = &self.component.name;
        let (output, other) = match std::io::pipe().and_then(|(read, write)| {
            let other = write.try_clone()?;
            Ok(((read, write), other))
        }) {
            Ok(pipes) => pipes,
            Err(error) => return println!("{name}: no pipe: {error}"),
        };
        let mut command = Command::new(&self.component.program);
        command.args(&self.component.args).stdin(Stdio::null());
        match command.stdout(output.1).stderr(other).spawn() {
            Ok(child) => self.pid = Some(child.id() as i32),
            Err(error) => return println!("{name}: cannot be started: {error}"),
        }
        self.since = Instant::now();
        if let Ok(read) = pipe::Receiver::from_owned_fd(output.0.into()) {
            let name = name.clone();
            tokio::spawn(async move {
                let mut lines = BufReader::new(read).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    println!("{name}: {line}");
                }
            });
        }
    }

    /// Takes note of its end. Returns how long to wait before it is started again.
    fn ended(&mut self, how: &str) -> Duration {
        println!("{}: ended: {how}", self.component.name);
        self.pid = None;
        if self.since.elapsed() > BACKOFF_RESET {
            self.backoff = BACKOFF_FIRST;
        }
        let wait = self.backoff;
        self.backoff = (wait * 2).min(BACKOFF_LAST);
        wait
    }
}

/// The running containers of the node's pods.
async fn pods(engine: &Engine, node: &str) -> Vec<String> {
    let filters = std::collections::HashMap::from([(
        "label".to_owned(),
        vec![format!("{NODE}={node}"), own_lab()],
    )]);
    let options = bollard::query_parameters::ListContainersOptions {
        filters: Some(filters),
        ..Default::default()
    };
    let listed = engine.docker.list_containers(Some(options)).await;
    let is_pod = |labels: &std::collections::HashMap<String, String>| {
        labels.get(ROLE).is_none_or(|role| role != "node")
    };
    let listed = listed.unwrap_or_default().into_iter();
    listed
        .filter(|container| container.labels.as_ref().is_none_or(is_pod))
        .filter_map(|container| container.id)
        .collect()
}

/// `workshop.lab=NAME`, for filters.
fn own_lab() -> String {
    let lab = std::env::var("WORKSHOP_LAB").unwrap_or_default();
    format!("{}={lab}", super::LAB)
}

/// After a crash or an engine that lost the node, its pods' containers may still run, without
/// their network, which ended with the node. The kubelet is to find them ended.
async fn end_leftovers(node: &str) {
    let engine = match Engine::connect().await {
        Ok(engine) => engine,
        Err(error) => return println!("init: {error}"),
    };
    for id in pods(&engine, node).await {
        let signal = Some(KillContainerOptions {
            signal: "KILL".into(),
        });
        if let Err(error) = engine.docker.kill_container(&id, signal).await {
            println!("init: a container left from before cannot be ended: {error}");
        }
    }
}

/// Ends the pods, all at once, then the components.
async fn shut_down(node: &str, running: &BTreeMap<String, Running>) {
    if let Ok(engine) = Engine::connect().await {
        let stopping = pods(&engine, node).await.into_iter().map(|id| {
            let docker = engine.docker.clone();
            async move {
                let options = StopContainerOptions {
                    t: Some(PODS_GRACE_SECONDS),
                    ..StopContainerOptions::default()
                };
                let _gone = docker.stop_container(&id, Some(options)).await;
            }
        });
        futures::future::join_all(stopping).await;
    }
    for component in running.values() {
        if let Some(pid) = component.pid.and_then(rustix::process::Pid::from_raw) {
            let _ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
    while running.values().any(|it| it.pid.is_some_and(is_there)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let _ended = reaper::collect();
    }
}

fn is_there(pid: i32) -> bool {
    std::path::Path::new("/proc").join(pid.to_string()).exists()
}
