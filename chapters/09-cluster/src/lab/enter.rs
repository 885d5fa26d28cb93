//! Into the namespaces: from an ordinary user's process to process 1 of a lab.
//!
//! ```text
//! lab up                      lab enter                       lab supervise
//!   │ spawn ───────────────────► setsid, unshare(USER, NS, PID)
//!   │ ◄────────────── "unshared"  │
//!   │ newuidmap, newgidmap        │ (has no identity inside yet)
//!   │ "mapped" ─────────────────► │ becomes uid 0
//!   │                             │ spawn ───────────────────► process 1
//!   │ ◄──────────────── "pid N" ──┘ ends
//! ```
//!
//! Two processes are needed: only one that stayed outside may write the identity map of a user
//! namespace with more than one's own uid, and only a child is in the new PID namespace. With a
//! range in `/etc/subuid` and `newuidmap` the lab has 65536 users, so images whose processes run
//! as other users work; without, it has one. As root no user namespace is needed.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::layout::Layout;
use super::record::Process;
use super::sys::{UnshareFlags, unshare};
use super::{Error, down};

/// What the process between the host and the lab is started with.
#[derive(Debug, clap::Args)]
pub struct Enter {
    /// The lab's folder
    #[arg(long)]
    dir: PathBuf,
    /// Make a user namespace: not as root
    #[arg(long)]
    user_namespace: bool,
    /// The listening socket of the host's loopback
    #[arg(long)]
    listener: Option<i32>,
    /// Remove the folder instead of starting the lab
    #[arg(long)]
    remove: bool,
}

/// Starts the supervisor of the lab in `layout` as process 1 of fresh namespaces. Descriptor
/// `listener` must be inheritable.
///
/// # Errors
/// When the machine does not let this user make namespaces: the text names the setting.
pub fn start(layout: &Layout, listener: i32) -> Result<Process, Error> {
    let mut reader = BufReader::new(inside(layout, &[format!("--listener={listener}")])?);
    let mut line = String::new();
    let _ = reader.read_line(&mut line);
    let pid = line
        .trim()
        .strip_prefix("pid ")
        .and_then(|pid| pid.parse().ok());
    pid.and_then(Process::find).ok_or_else(|| {
        Error::Machine(format!(
            "the lab's supervisor did not start:\n{}",
            super::logs::tail(&layout.supervisor_log(), 10)
        ))
    })
}

/// Removes the lab's folder, whoever inside the lab its files belong to.
///
/// # Errors
/// When something in it cannot be removed.
pub fn remove(layout: &Layout) -> Result<(), Error> {
    let mut said = String::new();
    let mut output = inside(layout, &["--remove".into()])?;
    let _ = output.read_to_string(&mut said);
    match said.trim() {
        "removed" => Ok(()),
        problem => Err(Error::Refused(problem.to_owned())),
    }
}

/// Runs `lab enter` with `args` up to where it is inside, and returns what it says from there.
fn inside(layout: &Layout, args: &[String]) -> Result<ChildStdout, Error> {
    let root = rustix::process::getuid().is_root();
    let program = std::env::current_exe().map_err(Error::system("find this program"))?;
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(layout.supervisor_log());
    let mut command = Command::new(if args.iter().any(|arg| arg == "--remove") {
        program
    } else {
        // Not the program that was called: that one may be rebuilt while the lab runs.
        layout.bin().join("cluster")
    });
    command
        .args(["lab", "enter"])
        .arg(format!("--dir={}", layout.dir.display()))
        .args((!root).then_some("--user-namespace"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log.map_or_else(|_| Stdio::null(), Stdio::from));
    let mut child = command
        .spawn()
        .map_err(Error::system("start the lab's supervisor"))?;
    let mut output = child.stdout.take().expect("its output is a pipe");
    let answer = read_word(&mut output);
    if answer != "unshared" {
        let _ = child.wait();
        return Err(Error::Machine(why_no_namespaces(&answer)));
    }
    if !root {
        map_identities(&child)?;
    }
    let mut input = child.stdin.take().expect("its input is a pipe");
    input
        .write_all(b"mapped\n")
        .map_err(Error::system("speak to the lab's supervisor"))?;
    // It ends by itself; this process soon does too, so nobody needs to wait for it.
    Ok(output)
}

/// Reads up to a newline, byte by byte, since what follows is for somebody else.
fn read_word(input: &mut impl Read) -> String {
    let mut word = String::new();
    let mut byte = [0];
    while matches!(input.read(&mut byte), Ok(1)) && byte[0] != b'\n' {
        word.push(byte[0] as char);
    }
    word
}

/// The inner side: see the timeline above.
///
/// # Errors
/// When the namespaces or the supervisor cannot be had.
pub fn run(config: &Enter) -> Result<(), Error> {
    let mut namespaces = UnshareFlags::NEWNS | UnshareFlags::NEWPID;
    if config.user_namespace {
        namespaces |= UnshareFlags::NEWUSER;
    }
    // A session of its own: Ctrl-C in the terminal of `lab up` is not for the lab.
    let _ = rustix::process::setsid();
    if let Err(errno) = unshare(namespaces) {
        println!("{errno}");
        return Err(Error::system("unshare")(errno));
    }
    println!("unshared");
    let mapped = read_word(&mut std::io::stdin());
    if mapped != "mapped" {
        return Err(Error::Lost);
    }
    if config.user_namespace {
        become_root()?;
    }
    let _ = std::env::set_current_dir("/");
    if config.remove {
        match down::remove(&config.dir) {
            Ok(()) => println!("removed"),
            Err(error) => println!("{error}"),
        }
        return Ok(());
    }
    let layout = Layout::at(&config.dir);
    let log = || {
        let path = layout.supervisor_log();
        let log = OpenOptions::new().create(true).append(true).open(&path);
        log.map_err(|source| Error::File { path, source })
    };
    let program = std::env::current_exe().map_err(Error::system("find this program"))?;
    let child = Command::new(program)
        .args(["lab", "supervise"])
        .arg(format!("--dir={}", config.dir.display()))
        .args(
            config
                .listener
                .map(|listener| format!("--listener={listener}")),
        )
        .stdin(Stdio::null())
        .stdout(log()?)
        .stderr(log()?)
        .spawn()
        .map_err(Error::system("start the lab's supervisor"))?;
    println!("pid {}", child.id());
    Ok(())
}

/// Takes on uid and gid 0 of the namespace, which its maker's identity was mapped to.
fn become_root() -> Result<(), Error> {
    use rustix::fs::{Gid, Uid};
    use rustix::thread::{set_thread_res_gid, set_thread_res_uid};
    // Without a range, changing the groups is forbidden: then they stay, unmapped and harmless.
    let _ = rustix::thread::set_thread_groups(&[]);
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).map_err(Error::system("setresgid"))?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).map_err(Error::system("setresuid"))
}

