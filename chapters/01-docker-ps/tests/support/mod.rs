//! What the tests with a real engine share.

// Each test file is a program of its own, and none needs all of this.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The image of this workspace's own server, as the tests call it.
pub const IMAGE: &str = "workshop/echo-test";
/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Our program, with the engine that `docker` asks too.
pub fn docker_ps(args: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_docker-ps"));
    let output = program.args(args).output();
    output.expect("the program under test can be started")
}

/// What a program said, and how it ended.
pub fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// `docker`, which has to succeed.
pub fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output();
    let output = output.expect("docker answered before");
    assert!(
        output.status.success(),
        "docker {args:?}: {}",
        said(&output)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether an engine answers here, with the image in it. In CI one must.
pub fn engine_answers() -> bool {
    let version = Command::new("docker").arg("version").output();
    let answers = version.is_ok_and(|output| output.status.success());
    assert!(
        answers || std::env::var_os("CI").is_none(),
        "CI has no Docker engine"
    );
    if !answers {
        eprintln!("skipped: no Docker engine answers; `docker version` says more");
        return false;
    }
    let there = Command::new("docker")
        .args(["image", "inspect", IMAGE])
        .output();
    if !there.is_ok_and(|output| output.status.success()) {
        make_image(None);
    }
    true
}

/// What a reader types: `cargo xtask image`.
pub fn make_image(host: Option<&str>) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["xtask", "image", IMAGE]);
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    if let Some(host) = host {
        cargo.env("DOCKER_HOST", host);
    }
    let output = cargo.output().expect("cargo can be run");
    assert!(output.status.success(), "{}", said(&output));
}

/// A prefix for the names of this test's containers, which are removed when it ends.
pub struct Names {
    prefix: String,
}

impl Names {
    pub fn new(test: &str) -> Names {
        Names {
            prefix: format!("{test}-{}-", std::process::id()),
        }
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let filter = format!("name={}", self.prefix);
        let listed = docker(&["ps", "--all", "--quiet", "--filter", &filter]);
        for id in listed.lines() {
            let _gone_already = Command::new("docker")
                .args(["rm", "--force", "--volumes", id])
                .output();
        }
    }
}

/// A program that runs on, and what it says.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    heard: Vec<String>,
}

impl Running {
    pub fn start(mut command: Command) -> Running {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let (sender, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("it is piped")),
            Box::new(child.stderr.take().expect("it is piped")),
        ];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    // Nobody may be left to hear it.
                    let _ = sender.send(line);
                }
            });
        }
        Running {
            child,
            lines,
            heard: Vec::new(),
        }
    }

    /// Waits until it has said something with `text` in it. Each line is heard once, and in any
    /// order: its two outputs do not wait for each other.
    #[track_caller]
    pub fn hear(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = self.heard.iter().position(|line| line.contains(text));
            if let Some(found) = found {
                self.heard.remove(found);
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.heard.push(line),
                Err(_) => panic!("never said {text:?}, but:\n{}", self.heard.join("\n")),
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and says whether it ended well.
    pub fn end(mut self) -> bool {
        let pid = self.pid().to_string();
        let asked = Command::new("kill").arg(&pid).status();
        assert!(asked.is_ok_and(|status| status.success()), "it runs");
        self.child.wait().is_ok_and(|status| status.success())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ = self.child.wait();
    }
}
