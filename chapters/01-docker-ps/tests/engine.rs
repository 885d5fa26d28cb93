//! `docker-ps` against a real engine, and against none.

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn docker_ps(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_docker-ps"))
        .args(args)
        .output()
        .expect("the program under test can be started")
}

fn docker(args: &[&str]) -> String {
    let output = Command::new("docker")
        .args(args)
        .output()
        .expect("docker answered before");
    assert!(output.status.success(), "docker {args:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether an engine answers here. In CI one must.
fn engine_answers() -> bool {
    let answers = Command::new("docker")
        .arg("version")
        .output()
        .is_ok_and(|output| output.status.success());
    assert!(
        answers || std::env::var_os("CI").is_none(),
        "CI has no Docker engine"
    );
    if !answers {
        eprintln!("skipped: no Docker engine answers; `docker version` says more");
    }
    answers
}

/// A container that was made and never started, of an image with nothing in it.
struct Created {
    image: String,
    container: String,
}

impl Created {
    fn new() -> Created {
        let image = format!("workshop-empty:{}", std::process::id());
        let mut import = Command::new("docker")
            .args(["import", "-", &image])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("docker answered before");
        // A tar archive of no files: two blocks of zeros.
        let mut stdin = import.stdin.take().expect("it was piped");
        stdin
            .write_all(&[0; 1024])
            .expect("docker reads the archive");
        drop(stdin);
        let imported = import.wait().expect("docker import ends");
        assert!(imported.success(), "docker import failed");
        let command = "a-command-that-is-longer-than-the-column";
        let made = docker(&["create", "--network=none", &image, command, "x"]);
        Created {
            image,
            container: made.trim().to_owned(),
        }
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        docker(&["rm", "--force", &self.container]);
        docker(&["rmi", "--force", &self.image]);
    }
}

#[test]
fn without_an_engine_it_says_which_socket_it_tried() {
    let output = docker_ps(&["--host", "unix:///nonexistent/docker.sock"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("cannot connect to the Docker daemon at unix:///nonexistent/docker.sock"),
        "{said}"
    );
    assert!(said.contains("there is no such socket"), "{said}");

    // Bound and closed again: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port can be had")
        .port();
    let output = docker_ps(&["--host", &format!("tcp://127.0.0.1:{port}")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Connection refused"), "{said}");

    let output = docker_ps(&["--host", "ssh://nowhere"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("invalid host \"ssh://nowhere\""), "{said}");
}

#[test]
fn it_prints_what_docker_ps_prints() {
    if !engine_answers() {
        return;
    }
    let created = Created::new();
    let filtered = |text: &str| -> Vec<String> {
        let short = &created.container[..12];
        let lines = text
            .lines()
            .filter(|line| line.contains(short) || line.contains("CONTAINER ID"));
        // Columns are as wide as the widest of all containers: only their order is compared.
        lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    for args in [&["--all"][..], &["--all", "--no-trunc"]] {
        // The age may turn from one second to the next between the two questions: ask again then.
        let (ours, expected) = (0..5)
            .map(|_| {
                let output = docker_ps(args);
                assert!(output.status.success(), "{output:?}");
                let ours = filtered(&String::from_utf8_lossy(&output.stdout));
                (ours, filtered(&docker(&[&["ps"], args].concat())))
            })
            .reduce(|before, now| if before.0 == before.1 { before } else { now })
            .expect("it was asked");
        assert_eq!(ours, expected);
        assert_eq!(ours.len(), 2, "the container is listed: {ours:?}");
    }
}
