//! The calls that come by the ten thousand: reads and writes of the service `KV`, answered in the
//! turn of the connection that brought them, and the streams of watches and keep-alives.

use std::sync::Arc;

use bytes::Bytes;
use grpc::{Reply, Wake};
use prost::Message;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service as _;

use super::metrics::{CallCounts, MethodId};
use super::pb::etcdserverpb as rpc;
use super::{Server, convert, encode, keep_alive, kv, unknown, watch};
use crate::api::{RangeRequest, RequestOp, ResponseOp, TxnRequest};

/// What a connection needs to have its calls answered.
#[derive(Clone)]
pub struct Calls {
    server: Server,
    /// All other services, and streams.
    routes: Routes,
    /// What the methods that are answered here are called by who counts them.
    counted: [MethodId; PATHS.len()],
}

const RANGE: u16 = 0;
const PUT: u16 = 1;
const DELETE_RANGE: u16 = 2;
const TXN: u16 = 3;

/// The paths of these.
const PATHS: [&str; 4] = [
    "/etcdserverpb.KV/Range",
    "/etcdserverpb.KV/Put",
    "/etcdserverpb.KV/DeleteRange",
    "/etcdserverpb.KV/Txn",
];

impl grpc::Service for Calls {
    fn method(&self, path: &[u8]) -> Option<u16> {
        let found = PATHS.iter().position(|known| known.as_bytes() == path)?;
        Some(found as u16)
    }

    fn call(&self, method: u16, message: &[u8], reply: Reply) {
        let method_id = self.counted[usize::from(method)];
        let calls = self.server.metrics.calls.clone();
        calls.called(method_id, message.len());
        let reply = CountedReply {
            reply,
            calls,
            method: method_id,
        };
        // One copy for all keys and values of a message, which are then parts of it.
        let message = Bytes::copy_from_slice(message);
        match method {
            RANGE => match decode(message).and_then(kv::range) {
                Ok(request) => self.range(&request, reply),
                Err(status) => refuse(reply, status),
            },
            PUT => match decode(message).and_then(|put| kv::put(put, &self.server.config)) {
                Ok(put) => self.write(RequestOp::Put(put), reply),
                Err(status) => refuse(reply, status),
            },
            DELETE_RANGE => match decode(message).and_then(kv::delete_range) {
                Ok(delete) => self.write(RequestOp::DeleteRange(delete), reply),
                Err(status) => refuse(reply, status),
            },
            TXN => match decode(message).and_then(|txn| kv::txn(txn, &self.server.config)) {
                Ok(txn) => self.server.store.begin_txn(txn, move |outcome| {
                    let answer = outcome.map(convert::txn_response);
                    reply.send(answer.map_err(convert::status)).into_waker()
                }),
                Err(status) => refuse(reply, status),
            },
            _ => unreachable!("there is no other method"),
        }
    }

    fn called(&self) {
        self.server.store.flush();
    }

    fn pass_on(
        &self,
        request: http::Request<tonic::body::Body>,
    ) -> impl Future<Output = http::Response<tonic::body::Body>> + Send + 'static {
        let server = self.server.clone();
        let (passed, request) = server.metrics.calls.pass(request);
        let mut routes = self.routes.clone();
        async move {
            let path = request.uri().path().to_owned();
            let response = match path.as_str() {
                "/etcdserverpb.Watch/Watch" => watch::serve(server, request.into_body()),
                "/etcdserverpb.Lease/LeaseKeepAlive" => {
                    keep_alive::serve(server, request.into_body())
                }
                _ => match routes.call(request).await {
                    Ok(response) => {
                        let calls = &server.metrics.calls;
                        unknown::named(response, &path, |name| calls.has_service(name))
                    }
                    Err(never) => match never {},
                },
            };
            passed.answer(response)
        }
    }

    fn message_bytes_max(&self) -> usize {
        let config = &self.server.config;
        config
            .max_request_bytes
            .saturating_add(kv::MESSAGE_OVERHEAD_BYTES)
    }
}

impl Calls {
    /// Answers calls by `server`, and by `routes` those that it does not know.
    pub fn new(server: Server, routes: Routes) -> Self {
        let method = |path| server.metrics.calls.method(path);
        Self {
            counted: PATHS.map(|path| method(path).expect("it is of our own API")),
            server,
            routes,
        }
    }

    fn range(&self, request: &RangeRequest, reply: CountedReply) {
        let mut reply = Some(reply);
        let answered = self.server.store.range_with(request, |found| {
            reply.take().map(|reply| {
                reply.send_with(|out| encode::put_range(out, found, request.keys_only))
            })
        });
        match (answered, reply) {
            (Ok(Some(wake)), _) => wake.wake(),
            (Err(error), Some(reply)) => refuse(reply, convert::status(error)),
            _ => unreachable!("what is found is answered, and what is not fails"),
        }
    }

    /// Does a step that is a transaction of its own.
    fn write(&self, op: RequestOp, reply: CountedReply) {
        self.server
            .store
            .begin_txn(TxnRequest::from(op), move |outcome| {
                let step = outcome
                    .map_err(convert::status)
                    .map(|mut txn| txn.responses.pop());
                let wake = match step {
                    Ok(Some(ResponseOp::Put(put))) => reply.send(Ok(convert::put_response(put))),
                    Ok(Some(ResponseOp::DeleteRange(delete))) => {
                        reply.send(Ok(convert::delete_response(delete)))
                    }
                    Ok(_) => unreachable!("one step, one answer of its kind"),
                    Err(status) => reply.send::<rpc::PutResponse>(Err(status)),
                };
                wake.into_waker()
            });
    }
}

/// The right to answer a call, which is counted when it is.
struct CountedReply {
    reply: Reply,
    calls: Arc<CallCounts>,
    method: MethodId,
}

impl CountedReply {
    fn send<M: Message>(self, answer: Result<M, Status>) -> Wake {
        let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        let wake = self.reply.send(answer);
        self.calls.answered(self.method, code, wake.bytes());
        wake
    }

    fn send_with(self, write: impl FnOnce(&mut Vec<u8>)) -> Wake {
        let wake = self.reply.send_with(write);
        self.calls.answered(self.method, Code::Ok, wake.bytes());
        wake
    }
}

fn decode<M: Message + Default>(message: Bytes) -> Result<M, Status> {
    M::decode(message).map_err(|error| Status::new(Code::Internal, error.to_string()))
}

fn refuse(reply: CountedReply, status: Status) {
    reply.send::<rpc::RangeResponse>(Err(status)).wake();
}
