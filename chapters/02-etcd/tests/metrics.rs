//! `/metrics`: etcd's names, and numbers that are true.

mod process;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use process::Server;

/// All families of etcd, as `tests/metrics.txt` has them: those that are served, with their type.
fn served() -> BTreeMap<&'static str, &'static str> {
    let lines = include_str!("metrics.txt").lines();
    let families = lines.filter_map(|line| line.split_once(' '));
    families
        .filter(|(name, rest)| *name != "#" && !rest.starts_with('-'))
        .collect()
}

struct Page(String);

impl Page {
    fn of(server: &Server) -> Self {
        let mut socket = TcpStream::connect(server.address(0)).unwrap();
        socket
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(head.contains("text/plain; version=0.0.4"), "{head}");
        Self(text.to_owned())
    }

    fn families(&self) -> BTreeMap<&str, &str> {
        let types = self
            .0
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "));
        types.filter_map(|family| family.split_once(' ')).collect()
    }

    fn get(&self, sample: &str) -> f64 {
        let mut found = self.0.lines().filter_map(|line| {
            let value = line.strip_prefix(sample)?.strip_prefix(' ')?;
            value.parse().ok()
        });
        found.next().unwrap_or_else(|| panic!("no {sample}"))
    }

    /// The calls of a method by what is counted of them.
    fn calls(&self, family: &str, code: &str, service: &str, method: &str, kind: &str) -> f64 {
        let code = if code.is_empty() {
            String::new()
        } else {
            format!("grpc_code=\"{code}\",")
        };
        self.get(&format!(
            "grpc_server_{family}_total{{{code}grpc_method=\"{method}\",\
             grpc_service=\"etcdserverpb.{service}\",grpc_type=\"{kind}\"}}"
        ))
    }
}

fn start() -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--listen-client-urls", "http://127.0.0.1:0"]);
    (dir, server)
}

#[test]
fn the_names_are_etcds() {
    let (_dir, server) = start();
    assert_eq!(Page::of(&server).families(), served());
}

#[test]
fn what_is_done_is_counted() {
    let (_dir, server) = start();
    let etcdctl = |args: &[&str]| {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", server.address(0)])
            .args(args)
            .output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    if etcdctl(&["version"]).is_err() {
        assert!(std::env::var_os("CI").is_none(), "etcdctl is needed");
        eprintln!("skipped: there is no etcdctl (Debian: apt install etcd-client)");
        return;
    }
    let run = |args: &[&str]| etcdctl(args).unwrap();
    run(&["put", "a", "12345"]);
    run(&["put", "b", "1"]);
    run(&["get", "--prefix", ""]);
    run(&["del", "b"]);
    run(&["put", "a", "1", "--lease=77"]);
    let lease = run(&["lease", "grant", "60"]);
    let lease = lease.split(' ').nth(1).unwrap();
    run(&["put", "c", "1", "--lease", lease]);
    run(&["lease", "keep-alive", "--once", lease]);
    run(&["lease", "revoke", lease]);
    run(&["watch", "a", "--rev=1", "--", "sh", "-c", "kill $PPID"]);

    let page = Page::of(&server);
    assert_eq!(page.get("etcd_mvcc_put_total"), 3.0);
    assert_eq!(
        page.get("etcd_debugging_mvcc_total_put_size_in_bytes"),
        10.0
    );
    // One was asked for, the other went with its lease.
    assert_eq!(page.get("etcd_mvcc_delete_total"), 2.0);
    assert_eq!(page.get("etcd_mvcc_range_total"), 1.0);
    assert_eq!(page.get("etcd_debugging_mvcc_keys_total"), 1.0);
    assert_eq!(page.get("etcd_debugging_mvcc_current_revision"), 6.0);
    assert_eq!(page.get("etcd_debugging_mvcc_compact_revision"), -1.0);
    assert_eq!(page.get("etcd_debugging_lease_granted_total"), 1.0);
    assert_eq!(page.get("etcd_debugging_lease_renewed_total"), 1.0);
    assert_eq!(page.get("etcd_debugging_lease_revoked_total"), 1.0);
    assert_eq!(page.get("etcd_debugging_server_lease_expired_total"), 0.0);
    assert_eq!(page.get("etcd_debugging_mvcc_events_total"), 1.0);
    // Three puts and one that was refused, a deletion, a lease that came and went.
    assert_eq!(page.get("etcd_server_proposals_applied_total"), 7.0);
    assert_eq!(page.get("etcd_disk_wal_fsync_duration_seconds_count"), 7.0);
    assert!(page.get("etcd_disk_wal_fsync_duration_seconds_sum") > 0.0);
    assert!(page.get("etcd_disk_wal_write_bytes_total") > 100.0);

    let kv = |family, code, method| page.calls(family, code, "KV", method, "unary");
    assert_eq!(kv("started", "", "Put"), 4.0);
    assert_eq!(kv("msg_received", "", "Put"), 4.0);
    assert_eq!(kv("msg_sent", "", "Put"), 3.0);
    assert_eq!(kv("handled", "OK", "Put"), 3.0);
    assert_eq!(kv("handled", "NotFound", "Put"), 1.0);
    assert_eq!(kv("handled", "OK", "Range"), 1.0);
    assert_eq!(kv("handled", "OK", "Compact"), 0.0);
    let lease = |family, code, method, kind| page.calls(family, code, "Lease", method, kind);
    assert_eq!(lease("handled", "OK", "LeaseGrant", "unary"), 1.0);
    let keep_alives = lease("msg_sent", "", "LeaseKeepAlive", "bidi_stream");
    assert_eq!(keep_alives, 1.0);
    let watch = |family, code| page.calls(family, code, "Watch", "Watch", "bidi_stream");
    assert_eq!(watch("started", ""), 1.0);
    assert_eq!(watch("msg_received", ""), 1.0);
    // That it was made, and the event.
    assert_eq!(watch("msg_sent", ""), 2.0);
    assert!(page.get("etcd_network_client_grpc_received_bytes_total") > 30.0);
    assert!(page.get("process_resident_memory_bytes") > 1e6);
}
