//! The loop, against real engines: what happens to its containers, its file, its engine, itself.

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::{IMAGE, Names, Running, docker, docker_ps, engine_answers, make_image, said};

/// A file for `keep`, and the loop on it.
struct Kept {
    file: PathBuf,
    owner: String,
    _folder: tempfile::TempDir,
}

impl Kept {
    fn new(owner: &str, containers: &[String]) -> Kept {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept {
            file: folder.path().join("wanted.yaml"),
            owner: format!("{owner}-{}", std::process::id()),
            _folder: folder,
        };
        kept.want(containers);
        kept
    }

    /// Writes the file anew, as an editor does: beside it, and then in its place.
    fn want(&self, containers: &[String]) {
        let new = self.file.with_extension("new");
        let containers = match containers {
            [] => " []\n".to_owned(),
            some => format!("\n{}", some.concat()),
        };
        std::fs::write(&new, format!("containers:{containers}")).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
    }

    fn start(&self, host: &str) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_docker-ps"));
        command.args(["keep", "--owner", &self.owner, "--host", host]);
        // No look by the clock: everything here is to come from events.
        command.args(["--resync", "3600"]).arg(&self.file);
        Running::start(command)
    }

    fn once(&self) -> String {
        let file = self.file.to_str().unwrap();
        said(&docker_ps(&[
            "keep",
            "--once",
            "--owner",
            &self.owner,
            file,
        ]))
    }
}

fn container(name: &str, image: &str, more: &str) -> String {
    format!("- {{name: {name}, image: '{image}', network: none{more}}}\n")
}

#[test]
fn whatever_happens_it_comes_back_to_what_is_wanted() {
    if !engine_answers() {
        return;
    }
    let names = Names::new("keep");
    let (web, db) = (names.name("web"), names.name("db"));
    let kept = Kept::new("keep", &[container(&web, IMAGE, "")]);
    let mut keep = kept.start("default");
    keep.hear(&format!("created {web}"));
    docker(&["kill", &web]);
    keep.hear(&format!("started {web}"));
    docker(&["rm", "--force", &web]);
    keep.hear(&format!("created {web}"));

    let changed = container(&web, IMAGE, ", env: {PORT: '8081'}");
    kept.want(&[changed.clone(), container(&db, IMAGE, "")]);
    keep.hear("the file changed: 2 containers");
    keep.hear(&format!("recreated {web}"));
    keep.hear(&format!("created {db}"));
    let env = docker(&["inspect", "--format", "{{.Config.Env}}", &web]);
    assert!(env.contains("PORT=8081"), "{env}");

    std::fs::write(&kept.file, "containers: [").unwrap();
    keep.hear("the file is of no use; going on with what it was");
    kept.want(&[changed]);
    keep.hear(&format!("removed {db}"));
    assert!(keep.end(), "a loop that is told to end has not failed");
    let running = docker(&["ps", "--quiet", "--filter", &format!("name={web}")]);
    assert_eq!(running.lines().count(), 1, "the container stays");
}

#[test]
fn a_missing_image_holds_up_nobody_and_is_used_when_it_arrives() {
    if !engine_answers() {
        return;
    }
    let names = Names::new("image");
    let (first, second) = (names.name("first"), names.name("second"));
    let image = format!("workshop/late:{}", std::process::id());
    let wanted = [container(&first, &image, ""), container(&second, IMAGE, "")];
    let kept = Kept::new("image", &wanted);
    let mut keep = kept.start("default");
    keep.hear(&format!(
        "cannot create {first}: Error response from daemon: No such image: {image}; next try in 1 s"
    ));
    keep.hear(&format!("created {second}"));
    keep.hear("next try in 2 s");
    docker(&["tag", IMAGE, &image]);
    keep.hear(&format!("created {first}"));
    drop(keep);
    docker(&["rm", "--force", &first]);
    docker(&["rmi", &image]);
}

