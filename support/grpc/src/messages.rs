//! Calls whose messages are a stream: taken off a request's body, and put into an answer's.

use std::io::Read;

use bytes::{Buf, Bytes, BytesMut};
use flate2::read::GzDecoder;
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
        if length > self.bytes_max {
            return Err(crate::connection::too_large(length, self.bytes_max));
        }
        if self.rest.len() < PREFIX_BYTES + length {
            return Ok(None);
        }
        self.rest.advance(PREFIX_BYTES);
        let mut message = self.rest.split_to(length).freeze();
        if is_compressed != 0 {
            message = self.decompress(&message)?;
        }
        M::decode(message).map(Some).map_err(internal)
    }

    /// Undoes the one compression that clients have, as far as the message may be long.
    fn decompress(&self, message: &[u8]) -> Result<Bytes, Status> {
        let mut plain = Vec::new();
        let mut decoder = GzDecoder::new(message).take(self.bytes_max as u64 + 1);
        decoder.read_to_end(&mut plain).map_err(internal)?;
        if plain.len() > self.bytes_max {
            return Err(crate::connection::too_large(plain.len(), self.bytes_max));
        }
        Ok(plain.into())
    }
}

fn internal(error: impl std::fmt::Display) -> Status {
    Status::new(Code::Internal, error.to_string())
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn taken(bytes: &[u8], bytes_max: usize) -> Result<Option<String>, Status> {
        let mut messages = Messages::new(Body::empty(), bytes_max);
        messages.rest.extend_from_slice(bytes);
        messages.take()
    }

    fn compressed(message: &str) -> Vec<u8> {
        let mut plain = Vec::new();
        put_message(&mut plain, &message.to_owned());
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&plain[PREFIX_BYTES..]).expect("memory");
        let bytes = encoder.finish().expect("memory");
        let length = (bytes.len() as u32).to_be_bytes();
        [&[1][..], &length, &bytes].concat()
    }

    #[test]
    fn a_message_is_taken_once_it_is_whole() {
        let mut bytes = Vec::new();
        put_message(&mut bytes, &"hello".to_owned());
        for part in 0..bytes.len() {
            assert_eq!(taken(&bytes[..part], 100).expect("no error"), None);
        }
        assert_eq!(
            taken(&bytes, 100).expect("a message").as_deref(),
            Some("hello")
        );
        assert_eq!(
            taken(&compressed("hello"), 100)
                .expect("a message")
                .as_deref(),
            Some("hello")
        );
    }

    #[test]
    fn what_is_too_long_or_nonsense_is_refused() {
        let mut bytes = Vec::new();
        put_message(&mut bytes, &"x".repeat(200));
        let code = |bytes: &[u8]| taken(bytes, 100).expect_err("refused").code();
        assert_eq!(code(&bytes), Code::ResourceExhausted);
        // Short as it comes, long as it is.
        let bomb = compressed(&"x".repeat(100_000));
        assert_eq!(
            taken(&bomb, bomb.len()).expect_err("refused").code(),
            Code::ResourceExhausted
        );
        assert_eq!(code(&[1, 0, 0, 0, 1, 7]), Code::Internal);
        assert_eq!(code(&[0, 0, 0, 0, 1, 0xff]), Code::Internal);
    }
}
