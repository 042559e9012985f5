//! How a member stands, and what its operator may want of it.

use futures_util::stream::{self, BoxStream};
use tonic::{Request, Response, Status, async_trait};

use super::face::Face;
use super::refusal::status;
use super::saved::Saved;
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
        let stands = self.engine.status();
        let nobody = (stands.leader == 0).then(|| refusal::NO_LEADER.1.to_owned());
        let full = stands.no_space.then(|| format!("memberID:{} alarm:NOSPACE ", self.engine.header().member));
        Ok(Response::new(pb::StatusResponse {
            header: answer::header(self.engine.header()),
            version: VERSION.to_owned(),
            db_size: size(stands.disk),
            leader: stands.leader,
            raft_index: stands.committed,
            raft_term: stands.term,
            raft_applied_index: stands.applied,
            errors: nobody.into_iter().chain(full).collect(),
            db_size_in_use: size(stands.data),
            is_learner: stands.learner,
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

    type SnapshotStream = BoxStream<'static, Result<pb::SnapshotResponse, Status>>;

    /// All data of this member as it is now. How much is left is not known before it was gathered, and not told.
    async fn snapshot(&self, request: Request<pb::SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        self.led(&request)?;
        let header = answer::header(self.engine.header());
        let pieces = stream::unfold(Saved::new(self.engine.save()), move |mut saved| async move {
            let blob = saved.next().await?;
            Some((Ok(pb::SnapshotResponse { header, remaining_bytes: 0, blob }), saved))
        });
        Ok(Response::new(Box::pin(pieces)))
    }

    /// Whoever leads already is no news, as in etcd. The header is left out, as there.
    async fn move_leader(
        &self,
        request: Request<pb::MoveLeaderRequest>,
    ) -> Result<Response<pb::MoveLeaderResponse>, Status> {
        let to = request.into_inner().target_id;
        let (leader, me) = (self.engine.status().leader, self.engine.header().member);
        if leader != me {
            return Err(status(refusal::NOT_LEADER));
        }
        if !self.engine.members().iter().any(|member| member.id == to && !member.learner) {
            return Err(status(refusal::BAD_HEIR));
        }
        if to != me {
            self.engine.hand_over(to).await?;
        }
        Ok(Response::new(pb::MoveLeaderResponse { header: None }))
    }
}
