//! Bytes on their way: into logs, to those who are attached, and of commands that are executed.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::super::super::protocol::Reply;
use super::super::log::Stream;
use super::super::process::{self, Program};
use super::{Role, Supervisor};

/// Bytes read from a container at once.
const READ_LEN: usize = 32 << 10;

/// A copy of a container's output that goes to an attached client.
#[derive(Debug)]
pub struct Output {
    /// Which.
    pub stream: Stream,
    /// Where to.
    pub fd: OwnedFd,
    /// What the client has not taken yet. While there is any, the container's output is not read:
    /// a slow client slows the container, as upstream's does, and no memory is filled.
    pub pending: VecDeque<u8>,
}

impl Supervisor {
    pub(super) fn exec(
        &mut self,
        id: u64,
        container_id: &str,
        argv: &[String],
        tty: bool,
        fds: Vec<OwnedFd>,
    ) {
        let stdio = match (tty, &fds[..]) {
            (true, _) => Ok(None),
            (false, [stdin, stdout, stderr]) => {
                Ok(Some([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]))
            }
            (false, _) => Err("exec without its three streams".to_string()),
        };
        let running = self
            .containers
            .get(container_id)
            .and_then(|c| Some((c.pid?, c)));
        let spawned = match (running, stdio) {
            _ if argv.is_empty() => Err("no command specified".to_string()),
            (None, _) => Err("container is not running".to_string()),
            (_, Err(message)) => Err(message),
            (Some((pid, container)), Ok(stdio)) => {
                let mut spec = container.record.spec.clone();
                if tty && !spec.env.iter().any(|entry| entry.starts_with("TERM=")) {
                    spec.env.push("TERM=xterm".into());
                }
                {
                    let program = Program {
                        spec: &spec,
                        argv,
                        stdio,
                        users: self.users(),
                        is_first: false,
                    };
                    process::exec(&program, pid, &self.own_pid_namespace)
                }
            }
        };
        match spawned {
            Ok(spawned) => {
                let terminal: Vec<_> = spawned.terminal.iter().map(AsFd::as_fd).collect();
                self.set_role(id, Role::Exec(spawned.pid));
                self.reply(id, &Reply::Started, &terminal);
            }
            Err(message) => {
                self.reply(id, &Reply::Failed { message }, &[]);
                self.close(id);
            }
        }
    }

    pub(super) fn attach(
        &mut self,
        id: u64,
        container_id: String,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        fds: Vec<OwnedFd>,
    ) {
        let Some(container) = self
            .containers
            .get(&container_id)
            .filter(|c| c.pid.is_some())
        else {
            let message = "container is not running".to_string();
            self.reply(id, &Reply::Failed { message }, &[]);
            return self.close(id);
        };
        let wanted = [(stdout, Stream::Stdout), (stderr, Stream::Stderr)];
        let streams = wanted
            .into_iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, stream)| stream);
        let outputs = streams.zip(fds).map(|(stream, fd)| {
            // A client that takes nothing must not stop this loop.
            let _ = ioctl_fionbio(&fd, true);
            Output {
                stream,
                fd,
                pending: VecDeque::new(),
            }
        });
        let outputs = outputs.collect();
        let stdin_fd = container
            .stdin
            .as_ref()
            .filter(|_| stdin || container.terminal);
        let stdin_fd = stdin_fd.and_then(|fd| fd.try_clone().ok());
        let holds_stdin = stdin && stdin_fd.is_some();
        let fds: Vec<_> = stdin_fd.iter().map(AsFd::as_fd).collect();
        self.set_role(
            id,
            Role::Attach {
                container_id,
                outputs,
                holds_stdin,
            },
        );
        self.reply(id, &Reply::Started, &fds);
    }

    /// Reads what a container wrote: into its log, and to those who are attached.
    pub(super) fn read_source(&mut self, id: &str, index: usize) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let Some(source) = container.sources.get_mut(index) else {
            return;
        };
        let stream = source.stream;
        let mut buffer = vec![0; READ_LEN];
        match rustix::io::read(&source.fd, &mut buffer[..]) {
            Ok(len) if len > 0 => {
                container.write_log(index, &buffer[..len]);
                self.copy_to_attached(id, stream, &buffer[..len]);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            // A terminal whose last process is gone gives EIO.
            Ok(_) | Err(_) => container.end_source(index),
        }
    }

    fn copy_to_attached(&mut self, id: &str, stream: Stream, bytes: &[u8]) {
        let mut ready = Vec::new();
        for (connection_id, connection) in &mut self.connections {
            let Role::Attach {
                container_id,
                outputs,
                ..
            } = &mut connection.role
            else {
                continue;
            };
            if container_id != id {
                continue;
            }
            for (index, output) in outputs.iter_mut().enumerate() {
                if output.stream == stream {
                    output.pending.extend(bytes);
                    ready.push((*connection_id, index));
                }
            }
        }
        for (connection_id, index) in ready.into_iter().rev() {
            self.write_output(connection_id, index);
        }
    }

    pub(super) fn write_output(&mut self, id: u64, index: usize) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Role::Attach { outputs, .. } = &mut connection.role else {
            return;
        };
        let Some(output) = outputs.get_mut(index) else {
            return;
        };
        while !output.pending.is_empty() {
            match rustix::io::write(&output.fd, output.pending.as_slices().0) {
                Ok(len) => drop(output.pending.drain(..len)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // The client does not want more of it.
                Err(_) => return drop(outputs.remove(index)),
            }
        }
    }

    /// Reads a container's streams until they have nothing more to give.
    pub(super) fn drain(&mut self, id: &str) {
        let mut buffer = vec![0; READ_LEN];
        while let Some(container) = self.containers.get_mut(id) {
            let Some(source) = container.sources.last() else {
                return;
            };
            let stream = source.stream;
            let index = container.sources.len() - 1;
            match rustix::io::read(&source.fd, &mut buffer[..]) {
                Ok(len) if len > 0 => {
                    container.write_log(index, &buffer[..len]);
                    self.copy_to_attached(id, stream, &buffer[..len]);
                }
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => container.end_source(index),
            }
        }
    }
}

/// A TCP socket of each family in the pod's network, not connected yet.
pub fn pod_sockets() -> io::Result<Vec<OwnedFd>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let mut sockets = vec![socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        flags,
        None,
    )?];
    sockets.extend(socket_with(
        AddressFamily::INET6,
        SocketType::STREAM,
        flags,
        None,
    ));
    Ok(sockets)
}
