//! The service `Maintenance`: how the one member is, and what an operator does to it.

use std::io;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::pb::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, DefragmentRequest, DefragmentResponse,
    DowngradeRequest, DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest, HashResponse,
    MoveLeaderRequest, MoveLeaderResponse, SnapshotRequest, SnapshotResponse, StatusRequest,
    StatusResponse, alarm_request::AlarmAction, downgrade_request::DowngradeAction,
    maintenance_server::Maintenance,
};
use super::{API_VERSION, MEMBER_ID, RAFT_TERM, Server, convert, hash, header_at};
use crate::api::{Alarm, Revision};

/// Pieces of a snapshot that wait for a slow client.
const SNAPSHOT_PIECES_WAITING: usize = 4;

#[tonic::async_trait]
impl Maintenance for Server {
    async fn alarm(
        &self,
        request: Request<AlarmRequest>,
    ) -> Result<Response<AlarmResponse>, Status> {
        let request = request.into_inner();
        let (action, asked) = (request.action(), request.alarm());
        let alarms = match action {
            AlarmAction::Get => {
                let mut alarms = self.store.alarms();
                alarms.retain(|alarm| asked == AlarmType::None || asked == alarm_type(*alarm));
                alarms
            }
            AlarmAction::Activate | AlarmAction::Deactivate => {
                let changed = match asked {
                    AlarmType::None => None,
                    AlarmType::Nospace => Some(Alarm::NoSpace),
                    AlarmType::Corrupt => Some(Alarm::Corrupt),
                };
                let is_raised = action == AlarmAction::Activate;
                // One that is not raised cannot be lowered, nor one of another member. Python's client
                // names none.
                let is_ours = [0, MEMBER_ID].contains(&request.member_id);
                let changed = changed
                    .filter(|alarm| is_raised || is_ours && self.store.alarms().contains(alarm));
                if let Some(alarm) = changed {
                    let changed = self.store.set_alarm(alarm, is_raised).await;
                    changed.map_err(convert::status)?;
                }
                changed.into_iter().collect()
            }
        };
        let member = |alarm| AlarmMember {
            member_id: MEMBER_ID,
            alarm: alarm_type(alarm).into(),
        };
        Ok(Response::new(AlarmResponse {
            header: self.header(),
            alarms: alarms.into_iter().map(member).collect(),
        }))
    }

    async fn status(
        &self,
        _request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let bytes = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        // Without Raft its index is the count of changes.
        let index = self.store.revision().unsigned_abs();
        let error = |alarm| format!("memberID:{MEMBER_ID} alarm:{} ", alarm_name(alarm));
        Ok(Response::new(StatusResponse {
            header: self.header(),
            version: API_VERSION.to_owned(),
            db_size: bytes(self.store.size_bytes()),
            db_size_in_use: bytes(self.store.stored_bytes()),
            leader: MEMBER_ID,
            raft_index: index,
            raft_applied_index: index,
            raft_term: RAFT_TERM,
            errors: self.store.alarms().into_iter().map(error).collect(),
            is_learner: false,
        }))
    }

    /// Writes a checkpoint: then on disk there is what the store holds, and no more.
    async fn defragment(
        &self,
        _request: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || store.checkpoint()).await;
        done.map_err(|error| Status::internal(error.to_string()))?
            .map_err(convert::status)?;
        // As in etcd it has no header.
        Ok(Response::new(DefragmentResponse { header: None }))
    }

    async fn hash(&self, _request: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        let (hash, revision) = self.hash_at(0).await?;
        Ok(Response::new(HashResponse {
            header: header_at(revision),
            hash,
        }))
    }

    async fn hash_kv(
        &self,
        request: Request<HashKvRequest>,
    ) -> Result<Response<HashKvResponse>, Status> {
        let (hash, hash_revision) = self.hash_at(request.into_inner().revision).await?;
        Ok(Response::new(HashKvResponse {
            header: self.header(),
            hash,
            compact_revision: self.store.compact_revision(),
            hash_revision,
        }))
    }

    type SnapshotStream = ReceiverStream<Result<SnapshotResponse, Status>>;

    async fn snapshot(
        &self,
        _request: Request<SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        let (pieces, stream) = mpsc::channel(SNAPSHOT_PIECES_WAITING);
        let (backup, header) = (self.store.backup(), self.header());
        tokio::task::spawn_blocking(move || {
            let written = backup.write(|blob, remaining_bytes| {
                let piece = SnapshotResponse {
                    header,
                    remaining_bytes,
                    blob: blob.into(),
                    version: String::new(),
                };
                pieces
                    .blocking_send(Ok(piece))
                    .map_err(|_gone| io::ErrorKind::BrokenPipe.into())
            });
            if let Err(error) = written {
                tracing::warn!(%error, "a snapshot was not sent to its end");
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn move_leader(
        &self,
        request: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        if request.into_inner().target_id != MEMBER_ID {
            return Err(Status::failed_precondition(
                "etcdserver: bad leader transferee",
            ));
        }
        Ok(Response::new(MoveLeaderResponse { header: None }))
    }

    /// There is no older version to go back to.
    async fn downgrade(
        &self,
        request: Request<DowngradeRequest>,
    ) -> Result<Response<DowngradeResponse>, Status> {
        let request = request.into_inner();
        if request.action() == DowngradeAction::Cancel {
            return Err(Status::failed_precondition(
                "etcdserver: no inflight downgrade job",
            ));
        }
        let mut numbers = request.version.split('.').map(str::parse::<u32>);
        let is_version = numbers.clone().count() >= 2 && numbers.all(|number| number.is_ok());
        Err(Status::invalid_argument(match is_version {
            true => "etcdserver: invalid downgrade target version",
            false => "etcdserver: wrong downgrade target version format",
        }))
    }
}

impl Server {
    /// The hash of what there is as of a revision (0 is now), and that revision.
    async fn hash_at(&self, revision: Revision) -> Result<(u32, Revision), Status> {
        let (changes, revision) = self.store.changes_to(revision).map_err(convert::status)?;
        // Many keys take a while, and this thread has others to answer.
        let hash = tokio::task::spawn_blocking(move || hash::hash(&changes)).await;
        let hash = hash.map_err(|error| Status::internal(error.to_string()))?;
        Ok((hash, revision))
    }
}

/// An alarm as etcd calls it.
pub fn alarm_name(alarm: Alarm) -> &'static str {
    alarm_type(alarm).as_str_name()
}

fn alarm_type(alarm: Alarm) -> AlarmType {
    match alarm {
        Alarm::NoSpace => AlarmType::Nospace,
        Alarm::Corrupt => AlarmType::Corrupt,
    }
}
