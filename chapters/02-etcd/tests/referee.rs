//! The same scripts against this server and a real etcd: what `etcdctl` says is the same.
//!
//! A script is lines of shell, each run by itself, with `etcdctl` set up for the server. What they
//! print is a snapshot, so that ours is held against what etcd said where no etcd is installed.
//! What cannot be the same is masked: ids, sizes, ports, times.
//!
//! The etcd is the one on `PATH`, or that of `WORKSHOP_ETCD`. What `etcdctl` prints differs from
//! version to version, so the snapshots are of one: with another the two are compared directly.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use regex::Regex;

#[path = "referee/wire.rs"]
mod wire;

/// The `etcdctl` that the snapshots are of.
const RECORDED_WITH: &str = "etcdctl version: 3.4.";

/// What scripts can use: `lease TTL` makes a lease, known as `$LEASE` from then on; `hear N ...`
/// is a watch until it has said so many lines.
const PRELUDE: &str = r#"
export ETCDCTL_API=3
lease() { LEASE=$(etcdctl lease grant "$1" | cut -d' ' -f2); echo "granted $LEASE"; }
hear() {
    lines=$1; shift
    mkfifo heard
    etcdctl watch "$@" >heard 2>&1 & watch=$!
    timeout 10 head -n "$lines" <heard
    kill $watch 2>/dev/null; wait $watch 2>/dev/null; rm heard; true
}
"#;

/// A server with a directory of its own.
struct Server {
    process: Child,
    address: String,
    dir: tempfile::TempDir,
}

