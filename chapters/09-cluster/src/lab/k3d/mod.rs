//! `lab up --backend k3d`: a real k3s cluster in the shape of the lab, made by the program `k3d`.
//!
//! To see what ours does beside what everybody's does. The verbs are the same; each becomes a call
//! of `k3d`:
//!
//! ```text
//! lab up          k3d cluster create --config …/k3d.yaml   (there already: cluster start NAME)
//! lab down        k3d cluster delete NAME
//! lab status      k3d cluster list --output json
//! lab kubeconfig  k3d kubeconfig get NAME                  (kept in the lab's folder)
//! lab load FILE   k3d image import FILE --cluster NAME
//! lab stop-node   k3d node stop k3d-NAME-agent-0           (by its name here: worker-1)
//! lab start-node  k3d node start k3d-NAME-agent-0
//! ```
//!
//! [`config`] writes the file, [`rules`] checks it, [`program`] calls k3d. The file stays in the
//! lab's folder: it says that the cluster is the lab's, and only such a one is ever deleted.
//!
//! Left out: `logs`, `trace` and `bench`, which look into our own components (`docker logs` shows
//! those of a k3d node); more than one server.

pub mod config;
pub mod program;
pub mod rules;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::layout::Layout;
use super::{Error, ports};
use config::{Simple, Wanted};
use program::{Cluster, Node};

/// What makes the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Backend {
    /// The workshop itself
    Workshop,
    /// The program k3d: containers with k3s
    K3d,
}

/// What only `lab up --backend k3d` has.
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
pub struct K3dOptions {
    /// k3d: the image of nodes [default: k3d's own choice]
    #[arg(long, value_name = "IMAGE", requires = "backend")]
    image: Option<String>,
    /// k3d: a NodePort to have on 127.0.0.1: 8080:30080
    #[arg(long, value_name = "HOST:NODE", requires = "backend")]
    publish: Vec<String>,
    /// k3d: a folder of this machine to have in all nodes
    #[arg(long, value_name = "SOURCE:PATH", requires = "backend")]
    volume: Vec<String>,
    /// k3d: make a registry on this port of 127.0.0.1, or on a random one
    #[arg(long, value_name = "PORT", requires = "backend")]
    registry: Option<String>,
    /// k3d: a registry of k3d's that is there already
    #[arg(long, value_name = "NAME:PORT", requires = "backend")]
    use_registry: Vec<String>,
    /// k3d: a registries.yaml of k3s, for mirrors and passwords
    #[arg(long, value_name = "FILE", requires = "backend")]
    registry_config: Option<PathBuf>,
}

/// The config file of the lab in `layout`, which tells a k3d lab from others.
pub fn file(layout: &Layout) -> PathBuf {
    layout.dir.join("k3d.yaml")
}

/// Makes the cluster, or starts one that was stopped, and keeps its kubeconfig.
///
/// # Errors
/// What the machine lacks, what the config has wrong, what k3d says.
pub fn up(
    name: &str,
    layout: &Layout,
    workers: Option<u16>,
    port: Option<u16>,
    options: &K3dOptions,
) -> Result<(), Error> {
    program::check()?;
    match (load(layout)?, program::cluster(name)?) {
        (Some(config), Some(cluster)) => {
            let other_size = workers.is_some_and(|it| it != config.agents);
            let other_port = port.is_some_and(|it| it.to_string() != config.kube_api.host_port);
            if other_size || other_port || *options != K3dOptions::default() {
                return Err(Error::Usage(format!(
                    "the lab {name:?} is there already, and k3d cannot change it; `cargo xtask \
                     lab down` ends it"
                )));
            }
            let runs = |node: &Node| node.state.running;
            if cluster.nodes.iter().all(runs) {
                println!("The lab {name:?} is up.");
            } else {
                program::run(&["cluster", "start", name, "--wait"])?;
                println!("The lab {name:?} is up again.");
            }
        }
        (None, Some(_)) => {
            return Err(Error::Usage(format!(
                "k3d has a cluster {name:?} that no lab made; `--name` starts one beside it"
            )));
        }
        (_, None) => {
            let config = wanted(name, workers, port, options)?;
            save(layout, &config)?;
            let path = file(layout);
            let created = program::run(&["cluster", "create", "--config", text(&path)?]);
            if let Err(error) = created {
                // k3d takes back what it made; if it could not, `lab down` still can.
                if program::cluster(name).is_ok_and(|it| it.is_none()) {
                    forget(layout)?;
                }
                return Err(error);
            }
            let nodes = config.servers + config.agents;
            println!("The lab {name:?} is up: {nodes} nodes of k3d.");
        }
    }
    keep_kubeconfig(name, layout)?;
    println!("\n  export KUBECONFIG={}", layout.kubeconfig().display());
    Ok(())
}

