//! A gRPC server over an HTTP/2 of its own, where a call costs microseconds.
//!
//! gRPC is HTTP/2 with a convention: a call is a POST to `/package.Service/Method`, a message is
//! five bytes of length and then protobuf, and how it went is a header that comes last. A server
//! made of general parts (an HTTP library, a framework on top) spends thirty microseconds on what
//! is around a call of one message each way. A store whose own work takes three has nothing to
//! show for it. Here a call goes from the socket's buffer to the service and back with no task, no
//! channel and no header map of its own; and all calls that came with one read, or that one sync of
//! the disk made answerable, share one write.
//!
//! ```text
//!   socket ──► frame ──► hpack ──► connection ──► Service::call(method, message, reply)
//!                                      ▲                              │
//!   socket ◄── out ◄── send ───────────┴──────── outbox ◄── Reply::send, from any thread
//! ```
//!
//! - [`frame`] and [`hpack`] are the two layers of HTTP/2's bytes;
//! - `connection` is a connection without a socket: bytes in, calls and bytes out, with flow control
//!   both ways (`stream`, `send`);
//! - `outbox` is where answers wait for their connection;
//! - `serve` puts a socket to it;
//! - `messages` reads and writes calls that are streams;
//! - `passed` hands whatever is not a plain call (streams, other services) to a [`tonic`] service.
//!
//! That is the feature `server`. The feature `client` is `client`, which shares no code with it: a
//! client has few calls to make, and `hyper` makes them well.
//!
//! What a peer can make this hold is bounded: headers by [`hpack`], messages in flight by the
//! connection's window, streams by their number, and a peer that does not read is not read from.
//!
//! Left out: push, priorities (RFC 9113 has them no more), compression of answers (a call that says
//! it is compressed is passed on), and deadlines (`grpc-timeout` is the client's own business here).
//! Upstream: RFC 9113, RFC 7541, and `doc/PROTOCOL-HTTP2.md` in grpc/grpc.

#[cfg(feature = "client")]
pub mod client;
mod codes;
#[cfg(feature = "server")]
mod connection;
#[cfg(feature = "server")]
pub mod frame;
#[cfg(feature = "server")]
pub mod hpack;
#[cfg(feature = "server")]
mod messages;
#[cfg(feature = "server")]
mod outbox;
#[cfg(feature = "server")]
mod passed;
#[cfg(feature = "server")]
mod send;
#[cfg(feature = "server")]
mod serve;
#[cfg(feature = "server")]
mod stream;
#[cfg(all(test, feature = "server"))]
mod tests;

#[cfg(feature = "server")]
use std::future::Future;

pub use codes::CODES;
#[cfg(feature = "server")]
pub use messages::{Messages, put_message, stream};
#[cfg(feature = "server")]
pub use outbox::{Reply, Wake};
#[cfg(feature = "server")]
pub use serve::serve;

#[cfg(feature = "server")]
/// What answers the calls of all connections.
pub trait Service: Clone + Send + Sync + 'static {
    /// The number by which [`Service::call`] knows the method at `path`; none if its calls are
    /// passed on.
    fn method(&self, path: &[u8]) -> Option<u16>;

    /// Answers a call, now or later. It is called in the connection's turn: it must not wait.
    fn call(&self, method: u16, message: &[u8], reply: Reply);

    /// Called after calls, once all were made that came with them, on this connection and on the
    /// others that were ready: time to do together what they have in common.
    fn called(&self);

    /// Answers any other request.
    fn pass_on(
        &self,
        request: http::Request<tonic::body::Body>,
    ) -> impl Future<Output = http::Response<tonic::body::Body>> + Send + 'static;

    /// The largest message that is taken, in bytes.
    fn message_bytes_max(&self) -> usize;
}
