//! A server that is measured: started on a folder of its own, asked what it uses, ended.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use rustls::ClientConfig;

use crate::client::{Client, JSON};
use crate::pki::Pki;

/// How long a server may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Which program.
#[derive(Debug, Clone)]
pub enum Program {
    /// The workshop's.
    Ours(PathBuf),
    /// Upstream's kube-apiserver, and the etcd under it.
    Upstream(PathBuf, PathBuf),
}

/// A server that runs.
pub struct Server {
    process: Process,
    _etcd: Option<Process>,
    port: u16,
    tls: Arc<ClientConfig>,
    /// From its start until it said that it is ready.
    pub ready_after: Duration,
}

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _ended_already = self.0.wait();
    }
}

impl Server {
    /// Starts `program` on the data in `dir`.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start(program: &Program, dir: &Path) -> Result<Server> {
        let pki = Pki::new(dir)?;
        let [port, etcd_port, peer_port] = free_ports()?;
        let (mut command, etcd) = match program {
            Program::Ours(path) => {
                let mut command = Command::new(path);
                command.args(["--data-dir", &pki.file("data")]);
                (command, None)
            }
            Program::Upstream(path, etcd) => {
                let url = format!("http://127.0.0.1:{etcd_port}");
                let etcd = start_etcd(etcd, dir, &url, peer_port)?;
                let mut command = Command::new(path);
                command.args(["--etcd-servers", &url, "--authorization-mode", "Node,RBAC"]);
                command.args(["--service-account-key-file", &pki.file("sa.pub")]);
                command.args([
                    "--service-account-issuer",
                    "https://kubernetes.default.svc.cluster.local",
                ]);
                command.args(["--cert-dir", &pki.file("")]);
                (command, Some(etcd))
            }
        };
        command.args(["--bind-address", "127.0.0.1"]);
        command.args(["--secure-port", &port.to_string()]);
        command.args(["--service-cluster-ip-range", "10.96.0.0/16"]);
        for (flag, file) in [
            ("--tls-cert-file", "server.crt"),
            ("--tls-private-key-file", "server.key"),
            ("--client-ca-file", "ca.crt"),
            ("--service-account-signing-key-file", "sa.key"),
        ] {
            command.args([flag, &pki.file(file)]);
        }
        let begun = Instant::now();
        let process = spawn(&mut command, &dir.join("log"))?;
        let tls = pki.client()?;
        let mut server = Server {
            process,
            _etcd: etcd,
            port,
            tls,
            ready_after: Duration::ZERO,
        };
        server.wait_until_ready(begun).await?;
        server.ready_after = begun.elapsed();
        Ok(server)
    }

    async fn wait_until_ready(&mut self, begun: Instant) -> Result<()> {
        loop {
            if let Ok(client) = self.connect().await
                && client
                    .call("GET", "/readyz", JSON, Bytes::new())
                    .await
                    .is_ok()
            {
                return Ok(());
            }
            if let Some(status) = self.process.0.try_wait()? {
                bail!("the server ended: {status}");
            }
            if begun.elapsed() > READY_WITHIN {
                bail!("the server does not become ready");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// A connection of its own.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn connect(&self) -> Result<Client> {
        Client::connect(self.port, self.tls.clone()).await
    }

    /// Several connections.
    ///
    /// # Errors
    /// If one is refused.
    pub async fn connections(&self, count: usize) -> Result<Vec<Client>> {
        let mut connections = Vec::new();
        for _ in 0..count {
            connections.push(self.connect().await?);
        }
        Ok(connections)
    }

    /// Processor time that it has used; of an etcd under it, nothing.
    pub fn cpu(&self) -> Duration {
        measure::process::cpu(self.process.0.id())
    }

    /// Bytes of memory; of an etcd under it, nothing.
    pub fn memory(&self) -> u64 {
        measure::process::memory(self.process.0.id())
    }
}

fn start_etcd(program: &Path, dir: &Path, url: &str, peer_port: u16) -> Result<Process> {
    let peer = format!("http://127.0.0.1:{peer_port}");
    let mut command = Command::new(program);
    command.arg("--data-dir").arg(dir.join("data"));
    command.args(["--listen-client-urls", url, "--advertise-client-urls", url]);
    command.args(["--listen-peer-urls", &peer]);
    command.args(["--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("default={peer}")]);
    command.args([
        "--log-level",
        "error",
        "--quota-backend-bytes",
        "8589934592",
    ]);
    spawn(&mut command, &dir.join("etcd.log"))
}

fn spawn(command: &mut Command, log: &Path) -> Result<Process> {
    let log = fs::File::create(log).context("the server's log")?;
    let child = command.stdout(Stdio::null()).stderr(log).spawn();
    let child = child.with_context(|| format!("cannot start {:?}", command.get_program()))?;
    Ok(Process(child))
}

fn free_ports() -> Result<[u16; 3]> {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let listeners = [bind()?, bind()?, bind()?];
    let [a, b, c] = listeners.map(|listener| listener.local_addr());
    Ok([a?.port(), b?.port(), c?.port()])
}
