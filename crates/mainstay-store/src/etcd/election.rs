//! Elections that the store keeps. A leader is the first of a queue; what it proclaims is the value of its key.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use mainstay_mvcc::{Delete, KeyValue, Op, Put, Revision, Span, Txn, Watch};
use prost::bytes::Bytes;
use tonic::{Request, Response, Status, async_trait};

use super::answer;
use super::face::Face;
use super::hold::{self, Place, first, queue, still};
use super::refusal::{self, status};
use super::wire::v3electionpb as pb;
use crate::engine::Header;
use crate::watch::{Seen, Watcher};

/// Has the leader's key do this, if the caller still leads.
async fn as_leader(face: &Face, leader: &pb::LeaderKey, op: Op) -> Result<Header, Status> {
    let txn = Txn { when: vec![still(&leader.key, leader.rev)], then: vec![op], otherwise: Vec::new() };
    let (header, done) = hold::txn(face, txn).await?;
    if done.succeeded { Ok(header) } else { Err(status(refusal::ELECTION_NOT_LEADER)) }
}

fn proclamation(leader: &pb::LeaderKey, value: Bytes) -> Op {
    Op::Put(Put { key: leader.key.clone(), value: Some(value), lease: Some(leader.lease), previous: false })
}

fn leader_key(leader: Option<pb::LeaderKey>) -> Result<pb::LeaderKey, Status> {
    leader.ok_or_else(|| status(refusal::MISSING_LEADER_KEY))
}

/// Who observes an election, and what it has told last.
struct Observer {
    face: Face,
    prefix: Bytes,
    told: Option<(Bytes, Revision)>,
    changes: Option<Watcher>,
}

impl Observer {
    /// The next proclamation: of the leader, or of who leads next.
    async fn next(&mut self) -> Result<(Header, KeyValue), Status> {
        loop {
            if let Some(changes) = &mut self.changes
                && matches!(changes.next().await, Seen::Compacted(_))
            {
                self.changes = None;
            }
            // Whatever changed, the leader is read anew: several changes may be one by then.
            let (header, mut found) = hold::read(&self.face, &first(&self.prefix)).await?;
            self.changes.get_or_insert_with(|| self.face.engine.watch(changes(&self.prefix, header.revision + 1)));
            if let Some(leader) = found.kvs.pop() {
                let now = (leader.key.clone(), leader.modified);
                if self.told.as_ref() != Some(&now) {
                    self.told = Some(now);
                    return Ok((header, leader));
                }
            }
        }
    }
}

fn changes(prefix: &Bytes, from: Revision) -> Watch {
    Watch { span: Span::prefix(prefix.clone()), from, puts: true, deletes: true, previous: false }
}

#[async_trait]
impl pb::election_server::Election for Face {
    async fn campaign(&self, request: Request<pb::CampaignRequest>) -> Result<Response<pb::CampaignResponse>, Status> {
        self.led(&request)?;
        let pb::CampaignRequest { name, lease, value } = request.into_inner();
        let prefix = queue(&name);
        let (place, there) = Place::enter(self, &prefix, lease, value.clone()).await?;
        let leader = pb::LeaderKey { name, key: place.key.clone(), rev: place.made, lease: place.lease };
        if there.is_some_and(|there| there.value != value) {
            as_leader(self, &leader, proclamation(&leader, value)).await?;
        }
        let header = place.first(&prefix).await?;
        place.keep();
        Ok(Response::new(pb::CampaignResponse { header: answer::header(header), leader: Some(leader) }))
    }

    async fn proclaim(&self, request: Request<pb::ProclaimRequest>) -> Result<Response<pb::ProclaimResponse>, Status> {
        self.led(&request)?;
        let request = request.into_inner();
        let leader = leader_key(request.leader)?;
        let header = as_leader(self, &leader, proclamation(&leader, request.value)).await?;
        Ok(Response::new(pb::ProclaimResponse { header: answer::header(header) }))
    }

    async fn leader(&self, request: Request<pb::LeaderRequest>) -> Result<Response<pb::LeaderResponse>, Status> {
        self.led(&request)?;
        let (header, mut found) = hold::read(self, &first(&queue(&request.into_inner().name))).await?;
        let leader = found.kvs.pop().ok_or_else(|| status(refusal::ELECTION_NO_LEADER))?;
        let kv = Some(answer::key_value(leader));
        Ok(Response::new(pb::LeaderResponse { header: answer::header(header), kv }))
    }

    type ObserveStream = Pin<Box<dyn Stream<Item = Result<pb::LeaderResponse, Status>> + Send>>;

    async fn observe(&self, request: Request<pb::LeaderRequest>) -> Result<Response<Self::ObserveStream>, Status> {
        self.led(&request)?;
        let prefix = queue(&request.into_inner().name);
        let observer = Observer { face: self.clone(), prefix, told: None, changes: None };
        let told = stream::unfold(Some(observer), async |observer| {
            let mut observer = observer?;
            match observer.next().await {
                Ok((header, leader)) => {
                    let kv = Some(answer::key_value(leader));
                    Some((Ok(pb::LeaderResponse { header: answer::header(header), kv }), Some(observer)))
                }
                Err(why) => Some((Err(why), None)),
            }
        });
        Ok(Response::new(Box::pin(told.take_until(self.stopped()))))
    }

    async fn resign(&self, request: Request<pb::ResignRequest>) -> Result<Response<pb::ResignResponse>, Status> {
        self.led(&request)?;
        let leader = leader_key(request.into_inner().leader)?;
        let delete = Op::Delete(Delete { span: Span::key(leader.key.clone()), previous: false });
        let txn = Txn { when: vec![still(&leader.key, leader.rev)], then: vec![delete], otherwise: Vec::new() };
        let (header, _) = hold::txn(self, txn).await?;
        Ok(Response::new(pb::ResignResponse { header: answer::header(header) }))
    }
}
