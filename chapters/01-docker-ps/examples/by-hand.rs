//! A pod by hand: two containers that share `localhost`, made of system calls, without root.
//!
//! ```text
//! by-hand ── unshare(user, pid, net, ipc, uts) ──┬─► pause: process 1 of the pod
//!                                                ├─► launcher ── unshare(pid, mnt) ──► server
//!                                                └─► launcher ── unshare(pid, mnt) ──► client
//! ```
//!
//! A namespace that is "unshared" for processes begins with the next child; hence the launchers.
//! Each ends at once and leaves its container without a parent: pause inherits it, and reaps it
//! in the end. `by-hand COMMAND…` runs a command in the place of the client: try `sh`.
//!
//! The kubelet of chapter 5 does the same for good: `chapters/05-kubelet/src/runtime/sandbox`.
//! Upstream it is runc (`libcontainer/`), with pause in `build/pause/linux/pause.c`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
    unmount,
};
use rustix::process::{WaitOptions, getgid, getuid, pivot_root, wait};
use rustix::thread::UnshareFlags;

const ADDRESS: &str = "127.0.0.1:8080";
/// What a container's processes can be apart in.
const NAMESPACES: [&str; 6] = ["net", "ipc", "uts", "user", "pid", "mnt"];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let ended = match &words[..] {
        ["@pause"] => pause(),
        ["@launch", role @ ..] => launch(role),
        ["@container", role @ ..] => container(role),
        command => pod(command),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("by-hand: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: pod
/// The pod: namespaces that its containers will share, and pause to hold them.
fn pod(command: &[&str]) -> Result<()> {
    let (user, group) = (getuid().as_raw(), getgid().as_raw());
    unshare(UnshareFlags::NEWUSER).context("no user namespace (lab doctor says how to get it)")?;
    // In here we are root; outside, who we were.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1"))?;

    let shared = UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    unshare(shared | UnshareFlags::NEWPID)?;
    rustix::system::sethostname(b"by-hand")?;
    // A new network has a loopback device, and nobody has switched it on.
    netlink::Netlink::open()?.set_link_up("lo", true)?;

    let mut pause = stage(&["@pause"]).stdin(Stdio::piped()).spawn()?;
    let mut left_to_pause = pause.stdin.take().context("pause listens")?;
    let mut start = |role: &[&str], output: Stdio| -> Result<Child> {
        let mut launcher = stage(&[&["@launch"], role].concat())
            .stdout(output)
            .spawn()?;
        ensure!(launcher.wait()?.success(), "there is no container");
        left_to_pause.write_all(b".")?;
        Ok(launcher)
    };

    let mut server = lines(start(&["server"], Stdio::piped())?);
    show("server", server.by_ref().take(3));
    if command.is_empty() {
        show("client", lines(start(&["client"], Stdio::piped())?));
    } else {
        start(command, Stdio::inherit())?;
    }
    let mut said = BufReader::new(pause.stdout.take().context("pause speaks")?).lines();
    show("pause", said.next().transpose()?.into_iter());
    // The server would go on. But without its first process a pod is over: the kernel sees to it.
    pause.kill()?;
    show("server", server);
    println!("the pod is gone: {}", pause.wait()?);
    Ok(())
}
// ANCHOR_END: pod

// ANCHOR: pause
/// Process 1 of the pod. It holds the namespaces by being there, and reaps whom it inherits.
fn pause() -> Result<()> {
    for _left in BufReader::new(std::io::stdin()).bytes() {
        let (_, status) = wait(WaitOptions::empty())?.context("it waits until one has ended")?;
        match status.exit_status() {
            Some(code) => println!("reaped a container, exit code {code}"),
            None => println!("reaped a container, ended by a signal"),
        }
    }
    Ok(())
}
// ANCHOR_END: pause

/// Starts a container and ends, so that pause becomes its parent.
fn launch(role: &[&str]) -> Result<()> {
    unshare(UnshareFlags::NEWPID | UnshareFlags::NEWNS)?;
    let inherit = Stdio::inherit;
    let mut child = stage(&[&["@container"], role].concat());
    child.stdin(inherit()).stdout(inherit()).spawn()?;
    Ok(())
}

// ANCHOR: root
/// A root of its own: an image below, a writable layer above it that ends with the container.
fn enter_root() -> Result<()> {
    // What is mounted from here on is nobody else's business.
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    mount("tmpfs", "/tmp", "tmpfs", MountFlags::empty(), None)?;
    std::env::set_current_dir("/tmp")?;
    // The smallest image that holds a shell: the machine's own programs are lent to it.
    for folder in [
        "image/usr",
        "image/proc",
        "image/dev",
        "image/tmp",
        "layer",
        "work",
        "root",
    ] {
        fs::create_dir_all(folder)?;
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{link}"), format!("image/{link}"))?;
    }
    let layers = c"lowerdir=image,upperdir=layer,workdir=work,userxattr";
    mount("overlay", "root", "overlay", MountFlags::empty(), layers)
        .context("no overlay in a user namespace: Linux 5.11 has it")?;
    mount_bind_recursive("/usr", "root/usr")?;
    mount_bind_recursive("/dev", "root/dev")?;
    mount("proc", "root/proc", "proc", MountFlags::empty(), None)?;
    std::env::set_current_dir("root")?;
    // The old root goes below the new one, and then away.
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(std::env::set_current_dir("/")?)
}
// ANCHOR_END: root

/// Process 1 of a container: enters its root, then plays its role.
fn container(role: &[&str]) -> Result<()> {
    enter_root()?;
    match role {
        ["server"] => serve(),
        ["client"] => ask(),
        [program, arguments @ ..] => {
            Err(Command::new(program).args(arguments).exec()).context((*program).to_owned())
        }
        [] => bail!("a container has something to run"),
    }
}

fn serve() -> Result<()> {
    println!("{}", who_am_i()?);
    fs::write("/note", "from the server")?;
    println!("wrote /note");
    let listener = TcpListener::bind(ADDRESS)?;
    println!("listening on {ADDRESS}");
    for client in listener.incoming() {
        println!("a request: answered with the names of my namespaces");
        client?.write_all(namespaces()?.join("\n").as_bytes())?;
    }
    Ok(())
}

fn ask() -> Result<()> {
    println!("{}", who_am_i()?);
    println!("/note is there: {}", fs::exists("/note")?);
    let mut answer = String::new();
    TcpStream::connect(ADDRESS)?.read_to_string(&mut answer)?;
    println!("the server answers on {ADDRESS}; of its namespaces,");
    let (mine, theirs) = (namespaces()?, answer.lines());
    for (name, (mine, theirs)) in NAMESPACES.iter().zip(mine.iter().zip(theirs)) {
        println!(
            "  {name} {}",
            if mine == theirs {
                "is mine too"
            } else {
                "is another"
            }
        );
    }
    Ok(())
}

fn who_am_i() -> Result<String> {
    let is_process = |name: &str| name.parse::<u32>().is_ok();
    let names = fs::read_dir("/proc")?.map(|entry| Ok(entry?.file_name()));
    let names = names.collect::<std::io::Result<Vec<_>>>()?;
    let all = names
        .iter()
        .filter(|name| name.to_str().is_some_and(is_process));
    let host = fs::read_to_string("/proc/sys/kernel/hostname")?;
    let (id, all) = (std::process::id(), all.count());
    Ok(format!("process {id} of {all} on {}", host.trim()))
}

/// What the kernel calls the namespaces of this process: `net:[4026531840]`.
fn namespaces() -> std::io::Result<Vec<String>> {
    let read = |name| fs::read_link(format!("/proc/self/ns/{name}"));
    let names = NAMESPACES
        .iter()
        .map(|name| Ok(read(name)?.display().to_string()));
    names.collect()
}

/// This program again, as another part of the play.
fn stage(args: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(args).stdout(Stdio::piped());
    command
}

fn lines(child: Child) -> impl Iterator<Item = String> {
    let output = child.stdout.expect("its output is read");
    BufReader::new(output).lines().map_while(Result::ok)
}

fn show(who: &str, lines: impl Iterator<Item = String>) {
    lines.for_each(|line| println!("{who:<6} | {line}"));
}

/// `unshare(2)`: leaves the namespaces that are shared with the parent for new ones.
#[expect(unsafe_code, reason = "rustix offers it as unsafe only")]
fn unshare(flags: UnshareFlags) -> Result<()> {
    // SAFETY: only unsharing file descriptors (FILES) could break what other threads rely on.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}
