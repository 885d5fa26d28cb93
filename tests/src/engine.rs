//! A Docker engine of a test's own: to be stopped, started again, and made to hang.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// An engine that ends with its test, and its containers with it.
pub struct Engine {
    dir: tempfile::TempDir,
    containerd: Child,
    dockerd: Option<Child>,
    live_restore: bool,
}

impl Engine {
    /// Starts an engine; `live_restore`: containers go on without it. `None`, with the reason on
    /// stderr, where this user may not.
    ///
    /// # Panics
    /// When `CI` is set and it cannot be started; when it does not come up.
    pub fn start(live_restore: bool) -> Option<Engine> {
        if let Err(why) = can_start() {
            assert!(std::env::var_os("CI").is_none(), "{why}");
            eprintln!("skipped: {why}");
            return None;
        }
        let dir = tempfile::Builder::new().prefix("engine-").tempdir();
        let dir = dir.expect("a folder for the engine");
        // One of its own, so that what happens here touches no container of others.
        let path = |name: &str| dir.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = \
             [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
            path("containerd"),
            path("containerd-state"),
            path("containerd.sock"),
        );
        std::fs::write(dir.path().join("containerd.toml"), config).expect("a file");
        let mut containerd = Command::new("containerd");
        containerd.args(["--config", &path("containerd.toml")]);
        let containerd = spawn(&mut containerd, &dir.path().join("containerd.log"));
        let mut engine = Engine {
            dir,
            containerd,
            dockerd: None,
            live_restore,
        };
        engine.resume();
        Some(engine)
    }

    /// Where it listens, for `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.path("docker.sock"))
    }

    /// Starts the engine's program again after [`Engine::stop`].
    ///
    /// # Panics
    /// When it does not come up.
    pub fn resume(&mut self) {
        let mut dockerd = Command::new("dockerd");
        dockerd
            .args(["--host", &self.host()])
            .args(["--data-root", &self.path("data")])
            .args(["--exec-root", &self.path("exec")])
            .args(["--pidfile", &self.path("pid")])
            .args(["--containerd", &self.path("containerd.sock")])
            .args(["--bridge=none", "--iptables=false"])
            .arg(format!("--live-restore={}", self.live_restore));
        self.dockerd = Some(spawn(&mut dockerd, &self.dir.path().join("dockerd.log")));
        let began = Instant::now();
        while !self.answers() {
            let log = std::fs::read_to_string(self.path("dockerd.log")).unwrap_or_default();
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "no engine: {log}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends the engine's program, as a service manager does: its containers too, unless they may
    /// go on without it.
    pub fn stop(&mut self) {
        if let Some(mut dockerd) = self.dockerd.take() {
            signal(&dockerd, "TERM");
            let _ = dockerd.wait();
        }
    }

    /// The engine is there, and does not answer.
    pub fn hang(&self) {
        self.dockerd.iter().for_each(|it| signal(it, "STOP"));
    }

    /// The end of [`Engine::hang`].
    pub fn wake(&self) {
        self.dockerd.iter().for_each(|it| signal(it, "CONT"));
    }

    fn answers(&self) -> bool {
        let mut docker = Command::new("docker");
        docker.arg("version").env("DOCKER_HOST", self.host());
        let status = docker.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.wake();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path("dockerd.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("the engine said last, newest first:\n{}", lines.join("\n"));
        }
        // A lab's `down` has removed its containers; this is for a test that failed.
        self.live_restore = false;
        if self.dockerd.is_some() {
            let mut docker = Command::new("sh");
            docker.args(["-c", "docker ps -q | xargs -r docker kill"]);
            let _ = docker.env("DOCKER_HOST", self.host()).output();
        }
        self.stop();
        signal(&self.containerd, "TERM");
        let _ = self.containerd.wait();
    }
}

fn can_start() -> Result<(), String> {
    let root = Command::new("id").arg("-u").output();
    if !root.is_ok_and(|output| output.stdout == b"0\n") {
        return Err("only root can start an engine".into());
    }
    for program in ["dockerd", "containerd", "docker"] {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output();
        if !found.is_ok_and(|output| output.status.success()) {
            return Err(format!("{program} is not installed"));
        }
    }
    Ok(())
}

fn spawn(command: &mut Command, log: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(log);
    let log = log.expect("a log");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("it is installed")
}

fn signal(process: &Child, signal: &str) {
    let pid = process.id().to_string();
    let _ = Command::new("kill").args(["-s", signal, &pid]).status();
}
