//! Locks that the store keeps. The key of a lock is its fencing token's name: a write that compares the key's create
//! revision is refused once the lock is lost.

use mainstay_mvcc::{Command, Delete, Span};
use prost::bytes::Bytes;
use tonic::{Request, Response, Status, async_trait};

use super::face::Face;
use super::hold::{Place, queue};
use super::wire::v3lockpb as pb;
use super::{answer, ask, refusal};

#[async_trait]
impl pb::lock_server::Lock for Face {
    async fn lock(&self, request: Request<pb::LockRequest>) -> Result<Response<pb::LockResponse>, Status> {
        self.led(&request)?;
        let request = request.into_inner();
        let prefix = queue(&request.name);
        let (place, _) = Place::enter(self, &prefix, request.lease, Bytes::new()).await?;
        let header = place.first(&prefix).await?;
        let key = place.key.clone();
        place.keep();
        Ok(Response::new(pb::LockResponse { header: answer::header(header), key }))
    }

    async fn unlock(&self, request: Request<pb::UnlockRequest>) -> Result<Response<pb::UnlockResponse>, Status> {
        self.led(&request)?;
        let key = request.into_inner().key;
        ask::some_key(&key).map_err(refusal::passed_on)?;
        let delete = Command::Delete(Delete { span: Span::key(key), previous: false });
        let (header, _) = self.done(delete).await.map_err(refusal::passed_on)?;
        Ok(Response::new(pb::UnlockResponse { header: answer::header(header) }))
    }
}
