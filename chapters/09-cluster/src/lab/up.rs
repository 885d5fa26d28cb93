//! `lab up`: from nothing, or from what is left, to a cluster that answers.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::control::{Conversation, Reply, Request};
use super::k3d::{self, Backend, K3dOptions};
use super::layout::Layout;
use super::members::StoreOptions;
use super::progress::Progress;
use super::record::{Record, Runtime};
use super::{Error, disk, docker, enter, pki, ports, sys};

/// Workers of a lab whose user does not say.
const WORKERS_DEFAULT: u16 = 2;

/// `lab up`
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Up {
    /// Worker nodes [default: 2]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=50))]
    nodes: Option<u16>,
    /// Port of 127.0.0.1 for the API server [default: 6443, or the next one that is free]
    #[arg(long)]
    port: Option<u16>,
    /// A scheduler that takes the place of ours; it is given --kubeconfig
    #[arg(long, value_name = "PATH")]
    scheduler: Option<PathBuf>,
    /// What runs nodes and pods [default: embedded]
    #[arg(long, value_enum)]
    runtime: Option<Runtime>,
    /// What makes the nodes [default: workshop]
    #[arg(long, value_enum)]
    backend: Option<Backend>,
    #[command(flatten)]
    store: StoreOptions,
    #[command(flatten)]
    k3d: K3dOptions,
}

impl Up {
    /// What is to make the nodes: what made them, once they are there.
    fn backend(&self, layout: &Layout) -> Result<Backend, Error> {
        let before = if k3d::file(layout).exists() {
            Some(Backend::K3d)
        } else {
            Record::load(layout).map(|_| Backend::Workshop)
        };
        let backend = self.backend.or(before).unwrap_or(Backend::Workshop);
        if before.is_some_and(|before| before != backend) {
            return Err(Error::Usage(
                "the lab is there already, with another backend; `cargo xtask lab down` ends it, \
                 `--name` starts another one beside it"
                    .into(),
            ));
        }
        let ours = self.runtime.is_some() || self.scheduler.is_some() || self.store.is_given();
        match backend {
            Backend::K3d if ours => Err(Error::Usage(
                "--runtime, --scheduler and --store are of our own nodes, not of k3d's".into(),
            )),
            Backend::Workshop if self.k3d != K3dOptions::default() => Err(Error::Usage(
                "--image, --publish, --volume and those of registries need --backend k3d".into(),
            )),
            backend => Ok(backend),
        }
    }
}

/// Starts the lab and waits until it answers; or waits for one that is starting.
///
/// # Errors
/// What the machine lacks, or which component failed and what its log says.
pub fn run(name: &str, layout: &Layout, options: &Up) -> Result<(), Error> {
    if options.backend(layout)? == Backend::K3d {
        return k3d::up(name, layout, options.nodes, options.port, &options.k3d);
    }
    let before = Record::load(layout);
    let runtime = runtime(options, before.as_ref())?;
    let members = options.store.members(before.as_ref())?;
    let running = Conversation::start(layout, &Request::Wait);
    match running.and_then(|it| it.map(|it| join(name, layout, options, it)).transpose()) {
        Ok(Some(())) => return Ok(()),
        // Nobody, or somebody whose end was on its way: the lab is there to be started.
        Ok(None) | Err(Error::Lost) => {}
        Err(Error::Refused(_)) => {
            // A start that failed stays for a look at it, until the next one.
            if let Some(conversation) = Conversation::start(layout, &Request::Down)? {
                let _ = conversation.finish(|_| {});
            }
        }
        Err(other) => return Err(other),
    }
    if runtime != Runtime::Docker {
        disk::has_room(&layout.dir)?;
    }
    let mut progress = Progress::start();
    progress.doing("certificates");
    if let Some(supervisor) = before.as_ref().and_then(|record| record.supervisor)
        && supervisor.is_alive()
    {
        // Without its socket nobody can speak to it: a start that hangs, or a file that was
        // removed. Its end is the end of everything that it began.
        super::down::kill(supervisor)?;
    }
    if runtime == Runtime::Docker {
        return in_docker(name, layout, options, before, progress);
    }
    if runtime == Runtime::Containerd {
        can_have_containerd()?;
    }
    let listener = ports::bind(options.port, before.as_ref().map(|record| record.port))?;
    let mut record = Record {
        name: name.into(),
        port: listener
            .local_addr()
            .map_err(Error::system("the API server's port"))?
            .port(),
        workers: options
            .nodes
            .or(before.as_ref().map(|record| record.workers))
            .unwrap_or(WORKERS_DEFAULT),
        runtime,
        network: before.as_ref().map_or(0, |record| record.network),
        scheduler: options.scheduler.as_deref().map(absolute).transpose()?,
        members,
        supervisor: None,
    };
    prepare(layout, &record)?;
    progress.did(if before.is_some() {
        "Certificates and state are there from before"
    } else {
        "Certificates are made"
    });
    progress.doing("namespaces");
    let fd = listener.as_raw_fd();
    sys::set_inherited(fd, true).map_err(Error::system("the API server's socket"))?;
    record.supervisor = Some(enter::start(layout, fd)?);
    record.save(layout)?;
    drop(listener);

    let conversation = wait_for_socket(layout, &record)?;
    show(conversation, &mut progress).map_err(|error| failed(name, layout, error))?;
    let took = progress.finish();
    println!(
        "\nThe lab {name:?} is up: {} nodes in {:.2} seconds.\n",
        record.workers + 1,
        took.as_secs_f64()
    );
    say_what_to_try(name, layout);
    Ok(())
}

