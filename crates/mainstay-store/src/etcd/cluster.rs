//! Members.

use tonic::{Request, Response, Status, async_trait};

use super::face::Face;
use super::wire::etcdserverpb as pb;
use crate::engine::Member;

/// An address as etcd tells it.
fn url(address: &str) -> Vec<String> {
    if address.is_empty() { Vec::new() } else { vec![format!("http://{address}")] }
}

pub(crate) fn member(of: Member) -> pb::Member {
    pb::Member {
        id: of.id,
        name: of.name,
        peer_ur_ls: url(&of.peer),
        client_ur_ls: url(&of.client),
        is_learner: of.learner,
    }
}

impl Face {
    /// The header of what is said of members. etcd gives it no revision.
    fn of_members(&self) -> Option<pb::ResponseHeader> {
        super::answer::header_at(self.engine.header(), 0)
    }
}

fn not_built() -> Status {
    Status::unimplemented("mainstay: members cannot be changed in a running cluster yet")
}

#[async_trait]
impl pb::cluster_server::Cluster for Face {
    async fn member_list(
        &self,
        request: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        self.led(&request)?;
        if request.into_inner().linearizable {
            self.engine.confirm().await?;
        }
        let members = self.engine.members().into_iter().map(member).collect();
        Ok(Response::new(pb::MemberListResponse { header: self.of_members(), members }))
    }

    async fn member_add(&self, _: Request<pb::MemberAddRequest>) -> Result<Response<pb::MemberAddResponse>, Status> {
        Err(not_built())
    }

    async fn member_remove(
        &self,
        _: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        Err(not_built())
    }

    async fn member_update(
        &self,
        _: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        Err(not_built())
    }

    async fn member_promote(
        &self,
        _: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        Err(not_built())
    }
}
