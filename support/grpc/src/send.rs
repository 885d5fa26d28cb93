//! The way out: answers become frames, as far as the peer's windows let them.

use std::collections::VecDeque;

use bytes::Bytes;
use tonic::Status;

use crate::Service;
use crate::connection::{Connection, PREFIX_BYTES};
use crate::frame::{self, Head, Reason, flag, kind};
use crate::hpack;
use crate::outbox::{Answer, Contents};
use crate::stream::End;

/// A header table of this many bytes has room for the two headers that we put there.
const TABLE_BYTES_MIN: u32 = 256;

/// What is to be sent, and how much may be.
pub struct Sending {
    /// Bytes for the socket.
    pub out: Vec<u8>,
    /// Bytes of data that may be sent on the connection.
    pub window: i64,
    /// The window of a new stream.
    pub stream_window: i64,
    payload_max: usize,
    /// Streams that have something to send and may not.
    waiting: VecDeque<u32>,
    /// How the heads of plain answers are written.
    pub heads: Heads,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            out: Vec::new(),
            window: 65_535,
            stream_window: 65_535,
            payload_max: frame::PAYLOAD_MAX,
            waiting: VecDeque::new(),
            heads: Heads::New,
        }
    }
}

impl Sending {
    /// Sets the window of new streams; returns by how much that of the others changes.
    pub fn set_stream_window(&mut self, bytes: u32) -> Result<i64, Reason> {
        if bytes > i32::MAX as u32 {
            return Err(Reason::FlowControl);
        }
        let change = i64::from(bytes) - self.stream_window;
        self.stream_window = i64::from(bytes);
        Ok(change)
    }

    /// Sets the largest payload that the peer takes.
    pub fn set_payload_max(&mut self, bytes: u32) -> Result<(), Reason> {
        if !(frame::PAYLOAD_MAX as u32..1 << 24).contains(&bytes) {
            return Err(Reason::Protocol);
        }
        self.payload_max = bytes as usize;
        Ok(())
    }
}

/// How the two header blocks of a plain answer are written: the same ones each time, so the peer
/// is made to keep them, and each is two bytes from the second answer on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heads {
    /// Nothing was said yet.
    New,
    /// The peer keeps `content-type` as number 62.
    Begun,
    /// The peer keeps `content-type` as number 63 and `grpc-status` as number 62.
    Kept,
    /// The peer has no room, and has to be told that we know; then all is spelt out.
    Shrunk,
    /// All is spelt out.
    Spelt,
}

/// `:status: 200` in HPACK's own table.
const STATUS_200: u8 = 0x88;

impl Heads {
    /// The peer keeps at most `bytes` of headers.
    pub fn limit(&mut self, bytes: u32) {
        if bytes < TABLE_BYTES_MIN && *self != Self::Spelt {
            *self = Self::Shrunk;
        }
    }

    /// Whether the peer must first be told that the table is not used; says so.
    fn begin(&mut self, out: &mut Vec<u8>) {
        if *self == Self::Shrunk {
            // The table's size is 0 from here.
            out.push(0x20);
            *self = Self::Spelt;
        }
    }

    fn first(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        out.push(STATUS_200);
        match self {
            Self::New => {
                hpack::put_indexed(out, "content-type", b"application/grpc");
                *self = Self::Begun;
            }
            Self::Begun => out.push(0x80 | 62),
            Self::Kept => out.push(0x80 | 63),
            Self::Shrunk | Self::Spelt => {
                hpack::put_literal(out, "content-type", b"application/grpc")
            }
        }
    }

    fn last(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::New | Self::Begun => {
                hpack::put_indexed(out, "grpc-status", b"0");
                *self = Self::Kept;
            }
            Self::Kept => out.push(0x80 | 62),
            Self::Shrunk | Self::Spelt => {
                self.begin(out);
                hpack::put_literal(out, "grpc-status", b"0");
            }
        }
    }
}

impl<S: Service> Connection<S> {
    /// Sends what came by the outbox.
    pub fn send(&mut self, contents: &mut Contents) {
        for (stream, answer) in contents.answers.drain(..) {
            match answer {
                Answer::Message(range) => self.message(stream, &contents.bytes[range]),
                Answer::Failed(status) => self.fail(stream, &status),
                Answer::Head(head, is_all) => self.head(stream, &head, is_all),
                Answer::Data(data) => self.body(stream, data),
                Answer::Trailers(trailers) => {
                    let mut block = Vec::new();
                    put_headers(&mut block, &trailers);
                    self.end(stream, End::Trailers(block));
                }
                Answer::End => self.end(stream, End::Data),
                Answer::Taken(bytes) => self.taken(stream, bytes as u32),
            }
        }
        contents.bytes.clear();
        self.give_back();
    }

    /// Answers a plain call: head, message, and that all went well.
    fn message(&mut self, id: u32, message: &[u8]) {
        if !self.is_answerable(id) {
            return;
        }
        let (sending, stream) = (&mut self.sending, self.streams.get_mut(&id));
        let Some(stream) = stream else { return };
        let length = PREFIX_BYTES + message.len();
        let prefix = prefix(message.len());
        put_block(&mut sending.out, id, 0, |out| sending.heads.first(out));
        let fits =
            length as i64 <= stream.window.min(sending.window) && length <= sending.payload_max;
        if fits && stream.unsent.is_empty() {
            let head = Head {
                length,
                kind: kind::DATA,
                flags: 0,
                stream: id,
            };
            sending.out.extend_from_slice(&head.bytes());
            sending.out.extend_from_slice(&prefix);
            sending.out.extend_from_slice(message);
            sending.window -= length as i64;
        } else {
            stream.unsent.push_back([&prefix, message].concat().into());
        }
        stream.end = Some(End::Well);
        self.send_stream(id);
    }