#[test]
fn labels_are_its_memory_and_what_is_not_labelled_is_not_touched() {
    if !engine_answers() {
        return;
    }
    let names = Names::new("memory");
    let (web, other) = (names.name("web"), names.name("other"));
    let kept = Kept::new("memory", &[container(&web, IMAGE, "")]);
    let other_id = docker(&["create", "--name", &other, "--network", "none", IMAGE]);
    assert_eq!(kept.once(), format!("created {web}\n"));
    assert_eq!(kept.once(), "nothing to do\n");
    docker(&["kill", &web]);
    assert_eq!(kept.once(), format!("started {web}\n"));

    kept.want(&[container(&web, IMAGE, ""), container(&other, IMAGE, "")]);
    let taken = format!(
        "the name {other} is taken: it is that of a container that is not ours\n\
         1 of 1 actions failed\n"
    );
    assert_eq!(kept.once(), taken);
    kept.want(&[]);
    assert_eq!(kept.once(), format!("removed {web}\n"));
    let id = docker(&["inspect", "--format", "{{.Id}}", &other]);
    assert_eq!(id, other_id, "it was made by somebody else");
}

#[test]
fn two_files_of_one_owner_undo_each_other() {
    if !engine_answers() {
        return;
    }
    let names = Names::new("fight");
    let (one, two) = (names.name("one"), names.name("two"));
    let first = Kept::new("fight", &[container(&one, IMAGE, "")]);
    let second = Kept::new("fight", &[container(&two, IMAGE, "")]);
    assert_eq!(first.once(), format!("created {one}\n"));
    for _round in 0..2 {
        assert_eq!(second.once(), format!("removed {one}\ncreated {two}\n"));
        assert_eq!(first.once(), format!("removed {two}\ncreated {one}\n"));
    }
}

/// An engine of the test's own, with its files in a folder that outlives it.
struct Engine {
    dockerd: Child,
}

impl Engine {
    fn start(folder: &Path) -> Engine {
        let file = |name: &str| folder.join(name);
        let mut dockerd = Command::new("dockerd")
            .args(["--bridge=none", "--iptables=false", "--host"])
            .arg(host(folder))
            .arg("--data-root")
            .arg(file("data"))
            .arg("--exec-root")
            .arg(file("exec"))
            .arg("--pidfile")
            .arg(file("pid"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("dockerd can be started");
        let log = BufReader::new(dockerd.stderr.take().expect("it is piped"));
        let mut log = log.lines().map_while(Result::ok);
        let mut seen = Vec::new();
        let listens = log.by_ref().any(|line| {
            let listens = line.contains("API listen on");
            seen.push(line);
            listens
        });
        assert!(listens, "dockerd ended:\n{}", seen.join("\n"));
        // Somebody has to go on reading.
        std::thread::spawn(move || log.for_each(drop));
        Engine { dockerd }
    }

    fn end(&mut self) {
        let pid = self.dockerd.id().to_string();
        let _ended_already = Command::new("kill").arg(pid).output();
        let _ = self.dockerd.wait();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

fn host(folder: &Path) -> String {
    format!("unix://{}", folder.join("docker.sock").display())
}

#[test]
fn an_engine_that_is_restarted_finds_its_containers_kept() {
    let is_root = rustix::process::geteuid().is_root();
    let has_dockerd = Command::new("dockerd").arg("--version").output().is_ok();
    if !is_root || !has_dockerd {
        assert!(std::env::var_os("CI").is_none(), "CI has root, and dockerd");
        eprintln!("skipped: an engine of the test's own needs root, and dockerd");
        return;
    }
    // A socket's path may be 108 bytes long.
    let folder = tempfile::Builder::new()
        .prefix("eng")
        .tempdir_in("/tmp")
        .unwrap();
    let host = host(folder.path());
    let mut engine = Engine::start(folder.path());
    make_image(Some(&host));
    let kept = Kept::new("restart", &[container("web", IMAGE, "")]);
    let mut keep = kept.start(&host);
    keep.hear("created web");
    engine.end();
    keep.hear("the Docker daemon at");
    keep.hear("next try in 1 s");
    keep.hear("cannot connect to the Docker daemon");
    let mut engine = Engine::start(folder.path());
    keep.hear("keeping 1 container");
    // The engine has ended it with itself.
    keep.hear("started web");
    assert!(keep.end());
    let removed = Command::new("docker")
        .args(["--host", &host, "rm", "--force", "web"])
        .output()
        .unwrap();
    assert!(removed.status.success(), "{}", said(&removed));
    engine.end();
}
