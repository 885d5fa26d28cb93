//! The shim's loop: serves the kubelet, writes logs, sees containers end. One thread, one `poll`.

mod container;
mod streams;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{RecvFlags, SocketFlags, accept_with};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};

use super::super::cgroups;
use super::super::protocol::{Reply, Request, receive, send};
use super::super::record::{
    CONTAINER_FILE, CONTAINERS_DIR, ContainerRecord, ContainerStatus, Exit, read_json,
};
use super::super::sys;
use super::log::LogFile;
use super::process;
use super::rootfs::{Folders, SetupResult, doing};
use super::users::Users;
use crate::runtime::UserRange;
use container::Container;
use streams::{Output, pod_sockets};

/// What a connection has turned out to be for.
#[derive(Debug)]
enum Role {
    /// It has not asked for anything yet.
    New,
    /// It is told of each end.
    Watch,
    /// It holds an exec's process.
    Exec(Pid),
    /// It holds streams of a container.
    Attach {
        container_id: String,
        outputs: Vec<Output>,
        holds_stdin: bool,
    },
}

struct Connection {
    socket: OwnedFd,
    role: Role,
}

/// What a descriptor in the poll set belongs to.
#[derive(Clone)]
enum Token {
    Signal,
    Listener,
    Connection(u64),
    Source(String, usize),
    Output(u64, usize),
}

/// All that a shim knows.
pub struct Supervisor {
    listener: OwnedFd,
    signals: OwnedFd,
    own_pid_namespace: OwnedFd,
    /// The pod's own users, if it has some.
    users: Option<(OwnedFd, UserRange)>,
    sandbox_dir: PathBuf,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    containers: BTreeMap<String, Container>,
    stopping: bool,
}

impl Supervisor {
    /// Takes over the socket that the kubelet connects to. `users` are the pod's own: their
    /// namespace, and who they are on the node.
    pub fn new(listener: OwnedFd, users: Option<(OwnedFd, UserRange)>) -> io::Result<Self> {
        ioctl_fionbio(&listener, true)?;
        Ok(Supervisor {
            listener,
            signals: sys::child_signals()?,
            own_pid_namespace: super::own_pid_namespace()?,
            users,
            sandbox_dir: std::env::current_dir()?,
            connections: BTreeMap::new(),
            next_connection: 0,
            containers: BTreeMap::new(),
            stopping: false,
        })
    }

    /// Serves until a stop is asked for. A sandbox that could not be made answers its first
    /// request with the reason, and ends.
    pub fn serve(&mut self, ready: SetupResult<()>) -> SetupResult<()> {
        while !self.stopping {
            let ready_tokens = self.poll().map_err(doing("poll"))?;
            for token in ready_tokens {
                match token {
                    Token::Signal => self.reap(),
                    Token::Listener => self.accept(),
                    Token::Connection(id) => self.read_connection(id, &ready),
                    Token::Source(id, index) => self.read_source(&id, index),
                    Token::Output(id, index) => self.write_output(id, index),
                }
            }
        }
        Ok(())
    }

