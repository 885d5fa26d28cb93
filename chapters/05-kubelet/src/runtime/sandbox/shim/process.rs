//! Processes of a container: its first one, and those that `exec` adds.
//!
//! The shim forks; the child makes itself what the spec says and becomes the program. What goes
//! wrong on the way comes back over a socket that `exec` closes: its end is the sign of success.
//!
//! Upstream: runc `libcontainer/{process_linux,init_linux}.go`.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Gid, Mode, OFlags, Uid, access, fchown, open};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, Signal, ioctl_tiocsctty, pidfd_open, set_parent_process_death_signal, setsid,
};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags, move_into_link_name_space,
    move_into_thread_name_spaces,
};
use serde::{Deserialize, Serialize};

use super::super::cgroups;
use super::super::protocol::{receive, send};
use super::super::spec::{ContainerSpec, DEFAULT_PATH};
use super::super::sys;
use super::credentials;
use super::rootfs::{self, Folders, SetupResult, doing};
use super::users::Users;

/// A process that runs, and our ends of its streams.
#[derive(Debug)]
pub struct Spawned {
    /// Its number in the shim's process namespace.
    pub pid: Pid,
    /// Its stdin, if it is held.
    pub stdin: Option<OwnedFd>,
    /// Its stdout and stderr; none with a terminal.
    pub outputs: Option<(OwnedFd, OwnedFd)>,
    /// Our side of its terminal.
    pub terminal: Option<OwnedFd>,
}

/// What the child says while it is still ours.
#[derive(Debug, Serialize, Deserialize)]
enum Word {
    /// Our side of its terminal comes along.
    Terminal,
    /// It cannot become the program.
    Failed(String),
}

/// The child's three streams, or none for a terminal of its own.
type Stdio<'a> = Option<[BorrowedFd<'a>; 3]>;

/// What the child becomes.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// The container it is of.
    pub spec: &'a ContainerSpec,
    /// Program and arguments.
    pub argv: &'a [String],
    /// Its streams.
    pub stdio: Stdio<'a>,
    /// The pod's own users, if it has some.
    pub users: Option<Users<'a>>,
    /// It is the container's first process, in a mount namespace that nobody else is in yet.
    pub is_first: bool,
}

/// Who the program runs as, in the node's numbers.
#[derive(Debug, Clone, Copy)]
struct Owner {
    uid: Uid,
    gid: Gid,
}

impl Owner {
    fn of(spec: &ContainerSpec, users: Option<Users<'_>>) -> Owner {
        let on_node = |id: u32| users.map_or(id, |users| users.on_node(id));
        Owner {
            uid: Uid::from_raw(on_node(spec.uid)),
            gid: Gid::from_raw(on_node(spec.gid)),
        }
    }
}

/// Starts a container's first process.
pub fn start(
    spec: &ContainerSpec,
    folders: Folders<'_>,
    users: Option<Users<'_>>,
) -> SetupResult<Spawned> {
    let mut namespaces = UnshareFlags::NEWNS;
    if spec.own_pid_namespace {
        namespaces |= UnshareFlags::NEWPID;
    }
    let setup = || {
        if !spec.cgroups.is_empty() {
            // So that its own group is all that it sees of them.
            sys::unshare(UnshareFlags::NEWCGROUP)
                .map_err(doing("making the control group namespace"))?;
        }
        rootfs::enter(spec, folders, users)
    };
    let program = |stdio| Program {
        spec,
        argv: &spec.argv,
        stdio,
        users,
        is_first: true,
    };
    if spec.tty {
        return spawn(namespaces, &program(None), setup);
    }
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(doing("making a pipe"));
    let (stdin, stdin_end) = if spec.stdin {
        let (read, write) = pipe()?;
        (read, Some(write))
    } else {
        let null = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        (null.map_err(doing("opening /dev/null"))?, None)
    };
    let (stdout_end, stdout) = pipe()?;
    let (stderr_end, stderr) = pipe()?;
    let stdio = Some([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]);
    let mut spawned = spawn(namespaces, &program(stdio), setup)?;
    spawned.stdin = stdin_end;
    spawned.outputs = Some((stdout_end, stderr_end));
    Ok(spawned)
}

/// Starts another process in the running container of process `first`.
pub fn exec(
    program: &Program<'_>,
    first: Pid,
    own_pid_namespace: &OwnedFd,
) -> SetupResult<Spawned> {
    let spec = program.spec;
    let target = pidfd_open(first, PidfdFlags::empty()).map_err(doing("container not running"))?;
    if spec.own_pid_namespace {
        // Moves not this process but the children it will have.
        move_into_thread_name_spaces(target.as_fd(), ThreadNameSpaceType::PROCESS_ID)
            .map_err(doing("entering the container's process namespace"))?;
    }
    let spawned = spawn(UnshareFlags::empty(), program, || {
        let mut namespaces = ThreadNameSpaceType::MOUNT;
        namespaces.set(ThreadNameSpaceType::CONTROL_GROUP, !spec.cgroups.is_empty());
        move_into_thread_name_spaces(target.as_fd(), namespaces)
            .map_err(doing("entering the container's mount namespace"))
    });
    if spec.own_pid_namespace {
        let back = Some(LinkNameSpaceType::ProcessID);
        move_into_link_name_space(own_pid_namespace.as_fd(), back)
            .map_err(doing("returning to the pod's process namespace"))?;
    }
    spawned
}