/// Whether containerd can run here.
///
/// # Errors
/// What it lacks.
pub fn can_have_containerd() -> Result<(), Error> {
    if !rustix::process::getuid().is_root() {
        let message = "containerd needs root: `sudo -E cargo xtask lab --runtime containerd`; \
                       the embedded runtime does not";
        return Err(Error::Machine(message.into()));
    }
    for program in ["containerd", "ctr", "runc", "containerd-shim-runc-v2"] {
        if !enter::is_installed(program) {
            return Err(Error::Machine(format!(
                "{program} is not installed: on Debian and Ubuntu, `apt-get install containerd`"
            )));
        }
    }
    Ok(())
}

/// What is to run the lab: what it was made with, once it is made.
fn runtime(options: &Up, before: Option<&Record>) -> Result<Runtime, Error> {
    match (options.runtime, before) {
        (Some(wanted), Some(record)) if wanted != record.runtime => Err(Error::Usage(format!(
            "lab {:?} is there already, with another runtime; `cargo xtask lab down` ends it, \
             `--name` starts another one beside it",
            record.name
        ))),
        (_, Some(record)) => Ok(record.runtime),
        (wanted, None) => Ok(wanted.unwrap_or_default()),
    }
}

/// Nodes and pods are containers of an engine.
fn in_docker(
    name: &str,
    layout: &Layout,
    options: &Up,
    before: Option<Record>,
    mut progress: Progress,
) -> Result<(), Error> {
    if options.store.is_given() {
        return Err(Error::Usage(
            "--store etcd runs programs of the host, which are not in the node image".into(),
        ));
    }
    if options.scheduler.is_some() {
        return Err(Error::Usage(
            "--scheduler names a program of the host, which is not in the node image".into(),
        ));
    }
    let mut record = match before {
        Some(record) => {
            unchanged(options, &record)?;
            record
        }
        None => Record {
            name: name.into(),
            // Looked for here, taken by the engine.
            port: ports::bind(options.port, None)?
                .local_addr()
                .map_err(Error::system("the API server's port"))?
                .port(),
            workers: options.nodes.unwrap_or(WORKERS_DEFAULT),
            runtime: Runtime::Docker,
            network: 0,
            scheduler: None,
            members: None,
            supervisor: None,
        },
    };
    make_folders(layout)?;
    record.save(layout)?;
    let started = docker::up::run(layout, &mut record, &mut progress);
    let took = progress.finish();
    started?;
    println!(
        "\nThe lab {name:?} is up: {} nodes in {:.2} seconds.\n",
        record.workers + 1,
        took.as_secs_f64()
    );
    say_what_to_try(name, layout);
    println!("  docker ps --filter label=workshop.lab={name}");
    Ok(())
}

/// A lab that is there has the nodes and the port that it has.
fn unchanged(options: &Up, record: &Record) -> Result<(), Error> {
    let other = |wanted: Option<u16>, is: u16| wanted.is_some_and(|wanted| wanted != is);
    if other(options.nodes, record.workers) || other(options.port, record.port) {
        return Err(Error::Usage(format!(
            "lab {:?} runs already, with {} workers, on port {}; `cargo xtask lab down` ends it, \
             `--name` starts another one beside it",
            record.name, record.workers, record.port
        )));
    }
    Ok(())
}

