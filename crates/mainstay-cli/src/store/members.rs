//! The members, how they stand, and how they change.

use std::path::Path;

use mainstay_store::etcd::wire::etcdserverpb::{
    Member, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest, MemberUpdateRequest,
    MoveLeaderRequest, SnapshotRequest, StatusRequest, StatusResponse,
};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::StoreArgs;
use super::args::MemberDeed;
use super::connect::{Client, refused};
use crate::outcome::{Outcome, Trouble, while_doing};
use crate::print::{self, Table};

pub(crate) async fn command(client: Client, deed: &MemberDeed, as_json: bool) -> Outcome {
    match deed {
        MemberDeed::List => show(list(&client, true).await?, as_json),
        MemberDeed::Add { peer, learner } => add(&client, peer, *learner, as_json).await,
        MemberDeed::Remove { member } => {
            let member = find(&client, member).await?;
            let request = MemberRemoveRequest { id: member.id };
            client.cluster().member_remove(request).await.map_err(|status| refused(&status))?;
            done(&member, "is removed, for good: end its node, and remove its data", as_json)
        }
        MemberDeed::Promote { member } => {
            let member = find(&client, member).await?;
            let request = MemberPromoteRequest { id: member.id };
            client.cluster().member_promote(request).await.map_err(|status| refused(&status))?;
            done(&member, "votes", as_json)
        }
        MemberDeed::Update { member, peer } => {
            let member = find(&client, member).await?;
            let request = MemberUpdateRequest { id: member.id, peer_ur_ls: vec![url(peer)] };
            client.cluster().member_update(request).await.map_err(|status| refused(&status))?;
            done(&member, &format!("is reached at {peer}"), as_json)
        }
    }
}

/// An address as the API has it.
fn url(address: &str) -> String {
    if address.contains("://") { address.to_owned() } else { format!("http://{address}") }
}

async fn add(client: &Client, peer: &str, is_learner: bool, as_json: bool) -> Outcome {
    let request = MemberAddRequest { peer_ur_ls: vec![url(peer)], is_learner };
    let added = client.cluster().member_add(request).await.map_err(|status| refused(&status))?.into_inner();
    let member = added.member.unwrap_or_default();
    if as_json {
        return print::json(&told(&member));
    }
    let others = added.members.iter().filter(|other| !other.name.is_empty()).flat_map(|other| &other.peer_ur_ls);
    let others: Vec<_> = others.map(|url| format!("{:?}", url.trim_start_matches("http://"))).collect();
    print::result(format_args!(
        "{:x} is added, and learns{}. Start its node, without data of the store, with\n\n  [store]\n  peer = {:?}\n  join = [{}]",
        member.id,
        if is_learner { " until it is promoted" } else { "; it votes once it has caught up" },
        peer.trim_start_matches("http://"),
        others.join(", ")
    ))
}

fn done(member: &Member, what: &str, as_json: bool) -> Outcome {
    if as_json {
        return print::json(&json!({ "id": format!("{:x}", member.id), "name": member.name }));
    }
    print::result(format_args!("{} {what}", called(member)))
}

/// A member's name, or its number where it has none yet.
pub(crate) fn called(member: &Member) -> String {
    if member.name.is_empty() { format!("{:x}", member.id) } else { member.name.clone() }
}

/// The member of this name or number.
async fn find(client: &Client, named: &str) -> Outcome<Member> {
    let members = list(client, true).await?;
    let number = u64::from_str_radix(named, 16).ok();
    let namesakes: Vec<_> = members.iter().filter(|member| member.name == named).collect();
    if namesakes.len() > 1 {
        let numbers: Vec<_> = namesakes.iter().map(|member| format!("{:x}", member.id)).collect();
        let why =
            format!("{} members are called {named}: say which by its number, {}", numbers.len(), numbers.join(", "));
        return Err(Trouble::failed(why));
    }
    let found = namesakes.first().copied().or_else(|| members.iter().find(|member| Some(member.id) == number));
    found.cloned().ok_or_else(|| {
        let names: Vec<_> = members.iter().map(called).collect();
        Trouble::failed(format!("there is no member {named}: there are {}", names.join(", ")))
    })
}

fn told(member: &Member) -> serde_json::Value {
    json!({
        "id": format!("{:x}", member.id),
        "name": member.name,
        "peers": member.peer_ur_ls,
        "clients": member.client_ur_ls,
        "learner": member.is_learner,
    })
}

