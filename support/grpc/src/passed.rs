//! Requests that are passed on: streams, and services that are called now and then.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::outbox::{Answer, Outbox};

/// Bytes of an answer that may wait for the peer to take them before its producer has to wait.
const UNSENT_MAX: usize = 64 * 1024;

/// Bytes of a request's body that were taken before the connection is told. Ten thousand streams
/// of so many are less than the connection's window.
const TAKEN_STEP: usize = 512;

/// Holds up a producer that is faster than the peer.
#[derive(Default)]
pub struct Gate {
    unsent: AtomicUsize,
    opened: Notify,
}

impl Gate {
    /// Says that bytes have been sent.
    pub fn sent(&self, bytes: usize) {
        self.unsent.fetch_sub(bytes, Ordering::Relaxed);
        self.opened.notify_one();
    }

    async fn pass(&self, bytes: usize) {
        while self.unsent.load(Ordering::Relaxed) >= UNSENT_MAX {
            self.opened.notified().await;
        }
        self.unsent.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A request's body as it comes. What is taken of it the peer may send anew.
pub struct RequestBody {
    pub(crate) parts: UnboundedReceiver<Bytes>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) stream: u32,
    /// Bytes that were taken of late.
    pub(crate) taken: usize,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let part = std::task::ready!(self.parts.poll_recv(cx));
        Poll::Ready(part.map(|bytes| {
            self.taken += bytes.len();
            if self.taken >= TAKEN_STEP {
                let taken = std::mem::take(&mut self.taken);
                self.outbox.push(self.stream, Answer::Taken(taken)).wake();
            }
            Ok(Frame::data(bytes))
        }))
    }
}

/// Says that a stream has ended, however the task that answered it did.
struct Ended {
    outbox: Arc<Outbox>,
    stream: u32,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.outbox.push(self.stream, Answer::End).wake();
    }
}

/// Takes an answer from its future into the outbox.
pub async fn answer(
    response: impl Future<Output = http::Response<tonic::body::Body>>,
    outbox: Arc<Outbox>,
    stream: u32,
    gate: Arc<Gate>,
) {
    let ended = Ended { outbox, stream };
    let push = |answer| ended.outbox.push(stream, answer).wake();
    let (head, mut body) = response.await.into_parts();
    // A call that failed at once has but one header block, which is its last.
    push(Answer::Head(head, body.is_end_stream()));
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(status) => return push(Answer::Failed(status)),
        };
        match frame.into_data() {
            Ok(data) => {
                gate.pass(data.len()).await;
                push(Answer::Data(data));
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    push(Answer::Trailers(trailers));
                }
            }
        }
    }
}
