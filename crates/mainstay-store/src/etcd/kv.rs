//! Keys.

use mainstay_mvcc::{Command, Done};
use tonic::{Request, Response, Status, async_trait};

use super::face::Face;
use super::wire::etcdserverpb as pb;
use super::{answer, ask, refusal};

#[async_trait]
impl pb::kv_server::Kv for Face {
    async fn range(&self, request: Request<pb::RangeRequest>) -> Result<Response<pb::RangeResponse>, Status> {
        self.led(&request)?;
        let request = request.into_inner();
        let serializable = request.serializable;
        if !serializable && self.engine.learns() {
            return Err(refusal::status(refusal::NOT_FOR_LEARNERS));
        }
        let range = ask::range(request)?;
        if !serializable {
            self.engine.confirm().await?;
        }
        let (header, found) = self.engine.read_in_turn(&range).await.map_err(refusal::refused)?;
        Ok(Response::new(answer::range(answer::header(header), found)))
    }

    async fn put(&self, request: Request<pb::PutRequest>) -> Result<Response<pb::PutResponse>, Status> {
        let put = ask::put(self.fitting(request)?)?;
        match self.done(Command::Put(put)).await? {
            (header, Done::Put(previous)) => Ok(Response::new(answer::put(answer::header(header), previous))),
            _ => Err(refusal::astray()),
        }
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        let delete = ask::delete(self.fitting(request)?)?;
        match self.done(Command::Delete(delete)).await? {
            (header, Done::Deleted(gone)) => Ok(Response::new(answer::deleted(answer::header(header), gone))),
            _ => Err(refusal::astray()),
        }
    }

    async fn txn(&self, request: Request<pb::TxnRequest>) -> Result<Response<pb::TxnResponse>, Status> {
        let txn = ask::txn(self.fitting(request)?)?;
        match self.done(Command::Txn(txn)).await? {
            (header, Done::Txn(done)) => Ok(Response::new(answer::txn(answer::header(header), done, header.revision))),
            _ => Err(refusal::astray()),
        }
    }

    /// `physical` asks to wait until the space is given back. It is when this answers.
    async fn compact(
        &self,
        request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        let request = self.fitting(request)?;
        let (header, _) = self.done(Command::Compact(request.revision)).await?;
        Ok(Response::new(pb::CompactionResponse { header: answer::header(header) }))
    }
}
