//! Logs over a WebSocket: the same bytes, as messages.
//!
//! | protocol | a message is |
//! | --- | --- |
//! | none, or `binary.k8s.io` | bytes |
//! | `base64.binary.k8s.io` | base64 of them, as text |
//!
//! Upstream: `apimachinery/pkg/util/httpstream/wsstream/stream.go`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::stream;
use http::{Extensions, HeaderMap, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::answer::Body;
use super::websocket::{self, BINARY, TEXT, frame};
use crate::status::ApiError;

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
    let (socket, response) = websocket::accept(headers, extensions, protocol)?;
    let base64 = protocol.starts_with("base64");
    let frames = stream::unfold(body, move |mut body| async move {
        loop {
            let Ok(bytes) = body.frame().await?.ok()?.into_data() else {
                continue;
            };
            let frame = match base64 {
                true => frame(TEXT, STANDARD.encode(&bytes).as_bytes()),
                false => frame(BINARY, &bytes),
            };
            return Some((frame, body));
        }
    });
    tokio::spawn(socket.send(frames));
    Ok(response)
}

/// Which protocol to speak: one that the client offers, or none if it offers none.
fn protocol(headers: &HeaderMap) -> Result<&'static str, ApiError> {
    let offered = websocket::offered(headers);
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