/// A lab is there: say so, after its start if it is starting.
fn join(
    name: &str,
    layout: &Layout,
    options: &Up,
    conversation: Conversation,
) -> Result<(), Error> {
    let record = Record::load(layout);
    if let Some(record) = &record {
        unchanged(options, record)?;
    }
    let mut progress = Progress::start();
    let mut shown = false;
    let result = conversation.finish(|reply| {
        // What was done before this call is no news.
        if let Reply::Doing { what } = &reply {
            progress.doing(what);
        }
        if shown && let Reply::Did { what, .. } = &reply {
            progress.did(what);
        }
        shown = true;
    });
    progress.finish();
    result?;
    println!("The lab {name:?} runs already.\n");
    say_what_to_try(name, layout);
    Ok(())
}

fn show(conversation: Conversation, progress: &mut Progress) -> Result<(), Error> {
    conversation.finish(|reply| match reply {
        Reply::Doing { what } => progress.doing(&what),
        Reply::Did { what, .. } => progress.did(&what),
        _ => {}
    })
}

/// A start that failed stays as it is, for a look at it.
fn failed(name: &str, layout: &Layout, error: Error) -> Error {
    let logs = layout.logs();
    match error {
        Error::Refused(message) => Error::Refused(format!(
            "the lab {name:?} did not start: {message}\nlogs are in {}; `cargo xtask lab down` \
             removes it",
            logs.display()
        )),
        Error::Lost => Error::Refused(format!(
            "the lab's supervisor ended; its log ends with:\n{}",
            super::logs::tail(&layout.supervisor_log(), 10)
        )),
        error => error,
    }
}

/// The lab's folders.
fn make_folders(layout: &Layout) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    for dir in [
        layout.pki(),
        layout.logs(),
        layout.bin(),
        layout.images(),
        layout.store(),
    ] {
        builder
            .create(&dir)
            .map_err(|source| Error::File { path: dir, source })?;
    }
    Ok(())
}

/// Folders, programs, certificates, and the record, which makes it a lab.
fn prepare(layout: &Layout, record: &Record) -> Result<(), Error> {
    make_folders(layout)?;
    // Processes of pods run as other users of the lab and look at their files through here.
    open_to_all(&layout.dir)?;
    open_to_all(&layout.images())?;
    open_to_all(&layout.bin())?;
    let program = std::env::current_exe().map_err(Error::system("find this program"))?;
    copy(&program, &layout.bin().join("cluster"))?;
    let echo = program.with_file_name("echo");
    if echo.exists() {
        copy(&echo, &layout.bin().join("echo"))?;
    }
    pki::ensure(layout, record)?;
    record.save(layout)
}

fn open_to_all(dir: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(dir, open).map_err(|source| Error::File {
        path: dir.into(),
        source,
    })
}

/// Puts a program into the lab's folder. As a second name for the same file where that is
/// possible: a build puts a new file in the place of the old one, which then stays here.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino(), metadata.modified().ok()?))
    };
    if identity(from).is_some() && identity(from) == identity(to) {
        return Ok(());
    }
    let scratch = to.with_extension("new");
    let _ = std::fs::remove_file(&scratch);
    let put = || {
        if std::fs::hard_link(from, &scratch).is_err() {
            std::fs::copy(from, &scratch)?;
        }
        std::fs::rename(&scratch, to)
    };
    put().map_err(|source| Error::File {
        path: to.into(),
        source,
    })
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(|source| Error::File {
        path: path.into(),
        source,
    })
}

/// The supervisor runs; its socket is there in a moment.
fn wait_for_socket(layout: &Layout, record: &Record) -> Result<Conversation, Error> {
    loop {
        if let Some(conversation) = Conversation::start(layout, &Request::Wait)? {
            return Ok(conversation);
        }
        if !record
            .supervisor
            .is_some_and(|supervisor| supervisor.is_alive())
        {
            return Err(failed(&record.name, layout, Error::Lost));
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn say_what_to_try(name: &str, layout: &Layout) {
    let option = if name == "workshop" {
        String::new()
    } else {
        format!(" --name {name}")
    };
    println!("  export KUBECONFIG={}\n", layout.kubeconfig().display());
    println!("Try:");
    println!("  kubectl get nodes -o wide          # or: cargo xtask kubectl{option} get nodes");
    println!("  kubectl create deployment hello --image=workshop/echo --replicas=3");
    println!("  kubectl get pods -A -o wide -w");
}
