//! Watches over a WebSocket, for browsers: each event is a message.
//!
//! In JSON a message is text; in protobuf it is bytes, without the length that goes before an event
//! of a plain watch. Whatever one protocol the client offers is agreed to, as it changes nothing.
//! Who says from which page they come is let in, and so is every program that claims to.
//!
//! Upstream: `apiserver/pkg/endpoints/handlers/watch.go`.

use bytes::{Buf, Bytes, BytesMut};
use futures::StreamExt;
use http::{Extensions, Response, Uri, header};

use super::answer::Body;
use super::call::Call;
use super::watch;
use super::websocket::{self, BINARY, TEXT, frame};
use crate::status::ApiError;

/// Whether a request is for a watch over a WebSocket.
pub fn is_wanted(call: &Call) -> bool {
    call.info.verb == "watch" && call.resource.is_stored() && websocket::is_wanted(&call.headers)
}

/// Switches protocols, then tells what happens.
///
/// # Errors
/// Those of any watch; 400 if the client's connection cannot be upgraded, or it offers more than
/// one protocol; 403 if it does not say where it comes from.
pub async fn handle(
    call: &Call<'_>,
    mut extensions: Extensions,
) -> Result<Response<Body>, ApiError> {
    let watch = watch::begin(call).await?;
    let is_text = call.stream_view()?.is_text();
    check_origin(call)?;
    let protocol = match websocket::offered(&call.headers).as_slice() {
        [] => "",
        [one] => one,
        _ => return Err(ApiError::bad_request("missing or bad WebSocket-Protocol")),
    };
    let (socket, response) = websocket::accept(&call.headers, &mut extensions, protocol)?;
    let frames = watch.chunks().map(move |chunk| match is_text {
        true => text_messages(&chunk),
        false => binary_messages(chunk),
    });
    tokio::spawn(socket.send(frames));
    Ok(response)
}

fn check_origin(call: &Call) -> Result<(), ApiError> {
    let origin = call.headers.get(header::ORIGIN);
    let origin = origin.and_then(|origin| origin.to_str().ok());
    let is_place = |text: &str| {
        text.starts_with('/') || text.parse::<Uri>().is_ok_and(|uri| uri.scheme().is_some())
    };
    match origin {
        Some(origin) if is_place(origin) => Ok(()),
        _ => Err(ApiError::forbidden(
            call.target().subject(),
            "a WebSocket's request has to say its Origin",
        )),
    }
}

/// Lines, each a message with its line break.
fn text_messages(lines: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        out.extend_from_slice(&frame(TEXT, line));
    }
    out.freeze()
}

/// Events, each after its length in four bytes.
fn binary_messages(mut events: Bytes) -> Bytes {
    let mut out = BytesMut::new();
    while events.remaining() > 4 {
        let length = events.get_u32() as usize;
        out.extend_from_slice(&frame(BINARY, &events.split_to(length)));
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_message() {
        assert_eq!(&text_messages(b"a\nbc\n")[..], b"\x81\x02a\n\x81\x03bc\n");
        let events = Bytes::from_static(b"\0\0\0\x01a\0\0\0\x02bc");
        assert_eq!(&binary_messages(events)[..], b"\x82\x01a\x82\x02bc");
    }
}
