//! Commands in containers, their streams, and connections into pods.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::oneshot;

use super::super::client::{self, Connection};
use super::super::protocol::{Reply, Request};
use super::super::streams::{Terminal, input_pipe, null, output_pipe};
use super::{SandboxRuntime, other};
use crate::runtime::{Duplex, ExecOutput, ExecRequest, ProcessStreams, Result};

/// How much of each output [`ContainerRuntime::exec_sync`] keeps.
const EXEC_SYNC_OUTPUT_LEN_MAX: usize = 16 << 10;
/// How long an output may stay open after its process has ended, held by one that it left behind.
const OUTPUT_GRACE: Duration = Duration::from_millis(100);

impl SandboxRuntime {
    pub(super) async fn run_command(
        &self,
        container_id: &str,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecOutput> {
        let described = command.join(" ");
        let request = ExecRequest {
            command,
            tty: false,
            stdin: false,
            stdout: true,
            stderr: true,
        };
        let streams = self.start_command(container_id, request).await?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let run = async {
            let outputs = async {
                tokio::join!(
                    read_head(streams.stdout, &mut stdout),
                    read_head(streams.stderr, &mut stderr)
                )
            };
            tokio::pin!(outputs);
            let mut exit = streams.exit;
            let mut all_read = false;
            let code = loop {
                tokio::select! {
                    code = &mut exit => break code,
                    _ = &mut outputs, if !all_read => all_read = true,
                }
            };
            if !all_read {
                let _ = tokio::time::timeout(OUTPUT_GRACE, outputs.as_mut()).await;
            }
            code
        };
        match tokio::time::timeout(timeout, run).await {
            Ok(Ok(exit_code)) => Ok(ExecOutput {
                exit_code: exit_code?,
                stdout,
                stderr,
            }),
            Ok(Err(_)) => Err(other(format!("container {container_id:?} is not running"))),
            Err(_) => Err(other(format!(
                "command {described:?} timed out after {}s",
                timeout.as_secs_f64()
            ))),
        }
    }

    pub(super) async fn start_command(
        &self,
        container_id: &str,
        request: ExecRequest,
    ) -> Result<ProcessStreams> {
        let dir = self.running(container_id)?;
        let tty = request.tty;
        let command = request.command.clone();
        let asked = Request::Exec {
            container_id: container_id.into(),
            command,
            tty,
        };
        if tty {
            let (connection, _, fds) = client::open(&dir, asked, &[]).await?;
            let terminal = fds
                .into_iter()
                .next()
                .ok_or_else(|| other("no terminal came"))?;
            return terminal_streams(terminal, &request, connection).map_err(other);
        }
        let (stdin_end, stdin) = match request.stdin {
            true => input_pipe().map(|(end, pipe)| (end, Some(pipe))),
            false => null().map(|end| (end, None)),
        }
        .map_err(other)?;
        let output = |wanted: bool| match wanted {
            true => output_pipe().map(|(pipe, end)| (Some(pipe), end)),
            false => null().map(|end| (None, end)),
        };
        let (stdout, stdout_end) = output(request.stdout).map_err(other)?;
        let (stderr, stderr_end) = output(request.stderr).map_err(other)?;
        let fds = [stdin_end.as_fd(), stdout_end.as_fd(), stderr_end.as_fd()];
        let (connection, _, _) = client::open(&dir, asked, &fds).await?;
        Ok(ProcessStreams {
            stdin: stdin.map(|pipe| Box::pin(pipe) as _),
            stdout: stdout.map(|pipe| Box::pin(pipe) as _),
            stderr: stderr.map(|pipe| Box::pin(pipe) as _),
            resize: None,
            exit: exit_of(connection),
        })
    }

    pub(super) async fn attach_to(
        &self,
        container_id: &str,
        request: ExecRequest,
    ) -> Result<ProcessStreams> {
        let dir = self.running(container_id)?;
        let tty = self.pods.lock().container(container_id)?.1.record.spec.tty;
        let with_stderr = request.stderr && !tty;
        let (stdout, stdout_end) = output_pipe().map_err(other)?;
        let (stderr, stderr_end) = output_pipe().map_err(other)?;
        let mut fds = Vec::new();
        if request.stdout {
            fds.push(stdout_end.as_fd());
        }
        if with_stderr {
            fds.push(stderr_end.as_fd());
        }
        let asked = Request::Attach {
            container_id: container_id.into(),
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: with_stderr,
        };
        let (connection, _, came) = client::open(&dir, asked, &fds).await?;
        let input = came.into_iter().next();
        let (stdin, resize) = match input {
            Some(fd) if tty => {
                let terminal = Terminal::new(fd).map_err(other)?;
                let resize = Some(terminal.resizer());
                (request.stdin.then(|| Box::pin(terminal) as _), resize)
            }
            Some(fd) => {
                let pipe = tokio::net::unix::pipe::Sender::from_owned_fd(fd).map_err(other)?;
                (Some(Box::pin(pipe) as _), None)
            }
            None => (None, None),
        };
        Ok(ProcessStreams {
            stdin,
            stdout: request.stdout.then(|| Box::pin(stdout) as _),
            stderr: with_stderr.then(|| Box::pin(stderr) as _),
            resize,
            exit: exit_of(connection),
        })
    }

    pub(super) async fn connect_to(
        &self,
        sandbox_id: &str,
        port: u16,
    ) -> Result<Pin<Box<dyn Duplex>>> {
        self.pods.lock().pod(sandbox_id)?;
        let sockets = client::call(&self.pods.dir(sandbox_id), Request::Sockets).await?;
        let loopback: [SocketAddr; 2] = [
            (Ipv4Addr::LOCALHOST, port).into(),
            (Ipv6Addr::LOCALHOST, port).into(),
        ];
        let mut why = String::new();
        for (socket, address) in sockets.into_iter().zip(loopback) {
            let socket = tokio::net::TcpSocket::from_std_stream(socket.into());
            match socket.connect(address).await {
                Ok(stream) => return Ok(Box::pin(stream)),
                Err(error) => why += &format!("; {address}: {error}"),
            }
        }
        Err(other(format!(
            "failed to connect to localhost:{port} inside the pod's network namespace{why}"
        )))
    }
}

/// Sends the process's exit code when it comes. If nobody waits for it any more the connection is
/// closed, which kills an exec's process and detaches an attach.
fn exit_of(connection: Connection) -> oneshot::Receiver<Result<i32>> {
    let (mut sender, receiver) = oneshot::channel();
    tokio::spawn(async move {
        tokio::select! {
            () = sender.closed() => {}
            reply = connection.receive::<Reply>() => {
                if let Ok(Some((Reply::ProcessExited { code }, _))) = reply {
                    let _ = sender.send(Ok(code));
                }
            }
        }
    });
    receiver
}

/// Streams that are a terminal.
fn terminal_streams(
    fd: OwnedFd,
    request: &ExecRequest,
    connection: Connection,
) -> io::Result<ProcessStreams> {
    let terminal = Terminal::new(fd)?;
    Ok(ProcessStreams {
        stdin: request.stdin.then(|| Box::pin(terminal.clone()) as _),
        resize: Some(terminal.resizer()),
        stdout: Some(Box::pin(terminal)),
        stderr: None,
        exit: exit_of(connection),
    })
}

async fn read_head(stream: Option<Pin<Box<dyn AsyncRead + Send>>>, head: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = [0; 4096];
    // All of it is read, so that the process never waits; the head of it is kept.
    while let Ok(len) = stream.read(&mut buffer).await {
        if len == 0 {
            return;
        }
        let room = EXEC_SYNC_OUTPUT_LEN_MAX - head.len();
        head.extend_from_slice(&buffer[..len.min(room)]);
    }
}