impl Server {
    fn ours() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcd"));
        command.args(["serve", "--listen-client-urls", "http://127.0.0.1:0"]);
        Self::start(command, dir, "url=http://", ' ')
    }

    /// One of a single member, which listens where the kernel says.
    fn real(program: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // It has no way to say which port it was given, so one is tried that was free just now.
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let client = format!("http://{}", free.expect("a free port"));
        let mut command = Command::new(program);
        command
            .args(["--listen-client-urls", &client])
            .args(["--advertise-client-urls", &client])
            .args(["--listen-peer-urls", "http://127.0.0.1:0"])
            .args(["--logger", "zap", "--log-level", "info"]);
        Self::start(command, dir, "serving client traffic insecurely", '"').at(&client)
    }

    fn at(mut self, url: &str) -> Self {
        self.address = url.trim_start_matches("http://").to_owned();
        self
    }

    /// Waits for the line with `sign`, and takes the address from what follows, up to `end`.
    fn start(mut command: Command, dir: tempfile::TempDir, sign: &str, end: char) -> Self {
        let data = dir.path().join("data");
        let mut process = command
            .arg("--data-dir")
            .arg(data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let mut log = Vec::new();
        let rest = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let rest = line.split_once(sign).map(|(_, rest)| rest.to_owned());
            log.push(line);
            rest
        });
        let rest = rest.unwrap_or_else(|| panic!("it does not serve: {}", log.join("\n")));
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let address = rest.split(end).next().unwrap_or_default().trim().to_owned();
        Self {
            process,
            address,
            dir,
        }
    }

    /// What a script prints: each line with what it says, and its exit code unless that is 0.
    fn run(&self, script: &str) -> String {
        let mut program = PRELUDE.to_owned();
        for line in script.lines() {
            let said = line.replace('\'', r"'\''");
            match line {
                "" => program += "echo\n",
                comment if comment.starts_with('#') => {
                    program += &format!("printf '%s\\n' '{said}'\n")
                }
                _ => {
                    program += &format!("printf '%s\\n' '$ {said}'\n{{ {line}\n}} 2>&1\n");
                    program += "exit=$?; [ $exit = 0 ] || echo \"exit $exit\"\n";
                }
            }
        }
        let mut shell = Command::new("sh")
            .current_dir(self.dir.path())
            .env("ETCDCTL_ENDPOINTS", &self.address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        // Whole before anything runs, or what reads its input would read the script.
        let program = format!("main() {{\n{program}}}\nmain </dev/null\n");
        let mut stdin = shell.stdin.take().expect("piped");
        stdin.write_all(program.as_bytes()).expect("it reads");
        drop(stdin);
        let said = shell.wait_with_output().expect("it ends").stdout;
        mask(&String::from_utf8_lossy(&said), &self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _ended_already = self.process.wait();
    }
}

/// Puts words in the place of what differs from server to server.
fn mask(said: &str, address: &str) -> String {
    let mut said = said.replace(address, "ADDRESS");
    for (pattern, word) in [
        // Its log; the error has the gRPC code.
        (r#"\{"level":"info".*\n"#, ""),
        (r#"\{"level":"warn".*"error":"(.*)"\}"#, "log: $1"),
        // Of etcd, and of ours: what is counted there is not what is counted here.
        (
            r#""(cluster_id|member_id|raft_term|leader|raftIndex|raftTerm|raftAppliedIndex|dbSize|dbSizeInUse|ID)":\d+"#,
            r#""$1":N"#,
        ),
        (
            r#""(ClusterID|MemberID|RaftTerm|Leader|RaftIndex|RaftAppliedIndex|DBSize|ID)" : \d+"#,
            r#""$1" : N"#,
        ),
        (
            r#""(version|Version)"( ?): ?"3\.\d+\.\d+""#,
            r#""$1"$2:"VERSION""#,
        ),
        (r#""lease":\d+"#, r#""lease":LEASE"#),
        (r#""Lease" : [1-9]\d*"#, r#""Lease" : LEASE"#),
        (r"\b[0-9a-f]{15,16}\b", "ID"),
        (r#""id":\d{15,}"#, r#""id":N"#),
        // Of 600 seconds, as far as they are left.
        (r"\b59\d\b", "59N"),
        (r"took = [0-9.]+[mµn]?s", "took = TIME"),
        (r"\{\S+ [0-9a-f]+ https?://\S+\}", "MEMBER"),
    ] {
        let pattern = Regex::new(pattern).expect("a regular expression");
        said = pattern.replace_all(&said, word).into_owned();
    }
    said
}

fn etcdctl() -> Option<String> {
    let output = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .arg("version")
        .output();
    let found = output.ok();
    assert!(
        found.is_some() || std::env::var_os("CI").is_none(),
        "etcdctl has to be installed for this test"
    );
    found.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn real_etcd() -> Option<PathBuf> {
    let named = std::env::var_os("WORKSHOP_ETCD").map(PathBuf::from);
    let program = named.unwrap_or_else(|| "etcd".into());
    let found = Command::new(&program).arg("--version").output();
    let found = found.is_ok_and(|output| output.stdout.starts_with(b"etcd Version"));
    found.then_some(program)
}

fn check(name: &str, script: &str) {
    let Some(version) = etcdctl() else {
        eprintln!("skipped: there is no etcdctl (Debian: apt install etcd-client)");
        return;
    };
    let ours = Server::ours().run(script);
    let real = real_etcd();
    match &real {
        Some(program) => {
            let theirs = Server::real(program).run(script);
            assert!(
                ours == theirs,
                "{name}: ours and etcd's answers differ\n{}",
                difference(&ours, &theirs)
            );
        }
        None => eprintln!("no etcd to compare with (Debian: apt install etcd-server)"),
    }
    if version.starts_with(RECORDED_WITH) {
        insta::assert_snapshot!(name, ours);
    } else {
        eprintln!("no snapshot of this: {version}");
    }
}

/// The commands that are not answered the same.
fn difference(ours: &str, theirs: &str) -> String {
    let (ours, theirs) = (ours.split("\n$ "), theirs.split("\n$ "));
    let differ = ours.zip(theirs).filter(|(ours, theirs)| ours != theirs);
    let show = |(ours, theirs)| format!("--- ours\n$ {ours}\n--- etcd's\n$ {theirs}\n");
    differ.map(show).collect()
}

macro_rules! scripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(
                    stringify!($name),
                    include_str!(concat!("referee/", stringify!($name), ".sh")),
                );
            }
        )*
    };
}

scripts!(kv txn watch lease maintenance cluster auth concurrency);
