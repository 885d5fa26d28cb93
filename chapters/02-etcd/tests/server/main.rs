//! The server around the calls: flags, TLS, and what is served over HTTP/1.

mod authority;
mod flags;
mod json;
mod pages;
#[path = "../process/mod.rs"]
mod process;
mod reflection;
mod tls;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

const ANY_PORT: &str = "http://127.0.0.1:0";

/// Says one request and hears all of the answer: its status, its headers, its text.
fn exchange(mut socket: impl Read + Write, request: &str) -> (String, String, String) {
    let (method, path) = request.split_once(' ').unwrap();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    let (status, headers) = head.split_once("\r\n").unwrap();
    let status = status.strip_prefix("HTTP/1.1 ").unwrap();
    (status.to_owned(), headers.to_lowercase(), text.to_owned())
}

fn get(address: &str, path: &str) -> (String, String) {
    let socket = TcpStream::connect(address).unwrap();
    let (status, _, text) = exchange(socket, &format!("GET {path}"));
    (status, text)
}

/// `etcdctl` with `args` at an endpoint; skipped with a word where it is not installed.
fn etcdctl(endpoint: &str, args: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", endpoint, "--command-timeout=2s"])
        .args(args)
        .output();
    let Ok(output) = output else {
        assert!(std::env::var_os("CI").is_none(), "etcdctl is needed");
        eprintln!("skipped: there is no etcdctl (Debian: apt install etcd-client)");
        return None;
    };
    let text = [output.stdout, output.stderr].concat();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}
