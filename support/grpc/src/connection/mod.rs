//! A connection without a socket: bytes go in, calls are made, bytes come out.
//!
//! Here is its state, and which frame is whose: `request` opens streams, `message` gathers what they
//! say and makes the calls, `window` is flow control and the end of streams.

mod message;
mod request;
mod window;

use std::collections::HashMap;
use std::sync::Arc;

use crate::Service;
use crate::frame::{self, Head, Reason, flag, kind, setting};
use crate::hpack::{Decoder, Headers};
use crate::outbox::Outbox;
use crate::send::Sending;
use crate::stream::Stream;

pub use message::too_large;
use request::{BLOCK_BYTES_MAX, Known, Partial, STREAMS_MAX};
use window::{CONNECTION_WINDOW, WINDOW_DEFAULT};

/// Bytes of a message's prefix: whether it is compressed (1), and its length (4).
pub const PREFIX_BYTES: usize = 5;

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
            kind::HEADERS => self.headers(head, payload),
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
