//! One connection to a server, and calls on it.

use std::marker::PhantomData;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::Rpc;
use super::body::Body;
use super::framing::{framed, next, unframed};
use super::status::{Code, Status, status_of};

/// A connection. Clones are the same one.
#[derive(Clone)]
pub struct Connection {
    sender: SendRequest<Body>,
    /// `http://HOST:PORT`, for the head of each request.
    origin: String,
}

impl Connection {
    /// Speaks HTTP/2 over `io`. With `keep_alive`, a peer that has not answered a ping after a
    /// third of that time more is given up.
    ///
    /// # Errors
    /// If the other side does not speak it.
    pub async fn start<I>(
        io: I,
        origin: impl Into<String>,
        keep_alive: Option<Duration>,
    ) -> Result<Connection, Status>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new());
        if let Some(interval) = keep_alive {
            builder
                .keep_alive_interval(interval)
                .keep_alive_timeout(interval / 3)
                .keep_alive_while_idle(true);
        }
        let (sender, driver) = builder.handshake(TokioIo::new(io)).await.map_err(lost)?;
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a gRPC connection broke");
            }
        });
        let origin = origin.into();
        Ok(Connection { sender, origin })
    }

    /// Whether it broke, or the other side takes no more calls.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until a call can be sent. As long as this fails, none was.
    ///
    /// # Errors
    /// If the connection broke.
    pub async fn ready(&mut self) -> Result<(), Status> {
        self.sender.ready().await.map_err(lost)
    }

    /// Calls, and waits for the reply as long as `deadline`.
    ///
    /// # Errors
    /// What the server says, or what became of the connection.
    pub async fn call<R: Rpc>(
        &mut self,
        request: &R,
        deadline: Duration,
    ) -> Result<R::Reply, Status> {
        let calling = async {
            self.ready().await?;
            let body = Body::One(Some(framed(request)));
            let request = self.request(R::PATH, body, &[]);
            let reply = self.sender.send_request(request).await;
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

    /// Opens a stream with its first request, and waits until the server has begun to answer.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn stream<R: Rpc>(
        &mut self,
        first: &R,
        metadata: &[(&'static str, &'static str)],
    ) -> Result<(Requests<R>, Replies<R>), Status> {
        self.ready().await?;
        let (sender, messages) = mpsc::unbounded_channel();
        let requests = Requests {
            sender,
            of: PhantomData,
        };
        requests.send(first);
        let request = self.request(R::PATH, Body::Many(messages), metadata);
        let reply: Response<Incoming> = self.sender.send_request(request).await.map_err(lost)?;
        if let Some(Err(status)) = status_of(Some(reply.headers())) {
            return Err(status);
        }
        let replies = Replies {
            body: reply.into_body(),
            received: BytesMut::new(),
            of: PhantomData,
        };
        Ok((requests, replies))
    }

    fn request(
        &self,
        path: &str,
        body: Body,
        metadata: &[(&'static str, &'static str)],
    ) -> Request<Body> {
        let mut request = Request::post(format!("{}{path}", self.origin))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in metadata {
            request = request.header(*name, *value);
        }
        request.body(body).expect("the path is well-formed")
    }
}

/// Where the requests of a stream go. Dropping it tells the server that there are no more.
pub struct Requests<R> {
    sender: mpsc::UnboundedSender<Bytes>,
    of: PhantomData<fn(R)>,
}

impl<R: Rpc> Requests<R> {
    /// Sends one. Nothing happens once the stream is over, which its replies tell.
    pub fn send(&self, request: &R) {
        let _over = self.sender.send(framed(request));
    }
}

/// Where the replies of a stream come from. Dropping it ends the stream.
pub struct Replies<R: Rpc> {
    body: Incoming,
    received: BytesMut,
    of: PhantomData<fn(R)>,
}

impl<R: Rpc> Replies<R> {
    /// The next reply; none when the server ended the stream well. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// What the server says, or what became of the connection.
    pub async fn next(&mut self) -> Result<Option<R::Reply>, Status> {
        loop {
            if let Some(reply) = next(&mut self.received)? {
                return Ok(Some(reply));
            }
            let Some(frame) = self.body.frame().await else {
                return Err(Status::new(Code::Unavailable, "the stream was cut off"));
            };
            match frame.map_err(lost)?.into_data() {
                Ok(data) => self.received.extend_from_slice(&data),
                Err(frame) => match status_of(frame.trailers_ref()) {
                    Some(Err(status)) => return Err(status),
                    _ => return Ok(None),
                },
            }
        }
    }
}

fn lost(error: hyper::Error) -> Status {
    Status::new(Code::Unavailable, error)
}