    /// Waits until something can be done; what that is.
    fn poll(&self) -> rustix::io::Result<Vec<Token>> {
        let mut tokens = vec![Token::Signal, Token::Listener];
        let mut fds = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        let mut held_back: Vec<&str> = Vec::new();
        for (id, connection) in &self.connections {
            tokens.push(Token::Connection(*id));
            fds.push(PollFd::new(&connection.socket, PollFlags::IN));
            if let Role::Attach {
                container_id,
                outputs,
                ..
            } = &connection.role
            {
                for (index, output) in outputs.iter().enumerate() {
                    if !output.pending.is_empty() {
                        tokens.push(Token::Output(*id, index));
                        fds.push(PollFd::new(&output.fd, PollFlags::OUT));
                        held_back.push(container_id);
                    }
                }
            }
        }
        for (id, container) in &self.containers {
            if held_back.contains(&id.as_str()) {
                continue;
            }
            for (index, source) in container.sources.iter().enumerate() {
                tokens.push(Token::Source(id.clone(), index));
                fds.push(PollFd::new(&source.fd, PollFlags::IN));
            }
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let ready = tokens
            .into_iter()
            .zip(&fds)
            .filter(|(_, fd)| !fd.revents().is_empty());
        let mut ready: Vec<Token> = ready.map(|(token, _)| token).collect();
        // A stream that has ended is taken out of its list: the later ones go first, so that the
        // others keep their places. An end is told last, when what was written is in the log.
        ready.reverse();
        Ok(ready)
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Ok(socket) = accept_with(&self.listener, flags) {
            self.connections.insert(
                self.next_connection,
                Connection {
                    socket,
                    role: Role::New,
                },
            );
            self.next_connection += 1;
        }
    }

    fn read_connection(&mut self, id: u64, ready: &SetupResult<()>) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        match receive::<Request>(&connection.socket, RecvFlags::DONTWAIT) {
            Ok(Some((request, fds))) if matches!(connection.role, Role::New) => {
                if let Err(message) = ready {
                    self.reply(
                        id,
                        &Reply::Failed {
                            message: message.clone(),
                        },
                        &[],
                    );
                    self.stopping = true;
                    return;
                }
                self.handle(id, request, fds);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => self.close(id),
        }
    }

    fn handle(&mut self, id: u64, request: Request, fds: Vec<OwnedFd>) {
        let answer = match request {
            Request::Watch => {
                let running = self.containers.iter().filter(|(_, c)| c.pid.is_some());
                let running = running.map(|(id, _)| id.clone()).collect();
                self.set_role(id, Role::Watch);
                self.reply(id, &Reply::Ready { running }, &[]);
                return;
            }
            Request::Start { container_id } => self.start(&container_id).map(|()| Vec::new()),
            Request::Signal {
                container_id,
                signal,
            } => {
                let pid = self.containers.get(&container_id).and_then(|c| c.pid);
                if let (Some(pid), Some(signal)) = (pid, Signal::from_named_raw(signal)) {
                    let _ = kill_process(pid, signal);
                }
                Ok(Vec::new())
            }
            Request::Remove { container_id } => {
                self.containers.remove(&container_id);
                Ok(Vec::new())
            }
            Request::Sockets => pod_sockets().map_err(doing("opening a socket")),
            Request::Stop => {
                self.kill_all();
                self.stopping = true;
                Ok(Vec::new())
            }
            Request::Exec {
                container_id,
                command,
                tty,
            } => {
                return self.exec(id, &container_id, &command, tty, fds);
            }
            Request::Attach {
                container_id,
                stdin,
                stdout,
                stderr,
            } => {
                return self.attach(id, container_id, stdin, stdout, stderr, fds);
            }
        };
        match answer {
            Ok(fds) => {
                let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
                self.reply(id, &Reply::Done, &fds);
            }
            Err(message) => self.reply(id, &Reply::Failed { message }, &[]),
        }
        self.close(id);
    }

    fn start(&mut self, id: &str) -> SetupResult<()> {
        if self.containers.contains_key(id) {
            return Err("container was started already".into());
        }
        let dir = self.sandbox_dir.join(CONTAINERS_DIR).join(id);
        let record: ContainerRecord = read_json(&dir.join(CONTAINER_FILE))
            .map_err(doing("reading the container's record"))?;
        let folders = Folders {
            sandbox: &self.sandbox_dir,
            container: &dir,
        };
        // Before the process, so that a full disk is an error and not a process without a log.
        let log = LogFile::open(&record.spec.log_path).map_err(doing("opening the log"))?;
        let spawned = process::start(&record.spec, folders, self.users())?;
        let mut container = Container {
            dir,
            pid: Some(spawned.pid),
            status: ContainerStatus {
                started_at: Some(Timestamp::now()),
                pid: Some(spawned.pid.as_raw_nonzero().get()),
                exit: None,
            },
            stdin: None,
            terminal: record.spec.tty,
            sources: Vec::new(),
            log: Some(log),
            record,
        };
        container.take_streams(spawned);
        container.write_status();
        self.containers.insert(id.to_string(), container);
        Ok(())
    }

    fn users(&self) -> Option<Users<'_>> {
        self.users.as_ref().map(|(namespace, range)| Users {
            namespace: namespace.as_fd(),
            range: *range,
        })
    }