fn show(members: Vec<Member>, as_json: bool) -> Outcome {
    if as_json {
        return print::json(&json!({ "members": members.iter().map(told).collect::<Vec<_>>() }));
    }
    let mut table = Table::new(&["ID", "NAME", "PEERS", "CLIENTS", "VOTES"]);
    for member in members {
        table.row([
            format!("{:x}", member.id),
            member.name,
            member.peer_ur_ls.join(","),
            member.client_ur_ls.join(","),
            if member.is_learner { "no, it learns" } else { "yes" }.to_owned(),
        ]);
    }
    print::result(table)
}

/// All members.
pub(crate) async fn list(client: &Client, linearizable: bool) -> Outcome<Vec<Member>> {
    let request = MemberListRequest { linearizable };
    let answer = client.cluster().member_list(request).await.map_err(|status| refused(&status))?;
    Ok(answer.into_inner().members)
}

/// How one endpoint stands.
pub(crate) async fn of(address: &str) -> Outcome<StatusResponse> {
    let client = Client::to(address).await?;
    let answer = client.maintenance().status(StatusRequest {}).await.map_err(|status| refused(&status))?;
    Ok(answer.into_inner())
}

/// `mainstay store status`
pub(crate) async fn status(args: &StoreArgs) -> Outcome {
    let mut table = Table::new(&["ENDPOINT", "ID", "VERSION", "DATA", "PART", "TERM", "INDEX", "APPLIED", "ERRORS"]);
    let (mut all, mut failed) = (Vec::new(), 0);
    for address in &args.endpoints {
        match of(address).await {
            Ok(status) => {
                let header = status.header.unwrap_or_default();
                let part = match (status.is_learner, status.leader == header.member_id) {
                    (true, _) => "learner",
                    (_, true) => "leader",
                    _ => "follower",
                };
                all.push(json!({
                    "endpoint": address,
                    "id": format!("{:x}", header.member_id),
                    "cluster": format!("{:x}", header.cluster_id),
                    "revision": header.revision,
                    "version": status.version,
                    "bytes": status.db_size,
                    "part": part,
                    "leader": format!("{:x}", status.leader),
                    "term": status.raft_term,
                    "index": status.raft_index,
                    "applied": status.raft_applied_index,
                    "errors": status.errors,
                }));
                table.row([
                    address.clone(),
                    format!("{:x}", header.member_id),
                    status.version,
                    format!("{} B", status.db_size),
                    part.to_owned(),
                    status.raft_term.to_string(),
                    status.raft_index.to_string(),
                    status.raft_applied_index.to_string(),
                    status.errors.join("; "),
                ]);
            }
            Err(trouble) => {
                failed += 1;
                all.push(json!({ "endpoint": address, "errors": [trouble.to_string()] }));
                print::note(&trouble);
            }
        }
    }
    if args.json {
        print::json(&json!({ "endpoints": all }))?;
    } else if failed < args.endpoints.len() {
        print::result(table)?;
    }
    if failed == 0 { Ok(()) } else { Err(Trouble::silent(1)) }
}

pub(crate) async fn move_leader(client: Client, to: &str, as_json: bool) -> Outcome {
    let heir = find(&client, to).await?;
    let request = MoveLeaderRequest { target_id: heir.id };
    client.maintenance().move_leader(request).await.map_err(|status| refused(&status))?;
    if as_json {
        return print::json(&json!({ "leader": heir.name }));
    }
    print::result(format_args!("{} leads", heir.name))
}

/// Saves all data: under another name first, so that a file of that name is always whole.
pub(crate) async fn snapshot(client: Client, file: &Path) -> Outcome {
    if file.exists() {
        return Err(Trouble::wrong(format!("{} is there already: name another file", file.display())));
    }
    let aside = file.with_extension("part");
    let doing = || format!("saving {}", file.display());
    let mut saved = tokio::fs::File::create(&aside).await.map_err(while_doing(doing()))?;
    let answers = client.maintenance().snapshot(SnapshotRequest {}).await.map_err(|status| refused(&status))?;
    let (mut answers, mut bytes) = (answers.into_inner(), 0);
    while let Some(piece) = answers.message().await.map_err(|status| refused(&status))? {
        bytes += piece.blob.len();
        saved.write_all(&piece.blob).await.map_err(while_doing(doing()))?;
    }
    saved.sync_all().await.map_err(while_doing(doing()))?;
    tokio::fs::rename(&aside, file).await.map_err(while_doing(doing()))?;
    print::result(format_args!("{bytes} bytes saved in {}", file.display()))
}
