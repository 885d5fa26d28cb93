//! The server as etcd's own client sees it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

struct Server {
    process: Child,
    /// Without `http://`: some versions' `endpoint` commands send that along as the host's name,
    /// which this server's HTTP refuses.
    address: String,
    _dir: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut process = Command::new(env!("CARGO_BIN_EXE_etcd"))
            .args([
                "serve",
                "--listen-client-urls",
                "http://127.0.0.1:0",
                "--data-dir",
            ])
            .arg(dir.path())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let address = lines
            .find_map(|line| Some(line.ok()?.split_once("url=http://")?.1.to_owned()))
            .expect("it says where it listens");
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|line| eprintln!("{line}"))
        });
        Self {
            process,
            address,
            _dir: dir,
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("etcdctl");
        command
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.address])
            .args(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What `etcdctl` says, with what it is told on its input.
    fn run(&self, args: &[&str], input: &str) -> (bool, String) {
        let mut child = self.command(args).spawn().expect("etcdctl starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    fn check(&self, args: &str, expect: &str) {
        let args: Vec<&str> = args.split(' ').collect();
        let (ok, said) = self.run(&args, "");
        assert!(ok, "etcdctl {args:?}: {said}");
        assert_eq!(said.trim_end(), expect, "etcdctl {args:?}");
    }

    fn check_fails(&self, args: &str, expect: &str) {
        let args: Vec<&str> = args.split(' ').collect();
        let (ok, said) = self.run(&args, "");
        assert!(!ok && said.contains(expect), "etcdctl {args:?}: {said}");
    }

    /// A watch that is on: its next lines can be asked for.
    fn watch(&self, args: &str) -> (Child, std::io::Lines<BufReader<ChildStdout>>) {
        let args: Vec<&str> = args.split(' ').collect();
        let mut child = self.command(&args).spawn().expect("etcdctl starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        (child, lines)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _ended_already = self.process.wait();
    }
}

fn is_installed() -> bool {
    let found = Command::new("etcdctl")
        .arg("version")
        .stdout(Stdio::null())
        .status()
        .is_ok();
    assert!(
        found || std::env::var_os("CI").is_none(),
        "etcdctl has to be installed for this test"
    );
    if !found {
        eprintln!("skipped: there is no etcdctl (Debian: apt install etcd-client)");
    }
    found
}

fn next(lines: &mut std::io::Lines<BufReader<ChildStdout>>, count: usize) -> Vec<String> {
    lines
        .take(count)
        .map(|line| line.expect("the watch is on"))
        .collect()
}

#[test]
fn etcdctl_works() {
    if !is_installed() {
        return;
    }
    let server = Server::start();

    server.check("put /a/1 one", "OK");
    server.check("put /a/2 two", "OK");
    server.check("put /b/1 other", "OK");
    server.check("put /a/1 uno --prev-kv", "OK\n/a/1\none");
    server.check("get /a/1", "/a/1\nuno");
    server.check("get /a --prefix --keys-only", "/a/1\n\n/a/2");
    server.check("get /a/1 --rev=2 --print-value-only", "one");
    server.check(
        "get / --prefix --limit=1 --sort-by=MODIFY --order=DESCEND",
        "/a/1\nuno",
    );
    server.check("get --from-key /a/2 --print-value-only", "two\nother");
    server.check("get nothing", "");
    server.check(
        "get /a/1 -w json",
        concat!(
            r#"{"header":{"cluster_id":1,"member_id":1,"revision":5,"raft_term":1},"kvs":[{"#,
            r#""key":"L2EvMQ==","create_revision":2,"mod_revision":5,"version":2,"value":"dW5v"}],"#,
            r#""count":1}"#
        ),
    );

    // A watch of the past goes on into the present.
    let (mut child, mut lines) = server.watch("watch /a --prefix --rev=4 --prev-kv");
    assert_eq!(next(&mut lines, 5), ["PUT", "/a/1", "one", "/a/1", "uno"]);
    server.check("del /a --prefix --prev-kv", "2\n/a/1\nuno\n/a/2\ntwo");
    let deleted = [
        "DELETE", "/a/1", "uno", "/a/1", "", "DELETE", "/a/2", "two", "/a/2", "",
    ];
    assert_eq!(next(&mut lines, 10), deleted);
    child.kill().expect("it watches still");
    child.wait().expect("it was ours");

    let txn = "mod(\"/c\") = \"0\"\n\nput /c made\n\nget /c\n\n";
    let (ok, said) = server.run(&["txn", "-i"], txn);
    assert!(ok && said.contains("SUCCESS\n\nOK"), "{said}");
    let (ok, said) = server.run(&["txn", "-i"], txn);
    assert!(ok && said.contains("FAILURE\n\n/c\nmade"), "{said}");

    server.check("compaction 6", "compacted revision 6");
    server.check_fails("compaction 6", "mvcc: required revision has been compacted");
    server.check_fails(
        "get /a --rev=3",
        "mvcc: required revision has been compacted",
    );
    server.check_fails(
        "get /a --rev=99",
        "mvcc: required revision is a future revision",
    );
    server.check_fails(
        "watch /a --rev=3",
        "mvcc: required revision has been compacted",
    );

    server.check_fails("put x y --lease=77", "requested lease not found");
    let (ok, said) = server.run(&["lease", "grant", "60"], "");
    assert!(ok && said.ends_with("granted with TTL(60s)\n"), "{said}");
    let id = said
        .split(' ')
        .nth(1)
        .expect("lease ID granted ...")
        .to_owned();
    server.check(&format!("put held x --lease={id}"), "OK");
    server.check("lease list", &format!("found 1 leases\n{id}"));
    let (_, said) = server.run(&["lease", "timetolive", &id, "--keys"], "");
    assert!(
        said.contains("granted with TTL(60s)") && said.contains("attached keys([held])"),
        "{said}"
    );
    server.check(
        &format!("lease keep-alive --once {id}"),
        &format!("lease {id} keepalived with TTL(60)"),
    );
    server.check(
        &format!("lease revoke {id}"),
        &format!("lease {id} revoked"),
    );
    server.check("get held", "");
    server.check(
        &format!("lease timetolive {id}"),
        &format!("lease {id} already expired"),
    );

    let (ok, said) = server.run(&["endpoint", "status"], "");
    assert!(
        ok && said.contains(&server.address) && said.contains(" B, true, false, 1, 9, 9"),
        "{said}"
    );
    let (ok, said) = server.run(&["endpoint", "health"], "");
    assert!(ok && said.contains("is healthy"), "{said}");
    let (ok, said) = server.run(&["member", "list"], "");
    assert!(ok && said.contains("started, default"), "{said}");
}
