//! Logs over a WebSocket: the same bytes, as messages.
//!
//! | protocol | a message is |
//! | --- | --- |
//! | none, or `binary.k8s.io` | bytes |
//! | `base64.binary.k8s.io` | base64 of them, as text |
//!
//! The client has nothing to say but that it goes. Upstream: `apimachinery/pkg/util/httpstream/wsstream/stream.go`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{self, HeaderValue};
use http::{Extensions, HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::answer::{self, Body};
use crate::status::ApiError;

/// Opcodes of RFC 6455.
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// Whether a request wants a WebSocket.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE);
    let upgrade = upgrade.and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Switches protocols, then sends the body piece by piece.
///
/// # Errors
/// 400 if the client's connection cannot be upgraded, 403 if it knows no protocol of ours.
pub fn answer(
    headers: &HeaderMap,
    extensions: &mut Extensions,
    body: Incoming,
) -> Result<Response<Body>, ApiError> {
    let protocol = protocol(headers)?;
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .and_then(|key| key.to_str().ok());
    let key = key.ok_or_else(|| ApiError::bad_request("no Sec-WebSocket-Key"))?;
    let client = extensions.remove::<OnUpgrade>();
    let client = client.ok_or_else(|| ApiError::bad_request("use HTTP/1.1 for a WebSocket"))?;
    let base64 = protocol.starts_with("base64");
    tokio::spawn(async move {
        match client.await {
            Ok(upgraded) => send(TokioIo::new(upgraded), body, base64).await,
            Err(error) => tracing::debug!(%error, "an upgrade failed"),
        }
    });
    let mut response = Response::new(answer::body(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answered = response.headers_mut();
    answered.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answered.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::from_str(&accept_key(key)).expect("base64 is a header's text");
    answered.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if !protocol.is_empty() {
        let protocol = HeaderValue::from_static(protocol);
        answered.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(response)
}

/// Which protocol to speak: one that the client offers, or none if it offers none.
fn protocol(headers: &HeaderMap) -> Result<&'static str, ApiError> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let lists = lists.filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    if offered.is_empty() {
        return Ok("");
    }
    ["binary.k8s.io", "base64.binary.k8s.io"]
        .into_iter()
        .find(|name| offered.contains(name))
        .ok_or_else(|| {
            let message = format!("requested protocols {offered:?} are not served");
            ApiError::new(403, "Forbidden", message)
        })
}

/// `Sec-WebSocket-Accept` for a client's key.
fn accept_key(key: &str) -> String {
    let salted = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    // SHA-1 is what the protocol says; nothing secret depends on it.
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, salted.as_bytes());
    STANDARD.encode(digest)
}

async fn send(
    io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite,
    mut body: Incoming,
    base64: bool,
) {
    let (mut read, mut write) = tokio::io::split(io);
    let gone = async {
        // Whatever it says; the end is what matters.
        let mut said = [0; 512];
        while read.read(&mut said).await.is_ok_and(|length| length > 0) {}
    };
    let sending = async {
        while let Some(Ok(piece)) = body.frame().await {
            let Ok(bytes) = piece.into_data() else {
                continue;
            };
            let frame = match base64 {
                true => frame(TEXT, STANDARD.encode(&bytes).as_bytes()),
                false => frame(BINARY, &bytes),
            };
            if write.write_all(&frame).await.is_err() || write.flush().await.is_err() {
                return;
            }
        }
        let _gone = write
            .write_all(&frame(CLOSE, &1000_u16.to_be_bytes()))
            .await;
        let _gone = write.shutdown().await;
    };
    tokio::select! {
        () = gone => {}
        () = sending => {}
    }
}

/// A server's frame: whole, not masked.
fn frame(opcode: u8, payload: &[u8]) -> Bytes {
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
}
