//! Header blocks: what opens a stream, and whom it is for.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Connection;
use crate::Service;
use crate::frame::{self, Head, Reason, flag};
use crate::hpack::Headers;
use crate::passed::{self, Gate, RequestBody};
use crate::stream::{Receive, Stream};

/// Most streams that a peer may have open at a time.
pub(super) const STREAMS_MAX: u32 = 10_000;

/// Most bytes of one header block, over all its frames.
pub(super) const BLOCK_BYTES_MAX: usize = 64 * 1024;

/// A header block whose frames have not all come.
pub(super) struct Partial {
    stream: u32,
    ends_stream: bool,
    block: Vec<u8>,
}

/// A header block that was read before, and what it means: clients say the same again and again.
#[derive(Default)]
pub(super) struct Known {
    block: Vec<u8>,
    /// The state of the header table that it was read with, and left as it was.
    changes: u64,
    method: u16,
}

impl<S: Service> Connection<S> {
    /// The first frame of a header block, and mostly the only one.
    pub(super) fn headers(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        let block = frame::unpad(head, payload)?;
        let ends_stream = head.flags & flag::END_STREAM != 0;
        if head.flags & flag::END_HEADERS != 0 {
            return self.block(head.stream, block, ends_stream);
        }
        self.partial = Some(Partial {
            stream: head.stream,
            ends_stream,
            block: block.to_vec(),
        });
        Ok(())
    }

    pub(super) fn continuation(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        let mut partial = self.partial.take().ok_or(Reason::Protocol)?;
        if partial.stream != head.stream {
            return Err(Reason::Protocol);
        }
        partial.block.extend_from_slice(payload);
        if partial.block.len() > BLOCK_BYTES_MAX {
            return Err(Reason::EnhanceYourCalm);
        }
        if head.flags & flag::END_HEADERS == 0 {
            self.partial = Some(partial);
            return Ok(());
        }
        self.block(partial.stream, &partial.block, partial.ends_stream)
    }

    /// A whole header block: a request's first, or what comes after its body.
    fn block(&mut self, stream: u32, block: &[u8], ends_stream: bool) -> Result<(), Reason> {
        let method = self.read_block(block)?;
        if stream <= self.newest {
            // Trailers, which say nothing that is wanted; or the stream is closed already.
            return if ends_stream {
                self.ended(stream)
            } else {
                Err(Reason::Protocol)
            };
        }
        if stream.is_multiple_of(2) {
            return Err(Reason::Protocol);
        }
        self.newest = stream;
        if self.streams.len() >= STREAMS_MAX as usize {
            frame::put_reset(&mut self.sending.out, stream, Reason::RefusedStream);
            return Ok(());
        }
        let window = self.sending.stream_window;
        match method {
            Some(method) => {
                let message = Vec::new();
                let receive = Receive::Message { method, message };
                self.streams.insert(stream, Stream::new(receive, window));
            }
            None => self.pass_on(stream, window),
        }
        if ends_stream {
            self.ended(stream)
        } else {
            Ok(())
        }
    }

    /// Reads a header block, which must be done whatever it belongs to; returns the method if it
    /// calls one that is answered here.
    fn read_block(&mut self, block: &[u8]) -> Result<Option<u16>, Reason> {
        let before = self.decoder.changes();
        if let Some(known) = &self.known
            && known.changes == before
            && known.block == block
        {
            return Ok(Some(known.method));
        }
        self.headers.clear();
        self.decoder
            .decode(block, &mut self.headers)
            .map_err(|_| Reason::Compression)?;
        let path = self.headers.find(":path").unwrap_or_default();
        let is_plain = self
            .headers
            .find("grpc-encoding")
            .is_none_or(|encoding| encoding == b"identity");
        let method = self.service.method(path).filter(|_| is_plain);
        if let Some(method) = method
            && self.decoder.changes() == before
        {
            let known = self.known.get_or_insert_default();
            known.block.clear();
            known.block.extend_from_slice(block);
            (known.changes, known.method) = (before, method);
        }
        Ok(method)
    }

    /// Hands a request to whoever answers the rest.
    fn pass_on(&mut self, stream: u32, window: i64) {
        let Some(request) = request(&self.headers) else {
            frame::put_reset(&mut self.sending.out, stream, Reason::Protocol);
            return;
        };
        let (sender, parts) = mpsc::unbounded_channel();
        let outbox = self.outbox.clone();
        let body = RequestBody {
            parts,
            outbox,
            stream,
            taken: 0,
        };
        let response = self
            .service
            .pass_on(request.map(|()| tonic::body::Body::new(body)));
        let gate = Arc::<Gate>::default();
        let answer = passed::answer(response, self.outbox.clone(), stream, gate.clone());
        let task = tokio::spawn(answer).abort_handle();
        let mut opened = Stream::new(Receive::Body(Some(sender)), window);
        opened.producer = Some((gate, task));
        self.streams.insert(stream, opened);
    }
}

/// A request as the `http` crate has it; none if its headers make none.
fn request(headers: &Headers) -> Option<http::Request<()>> {
    let mut request = http::Request::builder().version(http::Version::HTTP_2);
    request = request.method(headers.find(":method")?);
    request = request.uri(std::str::from_utf8(headers.find(":path")?).ok()?);
    for (name, value) in headers.iter().filter(|(name, _)| !name.starts_with(b":")) {
        request = request.header(name, value);
    }
    request.body(()).ok()
}
