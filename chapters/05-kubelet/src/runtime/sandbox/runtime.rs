//! [`ContainerRuntime`] over shims and the image store.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{broadcast, oneshot};

use super::client::{self, Connection};
use super::node_network::{PodCidr, pod_network, set_up_bridge};
use super::pods::{Entry, Pod, Pods, describe_pod};
use super::protocol::{Reply, Request, listen_in};
use super::record::{
    CONTAINER_FILE, CONTAINERS_DIR, ContainerRecord, ContainerStatus, Exit, PodNetwork,
    SANDBOX_FILE, STATUS_FILE, STOPPED_FILE, SandboxRecord, write_json,
};
use super::spec::{Context, RootSpec, container_spec};
use super::streams::{Terminal, input_pipe, null, output_pipe};
use super::users::IdMap;
use super::{SandboxRuntimeConfig, kill_shim, shim};
use crate::runtime::images::{ImageStore, Puller};
use crate::runtime::{
    Container, ContainerConfig, ContainerRuntime, Duplex, ExecOutput, ExecRequest, Image,
    ProcessStreams, PullAuth, Result, RuntimeError, RuntimeEvent, Sandbox, SandboxConfig,
};

/// How long a shim may take to end its pod before it is killed itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of each output [`ContainerRuntime::exec_sync`] keeps.
const EXEC_SYNC_OUTPUT_LEN_MAX: usize = 16 << 10;
/// How long an output may stay open after its process has ended, held by one that it left behind.
const OUTPUT_GRACE: Duration = Duration::from_millis(100);

/// The embedded implementation of [`ContainerRuntime`].
pub struct SandboxRuntime {
    config: SandboxRuntimeConfig,
    pods: Arc<Pods>,
    images: ImageStore,
    puller: Puller,
    uid_map: IdMap,
    gid_map: IdMap,
}

impl SandboxRuntime {
    /// Opens the runtime of a node: reads what it kept, and takes up the pods that still run.
    ///
    /// # Errors
    /// When a folder cannot be made or read.
    pub async fn new(config: SandboxRuntimeConfig) -> Result<Self> {
        let open = |path: &std::path::Path, error: io::Error| {
            RuntimeError::Other(format!("{}: {error}", path.display()))
        };
        let root = std::path::absolute(&config.root_dir).map_err(|e| open(&config.root_dir, e))?;
        let pods = Arc::new(Pods::load(&root).map_err(|error| open(&root, error))?);
        let images = ImageStore::open(&config.image_store)?;
        let id_map = |name: &str| {
            let text = std::fs::read_to_string(format!("/proc/self/{name}"));
            IdMap::parse(&text.unwrap_or_else(|_| "0 0 4294967295".into()))
        };
        let puller = Puller::new(config.image_proxy.clone());
        let (uid_map, gid_map) = (id_map("uid_map"), id_map("gid_map"));
        adopt_all(&pods).await;
        Ok(SandboxRuntime {
            config,
            pods,
            images,
            puller,
            uid_map,
            gid_map,
        })
    }

    /// Starts a shim for a sandbox whose record is on disk, and waits until it is up.
    async fn start_shim(&self, sandbox_id: &str) -> Result<()> {
        let dir = self.pods.dir(sandbox_id);
        let failed = |error: io::Error| RuntimeError::Other(format!("starting the shim: {error}"));
        let listener = listen_in(&dir).map_err(failed)?;
        let errors = std::fs::File::create(dir.join(shim::ERRORS_FILE)).map_err(failed)?;
        let program = self
            .config
            .helper
            .clone()
            .unwrap_or_else(|| "/proc/self/exe".into());
        let mut command = tokio::process::Command::new(program);
        command
            .arg0("workshop-shim")
            .arg(shim::HELPER_ARG)
            .env_clear()
            .current_dir(&dir);
        command.stdin(listener).stdout(Stdio::null()).stderr(errors);
        let status = command
            .spawn()
            .map_err(failed)?
            .wait()
            .await
            .map_err(failed)?;
        // The command holds the listener too, and while it does nobody is refused.
        drop(command);
        let said = || {
            let text = std::fs::read_to_string(dir.join(shim::ERRORS_FILE)).unwrap_or_default();
            RuntimeError::Other(format!("failed to create sandbox: {}", text.trim()))
        };
        if !status.success() {
            return Err(said());
        }
        match watch_shim(&self.pods, sandbox_id).await {
            Ok(_) => Ok(()),
            Err(RuntimeError::NotFound(_)) => Err(said()),
            Err(error) => Err(RuntimeError::Other(format!(
                "failed to create sandbox: {error}"
            ))),
        }
    }

