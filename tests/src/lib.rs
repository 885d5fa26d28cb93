//! Whole-cluster tests: real binaries, real clients.
//!
//! Scenarios that are the same on every kind of lab run on each ([`on_each_lab`]). A test brings
//! up a lab of its own ([`Lab`]: own folder, own port, own namespaces, so tests run
//! side by side), then asks it with the stock kubectl, or breaks something and waits for the
//! cluster to mend it. [`stage`] is what transcripts are played on. `cargo xtask test` builds the
//! program and names it in `WORKSHOP_CLUSTER`.

pub mod engine;
pub mod members;
pub mod stage;
pub mod trace;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What runs a lab's nodes and pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Namespaces, of whoever runs the test.
    Embedded,
    /// Namespaces of an ordinary user, where root runs the test.
    Rootless,
    /// A Docker engine.
    Docker,
    /// Namespaces of root, with a containerd in each node.
    Containerd,
    /// Namespaces, on one member of a real etcd.
    Etcd,
    /// Namespaces, on three members of a real etcd, whose leader dies on the way.
    LeaderLost,
}

/// Makes a test of a scenario for each kind of lab: `embedded::name`, `rootless::name`,
/// `docker::name`, `containerd::name` and `leader_lost::name`. A scenario is a function of a
/// [`Kind`]. ([`Kind::Etcd`] is what transcripts are played on.)
#[macro_export]
macro_rules! on_each_lab {
    ($($scenario:ident),+ $(,)?) => {
        mod embedded {
            $(#[test]
            fn $scenario() {
                super::$scenario($crate::Kind::Embedded);
            })+
        }
        mod rootless {
            $(#[test]
            fn $scenario() {
                if $crate::is_root() {
                    super::$scenario($crate::Kind::Rootless);
                }
            })+
        }
        mod docker {
            $(#[test]
            fn $scenario() {
                if $crate::has_engine() {
                    super::$scenario($crate::Kind::Docker);
                }
            })+
        }
        mod containerd {
            $(#[test]
            fn $scenario() {
                if $crate::has_containerd() {
                    super::$scenario($crate::Kind::Containerd);
                }
            })+
        }
        mod leader_lost {
            $(#[test]
            fn $scenario() {
                if $crate::has_etcd() {
                    super::$scenario($crate::Kind::LeaderLost);
                }
            })+
        }
    };
}

/// Whether root runs the test, and can run a lab as somebody else. An ordinary user's labs are
/// without root as it is.
pub fn is_root() -> bool {
    let is_root = rustix::process::getuid().is_root();
    if !is_root {
        eprintln!("skipped: `embedded` is this test already, since no root runs it");
    }
    is_root
}

/// Whether a Docker engine answers. Where none does, a test is skipped and says why; in CI it is
/// not.
///
/// # Panics
/// When `CI` is set and there is none.
pub fn has_engine() -> bool {
    match stage::engine() {
        Ok(()) => true,
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "{why}");
            eprintln!("skipped: {why}");
            false
        }
    }
}

/// Whether there can be a containerd: it is installed, and root runs the test. In CI it is.
///
/// # Panics
/// When `CI` is set and it is not installed.
pub fn has_containerd() -> bool {
    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: containerd wants root");
        return false;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_installed =
        |program: &&str| std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    let missing = ["containerd", "ctr", "runc"]
        .into_iter()
        .find(|program| !is_installed(program));
    let Some(missing) = missing else { return true };
    assert!(
        std::env::var_os("CI").is_none(),
        "{missing} is not installed"
    );
    eprintln!("skipped: {missing} is not installed");
    false
}

/// Whether there is an etcd: the one of `WORKSHOP_ETCD`, or the one in the path. In CI there is.
///
/// # Panics
/// When `CI` is set and there is none.
pub fn has_etcd() -> bool {
    let program = std::env::var_os("WORKSHOP_ETCD").unwrap_or_else(|| "etcd".into());
    let has = Command::new(program).arg("--version").output().is_ok();
    assert!(
        has || std::env::var_os("CI").is_none(),
        "etcd is not installed"
    );
    if !has {
        eprintln!("skipped: no etcd (Debian and Ubuntu have it in etcd-server)");
    }
    has
}

/// A lab that ends with its test.
pub struct Lab {
    name: String,
    home: tempfile::TempDir,
    kind: Kind,
    /// How often it was asked by kubectl.
    asked: AtomicU32,
    /// The engine of a Docker lab, if it is not the usual one.
    engine: Option<String>,
}

