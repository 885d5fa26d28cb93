//! Where answers wait until their connection takes them.
//!
//! Whoever answers may be on any thread, and often has many answers at once: a sync of the disk
//! makes hundreds of writes durable. So an answer is written into the connection's outbox, which
//! is a lock and a copy, and the connection is woken once for all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status};

/// What waits to be sent.
pub enum Answer {
    /// A call's message, a part of [`Contents::bytes`].
    Message(std::ops::Range<usize>),
    /// A call's failure.
    Failed(Status),
    /// A passed-on request's headers, and whether they are all of its answer.
    Head(http::response::Parts, bool),
    /// A part of its body.
    Data(Bytes),
    /// Its last headers.
    Trailers(http::HeaderMap),
    /// Its body has ended, and nobody will say more about it.
    End,
    /// So many bytes of the request's body were taken.
    Taken(usize),
}

/// What is in an outbox.
#[derive(Default)]
pub struct Contents {
    /// Which stream it is for, and what.
    pub answers: Vec<(u32, Answer)>,
    /// The messages, one after the other.
    pub bytes: Vec<u8>,
}

/// A connection's outbox.
#[derive(Default)]
pub struct Outbox {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    contents: Contents,
    /// Set while the connection sleeps.
    waker: Option<Waker>,
}

/// Wakes a connection that has something to send. Who has many answers wakes when all are given.
#[must_use = "the connection sleeps on"]
pub struct Wake {
    waker: Option<Waker>,
    bytes: usize,
}

impl Wake {
    /// Wakes it.
    pub fn wake(self) {
        if let Some(waker) = self.waker {
            waker.wake();
        }
    }

    /// How many bytes the message has that is to be sent.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Its waker; none if it is awake.
    pub fn into_waker(self) -> Option<Waker> {
        self.waker
    }
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What is in it is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an answer in.
    pub fn push(&self, stream: u32, answer: Answer) -> Wake {
        let mut state = self.lock();
        state.contents.answers.push((stream, answer));
        let waker = state.waker.take();
        Wake { waker, bytes: 0 }
    }

    fn push_message(&self, stream: u32, write: impl FnOnce(&mut Vec<u8>)) -> Wake {
        let mut state = self.lock();
        let contents = &mut state.contents;
        let start = contents.bytes.len();
        write(&mut contents.bytes);
        let range = start..contents.bytes.len();
        let bytes = range.len();
        contents.answers.push((stream, Answer::Message(range)));
        let waker = state.waker.take();
        Wake { waker, bytes }
    }

    /// Takes everything out, and leaves `empty` in its place.
    pub fn take(&self, empty: &mut Contents) {
        std::mem::swap(&mut self.lock().contents, empty);
    }

    /// To be called before the connection sleeps; false if there is something to take.
    pub fn sleep(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        let is_empty = state.contents.answers.is_empty();
        if is_empty {
            state.waker = Some(waker.clone());
        }
        is_empty
    }
}

/// The right to answer a call, once.
pub struct Reply {
    outbox: Arc<Outbox>,
    stream: u32,
    is_answered: bool,
}

impl Reply {
    /// For the call of `stream`.
    pub(crate) fn new(outbox: Arc<Outbox>, stream: u32) -> Self {
        Self {
            outbox,
            stream,
            is_answered: false,
        }
    }

    /// Answers.
    pub fn send<M: Message>(mut self, answer: Result<M, Status>) -> Wake {
        match answer {
            Ok(message) => self.send_with(|out| {
                // A vector takes all that there is memory for.
                let _grows = message.encode(out);
            }),
            Err(status) => {
                self.is_answered = true;
                self.outbox.push(self.stream, Answer::Failed(status))
            }
        }
    }

    /// Answers with the message that `write` appends.
    pub fn send_with(mut self, write: impl FnOnce(&mut Vec<u8>)) -> Wake {
        self.is_answered = true;
        self.outbox.push_message(self.stream, write)
    }
}

impl Drop for Reply {
    /// Nobody is left waiting for an answer that will not come.
    fn drop(&mut self) {
        if !self.is_answered {
            let status = Status::new(Code::Unavailable, "the server is closing");
            self.outbox.push(self.stream, Answer::Failed(status)).wake();
        }
    }
}
