//! Sockets: where they listen, and what is spoken on a connection.
//!
//! gRPC (which is HTTP/2) and plain HTTP/1 come in by the same port. An HTTP/2 client begins with
//! words that no request of HTTP/1 begins with, so three bytes tell.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Error;
use super::calls::Calls;
use super::pages::{self, Pages};

/// How long to wait when no connection could be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How HTTP/2 begins, as far as need be: `PRI * HTTP/2.0`.
const HTTP2: &[u8] = b"PRI";

/// What is served on a connection. Where something is not, the connection is closed.
#[derive(Clone)]
pub struct Offer {
    /// Calls of gRPC.
    pub calls: Option<Calls>,
    /// Pages of HTTP/1.
    pub pages: Option<Arc<Pages>>,
}

/// Listens at `url`, and has `serving` serve who comes.
///
/// # Errors
///
/// If it cannot be listened there.
pub async fn listen(
    url: &str,
    tls: Option<&TlsAcceptor>,
    offer: Offer,
    serving: &mut JoinSet<()>,
) -> Result<(), Error> {
    let failed = |source| Error::Listen {
        url: url.to_owned(),
        source,
    };
    let (scheme, place) = url
        .split_once("://")
        .ok_or_else(|| Error::Url(url.to_owned()))?;
    let tls = match scheme {
        "http" | "unix" => None,
        "https" | "unixs" => Some(tls.ok_or_else(|| Error::NoCertificate(url.to_owned()))?),
        _ => return Err(Error::Url(url.to_owned())),
    };
    let door = Door {
        tls: tls.cloned(),
        offer,
    };
    if scheme.starts_with("unix") {
        remove_socket(Path::new(place)).map_err(failed)?;
        let listener = UnixListener::bind(place).map_err(failed)?;
        tracing::info!(%url, "listening");
        serving.spawn(door.open(async move || Ok(listener.accept().await?.0)));
    } else {
        let listener = TcpListener::bind(place.trim_end_matches('/')).await;
        let listener = listener.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        tracing::info!(url = %format!("{scheme}://{local}"), "listening");
        serving.spawn(door.open(async move || {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            Ok(socket)
        }));
    }
    Ok(())
}

/// A server that was killed leaves its socket behind.
fn remove_socket(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match path.symlink_metadata() {
        Ok(metadata) if metadata.file_type().is_socket() => std::fs::remove_file(path),
        // Anything else of that name is not ours, and fails the binding.
        _ => Ok(()),
    }
}

#[derive(Clone)]
struct Door {
    tls: Option<TlsAcceptor>,
    offer: Offer,
}

impl Door {
    /// Serves connections as they come.
    async fn open<IO>(self, mut next: impl AsyncFnMut() -> io::Result<IO>)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                socket = next() => match (socket, &self.tls) {
                    (Ok(socket), None) => {
                        connections.spawn(serve(socket, self.offer.clone()));
                    }
                    (Ok(socket), Some(tls)) => {
                        connections.spawn(serve_tls(socket, tls.clone(), self.offer.clone()));
                    }
                    // Out of descriptors, or one that went before it was taken: the next may do.
                    (Err(error), _) => {
                        tracing::warn!(%error, "cannot take a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_ended) = connections.join_next() => {}
            }
        }
    }
}

async fn serve_tls<IO>(socket: IO, tls: TlsAcceptor, offer: Offer)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match tokio::time::timeout(HANDSHAKE, tls.accept(socket)).await {
        Ok(Ok(socket)) => serve(socket, offer).await,
        Ok(Err(error)) => tracing::warn!(%error, "rejected a connection"),
        Err(_elapsed) => tracing::debug!("a client did not finish its handshake"),
    }
}

/// Serves one connection until it ends. That a socket fails concerns nobody but its client.
async fn serve<IO>(mut socket: IO, offer: Offer)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut head = Vec::with_capacity(64);
    while head.len() < HTTP2.len() {
        match socket.read_buf(&mut head).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let is_http2 = head.starts_with(HTTP2);
    let socket = Rewound { head, socket };
    match offer {
        Offer {
            calls: Some(calls), ..
        } if is_http2 => {
            let _lost = ::grpc::serve(socket, calls).await;
        }
        // Boxed: ten thousand connections that speak gRPC are to hold no room for this.
        Offer {
            pages: Some(pages), ..
        } if !is_http2 => {
            Box::pin(pages::serve(socket, pages)).await;
        }
        _ => {}
    }
}

/// A socket whose first bytes were read, and are to be read once more.
struct Rewound<IO> {
    head: Vec<u8>,
    socket: IO,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Rewound<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.head.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buffer);
        }
        let bytes = self.head.len().min(buffer.remaining());
        buffer.put_slice(&self.head[..bytes]);
        self.head.drain(..bytes);
        if self.head.is_empty() {
            self.head = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Rewound<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
