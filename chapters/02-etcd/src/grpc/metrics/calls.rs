//! Calls counted by method and outcome, and the bytes of their messages.
//!
//! A plain call is counted where it is answered. Of any other the messages are counted as they
//! pass, both ways, by the lengths that stand before them.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use grpc::CODES;
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::body::Body;
use tonic::{Code, Status};

use super::text::Text;
use crate::counts::Counter;

/// A method by its place in [`CallCounts`].
pub type MethodId = usize;

/// The calls of all methods.
#[derive(Debug)]
pub struct CallCounts {
    methods: Vec<Method>,
    by_path: HashMap<String, MethodId>,
    received_bytes: Counter,
    sent_bytes: Counter,
}

#[derive(Debug)]
struct Method {
    service: String,
    name: String,
    kind: &'static str,
    started: Counter,
    received: Counter,
    sent: Counter,
    handled: [Counter; CODES.len()],
}

impl CallCounts {
    /// Counts the calls of the services that these descriptors describe.
    pub fn new(descriptors: &[&[u8]]) -> Self {
        let mut methods = Vec::new();
        for bytes in descriptors {
            let set = FileDescriptorSet::decode(*bytes).expect("the compiler wrote it");
            for file in &set.file {
                for service in &file.service {
                    let name = format!("{}.{}", file.package(), service.name());
                    let of_service = service.method.iter().map(|method| Method {
                        service: name.clone(),
                        name: method.name().to_owned(),
                        kind: match (method.client_streaming(), method.server_streaming()) {
                            (false, false) => "unary",
                            (true, false) => "client_stream",
                            (false, true) => "server_stream",
                            (true, true) => "bidi_stream",
                        },
                        started: Counter::default(),
                        received: Counter::default(),
                        sent: Counter::default(),
                        handled: std::array::from_fn(|_| Counter::default()),
                    });
                    methods.extend(of_service);
                }
            }
        }
        let paths = methods.iter().enumerate();
        let by_path = paths
            .map(|(id, method)| (format!("/{}/{}", method.service, method.name), id))
            .collect();
        Self {
            methods,
            by_path,
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
        }
    }

    /// The method of a path.
    pub fn method(&self, path: &str) -> Option<MethodId> {
        self.by_path.get(path).copied()
    }

    /// Whether a service is among those that are counted.
    pub fn has_service(&self, name: &str) -> bool {
        self.methods.iter().any(|method| method.service == name)
    }

    /// Counts a plain call that has come, with a message of so many bytes.
    pub fn called(&self, method: MethodId, bytes: usize) {
        let method = &self.methods[method];
        method.started.add(1);
        method.received.add(1);
        self.received_bytes.add(bytes as u64);
    }

    /// Counts its answer, whose message has so many bytes if all went well.
    pub fn answered(&self, method: MethodId, code: Code, bytes: usize) {
        let method = &self.methods[method];
        method.handled[code as usize].add(1);
        if code == Code::Ok {
            method.sent.add(1);
            self.sent_bytes.add(bytes as u64);
        }
    }

    /// Counts a call whose messages are passed on, if its method is known: the request is changed
    /// so that they are counted, and the answer has to be by [`Passed::answer`].
    pub fn pass(self: &Arc<Self>, request: Request<Body>) -> (Passed, Request<Body>) {
        let Some(method) = self.method(request.uri().path()) else {
            return (Passed(None), request);
        };
        self.methods[method].started.add(1);
        let request = request.map(|body| {
            Body::new(Counted {
                body,
                lengths: Lengths::default(),
                calls: self.clone(),
                method,
                outcome: None,
            })
        });
        // Counted as given up from now on, unless there is an answer.
        let outcome = Outcome {
            calls: self.clone(),
            method,
            code: Some(Code::Cancelled),
        };
        (Passed(Some(outcome)), request)
    }

    /// Adds what was counted.
    pub fn write(&self, text: &mut Text) {
        type Of = fn(&Method) -> &Counter;
        let families: [(&str, &str, Of); 3] = [
            (
                "grpc_server_started_total",
                "Calls that were begun.",
                |method| &method.started,
            ),
            (
                "grpc_server_msg_received_total",
                "Messages that came.",
                |method| &method.received,
            ),
            (
                "grpc_server_msg_sent_total",
                "Messages that were sent.",
                |method| &method.sent,
            ),
        ];
        for (name, help, of) in families {
            text.family(name, "counter", help);
            for method in &self.methods {
                text.sample(name, &method.labels(), of(method).get());
            }
        }
        let name = "grpc_server_handled_total";
        text.family(name, "counter", "Calls that were answered, by code.");
        for method in &self.methods {
            for (code, count) in CODES.iter().zip(&method.handled) {
                let mut labels = vec![("grpc_code", *code)];
                labels.extend(method.labels());
                text.sample(name, &labels, count.get());
            }
        }
        text.counter(
            "etcd_network_client_grpc_received_bytes_total",
            "Bytes of the messages that came.",
            self.received_bytes.get(),
        );
        text.counter(
            "etcd_network_client_grpc_sent_bytes_total",
            "Bytes of the messages that were sent.",
            self.sent_bytes.get(),
        );
    }
}

