//! What an operator does with `etcdctl`: makes room in a store that is full, backs one up.

mod process;

use std::path::Path;
use std::process::Command;

use process::Server;

const ANY_PORT: &str = "--listen-client-urls=http://127.0.0.1:0";

/// What `etcdctl` says; none where it is not installed.
fn etcdctl(server: &Server, args: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", server.address(0)])
        .args(args)
        .output();
    let Ok(output) = output else {
        assert!(std::env::var_os("CI").is_none(), "etcdctl is needed");
        eprintln!("skipped: there is no etcdctl (Debian: apt install etcd-client)");
        return None;
    };
    let ok = output.status.success();
    // Its log is there, too.
    let said = if ok { output.stdout } else { output.stderr };
    Some((ok, String::from_utf8_lossy(&said).trim().to_owned()))
}

fn check(server: &Server, args: &str, expect: &str) -> Option<()> {
    let (ok, said) = etcdctl(server, &args.split(' ').collect::<Vec<_>>())?;
    assert!(ok && said.ends_with(expect), "{args}: {said}");
    Some(())
}

fn check_fails(server: &Server, args: &str, expect: &str) -> Option<()> {
    let (ok, said) = etcdctl(server, &args.split(' ').collect::<Vec<_>>())?;
    assert!(!ok && said.contains(expect), "{args}: {said}");
    Some(())
}

#[test]
fn a_full_store_takes_writes_again_when_there_is_room() {
    fill_and_make_room();
}

fn fill_and_make_room() -> Option<()> {
    const FULL: &str = "etcdserver: mvcc: database space exceeded";
    let dir = tempfile::tempdir().expect("a temporary directory");
    let flags = [ANY_PORT, "--quota-backend-bytes=100000"];
    let server = Server::start(dir.path(), &flags);
    let large = "x".repeat(30_000);
    for _ in 0..3 {
        check(&server, &format!("put large {large}"), "OK")?;
    }
    check_fails(&server, &format!("put large {large}"), FULL)?;
    // The alarm goes for what would fit as well, and a restart does not forget it.
    check_fails(&server, "put small 1", FULL)?;
    server.terminate();
    drop(server);
    let server = Server::start(dir.path(), &flags);
    check_fails(&server, "put small 1", FULL)?;
    check_fails(&server, "lease grant 60", FULL)?;
    check(&server, "alarm list", "memberID:1 alarm:NOSPACE")?;
    let (_, status) = etcdctl(&server, &["endpoint", "status", "-w", "json"])?;
    let errors = r#""errors":["memberID:1 alarm:NOSPACE "]"#;
    assert!(status.contains(errors), "{status}");
    check(&server, "get large --print-value-only", &large)?;

    let before = bytes_on_disk(dir.path());
    check(&server, "compaction 4 --physical", "compacted revision 4")?;
    check(&server, "defrag", "]")?;
    let after = bytes_on_disk(dir.path());
    assert!(before > 90_000 && after < 40_000, "{before} then {after}");
    check_fails(&server, "put small 1", FULL)?;
    check(&server, "alarm disarm", "memberID:1 alarm:NOSPACE")?;
    check(&server, "put small 1", "OK")?;
    let (_, alarms) = etcdctl(&server, &["alarm", "list"])?;
    assert_eq!(alarms, "");
    Some(())
}

fn bytes_on_disk(dir: &Path) -> u64 {
    let files = dir.read_dir().expect("it is there").flatten();
    let lengths = files.map(|file| file.metadata().expect("it is there").len());
    lengths.sum()
}

#[test]
fn a_flag_says_what_is_too_much() {
    too_much();
}

fn too_much() -> Option<()> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let flags = [ANY_PORT, "--max-request-bytes=1000", "--max-txn-ops=1"];
    let server = Server::start(dir.path(), &flags);
    check(&server, &format!("put k {}", "x".repeat(900)), "OK")?;
    let large = format!("put k {}", "x".repeat(1000));
    check_fails(&server, &large, "etcdserver: request is too large")?;
    // A lock is a transaction of two steps.
    check_fails(
        &server,
        "lock l true",
        "etcdserver: too many operations in txn request",
    )
}

#[test]
fn a_snapshot_is_restored() {
    save_and_restore();
}

fn save_and_restore() -> Option<()> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (data, saved) = (dir.path().join("data"), dir.path().join("saved"));
    let saved = saved.to_str().expect("plain letters");
    let server = Server::start(&data, &[ANY_PORT]);
    // More than a piece of it, and than its last block.
    let large = "x".repeat(50_000);
    check(&server, &format!("put large {large}"), "OK")?;
    check(&server, "put a 1", "OK")?;
    check(&server, "put a 2", "OK")?;
    check(&server, "compaction 3", "compacted revision 3")?;
    check(
        &server,
        &format!("snapshot save {saved}"),
        &format!("Snapshot saved at {saved}"),
    )?;
    check(&server, "put a later", "OK")?;

    let restore = |file: &str, dir: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_etcd"))
            .args(["restore", file, "--data-dir"])
            .arg(dir)
            .output()
            .expect("it starts");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let (ok, said) = restore(saved, &data);
    assert!(!ok && said.contains("is not empty"), "{said}");
    let restored = dir.path().join("restored");
    let (ok, said) = restore(saved, &restored);
    assert!(ok, "{said}");
    let server = Server::start(&restored, &[ANY_PORT]);
    check(&server, "get a", "a\n2")?;
    check(&server, "get a --rev 3 --print-value-only", "1")?;
    check_fails(
        &server,
        "get a --rev 2",
        "required revision has been compacted",
    )?;
    check(&server, "get large --print-value-only", &large)?;
    check(
        &server,
        "put a 3 -w json",
        r#""revision":5,"raft_term":1}}"#,
    )?;

    // Whatever a bad disk makes of it, nothing is made of that.
    let whole = std::fs::read(saved).expect("it was saved");
    let bad = dir.path().join("bad");
    let refused = |bytes: &[u8], why: &str| {
        std::fs::write(&bad, bytes).expect("there is room");
        let (ok, said) = restore(
            bad.to_str().expect("plain letters"),
            &dir.path().join("none"),
        );
        assert!(!ok && said.contains(why), "{said}");
    };
    refused(&whole[..whole.len() - 1], "does not end in a checksum");
    refused(&whole[..whole.len() - 512], "is not that of its content");
    let mut changed = whole.clone();
    changed[1000] ^= 1;
    refused(&changed, "is not that of its content");
    refused(&[], "does not end in a checksum");
    Some(())
}
