//! The streams of an exec or attach over a WebSocket: a message is a channel's number and bytes.
//!
//! | protocol | numbers and bytes | how it ended |
//! | --- | --- | --- |
//! | `v5.channel.k8s.io` | as they are; 255 closes a channel | a `Status` |
//! | `v4.channel.k8s.io` | as they are | a `Status` |
//! | `v4.base64.channel.k8s.io` | a digit, and base64 | a `Status` |
//! | `channel.k8s.io`, or none asked for | as they are | words, where it did not end well |
//! | `base64.channel.k8s.io` | a digit, and base64 | words, where it did not end well |
//!
//! Upstream: `cri-streaming/pkg/streaming/remotecommand/websocket.go`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::outbox::{Out, Sink, outbox};
use super::remote::Client;
use super::websocket::{self, Message};

/// How long a client has to take the last words.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// One of the protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    /// Its name.
    pub name: &'static str,
    /// Messages are text: a digit, and base64.
    base64: bool,
    /// How it ended is a `Status`.
    tells_status: bool,
}

/// All of them, the best first.
const DIALECTS: [Dialect; 5] = [
    Dialect::new("v5.channel.k8s.io", false, true),
    Dialect::new("v4.channel.k8s.io", false, true),
    Dialect::new("v4.base64.channel.k8s.io", true, true),
    Dialect::new("channel.k8s.io", false, false),
    Dialect::new("base64.channel.k8s.io", true, false),
];

impl Dialect {
    const fn new(name: &'static str, base64: bool, tells_status: bool) -> Self {
        Self {
            name,
            base64,
            tells_status,
        }
    }

    /// The best of those that a client offers; one that offers none gets the oldest.
    pub fn choose(offered: &[String]) -> Option<Self> {
        if offered.iter().all(String::is_empty) {
            return Some(Self::new("", false, false));
        }
        DIALECTS
            .into_iter()
            .find(|dialect| offered.iter().any(|name| name == dialect.name))
    }

    /// A message to the client.
    fn frame(self, channel: u8, bytes: &[u8]) -> Bytes {
        if self.base64 {
            let text = STANDARD.encode(bytes);
            return websocket::text(&[&[b'0' + channel], text.as_bytes()]);
        }
        websocket::binary(&[&[channel], bytes])
    }

    /// The channel and bytes of a client's message; `None` for what makes no sense.
    fn read(self, mut message: Bytes) -> Option<(u8, Bytes)> {
        if message.is_empty() {
            return None;
        }
        let channel = message.split_to(1)[0];
        if !self.base64 {
            return Some((channel, message));
        }
        let bytes = STANDARD.decode(&message).ok()?;
        Some((channel.checked_sub(b'0')?, bytes.into()))
    }
}

/// The streams of a client whose connection is a WebSocket now.
pub(super) fn open<IO>(io: IO, dialect: Dialect) -> Client
where
    IO: AsyncRead + AsyncWrite + Send + 'static,
{
    let (read, write) = tokio::io::split(io);
    let (out, pieces) = outbox();
    let (stdin_sender, stdin) = mpsc::channel(16);
    let (resize_sender, resize) = mpsc::channel(4);
    let writer = tokio::spawn(write_all(write, pieces, dialect));
    tokio::spawn({
        let out = out.clone();
        async move {
            let mut reader = websocket::Reader::new(read);
            let mut stdin = Some(stdin_sender);
            while let Some(message) = reader.next().await {
                let bytes = match message {
                    Message::Data(bytes) => bytes,
                    Message::Ping(bytes) => {
                        let _client_gone = out.send(Out::Pong(bytes)).await;
                        continue;
                    }
                    Message::Close => break,
                };
                match dialect.read(bytes) {
                    Some((0, bytes)) => {
                        if let Some(stdin) = &stdin {
                            let _process_ended = stdin.send(bytes).await;
                        }
                    }
                    Some((4, bytes)) => {
                        let _nobody_cares = resize_sender.send(bytes).await;
                    }
                    Some((255, bytes)) if bytes.first() == Some(&0) => stdin = None,
                    _ => {}
                }
            }
            // Nobody is there any more: the writer's end tells those who still have something.
            writer.abort();
        }
    });
    let channel = |id| Sink::new(id, out.clone());
    Client {
        stdin,
        resize,
        stdout: Some(channel(1)),
        stderr: Some(channel(2)),
        error: channel(3),
        tells_status: dialect.tells_status,
        out,
    }
}

async fn write_all<W: AsyncWrite>(write: W, mut pieces: mpsc::Receiver<Out>, dialect: Dialect) {
    let mut write = std::pin::pin!(write);
    // An empty message tells the client that its streams are there.
    let mut frame = Some(dialect.frame(1, &[]));
    loop {
        if let Some(frame) = frame.take()
            && (write.write_all(&frame).await.is_err() || write.flush().await.is_err())
        {
            return;
        }
        let Some(piece) = pieces.recv().await else {
            return;
        };
        frame = match piece {
            Out::Data(id, bytes) => Some(dialect.frame(id as u8, &bytes)),
            Out::Pong(bytes) => Some(websocket::pong(&bytes)),
            Out::End => break,
            _ => None,
        };
    }
    let _client_gone = write.write_all(&websocket::close()).await;
    let _client_gone = write.flush().await;
    // The client closes, which ends the reader, which ends this task.
    tokio::time::sleep(CLOSE_TIMEOUT).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_protocol_that_a_client_knows_is_spoken() {
        let choose = |offered: &[&str]| {
            let offered: Vec<String> = offered.iter().map(|name| (*name).to_owned()).collect();
            Dialect::choose(&offered).map(|dialect| dialect.name)
        };
        let both = ["v4.channel.k8s.io", "v5.channel.k8s.io"];
        assert_eq!(choose(&both), Some("v5.channel.k8s.io"));
        assert_eq!(choose(&["channel.k8s.io"]), Some("channel.k8s.io"));
        assert_eq!(choose(&[]), Some(""));
        assert_eq!(choose(&["chat"]), None);
    }

    #[test]
    fn base64_is_a_digit_and_text() {
        let dialect = Dialect::choose(&["base64.channel.k8s.io".to_owned()]).expect("is known");
        assert_eq!(&dialect.frame(1, b"hi")[..], b"\x81\x051aGk=");
        let read = dialect.read(Bytes::from("0aGk="));
        assert_eq!(read, Some((0, Bytes::from("hi"))));
        assert_eq!(dialect.read(Bytes::from("0?")), None);
        assert_eq!(dialect.read(Bytes::new()), None);
    }
}
