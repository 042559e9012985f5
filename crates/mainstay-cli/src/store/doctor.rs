//! `mainstay store doctor`: what is wrong with the cluster, and what to do.
//!
//! In: how each member that is known stands. Out: findings, the gravest first, each with what to do about it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mainstay_store::etcd::wire::etcdserverpb::{Member, StatusResponse};
use serde_json::json;

use super::StoreArgs;
use super::connect::Client;
use super::members;
use crate::outcome::{Outcome, Trouble};
use crate::print;

/// A member whose data is so many entries behind is late.
const LATE: u64 = 1000;

/// An answer that takes longer says that the member, its disk or the way to it is slow.
const SLOW: Duration = Duration::from_millis(250);

/// What is wrong with a member that was added and then left alone.
const UNSTARTED: &str = "was added and has never started";

/// How a member stands, as far as it says.
#[derive(Debug, Clone)]
struct Seen {
    name: String,
    learner: bool,
    /// How it stands and how long it took to say so; or why it does not.
    status: Result<(StatusResponse, Duration), String>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    what: String,
    todo: String,
}

pub(crate) async fn command(args: &StoreArgs) -> Outcome {
    let mut known = Vec::new();
    for address in &args.endpoints {
        if let Ok(client) = Client::to(address).await
            && let Ok(members) = members::list(&client, false).await
        {
            known = members;
            break;
        }
    }
    let mut seen = Vec::new();
    if known.is_empty() {
        for address in &args.endpoints {
            seen.push(look(address.clone(), false, address).await);
        }
    }
    for member in &known {
        let name = members::called(member);
        if member.name.is_empty() {
            seen.push(Seen { name, learner: member.is_learner, status: Err(UNSTARTED.to_owned()) });
            continue;
        }
        seen.push(look(name, member.is_learner, &address(member)).await);
    }
    let findings = findings(&seen);
    if args.json {
        let shown: Vec<_> = findings.iter().map(|found| json!({ "what": found.what, "todo": found.todo })).collect();
        print::json(&json!({ "well": findings.is_empty(), "findings": shown }))?;
    } else if findings.is_empty() {
        print::result(format_args!("all {} members are well", seen.len()))?;
    } else {
        for found in &findings {
            print::result(format_args!("{}\n  {}", found.what, found.todo))?;
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(Trouble::silent(1)) }
}

/// Where a member's clients reach it.
fn address(member: &Member) -> String {
    member.client_ur_ls.first().cloned().unwrap_or_default()
}

async fn look(name: String, learner: bool, address: &str) -> Seen {
    if address.is_empty() {
        let why = "it has not said where clients reach it".to_owned();
        return Seen { name, learner, status: Err(why) };
    }
    let begun = Instant::now();
    let status = tokio::time::timeout(Duration::from_secs(5), members::of(address)).await;
    let status = match status {
        Ok(Ok(status)) => Ok((status, begun.elapsed())),
        Ok(Err(trouble)) => Err(trouble.to_string()),
        Err(_) => Err(format!("{address} did not answer within 5 s")),
    };
    Seen { name, learner, status }
}

/// What is wrong, the gravest first.
fn findings(seen: &[Seen]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |what: String, todo: &str| found.push(Finding { what, todo: todo.to_owned() });
    let well: Vec<_> = seen.iter().filter_map(|one| one.status.as_ref().ok().map(|status| (one, status))).collect();
    let voters = seen.iter().filter(|one| !one.learner).count();
    let answering = well.iter().filter(|(one, _)| !one.learner).count();
    if answering <= voters / 2 {
        let what = format!("no quorum: {answering} of {voters} voting members answer, {} are needed", voters / 2 + 1);
        say(what, "bring members back; nothing is written and no linearizable read is answered until then");
    }
    let clusters: BTreeSet<_> =
        well.iter().map(|(_, (status, _))| status.header.unwrap_or_default().cluster_id).collect();
    if clusters.len() > 1 {
        let what = format!("the endpoints belong to {} clusters", clusters.len());
        say(what, "look at store.members of each: members of one cluster were started with the same");
    }
    let leaders: BTreeSet<_> =
        well.iter().map(|(_, (status, _))| status.leader).filter(|leader| *leader != 0).collect();
    if leaders.is_empty() && answering > voters / 2 {
        let what = "nobody leads, though a majority answers".to_owned();
        say(what, "look whether the members reach each other at their peer addresses (store.peer), both ways");
    }
    if leaders.len() > 1 {
        let what = format!("{} members are followed as leaders", leaders.len());
        say(what, "an election is under way, or members are cut off from each other: look again in a moment");
    }
    for one in seen {
        if one.status.as_ref().is_err_and(|why| why == UNSTARTED) {
            let what = format!("{} {UNSTARTED}", one.name);
            say(what, "start its node with store.join, or remove it (`mainstay store member remove`)");
        } else if let Err(why) = &one.status {
            say(format!("{} does not answer: {why}", one.name), "see whether its process runs, and what its log says");
        }
    }
    let furthest = well.iter().map(|(_, (status, _))| status.raft_index).max().unwrap_or(0);
    for (one, (status, took)) in &well {
        let behind = furthest.saturating_sub(status.raft_applied_index);
        if behind > LATE {
            let what = format!("{} is {behind} entries behind", one.name);
            say(what, "it catches up by itself if its disk and network can; look at them if the number grows");
        }
        if *took > SLOW {
            let what = format!("{} took {} ms to say how it stands", one.name, took.as_millis());
            say(
                what,
                "look at its processor and at the time that its disk takes to flush (mainstay_store_flush_seconds)",
            );
        }
        for error in &status.errors {
            say(format!("{}: {error}", one.name), advice(error));
        }
    }
    let versions: BTreeSet<_> = well.iter().map(|(_, (status, _))| status.version.as_str()).collect();
    if versions.len() > 1 {
        let what = format!("members have different versions: {}", versions.into_iter().collect::<Vec<_>>().join(", "));
        say(what, "finish the upgrade");
    }
    found
}

/// What to do about what a member says of itself.
fn advice(error: &str) -> &'static str {
    if error.contains("NOSPACE") || error.contains("quota") {
        "delete keys and compact (`mainstay store compact`), or raise store.quota; the refusal ends by itself"
    } else if error.contains("leader") {
        "see the findings above: without a leader nothing is written"
    } else {
        "look at its log"
    }
}

