//! What a call sends: one message, or messages as they come.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc::UnboundedReceiver;

/// The body of a request.
pub enum Body {
    /// A plain call's: its message, until it is taken.
    One(Option<Bytes>),
    /// A stream's: it ends when nobody can send any more.
    Many(UnboundedReceiver<Bytes>),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let message = match self.get_mut() {
            Body::One(message) => Poll::Ready(message.take()),
            Body::Many(messages) => messages.poll_recv(context),
        };
        message.map(|message| message.map(|message| Ok(Frame::data(message))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::One(None))
    }
}
