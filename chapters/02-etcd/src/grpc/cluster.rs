//! The service `Cluster`: of one member, which stays the only one.

use tonic::{Code, Request, Response, Status};

use super::pb::etcdserverpb::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
    MemberUpdateRequest, MemberUpdateResponse, cluster_server::Cluster,
};
use super::{MEMBER_ID, Server, header_at};

#[tonic::async_trait]
impl Cluster for Server {
    async fn member_add(
        &self,
        request: Request<MemberAddRequest>,
    ) -> Result<Response<MemberAddResponse>, Status> {
        check_peer_urls(&request.into_inner().peer_ur_ls)?;
        Err(one_member())
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        check_member(request.into_inner().id)?;
        // The last one cannot go. Upstream's code for this is `Unknown`.
        Err(Status::unknown(
            "etcdserver: re-configuration failed due to not enough started members",
        ))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        let MemberUpdateRequest { id, peer_ur_ls } = request.into_inner();
        check_member(id)?;
        check_peer_urls(&peer_ur_ls)?;
        Err(one_member())
    }

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
            // Of membership, which has no revision.
            header: header_at(0),
            members: vec![member],
        }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        check_member(request.into_inner().id)?;
        Err(Status::failed_precondition(
            "etcdserver: can only promote a learner member",
        ))
    }
}

fn check_member(id: u64) -> Result<(), Status> {
    if id == MEMBER_ID {
        return Ok(());
    }
    Err(Status::not_found("etcdserver: member not found"))
}

/// Peers are spoken to at `http://HOST:PORT` or `https://HOST:PORT` and nothing more.
fn check_peer_urls(urls: &[String]) -> Result<(), Status> {
    let is_valid = |url: &String| {
        let uri: http::Uri = url.parse().ok()?;
        let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let bare = uri.path().is_empty() || uri.path() == "/";
        (scheme && bare && uri.query().is_none())
            .then_some(uri.port_u16())
            .flatten()
    };
    if !urls.is_empty() && urls.iter().all(|url| is_valid(url).is_some()) {
        return Ok(());
    }
    Err(Status::invalid_argument(
        "etcdserver: given member URLs are invalid",
    ))
}

fn one_member() -> Status {
    Status::new(
        Code::Unimplemented,
        "etcdserver: this store has no peers and is always its only member; run etcd itself for more",
    )
}
