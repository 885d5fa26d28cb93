//! One stream of a connection: a call from its headers to its last byte.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use crate::passed::Gate;

/// What happens to the bytes that come.
pub enum Receive {
    /// They are the message of a call that is not yet whole.
    Message {
        /// Which method.
        method: u16,
        /// What came so far.
        message: Vec<u8>,
    },
    /// They are the body of a request that was passed on; none once it has ended.
    Body(Option<UnboundedSender<Bytes>>),
    /// Nobody wants them: the call is made, or was refused.
    Nothing,
}

/// A stream.
pub struct Stream {
    /// What happens to the bytes that come.
    pub receive: Receive,
    /// Bytes of the connection's window that it holds until it is answered.
    pub held: u32,
    /// Bytes that whoever answers it took, and that the peer was not yet told to send anew.
    pub taken: u32,
    /// The peer gave it up, but whoever answers it does not know yet.
    pub gone: bool,
    /// Its answer was begun.
    pub has_head: bool,
    /// Bytes that may still be sent. The peer can make it less than nothing.
    pub window: i64,
    /// What may not be sent yet.
    pub unsent: VecDeque<Bytes>,
    /// The last frame, which goes when all else has gone.
    pub end: Option<End>,
    /// Whoever produces the answer, where that is a task.
    pub producer: Option<(Arc<Gate>, AbortHandle)>,
}

/// How a stream ends.
pub enum End {
    /// With the header that says that all went well. It is written when it goes: what it is
    /// written as depends on what went before.
    Well,
    /// With these headers, which depend on nothing.
    Trailers(Vec<u8>),
    /// With its data.
    Data,
}

impl Stream {
    /// A stream that has just been opened.
    pub fn new(receive: Receive, window: i64) -> Self {
        Self {
            receive,
            held: 0,
            taken: 0,
            gone: false,
            has_head: false,
            window,
            unsent: VecDeque::new(),
            end: None,
            producer: None,
        }
    }
}
