//! What goes back to a client: streams of bytes, woven into one connection by its writer.

use bytes::Bytes;
use tokio::sync::mpsc;

/// How many pieces wait to be written before whoever has more has to wait as well.
const OUTBOX: usize = 16;

/// A piece for the writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    /// Bytes of a stream.
    Data(u32, Bytes),
    /// A stream has no more bytes.
    Finish(u32),
    /// A stream that the client opened is accepted.
    Accept(u32),
    /// A stream is broken off.
    Reset(u32),
    /// The answer to a ping.
    Pong(Bytes),
    /// All is said: close the connection.
    End,
}

/// The near end of an outbox.
pub type Outbox = mpsc::Sender<Out>;

/// An outbox and the end that its writer reads.
pub fn outbox() -> (Outbox, mpsc::Receiver<Out>) {
    mpsc::channel(OUTBOX)
}

/// One stream's way back to the client.
#[derive(Debug, Clone)]
pub struct Sink {
    id: u32,
    out: Outbox,
}

impl Sink {
    /// The stream (or channel) `id` of a connection.
    pub fn new(id: u32, out: Outbox) -> Sink {
        Sink { id, out }
    }

    /// Sends bytes. Returns whether the connection still stands.
    pub async fn send(&self, bytes: Bytes) -> bool {
        self.out.send(Out::Data(self.id, bytes)).await.is_ok()
    }

    /// Says that there is no more.
    pub async fn finish(&self) {
        let _client_gone = self.out.send(Out::Finish(self.id)).await;
    }

    /// Breaks the stream off.
    pub async fn reset(&self) {
        let _client_gone = self.out.send(Out::Reset(self.id)).await;
    }

    /// Returns when the client is gone.
    pub async fn closed(&self) {
        self.out.closed().await;
    }
}
