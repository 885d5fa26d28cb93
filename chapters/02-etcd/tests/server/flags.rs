//! Flags and variables of the environment, and what they do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::process::Server;
use crate::{ANY_PORT, etcdctl};

#[test]
fn flags_are_etcds() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let refused = |args: &[&str], why: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_etcd"))
            .args(args)
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{said}");
    };
    refused(&["serve", "--wal-dir=x"], "unexpected argument '--wal-dir'");
    refused(
        &["--initial-cluster=a=http://a:2380,b=http://b:2380"],
        "names 2 members",
    );
    refused(&["serve", "--auto-compaction-mode=yearly"], "yearly");
    refused(
        &["-listen-client-urls", "https://127.0.0.1:0"],
        "--cert-file and --key-file are needed",
    );
    refused(
        &["serve", "--auto-compaction-retention=soon"],
        "\"soon\" is no duration",
    );
    refused(&["serve", "--cert-file=x"], "--key-file");
    refused(&["--listen-client-urls=ftp://x"], "cannot listen at");

    // What a unit file or a manifest for etcd usually says, and what is said by the environment.
    let server = Server::start_with(
        &data,
        &[
            "-name",
            "node-1",
            "--initial-cluster-state=new",
            "--initial-cluster-token",
            "token",
            "--snapshot-count=10000",
            "--heartbeat-interval=100",
            "--experimental-initial-corrupt-check=true",
            "--compact-hash-check-enabled",
            "--enable-pprof",
            "--logger=zap",
            "--experimental-watch-progress-notify-interval=5s",
            "--auto-compaction-retention=8h",
        ],
        &[
            ("ETCD_LISTEN_CLIENT_URLS", ANY_PORT),
            ("ETCD_ELECTION_TIMEOUT", "1000"),
            ("ETCD_NAME", "is given by a flag"),
            ("ETCD_PRE_VOTE", "true"),
        ],
    );
    let mode = fs::metadata(&data).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    if let Some((ok, said)) = etcdctl(server.address(0), &["member", "list"]) {
        assert!(ok && said.contains("started, node-1,"), "{said}");
    }
}

#[test]
fn the_past_is_compacted_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(
        dir.path(),
        &[
            "--listen-client-urls",
            ANY_PORT,
            "--auto-compaction-retention=500ms",
        ],
    );
    let address = server.address(0);
    let Some((true, _)) = etcdctl(address, &["put", "a", "1"]) else {
        return;
    };
    etcdctl(address, &["put", "a", "2"]);
    // Revision 2 is readable until the compactor has been; the test ends when it has.
    let compacted = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let (_, said) = etcdctl(address, &["get", "a", "--rev=2"]).unwrap();
        said.contains("mvcc: required revision has been compacted")
    });
    assert!(compacted);
    let (_, said) = etcdctl(address, &["get", "a"]).unwrap();
    assert_eq!(said, "a\n2\n");
}
