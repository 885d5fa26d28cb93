//! Commands in containers, their streams, and connections into pods.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters::{
    AttachContainerOptions, ResizeContainerTTYOptions, ResizeExecOptions,
};
use futures::{Stream, StreamExt};
use netlink::netns;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, oneshot};

use super::Inner;
use super::engine::{Engine, other};
use crate::runtime::{Duplex, ExecOutput, ExecRequest, ProcessStreams, Result, TerminalSize};

/// How much of each output `exec_sync` keeps.
const EXEC_SYNC_OUTPUT_LEN_MAX: usize = 16 << 10;
/// Bytes on their way between the engine and whoever holds a stream.
const PIPE_LEN: usize = 64 << 10;
/// How often, and how soon again, the engine is asked for the exit code of what has just ended.
const EXIT_TRIES: u32 = 100;
const EXIT_RETRY: Duration = Duration::from_millis(5);

/// How the engine says, as if the command had, that there is no such command.
const NOT_STARTED: &[u8] = b"OCI runtime exec failed";

type Output = Pin<Box<dyn Stream<Item = std::result::Result<LogOutput, Error>> + Send>>;
type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// The caller's ends of a process's outputs.
type Ends = (
    Option<Pin<Box<dyn AsyncRead + Send>>>,
    Option<Pin<Box<dyn AsyncRead + Send>>>,
);

