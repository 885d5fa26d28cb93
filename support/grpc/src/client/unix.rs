//! Calls over a Unix socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::Mutex;

use super::{Code, Connection, Rpc, Status};

/// The client's end of one socket. Calls share a connection, which is made anew when it breaks.
pub struct Client {
    socket: PathBuf,
    connection: Mutex<Option<Connection>>,
}

impl Client {
    /// A client of whoever listens at `socket`.
    pub fn new(socket: impl Into<PathBuf>) -> Client {
        Client {
            socket: socket.into(),
            connection: Mutex::new(None),
        }
    }

    /// Where it calls.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Calls, and waits for the reply as long as `deadline`.
    ///
    /// # Errors
    /// What the server says, or that it cannot be reached.
    pub async fn call<R: Rpc>(&self, request: &R, deadline: Duration) -> Result<R::Reply, Status> {
        let calling = async { self.connect().await?.call(request, deadline).await };
        match tokio::time::timeout(deadline, calling).await {
            Ok(result) => result,
            Err(_) => Err(Status::new(
                Code::DeadlineExceeded,
                "context deadline exceeded",
            )),
        }
    }

    async fn connect(&self) -> Result<Connection, Status> {
        let mut connection = self.connection.lock().await;
        if let Some(open) = connection.as_ref().filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        let socket = self.socket.display();
        let refused = |error: &dyn std::fmt::Display| {
            let message = format!(
                "connection error: desc = \"transport: Error while dialing: dial unix {socket}: \
                 {error}\""
            );
            Status::new(Code::Unavailable, message)
        };
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|error| refused(&error))?;
        let started = Connection::start(stream, "http://localhost", None).await;
        let started = started.map_err(|status| refused(&status.message))?;
        *connection = Some(started.clone());
        Ok(started)
    }
}