impl Lab {
    /// Starts a lab with two workers.
    ///
    /// # Panics
    /// When it does not start: with what it said.
    pub fn up(name: &str) -> Self {
        Self::up_on(Kind::Embedded, name)
    }

    /// Starts a lab of that kind with two workers.
    ///
    /// # Panics
    /// When it does not start: with what it said.
    pub fn up_on(kind: Kind, name: &str) -> Self {
        let lab = Self::new_on(kind, name);
        lab.start(&["--port", &free_port()]);
        lab
    }

    /// A lab that is not started.
    pub fn new(name: &str) -> Self {
        Self::new_on(Kind::Embedded, name)
    }

    /// A lab of that kind that is not started.
    ///
    /// # Panics
    /// When it can have no folder.
    pub fn new_on(kind: Kind, name: &str) -> Self {
        let home = tempfile::Builder::new().prefix("workshop-").tempdir();
        // An engine, or the machine's cgroups, are shared with whoever else tests on this machine.
        let name = match kind {
            Kind::Embedded | Kind::Rootless | Kind::Etcd | Kind::LeaderLost => name.to_owned(),
            Kind::Docker | Kind::Containerd => format!("{name}-{}", std::process::id()),
        };
        Self {
            name,
            home: home.expect("a folder for the lab"),
            kind,
            asked: AtomicU32::new(0),
            engine: None,
        }
    }

    /// Has the engine that listens at `host` run the lab.
    pub fn by_engine(mut self, host: String) -> Self {
        self.engine = Some(host);
        self
    }

    /// What runs its nodes and pods.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where the host reaches NodePorts.
    ///
    /// # Panics
    /// When the node has no address.
    pub fn node_port_host(&self) -> String {
        match self.kind {
            Kind::Embedded
            | Kind::Rootless
            | Kind::Containerd
            | Kind::Etcd
            | Kind::LeaderLost => "127.0.0.1".to_owned(),
            Kind::Docker => self.kubectl(
                "get node control-plane -o jsonpath={.status.addresses[?(@.type==\"InternalIP\")].address}",
            ),
        }
    }