/// Deletes the cluster and the lab's folder.
///
/// # Errors
/// When k3d fails, or a file cannot be removed.
pub fn down(name: &str, layout: &Layout) -> Result<(), Error> {
    if program::cluster(name)?.is_some() {
        program::run(&["cluster", "delete", name])?;
    }
    forget(layout)?;
    println!("The lab {name:?} is gone.");
    Ok(())
}

/// Shows the nodes.
///
/// # Errors
/// When k3d fails or has no such cluster.
pub fn status(name: &str, json: bool) -> Result<(), Error> {
    let cluster = program::cluster(name)?.ok_or_else(|| Error::NotRunning(name.into()))?;
    let rows = rows(&cluster);
    if json {
        let text = serde_json::to_string_pretty(&rows).expect("rows have only strings");
        println!("{text}");
        return Ok(());
    }
    print!("{}", table(&rows));
    Ok(())
}

/// A node, as `lab status` shows it.
#[derive(Debug, Serialize)]
struct Row {
    node: String,
    container: String,
    role: String,
    state: String,
}

fn rows(cluster: &Cluster) -> Vec<Row> {
    let row = |node: &Node| Row {
        node: short_name(&cluster.name, &node.name),
        container: node.name.clone(),
        role: node.role.clone(),
        state: match node.state.status.as_str() {
            "" if node.state.running => "running".into(),
            "" => "stopped".into(),
            status => status.into(),
        },
    };
    let mut rows: Vec<Row> = cluster.nodes.iter().map(row).collect();
    rows.sort_by(|a, b| a.container.cmp(&b.container));
    rows
}

fn table(rows: &[Row]) -> String {
    let wide = |of: fn(&Row) -> &str, title: &str| {
        let longest = rows.iter().map(|row| of(row).len()).max().unwrap_or(0);
        longest.max(title.len())
    };
    let node = wide(|row| &row.node, "NODE");
    let container = wide(|row| &row.container, "CONTAINER");
    let role = wide(|row| &row.role, "ROLE");
    let line = |a: &str, b: &str, c: &str, d: &str| {
        format!("{a:node$}   {b:container$}   {c:role$}   {d}\n")
    };
    let rows = rows
        .iter()
        .map(|row| line(&row.node, &row.container, &row.role, &row.state));
    line("NODE", "CONTAINER", "ROLE", "STATE") + &rows.collect::<String>()
}

/// Stops or starts (`verb`) a node, which may be called as in our labs.
///
/// # Errors
/// When there is no such node, or k3d fails.
pub fn node(name: &str, verb: &str, node: &str) -> Result<(), Error> {
    let cluster = program::cluster(name)?.ok_or_else(|| Error::NotRunning(name.into()))?;
    let found = cluster
        .nodes
        .iter()
        .find(|it| it.name == node || short_name(name, &it.name) == node);
    let Some(found) = found else {
        let known: Vec<String> = rows(&cluster).into_iter().map(|row| row.node).collect();
        return Err(Error::Usage(format!(
            "there is no node {node:?}; there are {}",
            known.join(", ")
        )));
    };
    program::run(&["node", verb, &found.name])
}

