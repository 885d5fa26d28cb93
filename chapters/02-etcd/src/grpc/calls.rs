//! The calls that come by the ten thousand: reads and writes of the service `KV`, answered in the
//! turn of the connection that brought them, and the streams of watches and keep-alives.

use bytes::Bytes;
use grpc::Reply;
use prost::Message;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service as _;

use super::pb::etcdserverpb as rpc;
use super::{Server, convert, encode, keep_alive, kv, watch};
use crate::api::{RangeRequest, RequestOp, ResponseOp, TxnRequest};

/// What a connection needs to have its calls answered.
#[derive(Clone)]
pub struct Calls {
    pub(super) server: Server,
    /// All other services, and streams.
    pub(super) routes: Routes,
}

const RANGE: u16 = 0;
const PUT: u16 = 1;
const DELETE_RANGE: u16 = 2;
const TXN: u16 = 3;

impl grpc::Service for Calls {
    fn method(&self, path: &[u8]) -> Option<u16> {
        match path {
            b"/etcdserverpb.KV/Range" => Some(RANGE),
            b"/etcdserverpb.KV/Put" => Some(PUT),
            b"/etcdserverpb.KV/DeleteRange" => Some(DELETE_RANGE),
            b"/etcdserverpb.KV/Txn" => Some(TXN),
            _ => None,
        }
    }

    fn call(&self, method: u16, message: &[u8], reply: Reply) {
        // One copy for all keys and values of a message, which are then parts of it.
        let message = Bytes::copy_from_slice(message);
        match method {
            RANGE => match decode(message).and_then(kv::range) {
                Ok(request) => self.range(&request, reply),
                Err(status) => refuse(reply, status),
            },
            PUT => match decode(message).and_then(kv::put) {
                Ok(put) => self.write(RequestOp::Put(put), reply),
                Err(status) => refuse(reply, status),
            },
            DELETE_RANGE => match decode(message).and_then(kv::delete_range) {
                Ok(delete) => self.write(RequestOp::DeleteRange(delete), reply),
                Err(status) => refuse(reply, status),
            },
            _ => match decode(message).and_then(kv::txn) {
                Ok(txn) => self.server.store.begin_txn(txn, move |outcome| {
                    let answer = outcome.map(convert::txn_response);
                    reply.send(answer.map_err(convert::status)).into_waker()
                }),
                Err(status) => refuse(reply, status),
            },
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
        let mut routes = self.routes.clone();
        async move {
            match request.uri().path() {
                "/etcdserverpb.Watch/Watch" => watch::serve(server, request.into_body()),
                "/etcdserverpb.Lease/LeaseKeepAlive" => {
                    keep_alive::serve(server, request.into_body())
                }
                _ => match routes.call(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                },
            }
        }
    }

    fn message_bytes_max(&self) -> usize {
        kv::MESSAGE_BYTES_MAX
    }
}

impl Calls {
    fn range(&self, request: &RangeRequest, reply: Reply) {
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
    fn write(&self, op: RequestOp, reply: Reply) {
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

fn decode<M: Message + Default>(message: Bytes) -> Result<M, Status> {
    M::decode(message).map_err(|error| Status::new(Code::Internal, error.to_string()))
}

fn refuse(reply: Reply, status: Status) {
    reply.send::<rpc::RangeResponse>(Err(status)).wake();
}
