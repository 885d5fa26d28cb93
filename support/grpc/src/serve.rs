//! A connection with its socket.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Service;
use crate::connection::Connection;
use crate::outbox::{Contents, Outbox};

/// Most bytes that are read in one go; a largest frame and more.
const READ_BYTES: usize = 64 * 1024;

/// A peer that has this much to read is not read from.
const UNREAD_MAX: usize = 1024 * 1024;

thread_local! {
    /// What is read goes here first. Ten thousand connections that are silent need no buffer each.
    static INPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Serves one connection until its peer closes it or breaks the protocol.
///
/// # Errors
/// If the socket fails.
pub async fn serve<S: Service>(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    service: S,
) -> io::Result<()> {
    let outbox = Arc::<Outbox>::default();
    let mut served = Served {
        socket,
        connection: Connection::new(service, outbox.clone()),
        outbox,
        contents: Contents::default(),
        rest: Vec::new(),
        written: 0,
        has_let_pass: false,
        is_ending: false,
    };
    poll_fn(|cx| served.poll(cx)).await
}

struct Served<IO, S> {
    socket: IO,
    connection: Connection<S>,
    outbox: Arc<Outbox>,
    contents: Contents,
    /// What was read and is not yet a whole frame.
    rest: Vec<u8>,
    /// How much of what is to be sent was written.
    written: usize,
    /// The other connections that were ready have had their turn since calls were made.
    has_let_pass: bool,
    /// Nothing more is read; when all is written, that is the end.
    is_ending: bool,
}

impl<IO: AsyncRead + AsyncWrite + Unpin, S: Service> Served<IO, S> {
    /// Reads, answers and writes until there is nothing to do. All that one read brought is
    /// answered before anything is written, so that it goes with one write.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut is_idle = self.poll_read(cx)?.is_pending();
            if self.connection.has_called && is_idle {
                // A hundred connections that are ready with one call each are to be one batch.
                self.has_let_pass = !self.has_let_pass;
                if self.has_let_pass {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                self.connection.called();
            }
            self.outbox.take(&mut self.contents);
            if !self.contents.answers.is_empty() {
                is_idle = false;
                self.connection.send(&mut self.contents);
            }
            let is_written = self.poll_write(cx)?.is_ready();
            if self.is_ending && is_written {
                return Pin::new(&mut self.socket).poll_shutdown(cx);
            }
            if is_idle && self.outbox.sleep(cx.waker()) {
                return Poll::Pending;
            }
        }
    }

    /// Reads once; pending if there is nothing, or nothing is wanted.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let unread = self.connection.sending.out.len() - self.written;
        if self.is_ending || unread > UNREAD_MAX {
            return Poll::Pending;
        }
        INPUT.with_borrow_mut(|input| {
            let mut buffer = ReadBuf::new(input);
            buffer.put_slice(&self.rest);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
            let input = buffer.filled();
            if input.len() == self.rest.len() {
                self.is_ending = true;
                return Poll::Ready(Ok(()));
            }
            match self.connection.receive(input) {
                Ok(taken) => {
                    self.rest.clear();
                    self.rest.extend_from_slice(&input[taken..]);
                }
                Err(reason) => {
                    tracing::debug!(?reason, "a client broke the protocol");
                    self.is_ending = true;
                }
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Writes all there is; ready when nothing is left.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let out = &mut self.connection.sending.out;
        while self.written < out.len() {
            let bytes = ready!(Pin::new(&mut self.socket).poll_write(cx, &out[self.written..]))?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += bytes;
        }
        if self.written > 0 {
            out.clear();
            // One large answer should not be remembered for ever.
            out.shrink_to(READ_BYTES);
            self.written = 0;
        }
        // A socket with a buffer of its own (TLS) has to be told.
        Pin::new(&mut self.socket).poll_flush(cx)
    }
}