    /// Gives a sandbox its address back and forgets that it ever was.
    fn discard(&self, record: &SandboxRecord) {
        let mut state = self.pods.lock();
        state.pods.remove(&record.id);
        if let Some(network) = &record.network {
            state.addresses.release(network.ip);
        }
        drop(state);
        let dir = self.pods.dir(&record.id);
        kill_shim(&dir);
        let _ = rustix::mount::unmount(dir.join("shm"), rustix::mount::UnmountFlags::DETACH);
        let _ = std::fs::remove_dir_all(dir);
    }

    /// Where a container's sandbox is, if the container runs.
    fn running(&self, container_id: &str) -> Result<std::path::PathBuf> {
        let state = self.pods.lock();
        let (pod, entry) = state.container(container_id)?;
        if entry.status.started_at.is_none() || entry.status.exit.is_some() || !pod.ready {
            return Err(RuntimeError::Other(format!(
                "container {container_id:?} is not running"
            )));
        }
        Ok(self.pods.dir(&pod.record.id))
    }

    async fn signal(&self, container_id: &str, signal: i32) -> Result<()> {
        let Ok(dir) = self.running(container_id) else {
            return Ok(());
        };
        let container_id = container_id.to_string();
        match client::call(
            &dir,
            Request::Signal {
                container_id,
                signal,
            },
        )
        .await
        {
            // Gone meanwhile, and the container with it.
            Ok(_) | Err(RuntimeError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn ended(&self, container_id: &str) {
        self.pods
            .wait_until(|state| match state.container(container_id) {
                Ok((_, entry)) => entry.status.exit.is_some() || entry.status.started_at.is_none(),
                Err(_) => true,
            })
            .await;
    }
}

/// Takes up the pods that an earlier kubelet left running.
async fn adopt_all(pods: &Arc<Pods>) {
    let ids: Vec<String> = pods.lock().pods.keys().cloned().collect();
    for id in ids {
        if pods.dir(&id).join(STOPPED_FILE).exists() {
            continue;
        }
        match watch_shim(pods, &id).await {
            Ok(running) => {
                // What ended while no kubelet was there is on disk, and was read from there.
                tracing::info!(sandbox = id, containers = running, "pod goes on");
            }
            Err(error) => {
                tracing::info!(sandbox = id, %error, "pod is lost");
                pods.lost(&id);
            }
        }
    }
}

/// Connects to a sandbox's shim and keeps the state true from then on. How many containers run.
async fn watch_shim(pods: &Arc<Pods>, sandbox_id: &str) -> Result<usize> {
    let (connection, reply, _) = client::open(&pods.dir(sandbox_id), Request::Watch, &[]).await?;
    let Reply::Ready { running } = reply else {
        return Err(RuntimeError::Other(
            "the shim gave an answer to another question".into(),
        ));
    };
    if let Some(pod) = pods.lock().pods.get_mut(sandbox_id) {
        pod.ready = true;
    }
    tokio::spawn(follow_shim(
        pods.clone(),
        sandbox_id.to_string(),
        connection,
    ));
    Ok(running.len())
}

async fn follow_shim(pods: Arc<Pods>, sandbox_id: String, connection: Connection) {
    while let Ok(Some((reply, _))) = connection.receive().await {
        if let Reply::Exited { container_id, exit } = reply {
            pods.exited(&sandbox_id, &container_id, exit);
        }
    }
    pods.lost(&sandbox_id);
}

/// An id like containerd's: 64 hexadecimal digits.
fn new_id() -> String {
    format!(
        "{}{}",
        uuid::Uuid::new_v4().simple(),
        uuid::Uuid::new_v4().simple()
    )
}

/// Sends the process's exit code when it comes. If nobody waits for it any more the connection is
/// closed, which kills an exec's process and detaches an attach.
fn exit_of(connection: Connection) -> oneshot::Receiver<i32> {
    let (mut sender, receiver) = oneshot::channel();
    tokio::spawn(async move {
        tokio::select! {
            () = sender.closed() => {}
            reply = connection.receive::<Reply>() => {
                if let Ok(Some((Reply::ProcessExited { code }, _))) = reply {
                    let _ = sender.send(code);
                }
            }
        }
    });
    receiver
}

/// Streams that are a terminal.
fn terminal_streams(
    fd: OwnedFd,
    request: &ExecRequest,
    connection: Connection,
) -> io::Result<ProcessStreams> {
    let terminal = Terminal::new(fd)?;
    Ok(ProcessStreams {
        stdin: request.stdin.then(|| Box::pin(terminal.clone()) as _),
        resize: Some(terminal.resizer()),
        stdout: Some(Box::pin(terminal)),
        stderr: None,
        exit: exit_of(connection),
    })
}

async fn read_head(stream: Option<Pin<Box<dyn AsyncRead + Send>>>, head: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = [0; 4096];
    // All of it is read, so that the process never waits; the head of it is kept.
    while let Ok(len) = stream.read(&mut buffer).await {
        if len == 0 {
            return;
        }
        let room = EXEC_SYNC_OUTPUT_LEN_MAX - head.len();
        head.extend_from_slice(&buffer[..len.min(room)]);
    }
}

fn other(error: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Other(error.to_string())
}

#[async_trait::async_trait]
impl ContainerRuntime for SandboxRuntime {
    fn version(&self) -> String {
        concat!("sandbox://", env!("CARGO_PKG_VERSION")).into()
    }

    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<()> {
        let cidr = PodCidr::parse(pod_cidr)?;
        if self.pods.lock().addresses.cidr() != Some(cidr) {
            set_up_bridge(cidr)?;
            self.pods.lock().addresses.set_cidr(cidr);
            tracing::info!(node = self.config.node_name, pod_cidr, "pod network is up");
        }
        Ok(())
    }

    async fn run_pod_sandbox(&self, config: SandboxConfig) -> Result<Sandbox> {
        let id = new_id();
        let network = match config.host_network {
            true => None,
            false => {
                let mut state = self.pods.lock();
                let ip = state.addresses.allocate()?;
                let cidr = state
                    .addresses
                    .cidr()
                    .expect("an address was allocated from it");
                Some(pod_network(ip, cidr, &id))
            }
        };
        let record = SandboxRecord {
            id,
            config,
            created_at: Timestamp::now(),
            network,
        };
        let id = record.id.clone();
        if let Err(error) = write_sandbox(&self.pods.dir(&id), &record) {
            self.discard(&record);
            return Err(other(format!("failed to create sandbox: {error}")));
        }
        let pod = Pod {
            record: record.clone(),
            ready: false,
            containers: BTreeMap::new(),
        };
        self.pods.lock().pods.insert(id.clone(), pod);
        if let Err(error) = self.start_shim(&id).await {
            self.discard(&record);
            return Err(error);
        }
        let sandbox = describe_pod(self.pods.lock().pod(&id)?);
        Ok(sandbox)
    }

    async fn stop_pod_sandbox(&self, sandbox_id: &str) -> Result<()> {
        let Ok(ready) = self.pods.lock().pod(sandbox_id).map(|pod| pod.ready) else {
            return Ok(());
        };
        let dir = self.pods.dir(sandbox_id);
        if ready {
            let stop = async {
                // An error means that the shim is gone already.
                let _ = client::call(&dir, Request::Stop).await;
                let gone =
                    |state: &super::pods::State| state.pod(sandbox_id).is_ok_and(|pod| !pod.ready);
                self.pods.wait_until(gone).await;
            };
            if tokio::time::timeout(STOP_TIMEOUT, stop).await.is_err() {
                tracing::warn!(sandbox_id, "the shim does not stop: killing it");
                kill_shim(&dir).ok_or_else(|| other("the sandbox's shim cannot be stopped"))?;
            }
        }
        let _ = rustix::mount::unmount(dir.join("shm"), rustix::mount::UnmountFlags::DETACH);
        if !dir.join(STOPPED_FILE).exists() {
            std::fs::write(dir.join(STOPPED_FILE), "").map_err(other)?;
            let mut state = self.pods.lock();
            let network = state
                .pods
                .get(sandbox_id)
                .and_then(|pod| pod.record.network.clone());
            if let Some(PodNetwork { ip, .. }) = network {
                state.addresses.release(ip);
            }
        }
        Ok(())
    }

    async fn remove_pod_sandbox(&self, sandbox_id: &str) -> Result<()> {
        self.stop_pod_sandbox(sandbox_id).await?;
        let Some(pod) = self.pods.lock().pods.remove(sandbox_id) else {
            return Ok(());
        };
        for id in pod.containers.keys() {
            self.images.release(id);
        }
        let dir = self.pods.dir(sandbox_id);
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(dir));
        removed
            .await
            .map_err(other)?
            .or_else(ignore_not_found)
            .map_err(other)
    }

    async fn list_pod_sandboxes(&self) -> Result<Vec<Sandbox>> {
        Ok(self.pods.list_sandboxes())
    }

    async fn create_container(&self, sandbox_id: &str, config: ContainerConfig) -> Result<String> {
        let missing = || RuntimeError::NotFound(format!("image {:?}", config.image));
        let image = self.images.find(&config.image_id)?.ok_or_else(missing)?;
        let root = RootSpec {
            layers_dir: self.images.layers_dir(),
            layers: image.layers.clone(),
            host_paths: image.host_paths.clone(),
            read_only: config.security.read_only_root_filesystem,
        };
        let users = self.images.users(&image);
        let id = new_id();
        let record = {
            let state = self.pods.lock();
            let pod = state.pod(sandbox_id)?;
            let context = Context {
                sandbox: &pod.record.config,
                image: &image.config,
                users: &users,
                uid_map: &self.uid_map,
                gid_map: &self.gid_map,
            };
            ContainerRecord {
                id: id.clone(),
                name: config.name.clone(),
                attempt: config.attempt,
                image: config.image.clone(),
                image_ref: image.image_ref(),
                created_at: Timestamp::now(),
                labels: config.labels.clone(),
                spec: container_spec(&config, root, context)?,
            }
        };
        if config
            .memory_limit_bytes
            .or(config.cpu_limit_millis)
            .is_some()
        {
            tracing::debug!(
                container = config.name,
                "limits are not enforced by this runtime"
            );
        }
        let dir = self.pods.container_dir(sandbox_id, &id);
        let created = |error: io::Error| RuntimeError::Create(error.to_string());
        std::fs::create_dir_all(&dir).map_err(created)?;
        write_json(&dir.join(CONTAINER_FILE), &record).map_err(created)?;
        self.images.hold(&id, &image).map_err(created)?;
        let mut state = self.pods.lock();
        let missing = || RuntimeError::NotFound(format!("sandbox {sandbox_id:?}"));
        let pod = state.pods.get_mut(sandbox_id).ok_or_else(missing)?;
        pod.containers.insert(
            id.clone(),
            Entry {
                record,
                status: ContainerStatus::default(),
            },
        );
        Ok(id)
    }

    async fn start_container(&self, container_id: &str) -> Result<()> {
        let (sandbox_id, uid) = {
            let state = self.pods.lock();
            let (pod, _) = state.container(container_id)?;
            if !pod.ready {
                let message = format!("sandbox {:?} is not ready", pod.record.id);
                return Err(RuntimeError::Start(message));
            }
            (
                pod.record.id.clone(),
                pod.record.config.metadata.uid.clone(),
            )
        };
        let request = Request::Start {
            container_id: container_id.into(),
        };
        match client::call(&self.pods.dir(&sandbox_id), request).await {
            Ok(_) => {
                self.pods.started(container_id);
                self.pods.changed(&uid);
                Ok(())
            }
            Err(error) => {
                let exit = Exit {
                    code: 128,
                    finished_at: Timestamp::now(),
                    reason: "StartError".into(),
                    message: error.to_string(),
                };
                let status = ContainerStatus {
                    started_at: None,
                    exit: Some(exit.clone()),
                };
                let dir = self.pods.container_dir(&sandbox_id, container_id);
                let _ = write_json(&dir.join(STATUS_FILE), &status);
                self.pods.exited(&sandbox_id, container_id, exit);
                Err(RuntimeError::Start(error.to_string()))
            }
        }
    }

    async fn stop_container(&self, container_id: &str, grace_period_seconds: i64) -> Result<()> {
        let stop_signal = match self.pods.lock().container(container_id) {
            Ok((_, entry)) => entry.record.spec.stop_signal,
            Err(_) => return Ok(()),
        };
        if let Ok(grace @ 1..) = u64::try_from(grace_period_seconds) {
            self.signal(container_id, stop_signal).await?;
            let grace = Duration::from_secs(grace);
            if tokio::time::timeout(grace, self.ended(container_id))
                .await
                .is_ok()
            {
                return Ok(());
            }
        }
        self.signal(container_id, 9).await?;
        self.ended(container_id).await;
        Ok(())
    }

    async fn remove_container(&self, container_id: &str) -> Result<()> {
        self.stop_container(container_id, 0).await?;
        let Ok(sandbox_id) = self
            .pods
            .lock()
            .container(container_id)
            .map(|(pod, _)| pod.record.id.clone())
        else {
            return Ok(());
        };
        let request = Request::Remove {
            container_id: container_id.into(),
        };
        // A shim that is gone has forgotten it already.
        let _ = client::call(&self.pods.dir(&sandbox_id), request).await;
        if let Some(pod) = self.pods.lock().pods.get_mut(&sandbox_id) {
            pod.containers.remove(container_id);
        }
        self.images.release(container_id);
        let dir = self.pods.container_dir(&sandbox_id, container_id);
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(dir));
        removed
            .await
            .map_err(other)?
            .or_else(ignore_not_found)
            .map_err(other)
    }

    async fn list_containers(&self, pod_uid: Option<&str>) -> Result<Vec<Container>> {
        Ok(self.pods.list_containers(pod_uid))
    }

    async fn exec_sync(
        &self,
        container_id: &str,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecOutput> {
        let described = command.join(" ");
        let request = ExecRequest {
            command,
            tty: false,
            stdin: false,
            stdout: true,
            stderr: true,
        };
        let streams = self.exec(container_id, request).await?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let run = async {
            let outputs = async {
                tokio::join!(
                    read_head(streams.stdout, &mut stdout),
                    read_head(streams.stderr, &mut stderr)
                )
            };
            tokio::pin!(outputs);
            let mut exit = streams.exit;
            let mut all_read = false;
            let code = loop {
                tokio::select! {
                    code = &mut exit => break code,
                    _ = &mut outputs, if !all_read => all_read = true,
                }
            };
            if !all_read {
                let _ = tokio::time::timeout(OUTPUT_GRACE, outputs.as_mut()).await;
            }
            code
        };
        match tokio::time::timeout(timeout, run).await {
            Ok(Ok(exit_code)) => Ok(ExecOutput {
                exit_code,
                stdout,
                stderr,
            }),
            Ok(Err(_)) => Err(other(format!("container {container_id:?} is not running"))),
            Err(_) => Err(other(format!(
                "command {described:?} timed out after {}s",
                timeout.as_secs_f64()
            ))),
        }
    }

    async fn exec(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams> {
        let dir = self.running(container_id)?;
        let tty = request.tty;
        let command = request.command.clone();
        let asked = Request::Exec {
            container_id: container_id.into(),
            command,
            tty,
        };
        if tty {
            let (connection, _, fds) = client::open(&dir, asked, &[]).await?;
            let terminal = fds
                .into_iter()
                .next()
                .ok_or_else(|| other("no terminal came"))?;
            return terminal_streams(terminal, &request, connection).map_err(other);
        }
        let (stdin_end, stdin) = match request.stdin {
            true => input_pipe().map(|(end, pipe)| (end, Some(pipe))),
            false => null().map(|end| (end, None)),
        }
        .map_err(other)?;
        let output = |wanted: bool| match wanted {
            true => output_pipe().map(|(pipe, end)| (Some(pipe), end)),
            false => null().map(|end| (None, end)),
        };
        let (stdout, stdout_end) = output(request.stdout).map_err(other)?;
        let (stderr, stderr_end) = output(request.stderr).map_err(other)?;
        let fds = [stdin_end.as_fd(), stdout_end.as_fd(), stderr_end.as_fd()];
        let (connection, _, _) = client::open(&dir, asked, &fds).await?;
        Ok(ProcessStreams {
            stdin: stdin.map(|pipe| Box::pin(pipe) as _),
            stdout: stdout.map(|pipe| Box::pin(pipe) as _),
            stderr: stderr.map(|pipe| Box::pin(pipe) as _),
            resize: None,
            exit: exit_of(connection),
        })
    }

    async fn attach(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams> {
        let dir = self.running(container_id)?;
        let tty = self.pods.lock().container(container_id)?.1.record.spec.tty;
        let with_stderr = request.stderr && !tty;
        let (stdout, stdout_end) = output_pipe().map_err(other)?;
        let (stderr, stderr_end) = output_pipe().map_err(other)?;
        let mut fds = Vec::new();
        if request.stdout {
            fds.push(stdout_end.as_fd());
        }
        if with_stderr {
            fds.push(stderr_end.as_fd());
        }
        let asked = Request::Attach {
            container_id: container_id.into(),
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: with_stderr,
        };
        let (connection, _, came) = client::open(&dir, asked, &fds).await?;
        let input = came.into_iter().next();
        let (stdin, resize) = match input {
            Some(fd) if tty => {
                let terminal = Terminal::new(fd).map_err(other)?;
                let resize = Some(terminal.resizer());
                (request.stdin.then(|| Box::pin(terminal) as _), resize)
            }
            Some(fd) => {
                let pipe = tokio::net::unix::pipe::Sender::from_owned_fd(fd).map_err(other)?;
                (Some(Box::pin(pipe) as _), None)
            }
            None => (None, None),
        };
        Ok(ProcessStreams {
            stdin,
            stdout: request.stdout.then(|| Box::pin(stdout) as _),
            stderr: with_stderr.then(|| Box::pin(stderr) as _),
            resize,
            exit: exit_of(connection),
        })
    }

    async fn port_forward(&self, sandbox_id: &str, port: u16) -> Result<Pin<Box<dyn Duplex>>> {
        self.pods.lock().pod(sandbox_id)?;
        let sockets = client::call(&self.pods.dir(sandbox_id), Request::Sockets).await?;
        let loopback: [SocketAddr; 2] = [
            (Ipv4Addr::LOCALHOST, port).into(),
            (Ipv6Addr::LOCALHOST, port).into(),
        ];
        let mut why = String::new();
        for (socket, address) in sockets.into_iter().zip(loopback) {
            let socket = tokio::net::TcpSocket::from_std_stream(socket.into());
            match socket.connect(address).await {
                Ok(stream) => return Ok(Box::pin(stream)),
                Err(error) => why += &format!("; {address}: {error}"),
            }
        }
        Err(other(format!(
            "failed to connect to localhost:{port} inside the pod's network namespace{why}"
        )))
    }

    async fn pull_image(&self, image: &str, auth: Option<PullAuth>) -> Result<String> {
        self.puller.pull(&self.images, image, auth).await
    }

    async fn image_status(&self, image: &str) -> Result<Option<Image>> {
        self.images.status(image)
    }

    async fn list_images(&self) -> Result<Vec<Image>> {
        self.images.list()
    }

    async fn remove_image(&self, image: &str) -> Result<()> {
        self.images.remove(image)
    }

    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.pods.events()
    }
}

fn ignore_not_found(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

fn write_sandbox(dir: &std::path::Path, record: &SandboxRecord) -> io::Result<()> {
    let etc = dir.join("etc");
    std::fs::create_dir_all(&etc)?;
    std::fs::create_dir(dir.join(CONTAINERS_DIR))?;
    let ip = record
        .network
        .as_ref()
        .map(|network| network.ip.to_string())
        .unwrap_or_default();
    std::fs::write(
        etc.join("hosts"),
        record.config.hosts.replace("{POD_IP}", &ip),
    )?;
    std::fs::write(
        etc.join("hostname"),
        format!("{}\n", record.config.hostname),
    )?;
    std::fs::write(etc.join("resolv.conf"), &record.config.resolv_conf)?;
    write_json(&dir.join(SANDBOX_FILE), record)
}
