//! The services `Maintenance` and `Cluster`: how the one member is.

use tonic::{Request, Response, Status};

use super::pb::etcdserverpb::{
    AlarmRequest, AlarmResponse, Member, MemberListRequest, MemberListResponse, StatusRequest,
    StatusResponse, alarm_request::AlarmAction, cluster_server::Cluster,
    maintenance_server::Maintenance,
};
use super::{API_VERSION, MEMBER_ID, RAFT_TERM, Server};

#[tonic::async_trait]
impl Maintenance for Server {
    async fn alarm(
        &self,
        request: Request<AlarmRequest>,
    ) -> Result<Response<AlarmResponse>, Status> {
        // A health check asks for alarms. There are none: a full disk is told to whoever writes.
        if request.into_inner().action() == AlarmAction::Activate {
            return Err(Status::unimplemented("alarms are not kept"));
        }
        Ok(Response::new(AlarmResponse {
            header: self.header(),
            alarms: Vec::new(),
        }))
    }

    async fn status(
        &self,
        _request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let bytes = i64::try_from(self.store.size_bytes()).unwrap_or(i64::MAX);
        // Without Raft its index is the count of changes.
        let index = self.store.revision().unsigned_abs();
        Ok(Response::new(StatusResponse {
            header: self.header(),
            version: API_VERSION.to_owned(),
            db_size: bytes,
            db_size_in_use: bytes,
            leader: MEMBER_ID,
            raft_index: index,
            raft_applied_index: index,
            raft_term: RAFT_TERM,
            errors: Vec::new(),
            is_learner: false,
        }))
    }
}

#[tonic::async_trait]
impl Cluster for Server {
    async fn member_list(
        &self,
        _request: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        let advertised = match self.config.advertise_client_urls.as_slice() {
            [] => &self.config.listen_client_urls,
            _ => &self.config.advertise_client_urls,
        };
        let member = Member {
            id: MEMBER_ID,
            name: self.config.name.clone(),
            peer_ur_ls: Vec::new(),
            client_ur_ls: advertised.clone(),
            is_learner: false,
        };
        Ok(Response::new(MemberListResponse {
            header: self.header(),
            members: vec![member],
        }))
    }
}
