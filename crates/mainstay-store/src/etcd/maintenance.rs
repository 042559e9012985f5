//! How a member stands, and what its operator may want of it.

use futures_util::stream;
use tonic::{Request, Response, Status, async_trait};

use super::face::Face;
use super::wire::etcdserverpb as pb;
use super::{VERSION, answer, refusal};
use pb::alarm_request::AlarmAction;

impl Face {
    fn alarms(&self) -> Vec<pb::AlarmMember> {
        let full = self.engine.status().no_space;
        let alarm = pb::AlarmMember { member_id: self.engine.header().member, alarm: pb::AlarmType::Nospace.into() };
        full.then_some(alarm).into_iter().collect()
    }
}

fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[async_trait]
impl pb::maintenance_server::Maintenance for Face {
    async fn status(&self, request: Request<pb::StatusRequest>) -> Result<Response<pb::StatusResponse>, Status> {
        self.led(&request)?;
        let status = self.engine.status();
        let nobody = (status.leader == 0).then(|| refusal::NO_LEADER.1.to_owned());
        let full = status.no_space.then(|| format!("memberID:{} alarm:NOSPACE ", self.engine.header().member));
        Ok(Response::new(pb::StatusResponse {
            header: answer::header(self.engine.header()),
            version: VERSION.to_owned(),
            db_size: size(status.disk),
            leader: status.leader,
            raft_index: status.committed,
            raft_term: status.term,
            raft_applied_index: status.applied,
            errors: nobody.into_iter().chain(full).collect(),
            db_size_in_use: size(status.data),
            is_learner: status.learner,
        }))
    }

    /// An alarm is a fact here and clears itself when it is over: raising and clearing one by hand changes nothing.
    async fn alarm(&self, request: Request<pb::AlarmRequest>) -> Result<Response<pb::AlarmResponse>, Status> {
        self.led(&request)?;
        let asked = request.into_inner();
        let of = |alarm: &pb::AlarmMember| asked.alarm == pb::AlarmType::None as i32 || asked.alarm == alarm.alarm;
        let listed = asked.action == AlarmAction::Get as i32;
        let alarms = if listed { self.alarms().into_iter().filter(of).collect() } else { Vec::new() };
        Ok(Response::new(pb::AlarmResponse { header: answer::header(self.engine.header()), alarms }))
    }

    /// There is nothing to do: space that compaction gives back is given back.
    async fn defragment(&self, _: Request<pb::DefragmentRequest>) -> Result<Response<pb::DefragmentResponse>, Status> {
        Ok(Response::new(pb::DefragmentResponse { header: None }))
    }

    async fn hash(&self, _: Request<pb::HashRequest>) -> Result<Response<pb::HashResponse>, Status> {
        let (hash, ..) = self.engine.hash(0).map_err(refusal::refused)?;
        Ok(Response::new(pb::HashResponse { header: answer::header(self.engine.header()), hash }))
    }

    async fn hash_kv(&self, request: Request<pb::HashKvRequest>) -> Result<Response<pb::HashKvResponse>, Status> {
        let asked = request.into_inner().revision;
        let (hash, hash_revision, compact_revision) = self.engine.hash(asked).map_err(refusal::refused)?;
        let header = answer::header(self.engine.header());
        Ok(Response::new(pb::HashKvResponse { header, hash, compact_revision, hash_revision }))
    }

    type SnapshotStream = stream::Empty<Result<pb::SnapshotResponse, Status>>;

    async fn snapshot(&self, _: Request<pb::SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        Err(Status::unimplemented("mainstay: snapshots cannot be fetched yet"))
    }

    async fn move_leader(&self, _: Request<pb::MoveLeaderRequest>) -> Result<Response<pb::MoveLeaderResponse>, Status> {
        Err(Status::unimplemented("mainstay: leadership cannot be handed over by hand yet"))
    }
}
