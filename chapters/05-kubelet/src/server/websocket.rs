//! WebSocket frames (RFC 6455), as much of them as a server needs.

use base64::Engine;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The largest message a client may send.
const MESSAGE_LIMIT: usize = 1 << 20;

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Bytes, or text: the difference does not matter here.
    Data(Bytes),
    /// To be answered with the same bytes.
    Ping(Bytes),
    /// The client is done.
    Close,
}

/// `Sec-WebSocket-Accept` for a client's key.
pub fn accept_key(key: &str) -> String {
    let salted = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    // SHA-1 is what the protocol says; nothing secret depends on it.
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, salted.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// Whether a request wants a WebSocket.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let upgrade = headers.get("upgrade").and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// The subprotocols that a client offers, in its order.
pub fn offered(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all("sec-websocket-protocol").iter();
    let lists = values.filter_map(|value| value.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .map(|name| name.trim().to_owned())
        .collect()
}

/// A malformed frame: the connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(&'static str);

/// Takes messages out of a client's bytes. No IO: bytes go in, messages come out.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    /// The parts so far of a message in several frames.
    parts: Option<BytesMut>,
}

impl Decoder {
    /// More bytes have come.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    /// When the client does not keep to the protocol.
    pub fn next_message(&mut self) -> Result<Option<Message>, Malformed> {
        while let Some((fin, opcode, payload)) = self.next_frame()? {
            match opcode {
                0 => {
                    let mut parts = self.parts.take().ok_or(Malformed("nothing to continue"))?;
                    if parts.len() + payload.len() > MESSAGE_LIMIT {
                        return Err(Malformed("message too large"));
                    }
                    parts.extend_from_slice(&payload);
                    if fin {
                        return Ok(Some(Message::Data(parts.freeze())));
                    }
                    self.parts = Some(parts);
                }
                1 | 2 if self.parts.is_some() => return Err(Malformed("message inside another")),
                1 | 2 if fin => return Ok(Some(Message::Data(payload.freeze()))),
                1 | 2 => self.parts = Some(payload),
                8 => return Ok(Some(Message::Close)),
                9 => return Ok(Some(Message::Ping(payload.freeze()))),
                10 => {}
                _ => return Err(Malformed("unknown kind of frame")),
            }
        }
        Ok(None)
    }

    fn next_frame(&mut self) -> Result<Option<(bool, u8, BytesMut)>, Malformed> {
        let head = &self.buffer[..];
        if head.len() < 2 {
            return Ok(None);
        }
        let (fin, opcode) = (head[0] & 0x80 != 0, head[0] & 0x0f);
        if head[0] & 0x70 != 0 {
            return Err(Malformed("reserved bits are set"));
        }
        if head[1] & 0x80 == 0 {
            return Err(Malformed("a client's frame must be masked"));
        }
        let is_control = opcode >= 8;
        let (length, start) = match head[1] & 0x7f {
            _ if is_control && (!fin || head[1] & 0x7f > 125) => {
                return Err(Malformed("a control frame must be short and whole"));
            }
            126 if head.len() < 4 => return Ok(None),
            126 => (u64::from(u16::from_be_bytes([head[2], head[3]])), 4),
            127 if head.len() < 10 => return Ok(None),
            127 => (
                u64::from_be_bytes(head[2..10].try_into().expect("eight bytes")),
                10,
            ),
            short => (u64::from(short), 2),
        };
        if length > MESSAGE_LIMIT as u64 {
            return Err(Malformed("message too large"));
        }
        let length = length as usize;
        if head.len() < start + 4 + length {
            return Ok(None);
        }
        self.buffer.advance(start);
        let mask = self.buffer.split_to(4);
        let mut payload = self.buffer.split_to(length);
        for (index, byte) in payload.iter_mut().enumerate() {
            *byte ^= mask[index % 4];
        }
        Ok(Some((fin, opcode, payload)))
    }
}

/// A server's frame: whole, not masked.
pub fn frame(opcode: u8, parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = BytesMut::with_capacity(length + 10);
    frame.put_u8(0x80 | opcode);
    match length {
        0..126 => frame.put_u8(length as u8),
        126..65536 => {
            frame.put_u8(126);
            frame.put_u16(length as u16);
        }
        _ => {
            frame.put_u8(127);
            frame.put_u64(length as u64);
        }
    }
    for part in parts {
        frame.extend_from_slice(part);
    }
    frame.freeze()
}

/// A binary message.
pub fn binary(parts: &[&[u8]]) -> Bytes {
    frame(2, parts)
}

/// A text message.
pub fn text(parts: &[&[u8]]) -> Bytes {
    frame(1, parts)
}

/// The answer to a ping.
pub fn pong(payload: &[u8]) -> Bytes {
    frame(10, &[payload])
}

/// A normal end.
pub fn close() -> Bytes {
    frame(8, &[&1000_u16.to_be_bytes()])
}

/// Reads messages from a connection.
pub struct Reader<R> {
    io: R,
    decoder: Decoder,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads from `io`.
    pub fn new(io: R) -> Reader<R> {
        Reader {
            io,
            decoder: Decoder::default(),
        }
    }

    /// The next message; `None` when the client is gone or does not keep to the protocol.
    pub async fn next(&mut self) -> Option<Message> {
        let mut chunk = vec![0; 16 << 10];
        loop {
            match self.decoder.next_message() {
                Ok(Some(message)) => return Some(message),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "WebSocket");
                    return None;
                }
            }
            match self.io.read(&mut chunk).await {
                Ok(length) if length > 0 => self.decoder.feed(&chunk[..length]),
                _ => return None,
            }
        }
    }
}

