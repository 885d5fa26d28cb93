//! gRPC calls over a Unix socket, as much of gRPC as CRI needs: one message there, one back.
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
//! Written out instead of taken from a crate: it is a page, and what a code generator and a gRPC
//! library would add to a cold build is half a minute.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixStream;
use tokio::sync::Mutex;

/// The bytes before a message.
const PREFIX: usize = 5;

/// What a call may end with instead of a reply. Upstream: `google.golang.org/grpc/codes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The call took longer than it may.
    DeadlineExceeded,
    /// What it is about is not there.
    NotFound,
    /// The other side does not know this call.
    Unimplemented,
    /// Nobody listens, or the connection broke.
    Unavailable,
    /// Any other, by its number.
    Other(u32),
}

impl Code {
    fn of(number: u32) -> Code {
        match number {
            4 => Code::DeadlineExceeded,
            5 => Code::NotFound,
            12 => Code::Unimplemented,
            14 => Code::Unavailable,
            other => Code::Other(other),
        }
    }

    /// The name that Go's library prints.
    fn name(self) -> &'static str {
        const NAMES: [&str; 17] = [
            "OK",
            "Canceled",
            "Unknown",
            "InvalidArgument",
            "DeadlineExceeded",
            "NotFound",
            "AlreadyExists",
            "PermissionDenied",
            "ResourceExhausted",
            "FailedPrecondition",
            "Aborted",
            "OutOfRange",
            "Unimplemented",
            "Internal",
            "Unavailable",
            "DataLoss",
            "Unauthenticated",
        ];
        let number = match self {
            Code::DeadlineExceeded => 4,
            Code::NotFound => 5,
            Code::Unimplemented => 12,
            Code::Unavailable => 14,
            Code::Other(number) => number,
        };
        NAMES.get(number as usize).copied().unwrap_or("Unknown")
    }
}

/// A call that failed, in the words of Go's library: users see it in events.
#[derive(Debug, Clone, thiserror::Error)]
#[error("rpc error: code = {} desc = {message}", .code.name())]
pub struct Status {
    /// Why, for programs.
    pub code: Code,
    /// Why, for people.
    pub message: String,
}

impl Status {
    fn new(code: Code, message: impl std::fmt::Display) -> Status {
        Status {
            code,
            message: message.to_string(),
        }
    }
}

/// A request of a service: where it goes, and what comes back.
pub trait Rpc: Message {
    /// `/package.Service/Method`.
    const PATH: &'static str;
    /// What answers it.
    type Reply: Message + Default;
}

/// The client's end of one socket. Calls share a connection, which is made anew when it breaks.
pub struct Client {
    socket: PathBuf,
    connection: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Client {
    /// A client of whoever listens at `socket`.
    pub fn new(socket: impl Into<PathBuf>) -> Client {
        Client {
            socket: socket.into(),
            connection: Mutex::new(None),
        }
    }

    /// Where it calls.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Calls, and waits for the reply as long as `deadline`.
    pub async fn call<R: Rpc>(&self, request: &R, deadline: Duration) -> Result<R::Reply, Status> {
        let calling = async {
            let mut connection = self.connect().await?;
            let lost = |error: hyper::Error| Status::new(Code::Unavailable, error);
            connection.ready().await.map_err(lost)?;
            let reply = connection.send_request(framed(request)).await;
            let (head, body) = reply.map_err(lost)?.into_parts();
            let body = body.collect().await.map_err(lost)?;
            // A call that failed at once has its status in the head, with no body.
            let status = status_of(body.trailers()).or_else(|| status_of(Some(&head.headers)));
            match status {
                Some(Ok(())) => unframed(body.to_bytes()),
                Some(Err(status)) => Err(status),
                None => Err(Status::new(
                    Code::Other(13),
                    format!("HTTP status {} without a gRPC status", head.status),
                )),
            }
        };
        match tokio::time::timeout(deadline, calling).await {
            Ok(result) => result,
            Err(_) => Err(Status::new(
                Code::DeadlineExceeded,
                "context deadline exceeded",
            )),
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Status> {
        let mut connection = self.connection.lock().await;
        if let Some(open) = connection.as_ref().filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        let socket = self.socket.display();
        let refused = |error: &dyn std::fmt::Display| {
            let message = format!(
                "connection error: desc = \"transport: Error while dialing: dial unix {socket}: \
                 {error}\""
            );
            Status::new(Code::Unavailable, message)
        };
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|error| refused(&error))?;
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, driver) = handshake.map_err(|error| refused(&error))?;
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "connection to the runtime");
            }
        });
        *connection = Some(sender.clone());
        Ok(sender)
    }
}

fn framed<R: Rpc>(request: &R) -> Request<Full<Bytes>> {
    let mut body = BytesMut::with_capacity(PREFIX + request.encoded_len());
    body.put_u8(0);
    body.put_u32(request.encoded_len() as u32);
    request
        .encode(&mut body)
        .expect("there is room for all of it");
    Request::post(format!("http://localhost{}", R::PATH))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(body.freeze()))
        .expect("the path is well-formed")
}

fn unframed<M: Message + Default>(mut body: Bytes) -> Result<M, Status> {
    let malformed = |why: &str| Status::new(Code::Other(13), format!("malformed reply: {why}"));
    if body.len() < PREFIX {
        return Err(malformed("no message"));
    }
    let (compressed, length) = (body.get_u8(), body.get_u32() as usize);
    if compressed != 0 || body.len() != length {
        return Err(malformed("it is compressed or cut short"));
    }
    M::decode(body).map_err(|error| malformed(&error.to_string()))
}

/// What the headers say of the call; `None` if they say nothing.
fn status_of(headers: Option<&HeaderMap>) -> Option<Result<(), Status>> {
    let headers = headers?;
    let number: u32 = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    if number == 0 {
        return Some(Ok(()));
    }
    let message = headers.get("grpc-message").map(|text| text.as_bytes());
    let message = percent_decoded(message.unwrap_or_default());
    Some(Err(Status::new(Code::of(number), message)))
}

/// Text in a header, where what is not plain ASCII is `%` and two digits.
fn percent_decoded(text: &[u8]) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let escaped = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match (byte, escaped) {
            (b'%', Some(escaped)) => {
                plain.push(escaped);
                rest = &tail[2..];
            }
            _ => {
                plain.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_in_the_trailers() {
        let mut headers = HeaderMap::new();
        assert!(status_of(Some(&headers)).is_none());
        headers.insert("grpc-status", "5".parse().unwrap());
        headers.insert("grpc-message", "no %22x%22, 100%".parse().unwrap());
        let status = status_of(Some(&headers)).unwrap().unwrap_err();
        assert_eq!(status.code, Code::NotFound);
        assert_eq!(
            status.to_string(),
            "rpc error: code = NotFound desc = no \"x\", 100%"
        );
    }

    #[test]
    fn replies_that_are_cut_short_are_told() {
        let whole = Bytes::from_static(b"\0\0\0\0\x03\x0a\x01x");
        assert_eq!(unframed::<String>(whole.clone()).unwrap(), "x");
        for length in 0..whole.len() {
            assert!(
                unframed::<String>(whole.slice(..length)).is_err(),
                "{length}"
            );
        }
    }
}
