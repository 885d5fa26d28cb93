//! The service `KV`: reads, writes, transactions, compaction.

use prost::Message;
use tonic::{Request, Response, Status};

use super::pb::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse, kv_server::Kv,
};
use super::{Config, Server, convert};
use crate::api;

/// The largest request in bytes unless a flag says otherwise, as in etcd.
pub const REQUEST_BYTES_MAX: usize = 3 * 512 * 1024;

/// What a message may have around its request, in bytes.
pub const MESSAGE_OVERHEAD_BYTES: usize = 512 * 1024;

fn check_size(request: &impl Message, config: &Config) -> Result<(), Status> {
    if request.encoded_len() <= config.max_request_bytes {
        return Ok(());
    }
    Err(Status::invalid_argument("etcdserver: request is too large"))
}

/// The largest message of a stream.
pub const MESSAGE_BYTES_MAX: usize = REQUEST_BYTES_MAX + MESSAGE_OVERHEAD_BYTES;

/// A put, as the store has it.
pub fn put(request: PutRequest, config: &Config) -> Result<api::PutRequest, Status> {
    check_size(&request, config)?;
    Ok(convert::put_request(request))
}

/// A deletion, as the store has it.
pub fn delete_range(request: DeleteRangeRequest) -> Result<api::DeleteRangeRequest, Status> {
    convert::delete_request(request).map_err(convert::status)
}

/// A transaction, as the store has it.
pub fn txn(request: TxnRequest, config: &Config) -> Result<api::TxnRequest, Status> {
    check_size(&request, config)?;
    convert::txn_request(request, config.max_txn_ops).map_err(convert::status)
}

/// A read, as the store has it.
pub fn range(request: RangeRequest) -> Result<api::RangeRequest, Status> {
    convert::range_request(request).map_err(convert::status)
}

#[tonic::async_trait]
impl Kv for Server {
    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<RangeResponse>, Status> {
        let request = range(request.into_inner())?;
        let response = self.store.range(&request).map_err(convert::status)?;
        Ok(Response::new(convert::range_response(response)))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let request = put(request.into_inner(), &self.config)?;
        let response = self.store.put(request).await.map_err(convert::status)?;
        Ok(Response::new(convert::put_response(response)))
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let request = delete_range(request.into_inner())?;
        let response = self.store.delete_range(request).await;
        let response = response.map_err(convert::status)?;
        Ok(Response::new(convert::delete_response(response)))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let request = txn(request.into_inner(), &self.config)?;
        let response = self.store.txn(request).await.map_err(convert::status)?;
        Ok(Response::new(convert::txn_response(response)))
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        let request = request.into_inner();
        let compacted = self.store.compact(request.revision).await;
        compacted.map_err(convert::status)?;
        if request.physical {
            self.store.sweep().await;
        }
        Ok(Response::new(CompactionResponse {
            header: self.header(),
        }))
    }
}
