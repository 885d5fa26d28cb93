//! Keep-alives of leases: a stream that answers each request at once.

use bytes::Bytes;
use grpc::Messages;
use tonic::Status;
use tonic::body::Body;

use super::pb::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use super::{Server, convert, kv};
use crate::api::Error;

/// Answers a call of `LeaseKeepAlive`.
pub fn serve(server: Server, body: Body) -> http::Response<Body> {
    let requests = Messages::new(body, kv::MESSAGE_BYTES_MAX);
    let state = Some((server, requests));
    grpc::stream(futures::stream::unfold(state, |state| async {
        let (server, mut requests) = state?;
        match answers(&server, &mut requests).await {
            Ok(None) => None,
            Ok(Some(piece)) => Some((Ok(piece), Some((server, requests)))),
            Err(status) => Some((Err(status), None)),
        }
    }))
}

/// Answers the requests that are there, at least one; none once the client has sent its last.
async fn answers(server: &Server, requests: &mut Messages) -> Result<Option<Bytes>, Status> {
    let mut out = Vec::new();
    let mut next: Option<LeaseKeepAliveRequest> = requests.next().await?;
    while let Some(request) = next {
        grpc::put_message(&mut out, &answer(server, request.id)?);
        next = requests.take()?;
    }
    Ok((!out.is_empty()).then(|| out.into()))
}

fn answer(server: &Server, id: i64) -> Result<LeaseKeepAliveResponse, Status> {
    let ttl = match server.store.lease_keep_alive(id) {
        Ok(ttl) => ttl,
        // This is how a client learns that its lease is gone.
        Err(Error::LeaseNotFound) => 0,
        Err(error) => return Err(convert::status(error)),
    };
    Ok(LeaseKeepAliveResponse {
        header: server.header(),
        id,
        ttl,
    })
}
