//! Engines that are not there, are none, or go away.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::Command;

use support::{docker_ps, said};

#[track_caller]
fn check(host: &str, expected: &str) {
    let output = docker_ps(&["--host", host]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains(expected), "{}", said(&output));
}

/// A server that answers the first requests, and hangs up after the last answer.
fn server(answers: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port can be had");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        let mut answers = answers.iter();
        // However the client spreads its requests over connections.
        for connection in listener.incoming().map_while(Result::ok) {
            serve(&connection, &mut answers);
        }
    });
    format!("tcp://{address}")
}

fn serve(connection: &TcpStream, answers: &mut std::slice::Iter<'_, &str>) {
    let mut lines = BufReader::new(connection).lines().map_while(Result::ok);
    while lines.by_ref().any(|line| line.is_empty()) {
        let Some(answer) = answers.next() else { return };
        let mut connection = connection;
        if connection.write_all(answer.as_bytes()).is_err() || answers.len() == 0 {
            return;
        }
    }
}

const VERSION: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
    Content-Length: 21\r\n\r\n{\"ApiVersion\":\"1.41\"}";
const OLD_VERSION: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
    Content-Length: 21\r\n\r\n{\"ApiVersion\":\"1.24\"}";
const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n\
    Content-Length: 22\r\n\r\n{\"message\":\"no space\"}";
const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>";
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

#[test]
fn without_an_engine_it_says_which_socket_it_tried() {
    check(
        "unix:///nonexistent/docker.sock",
        "cannot connect to the Docker daemon at unix:///nonexistent/docker.sock: there is no such socket",
    );
    // Bound and closed again: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port can be had")
        .port();
    check(&format!("tcp://127.0.0.1:{port}"), "Connection refused");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("left.sock");
    drop(UnixListener::bind(&socket).unwrap());
    check(
        &format!("unix://{}", socket.display()),
        "Connection refused",
    );
}

#[test]
fn hosts_that_cannot_be_one_are_refused() {
    check(
        "ssh://nowhere",
        "invalid host \"ssh://nowhere\": SSH is left out here",
    );
    check("https://nowhere", "TLS is left out here");
    check("/var/run/docker.sock", "it starts with unix:// or tcp://");
    check("unix://", "nothing follows the ://");
}

#[test]
fn docker_host_is_asked_when_nothing_else_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_docker-ps"))
        .env("DOCKER_HOST", "unix:///nonexistent/named.sock")
        .output()
        .unwrap();
    assert!(
        said(&output).contains("unix:///nonexistent/named.sock"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_socket_that_is_closed_to_us_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let socket = folder.path().join("docker.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o0)).unwrap();
    // Root may open everything; so this is somebody else, with a program where all may run it.
    let program = folder.path().join("docker-ps");
    // Not by this process: a program that any of its threads' children has open cannot be run.
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_docker-ps"))
        .arg(&program)
        .status();
    assert!(copied.is_ok_and(|status| status.success()));
    let mut command = Command::new(&program);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let output = command
        .arg("--host")
        .arg(format!("unix://{}", socket.display()))
        .output()
        .unwrap();
    assert!(
        said(&output).starts_with("permission denied"),
        "{}",
        said(&output)
    );
    assert!(
        said(&output).contains("usermod -aG docker"),
        "{}",
        said(&output)
    );
}

#[test]
fn what_is_no_engine_is_called_so() {
    check(
        &server(&["220 ftp.example.com ready\r\n"]),
        "is not a Docker daemon",
    );
    check(&server(&[PAGE]), "is not a Docker daemon");
    check(&server(&[NOT_FOUND]), "it answers GET /version with 404");
    check(&server(&[OLD_VERSION]), "speaks API 1.24 only");
}

#[test]
fn an_engine_that_refuses_or_dies_while_it_lists() {
    check(
        &server(&[VERSION, BROKEN]),
        "Error response from daemon: no space",
    );
    check(&server(&[VERSION]), "went away before it had answered");
    let half =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n[{\"Id\":";
    // Leaked once: what a server answers outlives the test.
    check(
        &server(Box::leak(Box::new([VERSION, half]))),
        "went away before it had answered",
    );
}

#[test]
fn nodes_that_are_lost_are_named_and_the_others_are_listed() {
    let empty = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]";
    let one = server(Box::leak(Box::new([VERSION, empty])));
    let folder = tempfile::tempdir().unwrap();
    let nodes = folder.path().join("nodes");
    std::fs::write(&nodes, format!("one {one}\nlost unix:///nonexistent/x\n")).unwrap();
    let output = docker_ps(&["--nodes", nodes.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "NODE      CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"
    );
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.starts_with("1 node did not answer\nnode lost: cannot connect"),
        "{error}"
    );
}