/// Maps this user to 0 inside, and the user's sub-uids to 1 and up where there are some.
fn map_identities(child: &Child) -> Result<(), Error> {
    let (uid, gid) = (
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    let user = user_name(uid);
    if let (Some(uids), Some(gids)) = (
        sub_ids(Path::new("/etc/subuid"), user.as_deref(), uid),
        sub_ids(Path::new("/etc/subgid"), user.as_deref(), uid),
    ) && map_with("newuidmap", child, uid, uids)
        && map_with("newgidmap", child, gid, gids)
    {
        return Ok(());
    }
    let write = |file: &str, text: String| {
        let path = PathBuf::from(format!("/proc/{}/{file}", child.id()));
        std::fs::write(&path, text).map_err(|source| Error::File { path, source })
    };
    // A kernel rule: whoever may map only one group must first give up dropping groups.
    write("setgroups", "deny".into())?;
    write("uid_map", format!("0 {uid} 1"))?;
    write("gid_map", format!("0 {gid} 1"))
}

fn map_with(program: &str, child: &Child, id: u32, range: SubIds) -> bool {
    let numbers = [0, id, 1, 1, range.first, range.count].map(|number| number.to_string());
    let mut command = Command::new(program);
    command
        .arg(child.id().to_string())
        .args(numbers)
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A range of sub-uids or sub-gids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubIds {
    first: u32,
    count: u32,
}

/// The range that the table at `path` gives to a user. `subuid(5)`.
pub fn sub_ids(path: &Path, user: Option<&str>, uid: u32) -> Option<SubIds> {
    let table = std::fs::read_to_string(path).ok()?;
    let uid = uid.to_string();
    table.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let who = fields.next()?;
        if Some(who) != user && who != uid {
            return None;
        }
        let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        // The usual images know users up to 65534.
        (count > 0).then_some(SubIds {
            first,
            count: u32::min(count, 65535),
        })
    })
}

/// The login name of `uid`, from `/etc/passwd` alone: a static program loads no other sources.
pub fn user_name(uid: u32) -> Option<String> {
    let table = std::fs::read_to_string("/etc/passwd").ok()?;
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
    })
}

/// Whether `program` is in the `PATH`.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .any(|folder| folder.join(OsStr::new(program)).is_file())
}

fn why_no_namespaces(answer: &str) -> String {
    let findings = super::doctor::namespace_findings();
    let hints: Vec<String> = findings
        .iter()
        .map(|finding| format!("  {finding}"))
        .collect();
    let hints = if hints.is_empty() {
        format!("  {}", super::doctor::IN_A_CONTAINER)
    } else {
        hints.join("\n")
    };
    let answer = if answer.is_empty() {
        "it ended at once"
    } else {
        answer
    };
    format!("this machine does not let an ordinary user make namespaces ({answer}):\n{hints}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_ids_are_found_by_name_or_number() {
        let path = std::env::temp_dir().join(format!("workshop-subuid-{}", std::process::id()));
        std::fs::write(
            &path,
            "root:1:2\nann:100000:65536\n1007:300000:10\nbad\nzero:5:0\n",
        )
        .unwrap();
        let find = |user, uid| sub_ids(&path, user, uid).map(|ids| (ids.first, ids.count));
        assert_eq!(find(Some("ann"), 1001), Some((100000, 65535)));
        assert_eq!(find(Some("bob"), 1007), Some((300000, 10)));
        assert_eq!(find(Some("zero"), 3), None);
        assert_eq!(find(None, 4), None);
        std::fs::remove_file(path).unwrap();
    }
}
