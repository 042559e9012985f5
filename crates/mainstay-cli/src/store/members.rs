//! The members and how they stand.

use std::path::Path;

use mainstay_store::etcd::wire::etcdserverpb::{
    Member, MemberListRequest, MoveLeaderRequest, SnapshotRequest, StatusRequest, StatusResponse,
};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::StoreArgs;
use super::args::MemberDeed;
use super::connect::{Client, refused};
use crate::outcome::{Outcome, Trouble, while_doing};
use crate::print::{self, Table};

pub(crate) async fn command(client: Client, deed: &MemberDeed, as_json: bool) -> Outcome {
    let MemberDeed::List = deed;
    let members = list(&client, true).await?;
    if as_json {
        let members: Vec<_> = members
            .iter()
            .map(|member| {
                json!({
                    "id": format!("{:x}", member.id),
                    "name": member.name,
                    "peers": member.peer_ur_ls,
                    "clients": member.client_ur_ls,
                    "learner": member.is_learner,
                })
            })
            .collect();
        return print::json(&json!({ "members": members }));
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
    let members = list(&client, true).await?;
    let number = u64::from_str_radix(to, 16).ok();
    let heir = members.iter().find(|member| member.name == to || Some(member.id) == number).ok_or_else(|| {
        let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
        Trouble::failed(format!("there is no member {to}: there are {}", names.join(", ")))
    })?;
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