    /// Answers that a call failed, or ends one that was begun to be answered.
    pub(crate) fn fail(&mut self, id: u32, status: &Status) {
        if !self.is_answerable(id) {
            return;
        }
        let mut block = Vec::new();
        self.sending.heads.begin(&mut block);
        // A task's failure comes after its head.
        if self.streams[&id].producer.is_none() {
            block.push(STATUS_200);
            hpack::put_literal(&mut block, "content-type", b"application/grpc");
        }
        let mut headers = http::HeaderMap::new();
        // What a header cannot hold is left out of it; the code says enough.
        let _unwritable = status.add_header(&mut headers);
        headers.remove(http::header::CONTENT_TYPE);
        put_headers(&mut block, &headers);
        self.end(id, End::Trailers(block));
    }

    fn head(&mut self, id: u32, head: &http::response::Parts, is_all: bool) {
        if !self.is_answerable(id) {
            return;
        }
        let sending = &mut self.sending;
        let mut block = Vec::new();
        sending.heads.begin(&mut block);
        hpack::put_literal(&mut block, ":status", head.status.as_str().as_bytes());
        put_headers(&mut block, &head.headers);
        if is_all {
            return self.end(id, End::Trailers(block));
        }
        put_block(&mut sending.out, id, 0, |out| out.extend_from_slice(&block));
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.has_head = true;
        }
    }

    fn body(&mut self, id: u32, data: Bytes) {
        if self.is_answerable(id)
            && !data.is_empty()
            && let Some(stream) = self.streams.get_mut(&id)
        {
            stream.unsent.push_back(data);
            self.send_stream(id);
        }
    }

    fn end(&mut self, id: u32, end: End) {
        if let Some(stream) = self.streams.get_mut(&id) {
            if stream.gone {
                return self.close(id);
            }
            // Whoever was to answer has gone without a word.
            if matches!(end, End::Data) && !stream.has_head && stream.end.is_none() {
                frame::put_reset(&mut self.sending.out, id, Reason::Internal);
                return self.close(id);
            }
            if stream.end.is_none() {
                stream.end = Some(end);
                self.send_stream(id);
            }
        }
    }

    /// Whether a stream can still be answered. One that its peer gave up is forgotten when its
    /// answer comes.
    fn is_answerable(&mut self, id: u32) -> bool {
        let Some(stream) = self.streams.get(&id) else {
            return false;
        };
        if stream.gone && stream.producer.is_none() {
            self.close(id);
            return false;
        }
        !stream.gone && stream.end.is_none()
    }

    /// Sends what may be sent of all streams that wait.
    pub(crate) fn send_waiting(&mut self) {
        for _ in 0..self.sending.waiting.len() {
            if self.sending.window <= 0 {
                break;
            }
            if let Some(id) = self.sending.waiting.pop_front() {
                self.send_stream(id);
            }
        }
    }

    /// Sends what may be sent of a stream.
    fn send_stream(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let sending = &mut self.sending;
        while let Some(data) = stream.unsent.front_mut() {
            let room = stream.window.min(sending.window);
            let bytes = data
                .len()
                .min(sending.payload_max)
                .min(usize::try_from(room).unwrap_or(0));
            if bytes == 0 {
                if !sending.waiting.contains(&id) {
                    sending.waiting.push_back(id);
                }
                return;
            }
            let part = data.split_to(bytes);
            frame::put(&mut sending.out, kind::DATA, 0, id, &part);
            stream.window -= bytes as i64;
            sending.window -= bytes as i64;
            if data.is_empty() {
                stream.unsent.pop_front();
            }
            if let Some((gate, _)) = &stream.producer {
                gate.sent(bytes);
            }
        }
        match &stream.end {
            None => return,
            Some(End::Data) => {
                frame::put(&mut sending.out, kind::DATA, flag::END_STREAM, id, &[]);
            }
            Some(End::Well) => put_block(&mut sending.out, id, flag::END_STREAM, |out| {
                sending.heads.last(out);
            }),
            Some(End::Trailers(block)) => {
                put_block(&mut sending.out, id, flag::END_STREAM, |out| {
                    out.extend_from_slice(block);
                });
            }
        }
        self.close(id);
    }
}

fn prefix(length: usize) -> [u8; PREFIX_BYTES] {
    let [l0, l1, l2, l3] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [0, l0, l1, l2, l3]
}

/// Appends a header block that `write` writes.
fn put_block(out: &mut Vec<u8>, stream: u32, flags: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    let mut head = Head {
        length: 0,
        kind: kind::HEADERS,
        flags: flags | flag::END_HEADERS,
        stream,
    };
    out.extend_from_slice(&head.bytes());
    write(out);
    // The length is known now.
    head.length = out.len() - start - frame::HEAD_BYTES;
    out[start..start + frame::HEAD_BYTES].copy_from_slice(&head.bytes());
}

fn put_headers(block: &mut Vec<u8>, headers: &http::HeaderMap) {
    for (name, value) in headers {
        hpack::put_literal(block, name.as_str(), value.as_bytes());
    }
}