/// A byte stream over a WebSocket's binary messages: what SPDY is tunnelled through.
///
/// Returns one end; the other is pumped by a task until either side ends.
pub fn tunnel<IO>(io: IO) -> tokio::io::DuplexStream
where
    IO: AsyncRead + AsyncWrite + Send + 'static,
{
    let (near, far) = tokio::io::duplex(64 << 10);
    let (read, mut write) = tokio::io::split(io);
    let (mut far_read, mut far_write) = tokio::io::split(far);
    tokio::spawn(async move {
        let (pongs, mut pings) = tokio::sync::mpsc::channel::<Bytes>(4);
        let inbound = async {
            let mut reader = Reader::new(read);
            while let Some(message) = reader.next().await {
                match message {
                    Message::Data(bytes) => {
                        if far_write.write_all(&bytes).await.is_err() {
                            return;
                        }
                    }
                    Message::Ping(bytes) => {
                        let _too_many_pings = pongs.try_send(bytes);
                    }
                    Message::Close => return,
                }
            }
        };
        let outbound = async {
            let mut chunk = vec![0; 16 << 10];
            loop {
                let bytes = tokio::select! {
                    read = far_read.read(&mut chunk) => match read {
                        Ok(length) if length > 0 => binary(&[&chunk[..length]]),
                        _ => break,
                    },
                    Some(ping) = pings.recv() => pong(&ping),
                };
                if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
                    return;
                }
            }
            let _client_gone = write.write_all(&close()).await;
            let _client_gone = write.flush().await;
        };
        tokio::select! { () = inbound => {}, () = outbound => {} }
    });
    near
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
        let whole = frame(opcode, &[payload]);
        let header = whole.len() - payload.len();
        let mut bytes = whole[..header].to_vec();
        bytes[0] = if fin { bytes[0] } else { bytes[0] & 0x7f };
        bytes[1] |= 0x80;
        let mask = [1, 2, 3, 4];
        bytes.extend(mask);
        bytes.extend(
            payload
                .iter()
                .enumerate()
                .map(|(i, byte)| byte ^ mask[i % 4]),
        );
        bytes
    }

    #[test]
    fn the_rfc_s_own_example() {
        assert_eq!(
            accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn pings_may_come_between_the_parts_of_a_message() {
        let mut decoder = Decoder::default();
        decoder.feed(&masked(false, 2, b"ab"));
        decoder.feed(&masked(true, 9, b"?"));
        decoder.feed(&masked(true, 0, b"cd"));
        assert_eq!(
            decoder.next_message(),
            Ok(Some(Message::Ping(Bytes::from_static(b"?"))))
        );
        assert_eq!(
            decoder.next_message(),
            Ok(Some(Message::Data(Bytes::from_static(b"abcd"))))
        );
        assert_eq!(decoder.next_message(), Ok(None));
    }

    #[test]
    fn long_messages_have_long_lengths() {
        for length in [125, 126, 65_535, 65_536, 200_000] {
            let payload = vec![7; length];
            let mut decoder = Decoder::default();
            decoder.feed(&masked(true, 2, &payload));
            assert_eq!(
                decoder.next_message(),
                Ok(Some(Message::Data(Bytes::from(payload))))
            );
        }
    }

    proptest! {
        #[test]
        fn any_message_survives_any_cut(
            payload in proptest::collection::vec(any::<u8>(), 0..600),
            step in 1_usize..200,
        ) {
            let mut decoder = Decoder::default();
            let mut messages = Vec::new();
            for chunk in masked(true, 2, &payload).chunks(step) {
                decoder.feed(chunk);
                while let Some(message) = decoder.next_message().unwrap() {
                    messages.push(message);
                }
            }
            prop_assert_eq!(messages, vec![Message::Data(Bytes::from(payload))]);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            decoder.feed(&bytes);
            for _ in 0..bytes.len() {
                if !matches!(decoder.next_message(), Ok(Some(_))) {
                    break;
                }
            }
        }
    }
}
