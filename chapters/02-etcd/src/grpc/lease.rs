//! The service `Lease`.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::pb::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, lease_server::Lease,
};
use super::{Server, convert};
use crate::api::Error;

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
        let ttl = ttl.max(1);
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

    type LeaseKeepAliveStream =
        Pin<Box<dyn Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send>>;

    async fn lease_keep_alive(
        &self,
        requests: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let server = self.clone();
        let responses = requests.into_inner().map(move |request| {
            let id = request?.id;
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
        });
        Ok(Response::new(Box::pin(responses)))
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
