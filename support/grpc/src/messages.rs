//! Calls whose messages are a stream: taken off a request's body, and put into an answer's.

use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use prost::Message;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::connection::PREFIX_BYTES;

/// The messages of a request.
pub struct Messages {
    body: Body,
    /// What came and was not yet taken.
    rest: BytesMut,
    bytes_max: usize,
}

impl Messages {
    /// The messages of `body`, none larger than `bytes_max`.
    pub fn new(body: Body, bytes_max: usize) -> Self {
        Self {
            body,
            rest: BytesMut::new(),
            bytes_max,
        }
    }

    /// Waits for the next message; none once the client has sent its last. Dropping the future
    /// loses nothing.
    ///
    /// # Errors
    /// If the stream breaks off, or what comes is no message.
    pub async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            match self.body.frame().await {
                None if self.rest.is_empty() => return Ok(None),
                None => {
                    return Err(Status::new(
                        Code::Internal,
                        "the stream ends within a message",
                    ));
                }
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.rest.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    /// The next message, if it is there already.
    ///
    /// # Errors
    /// If what is there is no message.
    pub fn take<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        let Some([is_compressed, l0, l1, l2, l3]) = self.rest.first_chunk().copied() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if is_compressed != 0 {
            let said = "grpc: Decompressor is not installed for what was sent";
            return Err(Status::new(Code::Unimplemented, said));
        }
        if length > self.bytes_max {
            return Err(crate::connection::too_large(length, self.bytes_max));
        }
        if self.rest.len() < PREFIX_BYTES + length {
            return Ok(None);
        }
        self.rest.advance(PREFIX_BYTES);
        let message = self.rest.split_to(length).freeze();
        let message =
            M::decode(message).map_err(|error| Status::new(Code::Internal, error.to_string()));
        message.map(Some)
    }
}

/// Appends a message to an answer's bytes.
pub fn put_message(out: &mut Vec<u8>, message: &impl Message) {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    // A vector takes all that there is memory for.
    let _grows = message.encode(out);
    let length = u32::try_from(out.len() - start - PREFIX_BYTES).unwrap_or(u32::MAX);
    out[start + 1..start + PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
}

/// An answer whose messages come as `parts`: any number of them in each, put there by
/// [`put_message`].
pub fn stream(
    parts: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
) -> http::Response<Body> {
    let frames = parts.map(|part| part.map(Frame::data));
    let well = futures::stream::once(async {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        Ok(Frame::trailers(trailers))
    });
    let mut response = http::Response::new(Body::new(StreamBody::new(frames.chain(well))));
    let kind = http::HeaderValue::from_static("application/grpc");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, kind);
    response
}