fn spawn(
    namespaces: UnshareFlags,
    program: &Program<'_>,
    setup: impl FnOnce() -> SetupResult<()>,
) -> SetupResult<Spawned> {
    let (channel, far_channel) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(doing("making a socket pair"))?;
    let Some(pid) = sys::fork(namespaces).map_err(doing("fork"))? else {
        drop(channel);
        let message = match become_program(program, setup, &far_channel) {
            Err(message) => message,
            Ok(never) => match never {},
        };
        // If nobody listens any more there is nobody to tell.
        let _ = send(&far_channel, &Word::Failed(message), &[]);
        sys::exit_now(128);
    };
    drop(far_channel);
    let mut spawned = Spawned {
        pid,
        stdin: None,
        outputs: None,
        terminal: None,
    };
    loop {
        match receive(&channel, RecvFlags::empty()) {
            Ok(Some((Word::Terminal, fds))) => spawned.terminal = fds.into_iter().next(),
            Ok(Some((Word::Failed(message), _))) => {
                reap(pid);
                return Err(message);
            }
            Ok(None) => return Ok(spawned),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
                reap(pid);
                return Err(doing("waiting for the process")(error));
            }
        }
    }
}

/// Waits for a child that is about to end, so that nobody takes its end for a container's.
pub fn reap(pid: Pid) {
    while let Err(rustix::io::Errno::INTR) =
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
    {}
}

/// In the child: the steps from a copy of the shim to the container's program.
fn become_program(
    program: &Program<'_>,
    setup: impl FnOnce() -> SetupResult<()>,
    channel: &OwnedFd,
) -> SetupResult<Infallible> {
    let Program {
        spec, argv, users, ..
    } = *program;
    let owner = Owner::of(spec, users);
    setsid().map_err(doing("setsid"))?;
    // While the node's folders are still to be seen.
    cgroups::join(&spec.cgroups).map_err(doing("joining the control groups"))?;
    setup()?;
    match program.stdio {
        Some(streams) => set_stdio(owner, streams)?,
        None => open_terminal(owner, channel)?,
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    std::env::set_current_dir(&spec.cwd).map_err(doing(format!(
        "chdir to cwd ({:?}) set in config.json failed",
        spec.cwd
    )))?;
    credentials::assume(spec, users, program.is_first)?;
    if !spec.own_pid_namespace {
        // Behind the change of user, which clears it. With a namespace of its own the kernel
        // ends the process together with the shim, which is above it.
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(doing("pdeathsig"))?;
    }
    let name = &argv[0];
    let path = find_program(name, &spec.env)
        .map_err(|why| format!("unable to start container process: exec: {name:?}: {why}"))?;
    sys::close_on_exec_from(3);
    sys::reset_signals();
    let env = spec.env.iter().filter_map(|entry| entry.split_once('='));
    let error = std::process::Command::new(&path)
        .arg0(name)
        .args(&argv[1..])
        .env_clear()
        .envs(env)
        .exec();
    Err(format!(
        "unable to start container process: exec {}: {}",
        path.display(),
        text(&error)
    ))
}

fn set_stdio(owner: Owner, streams: [BorrowedFd<'_>; 3]) -> SetupResult<()> {
    for fd in streams {
        let stat = rustix::fs::fstat(fd).map_err(doing("fstat"))?;
        if !owner.uid.is_root() && rustix::fs::FileType::from_raw_mode(stat.st_mode).is_fifo() {
            // So that the program may open `/dev/stdout`, which opens the pipe anew.
            let _ = fchown(fd, Some(owner.uid), Some(owner.gid));
        }
    }
    sys::set_stdio(streams).map_err(doing("taking the streams"))
}

/// Opens a terminal of the container's own `/dev/pts`, takes it as the controlling one, and sends
/// the far side to the shim.
fn open_terminal(owner: Owner, channel: &OwnedFd) -> SetupResult<()> {
    let steps = || -> io::Result<()> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let ours = open("/dev/pts/ptmx", flags, Mode::empty())?;
        unlockpt(&ours)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let theirs = ioctl_tiocgptpeer(&ours, flags)?;
        send(channel, &Word::Terminal, &[ours.as_fd()])?;
        ioctl_tiocsctty(&theirs)?;
        if !owner.uid.is_root() {
            let _ = fchown(&theirs, Some(owner.uid), None);
        }
        sys::set_stdio([theirs.as_fd(); 3])
    };
    steps().map_err(doing("opening a terminal"))
}

/// The program of that name, by the container's own `PATH`. The messages are runc's.
fn find_program(name: &str, env: &[String]) -> Result<PathBuf, String> {
    let check = |path: &Path| match std::fs::metadata(path) {
        Err(error) => Err(format!("stat {}: {}", path.display(), text(&error))),
        Ok(metadata) if metadata.is_dir() => Err("is a directory".to_string()),
        Ok(_) => access(path, Access::EXEC_OK).map_err(|_| "permission denied".to_string()),
    };
    if name.contains('/') {
        return check(Path::new(name)).map(|()| name.into());
    }
    let path = env
        .iter()
        .find_map(|entry| entry.strip_prefix("PATH="))
        .unwrap_or(DEFAULT_PATH);
    let mut denied = None;
    for dir in path.split(':').filter(|dir| !dir.is_empty()) {
        let candidate = Path::new(dir).join(name);
        match check(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(why) if why == "permission denied" => denied = Some(why),
            Err(_) => {}
        }
    }
    Err(denied.unwrap_or_else(|| "executable file not found in $PATH".into()))
}

/// `no such file or directory`, as C and Go write it.
fn text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_lowercase()
}
