//! Processes in a container whose ends are held by the caller.

use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use super::Result;

/// A byte stream that goes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A new size of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// A process in a container whose ends are held by the caller: exec or attach.
pub struct ProcessStreams {
    /// Bytes for the process; drop to close. `None` if not asked for.
    pub stdin: Option<Pin<Box<dyn AsyncWrite + Send>>>,
    /// Bytes from the process (of both kinds with a terminal).
    pub stdout: Option<Pin<Box<dyn AsyncRead + Send>>>,
    /// Bytes from the process; `None` with a terminal.
    pub stderr: Option<Pin<Box<dyn AsyncRead + Send>>>,
    /// New terminal sizes.
    pub resize: Option<mpsc::Sender<TerminalSize>>,
    /// The exit code, once; never sent by attach to a container that goes on. An error: there is
    /// no process, which some runtimes find out only when its streams are open.
    pub exit: oneshot::Receiver<Result<i32>>,
}

/// What an exec asks for.
#[derive(Debug, Clone, Default)]
pub struct ExecRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Give it a terminal.
    pub tty: bool,
    /// Hold its stdin.
    pub stdin: bool,
    /// Hold its stdout.
    pub stdout: bool,
    /// Hold its stderr.
    pub stderr: bool,
}

/// What ran, and what it said. CRI: `ExecSyncResponse`.
#[derive(Debug, Clone)]
pub struct ExecOutput {
    /// Exit code.
    pub exit_code: i32,
    /// The first 16 KiB of stdout.
    pub stdout: Vec<u8>,
    /// The first 16 KiB of stderr.
    pub stderr: Vec<u8>,
}
