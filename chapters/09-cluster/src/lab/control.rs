//! How `lab status` and its kin speak to the supervisor: a line of JSON there, lines back.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;
use super::layout::Layout;

/// What can be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// Tell the steps of the start, then its end.
    Wait,
    /// Tell how things are.
    Status,
    /// Cut a node off.
    StopNode {
        /// Its name.
        name: String,
    },
    /// Bring a node back.
    StartNode {
        /// Its name.
        name: String,
    },
    /// Kill an etcd member and leave it dead.
    StopMember {
        /// Its name.
        name: String,
    },
    /// Start an etcd member that was stopped.
    StartMember {
        /// Its name.
        name: String,
    },
    /// Bring the images of an archive to every node.
    Load {
        /// The archive, absolute.
        path: PathBuf,
    },
    /// End everything.
    Down,
}

/// What is answered: any number of lines, the last one `Done` or `Failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// A step of the start is under way.
    Doing {
        /// What is waited for.
        what: String,
    },
    /// A step of the start is done.
    Did {
        /// What is there now.
        what: String,
        /// Milliseconds since the supervisor was started.
        at_ms: u64,
    },
    /// A line to be shown as it is.
    Line {
        /// The line.
        text: String,
    },
    /// The answer to `Status`.
    Status(Status),
    /// It is done.
    Done,
    /// It cannot be done.
    Failed {
        /// Why.
        message: String,
    },
}

/// How the lab is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its nodes, the control plane first.
    pub nodes: Vec<NodeStatus>,
    /// Ports of the host's loopback that lead to NodePort Services.
    pub node_ports: Vec<PortStatus>,
}

/// How a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its address on the lab's network.
    pub ip: String,
    /// `Ready`, `NotReady`, `Stopped`, or `Unknown` before the API server knows it.
    pub state: String,
    /// What runs on it.
    pub components: Vec<ComponentStatus>,
}

/// How a component is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentStatus {
    /// Its name.
    pub name: String,
    /// Whether its process runs.
    pub running: bool,
    /// How often it was started again.
    pub restarts: u32,
    /// How it ended last: `exit code 1`, `signal 9`.
    pub last_exit: Option<String>,
    /// The exercise whose hole it came upon: it is not started again.
    #[serde(default)]
    pub open_exercise: Option<String>,
}

/// A port of the host that leads to a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStatus {
    /// The port, on the host's loopback and on every node.
    pub port: u16,
    /// `namespace/name:port` of the Service.
    pub service: String,
    /// Why the host does not forward it, if so.
    pub problem: Option<String>,
}

/// A path to the lab's socket that fits into the 108 bytes of a socket's address, however deep
/// the lab's folder lies, and the descriptor that makes it valid.
///
/// # Errors
/// When the folder is not there.
pub fn socket_path(layout: &Layout) -> std::io::Result<(PathBuf, std::fs::File)> {
    use std::os::fd::AsRawFd;
    let dir = std::fs::File::open(&layout.dir)?;
    let path = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string());
    Ok((path.join("supervisor.sock"), dir))
}

/// An open question to the supervisor.
pub struct Conversation {
    lines: BufReader<UnixStream>,
}

impl Conversation {
    /// Asks; `None` when no supervisor runs.
    ///
    /// # Errors
    /// When the supervisor's socket is there but cannot be used.
    pub fn start(layout: &Layout, request: &Request) -> Result<Option<Self>, Error> {
        let Ok((path, _dir)) = socket_path(layout) else {
            return Ok(None);
        };
        let mut stream = match UnixStream::connect(&path) {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
                    return Ok(None);
                }
                _ => {
                    let path = layout.dir.join("supervisor.sock");
                    return Err(Error::File {
                        path,
                        source: error,
                    });
                }
            },
        };
        let mut line = serde_json::to_vec(request).expect("a request has only plain fields");
        line.push(b'\n');
        stream.write_all(&line).map_err(|_| Error::Lost)?;
        Ok(Some(Self {
            lines: BufReader::new(stream),
        }))
    }

    /// The next line of the answer; `None` when the supervisor is gone.
    fn next_reply(&mut self) -> Option<Reply> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => serde_json::from_str(&line).ok(),
        }
    }

    /// Reads to the end, handing each line before it to `each`.
    ///
    /// # Errors
    /// What the supervisor says, or that it is gone.
    pub fn finish(mut self, mut each: impl FnMut(Reply)) -> Result<(), Error> {
        loop {
            match self.next_reply() {
                Some(Reply::Done) => return Ok(()),
                Some(Reply::Failed { message }) => return Err(Error::Refused(message)),
                Some(reply) => each(reply),
                None => return Err(Error::Lost),
            }
        }
    }
}
