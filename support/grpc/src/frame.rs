//! HTTP/2's frames: nine bytes that say what follows (RFC 9113, section 4.1).
//!
//! ```text
//!   length (3)   type (1)   flags (1)   stream (4)   payload (length)
//! ```

/// What a client sends before its first frame.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame before its payload.
pub const HEAD_BYTES: usize = 9;

/// The largest payload that either side may send unless it was told more; we tell nobody more.
pub const PAYLOAD_MAX: usize = 16_384;

/// Kinds of frames.
#[allow(missing_docs)]
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames; `END_STREAM` and `ACK` are the same bit of different kinds.
#[allow(missing_docs)]
pub mod flag {
    pub const END_STREAM: u8 = 0x1;
    pub const ACK: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

/// Settings that matter here (RFC 9113, section 6.5.2).
#[allow(missing_docs)]
pub mod setting {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// Why a stream or a connection is ended (RFC 9113, section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
#[repr(u32)]
pub enum Reason {
    NoError = 0x0,
    Protocol = 0x1,
    Internal = 0x2,
    FlowControl = 0x3,
    StreamClosed = 0x5,
    FrameSize = 0x6,
    RefusedStream = 0x7,
    Compression = 0x9,
    EnhanceYourCalm = 0xb,
}

/// A frame's first nine bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the payload.
    pub length: usize,
    /// One of [`kind`], or one that is to be passed over.
    pub kind: u8,
    /// Bits of [`flag`].
    pub flags: u8,
    /// Which stream it belongs to; 0 is the connection.
    pub stream: u32,
}

impl Head {
    /// Reads a head; none if there are fewer bytes than one has.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; HEAD_BYTES] = bytes.first_chunk()?;
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *head;
        Some(Self {
            length: u32::from_be_bytes([0, l0, l1, l2]) as usize,
            kind,
            flags,
            // The first bit is reserved and means nothing.
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        })
    }

    /// The head as it is sent.
    pub fn bytes(self) -> [u8; HEAD_BYTES] {
        let [_, l0, l1, l2] = u32::try_from(self.length).unwrap_or(u32::MAX).to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind, self.flags, s0, s1, s2, s3]
    }
}

/// Appends a frame to `out`.
pub fn put(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let head = Head {
        length: payload.len(),
        kind,
        flags,
        stream,
    };
    out.extend_from_slice(&head.bytes());
    out.extend_from_slice(payload);
}

/// Appends a frame that gives the peer `bytes` more to send.
pub fn put_window_update(out: &mut Vec<u8>, stream: u32, bytes: u32) {
    put(out, kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
}

/// Appends a frame that ends a stream.
pub fn put_reset(out: &mut Vec<u8>, stream: u32, reason: Reason) {
    put(
        out,
        kind::RST_STREAM,
        0,
        stream,
        &(reason as u32).to_be_bytes(),
    );
}

/// Takes padding, and the priority of older clients, off a payload of DATA or HEADERS.
///
/// # Errors
/// If the padding is longer than the payload.
pub fn unpad(head: Head, payload: &[u8]) -> Result<&[u8], Reason> {
    let mut payload = payload;
    let mut padding = 0;
    if head.flags & flag::PADDED != 0 {
        let (first, rest) = payload.split_first().ok_or(Reason::FrameSize)?;
        (padding, payload) = (usize::from(*first), rest);
    }
    if head.kind == kind::HEADERS && head.flags & flag::PRIORITY != 0 {
        payload = payload.get(5..).ok_or(Reason::FrameSize)?;
    }
    let end = payload.len().checked_sub(padding).ok_or(Reason::Protocol)?;
    Ok(&payload[..end])
}