    /// Runs docker against the lab's engine, with words separated by spaces.
    ///
    /// # Panics
    /// When it fails.
    pub fn docker(&self, words: &str) -> String {
        self.docker_args(&words.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs docker with arguments that may have spaces in them.
    ///
    /// # Panics
    /// When it fails.
    pub fn docker_args(&self, args: &[&str]) -> String {
        let mut command = Command::new("docker");
        command.args(args);
        if let Some(host) = &self.engine {
            command.env("DOCKER_HOST", host);
        }
        let output = command.output().expect("docker is installed");
        said(output).unwrap_or_else(|said| panic!("docker {args:?}: {said}"))
    }

    /// Runs `lab up` with further arguments.
    ///
    /// # Panics
    /// When it fails.
    pub fn start(&self, args: &[&str]) -> String {
        let kind: &[&str] = match self.kind {
            Kind::Embedded | Kind::Rootless => &[],
            Kind::Docker => &["--runtime", "docker"],
            Kind::Containerd => &["--runtime", "containerd"],
            Kind::Etcd => &["--store", "etcd"],
            Kind::LeaderLost => &["--store", "etcd", "--etcd-members", "3"],
        };
        self.lab(&[&["up"], kind, args].concat())
            .unwrap_or_else(|said| panic!("lab up: {said}"))
    }

    /// Runs a command of the lab: what it printed, or what it complained of.
    ///
    /// # Errors
    /// Both its outputs, when it fails.
    pub fn lab(&self, args: &[&str]) -> Result<String, String> {
        let mut command = match self.kind {
            Kind::Rootless => as_nobody(self.home.path()),
            _ => Command::new(cluster()),
        };
        command.args(["lab", "--name", &self.name]).args(args);
        if let Some(host) = &self.engine {
            command.env("DOCKER_HOST", host);
        }
        said(
            command
                .env("WORKSHOP_HOME", self.home.path())
                .output()
                .expect("cluster runs"),
        )
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder of all labs of this user: `WORKSHOP_HOME`.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The lab's folder.
    pub fn dir(&self) -> PathBuf {
        self.home.path().join(&self.name)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir().join("kubeconfig")
    }

    /// Runs kubectl with words separated by spaces.
    ///
    /// # Errors
    /// Both its outputs, when it fails.
    pub fn try_kubectl(&self, words: &str) -> Result<String, String> {
        self.try_kubectl_args(&words.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs kubectl with arguments that may have spaces in them.
    ///
    /// # Errors
    /// Both its outputs, when it fails.
    pub fn try_kubectl_args(&self, args: &[&str]) -> Result<String, String> {
        if self.kind == Kind::LeaderLost && self.asked.fetch_add(1, Relaxed) == 1 {
            // Something is under way, and nobody waits for an election.
            let (leader, _) = self.leader();
            let killed = self.lab(&["stop-member", &leader]);
            killed.expect("a member that leads runs");
        }
        let mut command = Command::new("kubectl");
        command.args(args).env("KUBECONFIG", self.kubeconfig());
        said(command.output().expect("kubectl is installed"))
    }

    /// Runs kubectl with words separated by spaces.
    ///
    /// # Panics
    /// When it fails.
    pub fn kubectl(&self, words: &str) -> String {
        self.try_kubectl(words)
            .unwrap_or_else(|said| panic!("kubectl {words}: {said}"))
    }

    /// Applies a manifest.
    ///
    /// # Panics
    /// When it is refused.
    pub fn apply(&self, manifest: &str) -> String {
        let file = self.home.path().join("manifest.yaml");
        std::fs::write(&file, manifest).expect("a file for the manifest");
        self.kubectl(&format!("apply -f {}", file.display()))
    }

    /// Asks again until `ask` has an answer.
    ///
    /// # Panics
    /// When it has none in time: with `what` was waited for.
    pub fn eventually<T>(&self, what: &str, limit: Duration, ask: impl Fn() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(
                began.elapsed() < limit,
                "not in {limit:?}: {what}\n{}",
                self.situation()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The etcd member that leads, and Raft's term.
    ///
    /// # Panics
    /// When none does for a minute, or the lab has no members.
    pub fn leader(&self) -> (String, u64) {
        let limit = Duration::from_secs(60);
        self.eventually("an etcd member leads", limit, || {
            members::leader(&self.lab(&members::STATUS).ok()?)
        })
    }

    /// The supervisor's number: killing it is pulling the plug of everything.
    ///
    /// # Panics
    /// When the lab does not run.
    pub fn supervisor(&self) -> String {
        let record = std::fs::read_to_string(self.dir().join("lab.json")).expect("a record");
        let record: serde_json::Value = serde_json::from_str(&record).expect("it is JSON");
        record["supervisor"]["pid"].to_string()
    }

    fn situation(&self) -> String {
        let ask = |words| self.try_kubectl(words).unwrap_or_else(|said| said);
        let events = "get events -A --sort-by=.metadata.creationTimestamp";
        [ask("get nodes,pods,services -A -o wide"), ask(events)].join("\n")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.situation());
            if std::env::var_os("WORKSHOP_KEEP").is_some() {
                eprintln!("kept: WORKSHOP_HOME={}", self.home.path().display());
                self.home.disable_cleanup(true);
                return;
            }
        }
        if let Err(said) = self.lab(&["down"]) {
            eprintln!("lab down: {said}");
        }
    }
}

/// The program, run as an ordinary user who has no more than a number: no name, no range of
/// further numbers, no home but the lab's.
fn as_nobody(home: &Path) -> Command {
    use std::os::unix::fs::chown;
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;
    let programs = home.join("programs");
    if !programs.exists() {
        // Where it was built may be closed to others.
        std::fs::create_dir(&programs).expect("a folder for the programs");
        for name in ["cluster", "echo"] {
            let built = cluster().with_file_name(name);
            std::fs::copy(built, programs.join(name)).expect("a copy of a program");
        }
        chown(home, Some(NOBODY), Some(NOBODY)).expect("root can give it away");
    }
    let mut command = Command::new(programs.join("cluster"));
    command.uid(NOBODY).gid(NOBODY).env("HOME", home);
    command
}

/// A port of one's own: two labs that start at once would both find the usual one free.
///
/// # Panics
/// When none is to be had.
pub fn free_port() -> String {
    let address = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    address.expect("a port can be had").port().to_string()
}

/// The program under test.
///
/// # Panics
/// When it was not built.
pub fn cluster() -> PathBuf {
    let program = std::env::var_os("WORKSHOP_CLUSTER").map(PathBuf::from);
    program.expect("WORKSHOP_CLUSTER names the program: run these through `cargo xtask test`")
}

/// What a command printed; both its outputs as an error when it failed.
///
/// # Errors
/// When it failed.
pub fn said(output: Output) -> Result<String, String> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    Err(stdout + &String::from_utf8_lossy(&output.stderr))
}
