//! A gRPC client over `hyper`: plain calls and streams, with messages written by hand.
//!
//! A call is an HTTP/2 request. Method and service are its path, each message is preceded by five
//! bytes (a flag for compression and its length), and how it went is in the trailers:
//!
//! ```text
//! POST /runtime.v1.RuntimeService/Version      200
//! content-type: application/grpc               content-type: application/grpc
//! te: trailers                                 00 00 00 00 1c …message…
//! 00 00 00 00 02 …message…                     grpc-status: 0
//! ```
//!
//! Written out instead of taken from a crate: it is a few pages, and what a code generator and a
//! gRPC library would add to a cold build is half a minute. The kubelet speaks CRI with it, the API
//! server etcd's API.

mod body;
mod connection;
mod framing;
mod status;
mod unix;

pub use connection::{Connection, Replies, Requests};
pub use status::{Code, Status};
pub use unix::Client;

use prost::Message;

/// A request of a service: where it goes, and what comes back.
pub trait Rpc: Message {
    /// `/package.Service/Method`.
    const PATH: &'static str;
    /// What answers it.
    type Reply: Message + Default;
}
