//! A connection without a socket: bytes go in, calls are made, bytes come out.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tonic::{Code, Status};

use crate::Service;
use crate::frame::{self, Head, Reason, flag, kind, setting};
use crate::hpack::{Decoder, Headers};
use crate::outbox::{Outbox, Reply};
use crate::passed::{self, Gate, RequestBody};
use crate::send::Sending;
use crate::stream::{Receive, Stream};

/// Most streams that a peer may have open at a time.
const STREAMS_MAX: u32 = 10_000;

/// Bytes that all calls of a connection may have sent without being answered.
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// What a window is before anything is said of it.
const WINDOW_DEFAULT: u32 = 65_535;

/// Window that was used is given back when it is this much.
const WINDOW_STEP: u32 = 1024 * 1024;

/// Most bytes of one header block, over all its frames.
const BLOCK_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a message's prefix: whether it is compressed (1), and its length (4).
pub const PREFIX_BYTES: usize = 5;

/// A header block whose frames have not all come.
struct Partial {
    stream: u32,
    ends_stream: bool,
    block: Vec<u8>,
}

/// A header block that was read before, and what it means: clients say the same again and again.
#[derive(Default)]
struct Known {
    block: Vec<u8>,
    /// The state of the header table that it was read with, and left as it was.
    changes: u64,
    method: u16,
}

/// The state of a connection.
pub struct Connection<S> {
    service: S,
    outbox: Arc<Outbox>,
    decoder: Decoder,
    headers: Headers,
    known: Option<Known>,
    partial: Option<Partial>,
    pub(crate) streams: HashMap<u32, Stream>,
    /// The newest stream of the peer.
    newest: u32,
    /// Bytes that the peer may send.
    window: i64,
    /// Bytes to be given back to it.
    used: u32,
    /// The window of each stream, large enough for any message.
    stream_window: u32,
    has_preface: bool,
    /// Calls were made that the service was not told to finish.
    pub(crate) has_called: bool,
    pub(crate) sending: Sending,
}

impl<S: Service> Connection<S> {
    /// A connection that answers by `service`; what others answer comes by `outbox`.
    pub fn new(service: S, outbox: Arc<Outbox>) -> Self {
        let message = u32::try_from(service.message_bytes_max() + PREFIX_BYTES);
        let stream_window = message
            .unwrap_or(CONNECTION_WINDOW)
            .clamp(WINDOW_DEFAULT, CONNECTION_WINDOW);
        let mut connection = Self {
            service,
            outbox,
            decoder: Decoder::default(),
            headers: Headers::default(),
            known: None,
            partial: None,
            streams: HashMap::new(),
            newest: 0,
            window: i64::from(CONNECTION_WINDOW),
            used: 0,
            stream_window,
            has_preface: false,
            has_called: false,
            sending: Sending::default(),
        };
        connection.introduce();
        connection
    }

    /// What a server says first.
    fn introduce(&mut self) {
        let mut settings = Vec::new();
        for (name, value) in [
            (setting::MAX_CONCURRENT_STREAMS, STREAMS_MAX),
            (setting::INITIAL_WINDOW_SIZE, self.stream_window),
            (setting::MAX_HEADER_LIST_SIZE, BLOCK_BYTES_MAX as u32),
        ] {
            settings.extend_from_slice(&name.to_be_bytes());
            settings.extend_from_slice(&value.to_be_bytes());
        }
        let out = &mut self.sending.out;
        frame::put(out, kind::SETTINGS, 0, 0, &settings);
        frame::put_window_update(out, 0, CONNECTION_WINDOW - WINDOW_DEFAULT);
    }

