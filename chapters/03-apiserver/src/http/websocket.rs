//! WebSockets (RFC 6455), as far as a server needs them that has much to say and listens for
//! little: that its client is still there, and that it goes.
//!
//! Upstream: `golang.org/x/net/websocket`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http::header::{self, HeaderName, HeaderValue};
use http::{Extensions, HeaderMap, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::answer::{self, Body};
use crate::status::ApiError;

/// A message of text.
pub const TEXT: u8 = 1;
/// A message of bytes.
pub const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Why a connection ends.
const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;
/// What a frame that is no message may carry at most.
const CONTROL_BYTES_MAX: u64 = 125;

/// Whether a request wants a WebSocket.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let says = |name: HeaderName, what: &str| {
        let values = headers.get_all(name).iter();
        let mut values = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        values.any(|value| value.trim().eq_ignore_ascii_case(what))
    };
    says(header::CONNECTION, "upgrade") && says(header::UPGRADE, "websocket")
}

/// The protocols that a client offers to speak.
pub fn offered(headers: &HeaderMap) -> Vec<&str> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    lists
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect()
}

/// A connection that will be a WebSocket once its client has read the answer.
#[derive(Debug)]
pub struct Socket(OnUpgrade);

/// Agrees to switch protocols, to the one named; answers with the connection and what to say.
///
/// # Errors
/// 400 if the client's connection cannot be upgraded, or not to what it says.
pub fn accept(
    headers: &HeaderMap,
    extensions: &mut Extensions,
    protocol: &str,
) -> Result<(Socket, Response<Body>), ApiError> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(ApiError::bad_request("missing or bad WebSocket Version"));
    }
    let key = text(header::SEC_WEBSOCKET_KEY).filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| ApiError::bad_request("mismatch challenge/response"))?;
    let client = extensions.remove::<OnUpgrade>();
    let client = client.ok_or_else(|| ApiError::bad_request("use HTTP/1.1 for a WebSocket"))?;
    let mut response = Response::new(answer::body(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answered = response.headers_mut();
    answered.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answered.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::from_str(&accept_key(key)).expect("base64 is a header's text");
    answered.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Ok(protocol) = HeaderValue::from_str(protocol)
        && !protocol.is_empty()
    {
        answered.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok((Socket(client), response))
}

/// `Sec-WebSocket-Accept` for a client's key.
fn accept_key(key: &str) -> String {
    let salted = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    // SHA-1 is what the protocol says; nothing secret depends on it.
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, salted.as_bytes());
    STANDARD.encode(digest)
}

/// A server's frame: whole, not masked.
pub fn frame(opcode: u8, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + 10);
    frame.put_u8(0x80 | opcode);
    match payload.len() {
        length @ 0..126 => frame.put_u8(length as u8),
        length @ 126..65536 => {
            frame.put_u8(126);
            frame.put_u16(length as u16);
        }
        length => {
            frame.put_u8(127);
            frame.put_u64(length as u64);
        }
    }
    frame.extend_from_slice(payload);
    frame.freeze()
}

impl Socket {
    /// Sends frames until there are no more, or the client goes.
    pub async fn send(self, frames: impl Stream<Item = Bytes>) {
        match self.0.await {
            Ok(upgraded) => send(TokioIo::new(upgraded), frames).await,
            Err(error) => tracing::debug!(%error, "an upgrade failed"),
        }
    }
}

async fn send(io: impl AsyncRead + AsyncWrite, frames: impl Stream<Item = Bytes>) {
    let (read, mut write) = tokio::io::split(io);
    let (pongs, mut answers) = mpsc::channel(1);
    let listening = listen(read, pongs);
    tokio::pin!(listening, frames);
    let end = loop {
        let frame = tokio::select! {
            end = &mut listening => break end,
            Some(pong) = answers.recv() => pong,
            frame = frames.next() => match frame {
                Some(frame) => frame,
                None => break Some(NORMAL),
            },
        };
        if write.write_all(&frame).await.is_err() || write.flush().await.is_err() {
            return;
        }
    };
    // Who has asked and gone may still read.
    while let Ok(pong) = answers.try_recv() {
        let _gone = write.write_all(&pong).await;
    }
    if let Some(end) = end {
        let _gone = write.write_all(&frame(CLOSE, &end.to_be_bytes())).await;
    }
    let _gone = write.shutdown().await;
}