impl Method {
    fn labels(&self) -> [(&str, &str); 3] {
        [
            ("grpc_method", &self.name),
            ("grpc_service", &self.service),
            ("grpc_type", self.kind),
        ]
    }
}

/// How a call will have gone; counted when this is dropped.
struct Outcome {
    calls: Arc<CallCounts>,
    method: MethodId,
    code: Option<Code>,
}

impl Outcome {
    /// Takes the code from headers that have one.
    fn read(&mut self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.code = Some(status.code());
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if let Some(code) = self.code {
            self.calls.methods[self.method].handled[code as usize].add(1);
        }
    }
}

/// A call that was passed on and is not yet answered.
pub struct Passed(Option<Outcome>);

impl Passed {
    /// Counts what its answer will say.
    pub fn answer(self, response: Response<Body>) -> Response<Body> {
        let Some(mut outcome) = self.0 else {
            return response;
        };
        outcome.read(response.headers());
        if response.body().is_end_stream() {
            return response;
        }
        response.map(|body| {
            Body::new(Counted {
                body,
                lengths: Lengths::default(),
                calls: outcome.calls.clone(),
                method: outcome.method,
                outcome: Some(outcome),
            })
        })
    }
}

/// A body whose messages are counted: a request's, or an answer's with its outcome.
struct Counted {
    body: Body,
    lengths: Lengths,
    calls: Arc<CallCounts>,
    method: MethodId,
    outcome: Option<Outcome>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match (&frame, &mut this.outcome) {
            (Some(Ok(frame)), outcome) => {
                if let Some(data) = frame.data_ref() {
                    let (messages, bytes) = this.lengths.read(data);
                    let method = &this.calls.methods[this.method];
                    let (count, sum) = match outcome {
                        None => (&method.received, &this.calls.received_bytes),
                        Some(_) => (&method.sent, &this.calls.sent_bytes),
                    };
                    count.add(messages);
                    sum.add(bytes);
                } else if let (Some(trailers), Some(outcome)) = (frame.trailers_ref(), outcome) {
                    outcome.read(trailers);
                }
            }
            (Some(Err(status)), Some(outcome)) => outcome.code = Some(status.code()),
            _ => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Finds the messages in bytes that come in pieces: each has its length before it, as the last
/// four bytes of five.
#[derive(Debug, Default)]
struct Lengths {
    /// What came of a prefix that is not all there.
    prefix: [u8; 5],
    prefix_bytes: usize,
    /// What is to come of a message.
    rest: usize,
}

impl Lengths {
    /// How many messages begin in a piece, and how many bytes of messages it has.
    fn read(&mut self, mut piece: &[u8]) -> (u64, u64) {
        let (mut messages, mut bytes) = (0, 0);
        while !piece.is_empty() {
            let part = piece.len().min(self.rest);
            self.rest -= part;
            bytes += part as u64;
            piece = &piece[part..];
            let wanted = piece.len().min(self.prefix.len() - self.prefix_bytes);
            self.prefix[self.prefix_bytes..][..wanted].copy_from_slice(&piece[..wanted]);
            self.prefix_bytes += wanted;
            piece = &piece[wanted..];
            if let [_, a, b, c, d] = self.prefix
                && self.prefix_bytes == self.prefix.len()
            {
                messages += 1;
                self.rest = u32::from_be_bytes([a, b, c, d]) as usize;
                self.prefix_bytes = 0;
            }
        }
        (messages, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let mut stream = Vec::new();
        for length in [3u8, 0, 7, 1] {
            stream.extend([0, 0, 0, 0, length]);
            stream.extend(std::iter::repeat_n(9, length.into()));
        }
        for size in 1..=stream.len() {
            let mut lengths = Lengths::default();
            let pieces = stream.chunks(size).map(|piece| lengths.read(piece));
            let sum = pieces.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            assert_eq!(sum, (4, 11), "in pieces of {size}");
        }
    }
}
