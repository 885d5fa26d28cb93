//! A server that is measured: started on a folder of its own, asked what it uses, ended.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tonic::transport::{Channel, Endpoint};

/// How long a server may take until it answers: a million keys are read back in that time.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// So that a long run does not end at etcd's limit of 2 GiB.
const QUOTA: [&str; 2] = ["--quota-backend-bytes", "8589934592"];

/// Which program.
#[derive(Debug, Clone)]
pub enum Program {
    /// The workshop's.
    Ours(PathBuf),
    /// The one that it is measured beside.
    Etcd(PathBuf),
}

/// A server that runs.
pub struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts `program` on the data in `dir`.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start(program: &Program, dir: &Path) -> Result<Self> {
        let [port, peer] = free_ports()?;
        let url = format!("http://127.0.0.1:{port}");
        let peer = format!("http://127.0.0.1:{peer}");
        let log = fs::File::create(dir.join("log")).context("the server's log")?;
        let mut command = match program {
            Program::Ours(path) => {
                let mut command = Command::new(path);
                command.arg("serve");
                command
            }
            Program::Etcd(path) => {
                let mut command = Command::new(path);
                // It wants to be told of itself as a peer.
                command.args([
                    "--listen-peer-urls",
                    &peer,
                    "--initial-advertise-peer-urls",
                    &peer,
                ]);
                command.args([
                    "--initial-cluster",
                    &format!("default={peer}"),
                    "--log-level",
                    "error",
                ]);
                command.args(QUOTA);
                command
            }
        };
        command.arg("--data-dir").arg(dir.join("data"));
        command.args([
            "--listen-client-urls",
            &url,
            "--advertise-client-urls",
            &url,
        ]);
        let process = command.stdout(Stdio::null()).stderr(log).spawn();
        let process = process.with_context(|| format!("cannot start {program:?}"))?;
        let mut server = Self { process, port };
        server.wait_until_ready().await?;
        Ok(server)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let give_up = Instant::now() + READY_WITHIN;
        let range = etcd::grpc::pb::etcdserverpb::RangeRequest {
            key: "ready".into(),
            ..Default::default()
        };
        loop {
            if let Ok(channel) = self.connect().await {
                let mut kv = crate::load::KvClient::new(channel);
                if kv.range(range.clone()).await.is_ok() {
                    return Ok(());
                }
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("the server ended: {status}");
            }
            if Instant::now() > give_up {
                bail!("the server does not answer");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A connection of its own.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn connect(&self) -> Result<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", self.port))?;
        Ok(endpoint.tcp_nodelay(true).connect().await?)
    }

    /// Processor time that it has used, in user and kernel mode.
    pub fn cpu(&self) -> Duration {
        measure::process::cpu(self.process.id())
    }

    /// Bytes of memory, with what is mapped from files.
    pub fn memory(&self) -> u64 {
        measure::process::memory(self.process.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _ended_already = self.process.wait();
    }
}

fn free_ports() -> Result<[u16; 2]> {
    let listeners = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    Ok([
        listeners[0].local_addr()?.port(),
        listeners[1].local_addr()?.port(),
    ])
}