/// Reads what a client says until it goes, and answers its pings. Tells how to end; none if the
/// connection has.
async fn listen(mut read: impl AsyncRead + Unpin, pongs: mpsc::Sender<Bytes>) -> Option<u16> {
    loop {
        let mut head = [0; 2];
        read.read_exact(&mut head).await.ok()?;
        let (opcode, is_masked) = (head[0] & 0x0f, head[1] & 0x80 != 0);
        if !is_masked {
            return Some(PROTOCOL_ERROR);
        }
        let length = match head[1] & 0x7f {
            126 => read.read_u16().await.ok()?.into(),
            127 => read.read_u64().await.ok()?,
            short => short.into(),
        };
        let mut mask = [0; 4];
        read.read_exact(&mut mask).await.ok()?;
        match opcode {
            CLOSE => return Some(NORMAL),
            PING if length > CONTROL_BYTES_MAX => return Some(PROTOCOL_ERROR),
            PING => {
                let mut payload = vec![0; length as usize];
                read.read_exact(&mut payload).await.ok()?;
                for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
                    *byte ^= mask;
                }
                pongs.send(frame(PONG, &payload)).await.ok()?;
            }
            // Whatever it says: nobody waits for it.
            _ => {
                let mut said = (&mut read).take(length);
                tokio::io::copy(&mut said, &mut tokio::io::sink())
                    .await
                    .ok()?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_tell_their_length_as_short_as_they_can() {
        assert_eq!(&frame(BINARY, b"hi")[..], b"\x82\x02hi");
        assert_eq!(&frame(TEXT, &[b'x'; 126])[..4], b"\x81\x7e\x00\x7e");
        assert_eq!(
            &frame(TEXT, &[b'x'; 65536])[..10],
            b"\x81\x7f\0\0\0\0\0\x01\0\0"
        );
    }

    #[test]
    fn the_key_of_the_standard_s_example() {
        let accept = accept_key("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn who_wants_one_says_so_twice() {
        let wants = |connection: &'static str, upgrade: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONNECTION, HeaderValue::from_static(connection));
            headers.insert(header::UPGRADE, HeaderValue::from_static(upgrade));
            is_wanted(&headers)
        };
        assert!(wants("keep-alive, Upgrade", "WebSocket"));
        assert!(!wants("keep-alive", "websocket"));
        assert!(!wants("Upgrade", "SPDY/3.1"));
    }

    /// What a server answers that has nothing to say to a client that says this.
    async fn answers(said: &[u8]) -> Vec<u8> {
        let (mut client, server) = tokio::io::duplex(1024);
        client.write_all(said).await.expect("fits");
        client.shutdown().await.expect("is open");
        send(server, futures::stream::pending()).await;
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).await.expect("ends");
        answers
    }

    #[tokio::test]
    async fn a_client_is_heard_as_far_as_need_be() {
        // A message, and a ping of three bytes, both masked with zeros.
        let said = b"\x81\x82\0\0\0\0hi\x89\x83\0\0\0\0abc";
        assert_eq!(answers(said).await, b"\x8a\x03abc");
        // Masked with ones: `a` is 0x61.
        let said = b"\x89\x81\x01\x01\x01\x01\x60\x88\x80\0\0\0\0";
        assert_eq!(answers(said).await, b"\x8a\x01a\x88\x02\x03\xe8");
        // Not masked: no client of this protocol.
        assert_eq!(answers(b"\x81\x02hi").await, b"\x88\x02\x03\xea");
        assert_eq!(answers(b"").await, b"");
    }
}