    /// Takes note of every child that has ended.
    fn reap(&mut self) {
        let mut buffer = [0; 1024];
        while rustix::io::read(&self.signals, &mut buffer[..]).is_ok_and(|len| len > 0) {}
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            self.process_ended(pid, status);
        }
    }

    fn process_ended(&mut self, pid: Pid, status: WaitStatus) {
        let code = exit_code(status);
        let container = self.containers.iter().find(|(_, c)| c.pid == Some(pid));
        if let Some(id) = container.map(|(id, _)| id.clone()) {
            return self.container_ended(&id, code);
        }
        let is_exec =
            |connection: &Connection| matches!(connection.role, Role::Exec(p) if p == pid);
        let exec = self
            .connections
            .iter()
            .find(|(_, connection)| is_exec(connection));
        if let Some(id) = exec.map(|(id, _)| *id) {
            self.set_role(id, Role::New);
            self.reply(id, &Reply::ProcessExited { code }, &[]);
            self.close(id);
        }
    }

    fn container_ended(&mut self, id: &str, code: i32) {
        // All that it wrote is in its pipes by now, and belongs in the log before the end is told.
        self.drain(id);
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let reason = match code {
            0 => "Completed",
            _ if cgroups::oom_kills(&container.record.spec.cgroups) > 0 => "OOMKilled",
            _ => "Error",
        };
        let exit = Exit {
            code,
            finished_at: Timestamp::now(),
            reason: reason.into(),
            message: String::new(),
        };
        container.pid = None;
        container.stdin = None;
        container.log = None;
        container.status.exit = Some(exit.clone());
        container.write_status();
        let told = Reply::Exited {
            container_id: id.to_string(),
            exit,
        };
        let mut attached = Vec::new();
        for (connection_id, connection) in &self.connections {
            match &connection.role {
                Role::Watch => drop(send(&connection.socket, &told, &[])),
                Role::Attach { container_id, .. } if container_id == id => {
                    attached.push(*connection_id);
                }
                _ => {}
            }
        }
        for connection_id in attached {
            self.reply(connection_id, &Reply::ProcessExited { code }, &[]);
            self.close(connection_id);
        }
    }

    /// Ends every process of the pod and waits for all of them.
    fn kill_all(&mut self) {
        if rustix::process::getpid() == Pid::INIT {
            // All but ourselves: the namespace, and those below it, have nobody else in them.
            let _ = sys::kill_all_others();
        }
        let pids: Vec<Pid> = self.containers.values().filter_map(|c| c.pid).collect();
        for pid in pids {
            let _ = kill_process(pid, Signal::KILL);
        }
        while self
            .containers
            .values()
            .any(|container| container.pid.is_some())
        {
            match wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => self.process_ended(pid, status),
                Err(Errno::INTR) | Ok(None) => {}
                Err(_) => break,
            }
        }
        let _ = rustix::mount::unmount("shm", rustix::mount::UnmountFlags::DETACH);
    }

    fn set_role(&mut self, id: u64, role: Role) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.role = role;
        }
    }

    /// Answers; a client that does not take the answer finds its connection closed.
    fn reply(&mut self, id: u64, reply: &Reply, fds: &[BorrowedFd<'_>]) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if send(&connection.socket, reply, fds).is_err() {
            self.close(id);
        }
    }

    /// Ends a connection, and with it what it held.
    fn close(&mut self, id: u64) {
        let Some(connection) = self.connections.remove(&id) else {
            return;
        };
        match connection.role {
            Role::Exec(pid) => drop(kill_process(pid, Signal::KILL)),
            Role::Attach {
                container_id,
                holds_stdin: true,
                ..
            } => {
                if let Some(container) = self.containers.get_mut(&container_id)
                    && container.record.spec.stdin_once
                    && !container.terminal
                {
                    container.stdin = None;
                }
            }
            Role::New | Role::Watch | Role::Attach { .. } => {}
        }
    }
}

/// The exit code that a shell would show.
fn exit_code(status: WaitStatus) -> i32 {
    status
        .exit_status()
        .or(status.terminating_signal().map(|signal| 128 + signal))
        .unwrap_or(255)
}
