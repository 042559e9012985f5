//! Leases.

use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use mainstay_mvcc::{Command, Done, LeaseId, Refused};
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::answer;
use super::face::Face;
use super::refusal::{self, status};
use super::wire::etcdserverpb as pb;

/// The longest lease in seconds, as in etcd.
const LONGEST: i64 = 9_000_000_000;

/// A number for a lease: positive, and nobody else's by luck alone.
pub(crate) fn draw() -> LeaseId {
    let drawn = RandomState::new().hash_one(std::time::SystemTime::now()) >> 1;
    i64::try_from(drawn).unwrap_or(1).max(1)
}

impl Face {
    /// Grants a lease. The shortest length is one and a half elections, so that it outlives the leader's death.
    pub(crate) async fn grant(&self, id: LeaseId, ttl: i64) -> Result<(crate::Header, LeaseId, i64), Status> {
        if ttl > LONGEST {
            return Err(status(refusal::LEASE_TOO_LONG));
        }
        let ttl = ttl.max(self.settings.shortest_lease());
        loop {
            let grant = Command::Grant { id: if id == 0 { draw() } else { id }, ttl };
            match self.engine.propose(grant).await {
                Ok(applied) => match applied.done {
                    Ok(Done::Granted { id, ttl }) => return Ok((self.header(applied.revision), id, ttl)),
                    Err(Refused::LeaseExists) if id == 0 => {}
                    Err(why) => return Err(refusal::refused(why)),
                    Ok(_) => return Err(refusal::astray()),
                },
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    /// The header is read before the lease is renewed: whoever sees it knows that the lease lived at that revision.
    async fn keep_alive(&self, id: LeaseId) -> Result<pb::LeaseKeepAliveResponse, Status> {
        let header = answer::header(self.engine.header());
        let ttl = self.engine.renew(id).await?.unwrap_or(0);
        Ok(pb::LeaseKeepAliveResponse { header, id, ttl })
    }
}

type KeepAlives = Pin<Box<dyn Stream<Item = Result<pb::LeaseKeepAliveResponse, Status>> + Send>>;

#[async_trait]
impl pb::lease_server::Lease for Face {
    async fn lease_grant(
        &self,
        request: Request<pb::LeaseGrantRequest>,
    ) -> Result<Response<pb::LeaseGrantResponse>, Status> {
        self.led(&request)?;
        let request = request.into_inner();
        let (header, id, ttl) = self.grant(request.id, request.ttl).await?;
        let header = answer::header(header);
        Ok(Response::new(pb::LeaseGrantResponse { header, id, ttl, error: String::new() }))
    }

    async fn lease_revoke(
        &self,
        request: Request<pb::LeaseRevokeRequest>,
    ) -> Result<Response<pb::LeaseRevokeResponse>, Status> {
        self.led(&request)?;
        let (header, _) = self.done(Command::Revoke(request.into_inner().id)).await?;
        Ok(Response::new(pb::LeaseRevokeResponse { header: answer::header(header) }))
    }

    type LeaseKeepAliveStream = KeepAlives;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<pb::LeaseKeepAliveRequest>>,
    ) -> Result<Response<KeepAlives>, Status> {
        self.led(&request)?;
        let start = Some((self.clone(), request.into_inner()));
        let answers = stream::unfold(start, async |state| {
            let (face, mut requests) = state?;
            let id = requests.next().await?.map(|request| request.id);
            match id {
                Ok(id) => match face.keep_alive(id).await {
                    Ok(answer) => Some((Ok(answer), Some((face, requests)))),
                    Err(status) => Some((Err(status), None)),
                },
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(Box::pin(answers.take_until(self.stopped()))))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Response<pb::LeaseTimeToLiveResponse>, Status> {
        self.led(&request)?;
        let pb::LeaseTimeToLiveRequest { id, keys } = request.into_inner();
        let lease = self.engine.lease(id, keys).await?;
        let header = answer::header(self.engine.header());
        let gone = pb::LeaseTimeToLiveResponse { header, id, ttl: -1, granted_ttl: 0, keys: Vec::new() };
        Ok(Response::new(lease.map_or(gone.clone(), |lease| pb::LeaseTimeToLiveResponse {
            ttl: lease.left,
            granted_ttl: lease.granted,
            keys: lease.keys,
            ..gone
        })))
    }

    async fn lease_leases(
        &self,
        request: Request<pb::LeaseLeasesRequest>,
    ) -> Result<Response<pb::LeaseLeasesResponse>, Status> {
        self.led(&request)?;
        let leases = self.engine.leases().into_iter().map(|id| pb::LeaseStatus { id }).collect();
        Ok(Response::new(pb::LeaseLeasesResponse { header: answer::header(self.engine.header()), leases }))
    }
}
