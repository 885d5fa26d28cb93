//! Members of a real etcd cluster, as processes of their own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use etcd::api::*;
use etcd::remote::{Client, Config};

/// Where a real etcd is: `WORKSHOP_ETCD`, else the one in the path. None, with the reason told,
/// where there is none; in CI there must be one.
pub fn program() -> Option<PathBuf> {
    let program = std::env::var_os("WORKSHOP_ETCD").map_or_else(|| "etcd".into(), PathBuf::from);
    let version = Command::new(&program).arg("--version").output();
    match version {
        Ok(output) if output.stdout.starts_with(b"etcd Version") => Some(program),
        _ if std::env::var_os("CI").is_some() => panic!("CI has an etcd: Debian's etcd-server"),
        _ => {
            eprintln!("skipped: no etcd (Debian and Ubuntu have it in etcd-server)");
            None
        }
    }
}

/// A cluster. Dropping it ends it.
pub struct Members {
    program: PathBuf,
    dir: tempfile::TempDir,
    pub ports: Vec<(u16, u16)>,
    processes: Vec<Option<Child>>,
}

impl Members {
    /// Starts so many members.
    pub fn start(program: PathBuf, count: usize) -> Self {
        let mut members = Self {
            program,
            dir: tempfile::tempdir().expect("a temporary directory"),
            ports: ports(count),
            processes: (0..count).map(|_| None).collect(),
        };
        for number in 0..count {
            members.start_one(number);
        }
        members
    }

    /// Starts a member that does not run.
    pub fn start_one(&mut self, number: usize) {
        let name = |number: usize| format!("m{number}");
        let peers: Vec<String> = (self.ports.iter().enumerate())
            .map(|(number, (_, port))| format!("{}=http://127.0.0.1:{port}", name(number)))
            .collect();
        let (client, peer) = self.ports[number];
        let process = Command::new(&self.program)
            .arg(format!("--name={}", name(number)))
            .arg("--data-dir")
            .arg(self.dir.path().join(name(number)))
            .args([
                format!("--listen-client-urls=http://127.0.0.1:{client}"),
                format!("--advertise-client-urls=http://127.0.0.1:{client}"),
                format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
                format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
                format!("--initial-cluster={}", peers.join(",")),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd starts");
        self.processes[number] = Some(process);
    }

    /// Kills a member, as `kill -9` does.
    pub fn kill(&mut self, number: usize) {
        let mut process = self.processes[number].take().expect("it runs");
        process.kill().expect("it can be killed");
        process.wait().expect("it ends");
    }

    /// A client of these members.
    pub fn client_of(&self, numbers: &[usize]) -> Client {
        let url = |number: &usize| format!("http://127.0.0.1:{}", self.ports[*number].0);
        let config = Config {
            endpoints: numbers.iter().map(url).collect(),
            ..Config::default()
        };
        Client::new(&config).expect("the endpoints are well-formed")
    }

    /// A client of all of them, once they have a leader.
    pub async fn client(&self) -> Client {
        let all: Vec<usize> = (0..self.ports.len()).collect();
        let client = self.client_of(&all);
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Err(error) = client.revision().await {
            assert!(Instant::now() < deadline, "no leader: {error}");
        }
        client
    }

    /// Which member leads.
    pub async fn leader(&self) -> usize {
        for number in 0..self.ports.len() {
            if self.client_of(&[number]).leads().await == Ok(true) {
                return number;
            }
        }
        panic!("nobody leads");
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().flatten() {
            let _ended_already = process.kill();
            let _ended_already = process.wait();
        }
    }
}

/// Ports that nobody has: for clients and for peers.
fn ports(count: usize) -> Vec<(u16, u16)> {
    let bind = || TcpListener::bind("127.0.0.1:0").expect("a free port");
    let held: Vec<_> = (0..count).map(|_| (bind(), bind())).collect();
    let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
    held.iter().map(|(a, b)| (port(a), port(b))).collect()
}

/// A put of a key, if its revision is still that.
pub fn put_if(key: &str, value: &str, expected: Revision, lease: LeaseId) -> TxnRequest {
    let key = bytes::Bytes::copy_from_slice(key.as_bytes());
    let guard = Compare {
        range: KeyRange::One(key.clone()),
        op: CompareOp::Equal,
        target: CompareTarget::Mod(expected),
    };
    let put = PutRequest {
        key,
        value: bytes::Bytes::copy_from_slice(value.as_bytes()),
        lease,
        ..PutRequest::default()
    };
    TxnRequest {
        compare: vec![guard],
        success: vec![RequestOp::Put(put)],
        failure: vec![],
    }
}

/// A watch of all keys.
pub fn watch(start_revision: Revision) -> WatchRequest {
    WatchRequest {
        range: KeyRange::From(bytes::Bytes::new()),
        start_revision,
        prev_kv: false,
        no_put: false,
        no_delete: false,
    }
}

/// A read of all keys.
pub fn all() -> RangeRequest {
    RangeRequest::new(KeyRange::From(bytes::Bytes::new()))
}