impl Inner {
    pub(super) async fn run_command(
        &self,
        container_id: &str,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecOutput> {
        let described = command.join(" ");
        let request = ExecRequest {
            command,
            stdout: true,
            stderr: true,
            ..ExecRequest::default()
        };
        let (exec_id, streams) = self.start_command(container_id, request).await?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let run = async {
            tokio::join!(
                read_head(streams.stdout, &mut stdout),
                read_head(streams.stderr, &mut stderr)
            );
            streams.exit.await
        };
        match tokio::time::timeout(timeout, run).await {
            Ok(Ok(Ok(126 | 127))) if stdout.starts_with(NOT_STARTED) => {
                Err(other(String::from_utf8_lossy(&stdout).trim_end()))
            }
            Ok(Ok(exit_code)) => Ok(ExecOutput {
                exit_code: exit_code?,
                stdout,
                stderr,
            }),
            Ok(Err(_)) => Err(other(format!("container {container_id:?} is not running"))),
            Err(_) => {
                self.kill_command(&exec_id).await;
                Err(other(format!(
                    "command {described:?} timed out after {}s",
                    timeout.as_secs_f64()
                )))
            }
        }
    }

    /// Kills the process of an exec, for which the engine has no call: node and engine see the
    /// same processes.
    async fn kill_command(&self, exec_id: &str) {
        let inspect = self.engine.docker.inspect_exec(exec_id);
        let Ok(found) = self.engine.look("an exec", inspect).await else {
            return;
        };
        let pid = found.pid.and_then(|pid| i32::try_from(pid).ok());
        if found.running == Some(true)
            && let Some(pid) = pid.and_then(Pid::from_raw)
        {
            let _ended_meanwhile = kill_process(pid, Signal::KILL);
        }
    }

    /// Starts a command; returns the engine's id for it, too.
    pub(super) async fn start_command(
        &self,
        container_id: &str,
        request: ExecRequest,
    ) -> Result<(String, ProcessStreams)> {
        let options = CreateExecOptions {
            attach_stdin: Some(request.stdin),
            attach_stdout: Some(request.stdout),
            attach_stderr: Some(request.stderr),
            tty: Some(request.tty),
            cmd: Some(request.command.clone()),
            ..CreateExecOptions::default()
        };
        let docker = &self.engine.docker;
        let create = docker.create_exec(container_id, options);
        let exec_id = self.engine.change(container_id, create).await?.id;
        let options = StartExecOptions {
            tty: request.tty,
            ..StartExecOptions::default()
        };
        let start = docker.start_exec(&exec_id, Some(options));
        let started = self.engine.change("an exec", start).await?;
        let StartExecResults::Attached { output, input } = started else {
            return Err(other("the engine gave no streams"));
        };
        let resize = request.tty.then(|| {
            let (engine, exec_id) = (self.engine.clone(), exec_id.clone());
            resizer(move |size| {
                let (engine, exec_id) = (engine.clone(), exec_id.clone());
                async move {
                    let options = ResizeExecOptions {
                        h: size.height.into(),
                        w: size.width.into(),
                    };
                    let resize = engine.docker.resize_exec(&exec_id, options);
                    // It may have ended just now.
                    let _ = engine.change("an exec", resize).await;
                }
            })
        });
        let (told, exit) = oneshot::channel();
        let (stdout, stderr) = outputs(&request, output, {
            let (engine, exec_id) = (self.engine.clone(), exec_id.clone());
            async move {
                if let Some(code) = exit_code(&engine, &exec_id).await {
                    let _ = told.send(Ok(code));
                }
            }
        });
        let streams = ProcessStreams {
            stdin: stdin(request.stdin, input),
            stdout,
            stderr,
            resize,
            exit,
        };
        Ok((exec_id, streams))
    }

    pub(super) async fn attach_to(
        &self,
        container_id: &str,
        mut request: ExecRequest,
    ) -> Result<ProcessStreams> {
        let found = self.engine.inspect(container_id).await?;
        let tty = found.config.and_then(|config| config.tty) == Some(true);
        if found.state.and_then(|state| state.running) != Some(true) {
            return Err(other(format!("container {container_id:?} is not running")));
        }
        request.tty = tty;
        request.stderr &= !tty;
        let options = AttachContainerOptions {
            stream: true,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            ..AttachContainerOptions::default()
        };
        let attach = self
            .engine
            .docker
            .attach_container(container_id, Some(options));
        let attached = self.engine.change(container_id, attach).await?;
        let resize = tty.then(|| {
            let (engine, id) = (self.engine.clone(), container_id.to_owned());
            resizer(move |size| {
                let (engine, id) = (engine.clone(), id.clone());
                async move {
                    let options = ResizeContainerTTYOptions {
                        h: size.height.into(),
                        w: size.width.into(),
                    };
                    let resize = engine.docker.resize_container_tty(&id, options);
                    let _ = engine.change(&id, resize).await;
                }
            })
        });
        let (told, exit) = oneshot::channel();
        let (engine, id) = (self.engine.clone(), container_id.to_owned());
        let (stdout, stderr) = outputs(&request, attached.output, async move {
            // The output of a container that goes on ends as well when its stdin is closed by the
            // engine (`stdinOnce`): only an end of the process is one.
            if let Ok(found) = engine.inspect(&id).await
                && let Some(state) = found.state
                && state.running != Some(true)
            {
                let _ = told.send(Ok(state.exit_code.unwrap_or(0) as i32));
            }
        });
        Ok(ProcessStreams {
            stdin: stdin(request.stdin, attached.input),
            stdout,
            stderr,
            resize,
            exit,
        })
    }

    pub(super) async fn connect_to(
        &self,
        sandbox_id: &str,
        port: u16,
    ) -> Result<Pin<Box<dyn Duplex>>> {
        let pause = self.netns_of(sandbox_id).await?;
        let connect = tokio::task::spawn_blocking(move || {
            netns::in_netns(&pause, || {
                let loopback: [SocketAddr; 2] = [
                    (Ipv4Addr::LOCALHOST, port).into(),
                    (Ipv6Addr::LOCALHOST, port).into(),
                ];
                let mut why = String::new();
                for address in loopback {
                    match TcpStream::connect(address) {
                        Ok(stream) => return Ok(stream),
                        Err(error) => why += &format!("; {address}: {error}"),
                    }
                }
                Err(other(format!(
                    "failed to connect to localhost:{port} inside the pod's network namespace{why}"
                )))
            })
        });
        let connected = connect.await.map_err(other)?;
        let stream = connected.map_err(other)??;
        stream.set_nonblocking(true).map_err(other)?;
        let stream = tokio::net::TcpStream::from_std(stream).map_err(other)?;
        Ok(Box::pin(stream))
    }
}

/// The exit code of a command whose output has ended.
async fn exit_code(engine: &Engine, exec_id: &str) -> Option<i32> {
    for _ in 0..EXIT_TRIES {
        let inspect = engine.docker.inspect_exec(exec_id);
        let found = engine.look("an exec", inspect).await.ok()?;
        if found.running != Some(true) {
            return found.exit_code.and_then(|code| i32::try_from(code).ok());
        }
        tokio::time::sleep(EXIT_RETRY).await;
    }
    None
}

/// The caller's end of a process's stdin: dropping it closes the process's.
fn stdin(wanted: bool, mut input: Input) -> Option<Pin<Box<dyn AsyncWrite + Send>>> {
    let (ours, mut theirs) = tokio::io::duplex(PIPE_LEN);
    if !wanted {
        return None;
    }
    tokio::spawn(async move {
        let _ = tokio::io::copy(&mut theirs, &mut input).await;
        let _ = input.shutdown().await;
    });
    Some(Box::pin(ours))
}

/// The caller's ends of a process's outputs. `ended` runs when they are over.
fn outputs(
    request: &ExecRequest,
    mut output: Output,
    ended: impl Future<Output = ()> + Send + 'static,
) -> Ends {
    let pipe = |wanted: bool| match wanted {
        true => {
            let (ours, theirs) = tokio::io::duplex(PIPE_LEN);
            (Some(Box::pin(ours) as _), Some(theirs))
        }
        false => (None, None),
    };
    let (stdout, mut to_stdout) = pipe(request.stdout);
    let (stderr, mut to_stderr) = pipe(request.stderr && !request.tty);
    tokio::spawn(async move {
        while let Some(Ok(piece)) = output.next().await {
            let (pipe, bytes) = match piece {
                LogOutput::StdErr { message } => (&mut to_stderr, message),
                LogOutput::StdOut { message } | LogOutput::Console { message } => {
                    (&mut to_stdout, message)
                }
                LogOutput::StdIn { .. } => continue,
            };
            write(pipe, &bytes).await;
        }
        drop((to_stdout, to_stderr));
        ended.await;
    });
    (stdout, stderr)
}

/// Hands bytes on; to nobody, once nobody takes them any more.
async fn write(pipe: &mut Option<DuplexStream>, bytes: &[u8]) {
    if let Some(open) = pipe
        && open.write_all(bytes).await.is_err()
    {
        *pipe = None;
    }
}

/// Carries out one new size after the other.
fn resizer<F, Fut>(resize: F) -> mpsc::Sender<TerminalSize>
where
    F: Fn(TerminalSize) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let (sender, mut sizes) = mpsc::channel(4);
    tokio::spawn(async move {
        while let Some(size) = sizes.recv().await {
            resize(size).await;
        }
    });
    sender
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