    /// Takes whole frames off the front of `bytes`; returns how many bytes they were.
    ///
    /// # Errors
    /// If the peer broke the protocol: the connection has to be closed, when what is to be sent
    /// has been.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<usize, Reason> {
        let result = self.frames(bytes);
        if let Err(reason) = result {
            let said = [self.newest.to_be_bytes(), (reason as u32).to_be_bytes()].concat();
            frame::put(&mut self.sending.out, kind::GOAWAY, 0, 0, &said);
        }
        self.give_back();
        result
    }

    /// Has the service finish the calls that were made.
    pub fn called(&mut self) {
        self.has_called = false;
        self.service.called();
    }

    fn frames(&mut self, bytes: &[u8]) -> Result<usize, Reason> {
        let mut rest = bytes;
        if !self.has_preface {
            let known = rest.len().min(frame::PREFACE.len());
            if rest[..known] != frame::PREFACE[..known] {
                return Err(Reason::Protocol);
            }
            if known < frame::PREFACE.len() {
                return Ok(0);
            }
            rest = &rest[known..];
            self.has_preface = true;
        }
        while let Some(head) = Head::parse(rest) {
            if head.length > frame::PAYLOAD_MAX {
                return Err(Reason::FrameSize);
            }
            let Some(payload) = rest[frame::HEAD_BYTES..].get(..head.length) else {
                break;
            };
            self.frame(head, payload)?;
            rest = &rest[frame::HEAD_BYTES + head.length..];
        }
        Ok(bytes.len() - rest.len())
    }

    fn frame(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        // Nothing may come between the frames of a header block.
        if self.partial.is_some() != (head.kind == kind::CONTINUATION) {
            return Err(Reason::Protocol);
        }
        match head.kind {
            kind::DATA => self.data(head, payload),
            kind::HEADERS => {
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
            kind::CONTINUATION => self.continuation(head, payload),
            kind::RST_STREAM => self.reset(head, payload),
            kind::SETTINGS => self.settings(head, payload),
            kind::PING if payload.len() != 8 => Err(Reason::FrameSize),
            kind::PING if head.flags & flag::ACK != 0 => Ok(()),
            kind::PING => {
                frame::put(&mut self.sending.out, kind::PING, flag::ACK, 0, payload);
                Ok(())
            }
            kind::WINDOW_UPDATE => self.window_update(head, payload),
            // A client has no business to promise anything.
            kind::PUSH_PROMISE => Err(Reason::Protocol),
            // It will open no more streams, and close when the rest is answered.
            kind::GOAWAY => Ok(()),
            // Priorities are of the past; what is not known is passed over.
            _ => Ok(()),
        }
    }

    fn continuation(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
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

    fn data(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        // Padding counts too.
        let bytes = payload.len() as u32;
        self.window -= i64::from(bytes);
        if self.window < 0 {
            return Err(Reason::FlowControl);
        }
        if head.stream == 0 || head.stream > self.newest {
            return Err(Reason::Protocol);
        }
        let data = frame::unpad(head, payload)?;
        let ends = head.flags & flag::END_STREAM != 0;
        let Some(stream) = self.streams.get_mut(&head.stream) else {
            // Closed, and its last bytes were on the way.
            self.used += bytes;
            return Ok(());
        };
        match &mut stream.receive {
            Receive::Nothing => self.used += bytes,
            Receive::Body(sender) => {
                stream.held += bytes;
                if stream.held + stream.taken > self.stream_window {
                    return Err(Reason::FlowControl);
                }
                let sent = sender
                    .as_ref()
                    .map(|sender| sender.send(Bytes::copy_from_slice(data)));
                // Padding is nothing to be taken, and what nobody takes is given back here.
                let taken = if let Some(Ok(())) = sent {
                    bytes - data.len() as u32
                } else {
                    bytes
                };
                self.taken(head.stream, taken);
            }
            Receive::Message { method, message } => {
                stream.held += bytes;
                // Almost every message comes whole in one frame, and is read where it lies.
                if ends && message.is_empty() {
                    let method = *method;
                    stream.receive = Receive::Nothing;
                    self.call(head.stream, method, data);
                    return Ok(());
                }
                message.extend_from_slice(data);
                let limit = self.service.message_bytes_max();
                if let Some(length) = message_length(message).filter(|length| *length > limit) {
                    self.refuse(head.stream, &too_large(length, limit));
                    return Ok(());
                }
                // More than the one message of such a call: wrong, and not to be gathered.
                if message.len() > limit + PREFIX_BYTES {
                    self.refuse(head.stream, &not_one_message());
                    return Ok(());
                }
            }
        }
        if ends {
            self.ended(head.stream)
        } else {
            Ok(())
        }
    }

    /// The peer has said all of a stream.
    fn ended(&mut self, id: u32) -> Result<(), Reason> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        match std::mem::replace(&mut stream.receive, Receive::Nothing) {
            Receive::Message { method, message } => self.call(id, method, &message),
            // Dropping the sender is how the body ends.
            Receive::Body(_) => stream.receive = Receive::Body(None),
            Receive::Nothing => {}
        }
        Ok(())
    }

    /// Makes a call whose message is whole, prefix and all.
    fn call(&mut self, stream: u32, method: u16, message: &[u8]) {
        let limit = self.service.message_bytes_max();
        match message_length(message) {
            Some(length) if length > limit => self.refuse(stream, &too_large(length, limit)),
            Some(length) if length + PREFIX_BYTES == message.len() && message[0] == 0 => {
                let reply = Reply::new(self.outbox.clone(), stream);
                self.has_called = true;
                self.service.call(method, &message[PREFIX_BYTES..], reply);
            }
            _ => self.refuse(stream, &not_one_message()),
        }
    }

    /// Answers a call that is not made.
    fn refuse(&mut self, id: u32, status: &Status) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.receive = Receive::Nothing;
        }
        self.fail(id, status);
    }

    fn reset(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        if payload.len() != 4 {
            return Err(Reason::FrameSize);
        }
        if head.stream == 0 || head.stream > self.newest {
            return Err(Reason::Protocol);
        }
        let Some(stream) = self.streams.get_mut(&head.stream) else {
            return Ok(());
        };
        let is_called = stream.end.is_none() && matches!(stream.receive, Receive::Nothing);
        if let Some((_, task)) = &stream.producer {
            // It says when it has ended; until then it counts.
            task.abort();
            stream.gone = true;
            stream.receive = Receive::Nothing;
        } else if is_called {
            stream.gone = true;
        } else {
            self.close(head.stream);
        }
        Ok(())
    }

    fn settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        if head.stream != 0 {
            return Err(Reason::Protocol);
        }
        if head.flags & flag::ACK != 0 {
            return Ok(());
        }
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Reason::FrameSize);
        }
        for &[n0, n1, v0, v1, v2, v3] in settings {
            let value = u32::from_be_bytes([v0, v1, v2, v3]);
            match u16::from_be_bytes([n0, n1]) {
                setting::HEADER_TABLE_SIZE => self.sending.heads.limit(value),
                setting::INITIAL_WINDOW_SIZE => {
                    let change = self.sending.set_stream_window(value)?;
                    for stream in self.streams.values_mut() {
                        stream.window += change;
                    }
                }
                setting::MAX_FRAME_SIZE => self.sending.set_payload_max(value)?,
                _ => {}
            }
        }
        frame::put(&mut self.sending.out, kind::SETTINGS, flag::ACK, 0, &[]);
        self.send_waiting();
        Ok(())
    }

    fn window_update(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        let bytes: [u8; 4] = payload.try_into().map_err(|_| Reason::FrameSize)?;
        let bytes = i64::from(u32::from_be_bytes(bytes) & 0x7fff_ffff);
        let window = if head.stream == 0 {
            &mut self.sending.window
        } else {
            match self.streams.get_mut(&head.stream) {
                Some(stream) => &mut stream.window,
                None => return Ok(()),
            }
        };
        *window += bytes;
        if bytes == 0 || *window > i64::from(i32::MAX) {
            return Err(Reason::FlowControl);
        }
        self.send_waiting();
        Ok(())
    }

    /// Bytes of a passed-on request's body were taken: the stream may send as many anew.
    pub(crate) fn taken(&mut self, id: u32, bytes: u32) {
        if bytes == 0 {
            return;
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.held = stream.held.saturating_sub(bytes);
            stream.taken += bytes;
            self.used += bytes;
            if stream.taken >= WINDOW_DEFAULT / 2
                && matches!(stream.receive, Receive::Body(Some(_)))
            {
                frame::put_window_update(&mut self.sending.out, id, stream.taken);
                stream.taken = 0;
            }
        }
    }

    /// Forgets a stream, and gives back what it held of the window.
    pub(crate) fn close(&mut self, id: u32) {
        if let Some(stream) = self.streams.remove(&id) {
            self.used += stream.held;
            // An answer before the whole request was there: the rest of it is not wanted.
            let is_heard = matches!(stream.receive, Receive::Nothing | Receive::Body(None));
            if !is_heard && !stream.gone && stream.end.is_some() {
                frame::put_reset(&mut self.sending.out, id, Reason::NoError);
            }
            if let Some((_, task)) = stream.producer {
                task.abort();
            }
        }
    }

    /// Lets the peer send as much as was used, if that is worth a frame.
    pub(crate) fn give_back(&mut self) {
        if self.used >= WINDOW_STEP {
            frame::put_window_update(&mut self.sending.out, 0, self.used);
            self.window += i64::from(self.used);
            self.used = 0;
        }
    }
}

impl<S> Drop for Connection<S> {
    /// Whoever still produces an answer need not go on.
    fn drop(&mut self) {
        let producers = self
            .streams
            .values()
            .filter_map(|stream| stream.producer.as_ref());
        producers.for_each(|(_, task)| task.abort());
    }
}

/// The length that a message's prefix says; none if the prefix is not all there.
fn message_length(message: &[u8]) -> Option<usize> {
    let [_, l0, l1, l2, l3] = *message.first_chunk()?;
    Some(u32::from_be_bytes([l0, l1, l2, l3]) as usize)
}

/// The failure of a call with a message of `length` where `limit` is the largest.
pub fn too_large(length: usize, limit: usize) -> Status {
    // The words of grpc-go's servers, which clients know.
    let said = format!("grpc: received message larger than max ({length} vs. {limit})");
    Status::new(Code::ResourceExhausted, said)
}

fn not_one_message() -> Status {
    Status::new(
        Code::Internal,
        "a call of this method has one message that is not compressed",
    )
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