#[cfg(test)]
mod tests {
    use mainstay_store::etcd::wire::etcdserverpb::ResponseHeader;

    use super::*;

    fn member(name: &str, leader: u64, index: u64, applied: u64) -> Seen {
        let header = Some(ResponseHeader { cluster_id: 7, ..ResponseHeader::default() });
        let (raft_index, raft_applied_index) = (index, applied);
        let status = StatusResponse { header, leader, raft_index, raft_applied_index, ..StatusResponse::default() };
        Seen { name: name.to_owned(), learner: false, status: Ok((status, Duration::from_millis(1))) }
    }

    fn gone(name: &str) -> Seen {
        Seen { name: name.to_owned(), learner: false, status: Err("refused".to_owned()) }
    }

    fn said(seen: &[Seen]) -> String {
        findings(seen).into_iter().map(|found| found.what + "\n").collect()
    }

    #[test]
    fn a_cluster_that_is_well_has_no_findings() {
        assert_eq!(said(&[member("a", 1, 10, 10), member("b", 1, 10, 9), member("c", 1, 10, 10)]), "");
    }

    #[test]
    fn a_lost_quorum_comes_before_the_members_that_are_gone() {
        let said = said(&[member("a", 0, 10, 10), gone("b"), gone("c")]);
        assert!(said.starts_with("no quorum: 1 of 3 voting members answer, 2 are needed\n"), "{said}");
        assert!(said.contains("b does not answer"), "{said}");
    }

    #[test]
    fn one_that_never_came_is_told_from_one_that_is_gone() {
        let unstarted = Seen { name: "b7".to_owned(), learner: true, status: Err(UNSTARTED.to_owned()) };
        assert_eq!(said(&[member("a", 1, 10, 10), unstarted]), "b7 was added and has never started\n");
    }

    #[test]
    fn one_that_is_gone_and_one_that_is_late_are_named() {
        let said = said(&[member("a", 1, 5000, 5000), member("b", 1, 100, 100), gone("c")]);
        assert!(
            !said.contains("quorum") && said.contains("c does not answer") && said.contains("b is 4900 entries behind")
        );
    }
}
