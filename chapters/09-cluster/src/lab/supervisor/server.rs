//! The supervisor's socket: a line of JSON in, lines of JSON out.

use std::os::unix::fs::PermissionsExt;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::Event;
use crate::lab::Error;
use crate::lab::control::{Reply, socket_path};
use crate::lab::layout::Layout;

/// Listens, and makes an event of each question.
///
/// # Errors
/// When the socket cannot be made.
pub fn start(layout: &Layout, events: mpsc::Sender<Event>) -> Result<(), Error> {
    let bind = || {
        let (path, _dir) = socket_path(layout)?;
        // Left over from a supervisor that was killed: this one holds the lock.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        std::io::Result::Ok(listener)
    };
    let listener = bind().map_err(|source| Error::File {
        path: layout.dir.join("supervisor.sock"),
        source,
    })?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, events.clone()));
        }
    });
    Ok(())
}

async fn serve(stream: UnixStream, events: mpsc::Sender<Event>) {
    let (input, mut output) = stream.into_split();
    let Ok(Some(line)) = BufReader::new(input).lines().next_line().await else {
        return;
    };
    let (reply, mut replies) = mpsc::unbounded_channel();
    match serde_json::from_str(&line) {
        Ok(request) => {
            let _ = events.send(Event::Asked(request, reply)).await;
        }
        Err(error) => {
            let _ = reply.send(Reply::Failed {
                message: error.to_string(),
            });
        }
    }
    while let Some(reply) = replies.recv().await {
        let mut line = serde_json::to_vec(&reply).expect("a reply has only plain fields");
        line.push(b'\n');
        if output.write_all(&line).await.is_err() {
            return;
        }
    }
}
