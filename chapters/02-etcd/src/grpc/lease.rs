//! The service `Lease`.

use tonic::{Request, Response, Status, Streaming};

use super::pb::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, lease_server::Lease,
};
use super::{Server, convert};
use crate::api::Error;
use crate::mvcc::TTL_SECONDS_MIN;

#[tonic::async_trait]
impl Lease for Server {
    async fn lease_grant(
        &self,
        request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        let LeaseGrantRequest { ttl, id } = request.into_inner();
        let id = self
            .store
            .lease_grant(id, ttl)
            .await
            .map_err(convert::status)?;
        let ttl = ttl.max(TTL_SECONDS_MIN);
        let response = LeaseGrantResponse {
            header: self.header(),
            id,
            ttl,
            error: String::new(),
        };
        Ok(Response::new(response))
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        let id = request.into_inner().id;
        self.store.lease_revoke(id).await.map_err(convert::status)?;
        Ok(Response::new(LeaseRevokeResponse {
            header: self.header(),
        }))
    }

    /// Never asked: the stream is answered by [`super::keep_alive`].
    type LeaseKeepAliveStream = tokio_stream::Empty<Result<LeaseKeepAliveResponse, Status>>;

    async fn lease_keep_alive(
        &self,
        _requests: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let LeaseTimeToLiveRequest { id, keys } = request.into_inner();
        let header = self.header();
        let response = match self.store.lease_time_to_live(id) {
            Ok(lease) => LeaseTimeToLiveResponse {
                header,
                id,
                ttl: lease.ttl_seconds,
                granted_ttl: lease.granted_ttl_seconds,
                keys: if keys { lease.keys } else { Vec::new() },
            },
            // As in etcd this is no error.
            Err(Error::LeaseNotFound) => LeaseTimeToLiveResponse {
                header,
                id,
                ttl: -1,
                ..Default::default()
            },
            Err(error) => return Err(convert::status(error)),
        };
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        _request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        let leases = self
            .store
            .leases()
            .into_iter()
            .map(|id| LeaseStatus { id })
            .collect();
        Ok(Response::new(LeaseLeasesResponse {
            header: self.header(),
            leases,
        }))
    }
}