/// What our labs call the node that k3d calls `container`: k3d counts agents from 0.
fn short_name(cluster: &str, container: &str) -> String {
    let rest = container
        .strip_prefix("k3d-")
        .and_then(|rest| rest.strip_prefix(cluster))
        .and_then(|rest| rest.strip_prefix('-'));
    let agent = rest
        .and_then(|rest| rest.strip_prefix("agent-"))
        .and_then(|number| number.parse::<u32>().ok());
    match (rest, agent) {
        (_, Some(number)) => format!("worker-{}", number + 1),
        (Some("server-0"), _) => "control-plane".into(),
        (Some(rest), _) => rest.into(),
        (None, _) => container.into(),
    }
}

/// Brings the images of an archive to all nodes.
///
/// # Errors
/// When the file cannot be found, or k3d fails.
pub fn load_images(name: &str, archive: &Path) -> Result<(), Error> {
    let path = archive.canonicalize().map_err(|source| Error::File {
        path: archive.into(),
        source,
    })?;
    program::run(&["image", "import", text(&path)?, "--cluster", name])
}

/// The config that the command line asks for.
fn wanted(
    name: &str,
    workers: Option<u16>,
    port: Option<u16>,
    options: &K3dOptions,
) -> Result<Simple, Error> {
    let registry_config = options
        .registry_config
        .as_deref()
        .map(absolute)
        .transpose()?;
    let config = config::simple(
        name,
        &Wanted {
            agents: workers.unwrap_or(2),
            // Looked for here, taken by the engine.
            port: ports::bind(port, None)?
                .local_addr()
                .map_err(Error::system("the API server's port"))?
                .port(),
            image: options.image.clone(),
            publish: options.publish.clone(),
            volumes: options.volume.clone(),
            registry: options.registry.clone(),
            use_registries: options.use_registry.clone(),
            registry_config,
        },
    );
    let problems = rules::problems(&config);
    if problems.is_empty() {
        return Ok(config);
    }
    Err(Error::Usage(format!(
        "k3d would not take this:\n  {}",
        problems.join("\n  ")
    )))
}

fn absolute(path: &Path) -> Result<String, Error> {
    let path = path.canonicalize().map_err(|source| Error::File {
        path: path.into(),
        source,
    })?;
    text(&path).map(str::to_owned)
}

fn text(path: &Path) -> Result<&str, Error> {
    path.to_str()
        .ok_or_else(|| Error::Usage(format!("{}: k3d needs a path in UTF-8", path.display())))
}

fn load(layout: &Layout) -> Result<Option<Simple>, Error> {
    let path = file(layout);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::File { path, source }),
    };
    let config = serde_json::from_slice(&text);
    config
        .map(Some)
        .map_err(|error| Error::Usage(format!("{}: {error}", path.display())))
}

fn save(layout: &Layout, config: &Simple) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(config).expect("a config has only strings and numbers");
    write(&file(layout), &(text + "\n"))
}

/// Keeps the kubeconfig that k3d has for the cluster.
fn keep_kubeconfig(name: &str, layout: &Layout) -> Result<(), Error> {
    let text = program::output(&["kubeconfig", "get", name])?;
    write(&layout.kubeconfig(), &text)
}

/// Writes a file for this user alone: a kubeconfig has a key in it.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |source| Error::File {
        path: path.into(),
        source,
    };
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(failed)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

/// Removes the two files of a k3d lab, and its folder once that is empty.
fn forget(layout: &Layout) -> Result<(), Error> {
    for path in [layout.kubeconfig(), file(layout)] {
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::File { path, source });
            }
            _ => {}
        }
    }
    // Something of the user's in there stays.
    let _ = std::fs::remove_dir(&layout.dir);
    Ok(())
}
