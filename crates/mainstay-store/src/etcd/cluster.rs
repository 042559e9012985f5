//! Members.

use tonic::{Request, Response, Status, async_trait};

use super::face::Face;
use super::refusal::{self, status};
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

    fn members(&self) -> Vec<pb::Member> {
        self.engine.members().into_iter().map(member).collect()
    }
}

/// The address in what etcd's clients call a member's peer URLs: one of plain HTTP, which is how they write it.
fn peer(urls: &[String]) -> Result<String, Status> {
    let [url] = urls else { return Err(status(if urls.is_empty() { refusal::BAD_PEER } else { refusal::ONE_PEER })) };
    let address = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let is_address = |address: &&str| {
        let (host, port) = address.rsplit_once(':').unwrap_or_default();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        !host.is_empty() && host.bytes().all(plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    address.filter(is_address).map(str::to_owned).ok_or_else(|| status(refusal::BAD_PEER))
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
        Ok(Response::new(pb::MemberListResponse { header: self.of_members(), members: self.members() }))
    }

    async fn member_add(
        &self,
        request: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        self.led(&request)?;
        let pb::MemberAddRequest { peer_ur_ls, is_learner } = request.into_inner();
        let id = self.engine.add(&peer(&peer_ur_ls)?, is_learner).await?;
        let members = self.members();
        let added = members.iter().find(|member| member.id == id).cloned();
        let member = added.unwrap_or(pb::Member { id, peer_ur_ls, is_learner: true, ..pb::Member::default() });
        Ok(Response::new(pb::MemberAddResponse { header: self.of_members(), member: Some(member), members }))
    }

    async fn member_remove(
        &self,
        request: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        self.led(&request)?;
        let gone = request.into_inner().id;
        self.engine.remove(gone).await?;
        // Nobody tells a member that was removed: it is the last to know.
        let members = self.members().into_iter().filter(|member| member.id != gone).collect();
        Ok(Response::new(pb::MemberRemoveResponse { header: self.of_members(), members }))
    }

    async fn member_update(
        &self,
        request: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        self.led(&request)?;
        let pb::MemberUpdateRequest { id, peer_ur_ls } = request.into_inner();
        self.engine.relocate(id, &peer(&peer_ur_ls)?).await?;
        Ok(Response::new(pb::MemberUpdateResponse { header: self.of_members(), members: self.members() }))
    }

    async fn member_promote(
        &self,
        request: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        self.led(&request)?;
        self.engine.promote(request.into_inner().id).await?;
        Ok(Response::new(pb::MemberPromoteResponse { header: self.of_members(), members: self.members() }))
    }
}
