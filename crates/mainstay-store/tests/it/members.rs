//! Members come and go.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use mainstay_store::etcd::{Settings, serve};
use mainstay_store::{Engine, Failure, Unchanged};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::peers::{etcdctl_at, find, skip};
use crate::stage::{Cluster, PATIENCE, eventually, get, put, set};

/// Where clients of a member are answered from now on.
async fn face(of: &Engine) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(of.clone(), listener, Settings::default(), std::future::pending()));
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcdctl_adds_a_learner_promotes_it_and_removes_another() {
    if find("etcdctl").is_none() {
        return skip("etcdctl");
    }
    let mut cluster = Cluster::of(3).await;
    set(cluster.any(), "a", "1").await;
    let peer = cluster.place("n4").await;
    let (leader, gone) = (cluster.leader().await, "n1");
    let asked = cluster.all().map(|(name, _)| name.clone()).find(|name| *name != leader && name != gone).unwrap();
    let at = face(cluster.member(&asked)).await;
    let url = format!("--peer-urls=http://{peer}");

    let said = etcdctl_at(at, &["member", "add", "n4", "--learner", &url], "").await;
    let id = said.split(' ').nth(1).unwrap().to_owned();
    assert!(said.contains("added to cluster") && said.contains(&format!("n4=http://{peer}")), "{said}");
    let said = etcdctl_at(at, &["member", "add", "n5", "--learner", &url], "").await;
    assert_eq!(said, "Error: etcdserver: Peer URLs already exists");
    let said = etcdctl_at(at, &["member", "add", "n5", "--learner", "--peer-urls=http://127.0.0.1:1"], "").await;
    assert_eq!(said, "Error: etcdserver: too many learner members in cluster");
    let said = etcdctl_at(at, &["member", "promote", &id], "").await;
    assert_eq!(said, "Error: etcdserver: can only promote a learner member which is in sync with leader");

    cluster.start("n4").await;
    let learner = face(cluster.member("n4")).await;
    eventually(async || cluster.member("n4").learns().then_some(())).await;
    for refused in [&["put", "a", "2"][..], &["get", "a"], &["member", "list"], &["lease", "grant", "9"]] {
        let said = etcdctl_at(learner, refused, "").await;
        assert!(said.contains("etcdserver: rpc not supported for learner"), "{refused:?}: {said}");
    }
    eventually(async || (etcdctl_at(learner, &["get", "a", "--consistency=s"], "").await == "a\n1\n").then_some(()))
        .await;
    eventually(async || {
        let said = etcdctl_at(at, &["member", "promote", &id], "").await;
        said.starts_with(&format!("Member {id} promoted in cluster")).then_some(())
    })
    .await;
    let said = etcdctl_at(at, &["member", "promote", &id], "").await;
    assert_eq!(said, "Error: etcdserver: can only promote a learner member");
    eventually(async || (etcdctl_at(learner, &["put", "a", "2"], "").await == "OK\n").then_some(())).await;

    let number = format!("{:x}", cluster.id(gone));
    let removed = face(cluster.member(gone)).await;
    let said = etcdctl_at(at, &["member", "remove", &number], "").await;
    assert!(said.contains(&format!("Member {number:>16} removed from cluster")), "{said}");
    let said = etcdctl_at(at, &["member", "remove", &number], "").await;
    assert_eq!(said, "Error: etcdserver: member not found");
    let said = etcdctl_at(at, &["member", "list"], "").await;
    assert!(
        !said.contains(&number) && said.contains(&format!("{id}, started, n4, http://{peer}, http://n4:2379, false")),
        "{said}"
    );
    cluster.member(gone).removed().await;
    let said = etcdctl_at(removed, &["put", "a", "3"], "").await;
    assert!(said.ends_with("etcdserver: the member has been permanently removed from the cluster"), "{said}");
    assert_eq!(get(cluster.member("n4"), "a").await.unwrap().unwrap().value, "2");
}

#[tokio::test]
async fn what_would_lose_the_majority_is_refused() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let others: Vec<_> = cluster.all().map(|(name, _)| name.clone()).filter(|name| *name != leader).collect();
    let (dead, alive) = (cluster.id(&others[0]), cluster.id(&others[1]));
    cluster.stop(&others[0]).await;
    let asked = cluster.member(&leader).clone();
    let unhealthy = Err(Failure::Unchanged(Unchanged::Unhealthy));
    // Until it is known that one is missing.
    tokio::time::sleep(4 * cluster.election).await;
    assert_eq!(asked.add("127.0.0.1:1", false).await.map(drop), unhealthy);
    assert_eq!(asked.remove(alive).await, unhealthy);
    asked.remove(dead).await.unwrap();
    asked.remove(alive).await.unwrap();
    assert_eq!(asked.remove(cluster.id(&leader)).await, Err(Failure::Unchanged(Unchanged::TooFewStarted)));
    set(&asked, "a", "1").await;
}

/// Writes until it is told to end: how many keys it has written.
fn writes(through: Engine) -> (watch::Sender<bool>, JoinHandle<usize>) {
    let (end, ended) = watch::channel(false);
    let writing = async move {
        let mut written = 0;
        while !*ended.borrow() {
            set(&through, &format!("w{written}"), "v").await;
            written += 1;
        }
        written
    };
    (end, tokio::spawn(writing))
}

#[tokio::test]
async fn one_grows_to_three_under_writes_and_shrinks_to_one_of_those_that_came() {
    let mut cluster = Cluster::of(1).await;
    cluster.grow("n2").await;
    let (end, writing) = writes(cluster.member("n2").clone());
    cluster.grow("n3").await;
    for gone in ["n1", "n3"] {
        let id = cluster.id(gone);
        eventually(async || cluster.member("n2").remove(id).await.ok()).await;
        cluster.member(gone).removed().await;
        assert_eq!(set_or_why(cluster.member(gone)).await, Some(Failure::Removed));
        cluster.stop(gone).await;
    }
    end.send_replace(true);
    let written = writing.await.unwrap();
    assert!(written > 10, "{written}");
    let last = cluster.member("n2");
    assert_eq!(last.members().len(), 1);
    for number in 0..written {
        assert!(get(last, &format!("w{number}")).await.unwrap().is_some(), "w{number} was acknowledged");
    }
}

/// Why a key cannot be set.
async fn set_or_why(engine: &Engine) -> Option<Failure> {
    engine.propose(put("b", "1")).await.err()
}

#[tokio::test]
async fn a_member_that_does_not_come_back_is_replaced_by_one_that_gets_a_snapshot() {
    let mut cluster = Cluster::with(3, 1 << 20).await;
    let leader = cluster.leader().await;
    let dead = cluster.all().map(|(name, _)| name.clone()).find(|name| *name != leader).unwrap();
    let gone = cluster.id(&dead);
    cluster.stop(&dead).await;
    let value = "v".repeat(2000);
    for number in 0..3000 {
        set(cluster.member(&leader), &format!("k{}", number % 100), &value).await;
    }
    cluster.member(&leader).remove(gone).await.unwrap();
    let id = cluster.grow("n4").await;
    assert_eq!(cluster.id("n4"), id);
    let asked = cluster.leader().await;
    let hash = cluster.member(&asked).hash(0).unwrap();
    get(cluster.member("n4"), "k0").await.unwrap().unwrap();
    assert_eq!(cluster.member("n4").hash(0).unwrap(), hash);
    // The new one counts: another may go.
    let other = cluster.all().map(|(name, _)| name.clone()).find(|name| name != "n4").unwrap();
    cluster.stop(&other).await;
    cluster.leader().await;
    set(cluster.any(), "a", "1").await;
}

#[tokio::test]
async fn a_leader_that_is_removed_hands_over_first_and_does_not_come_back() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let gone = cluster.member(&leader).clone();
    let (end, writing) = writes(cluster.all().find(|(name, _)| **name != leader).unwrap().1.clone());
    // It is asked itself, as any client may do that knows no other.
    gone.remove(cluster.id(&leader)).await.unwrap();
    gone.removed().await;
    end.send_replace(true);
    writing.await.expect("no write has failed");
    cluster.stop(&leader).await;
    let heir = cluster.leader().await;
    assert_eq!(cluster.member(&heir).members().len(), 2);
    let refused = cluster.try_start(&leader).await.unwrap_err().to_string();
    assert!(refused.contains("was removed from its cluster") && refused.contains("store.join"), "{refused}");
}

#[tokio::test]
async fn a_member_that_was_removed_while_it_was_away_disturbs_nobody_when_it_comes_back() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let away = cluster.all().map(|(name, _)| name.clone()).find(|name| *name != leader).unwrap();
    let id = cluster.id(&away);
    cluster.stop(&away).await;
    cluster.member(&leader).remove(id).await.unwrap();
    let term = cluster.member(&leader).status().term;
    for forgetful in [false, true] {
        if forgetful {
            cluster.lose(&away);
        }
        cluster.start(&away).await;
        tokio::time::timeout(PATIENCE, cluster.member(&away).removed()).await.expect("it is told");
        assert_eq!(set_or_why(cluster.member(&away)).await, Some(Failure::Removed));
        assert_eq!(get(cluster.member(&away), "a").await, Err(Failure::Removed));
        cluster.stop(&away).await;
    }
    set(cluster.member(&leader), "a", "1").await;
    assert_eq!(cluster.member(&leader).status().term, term, "no election has taken place");
    // The same node may come anew, under another number.
    cluster.lose(&away);
    cluster.forget_that_it_was_among_the_first(&away);
    let peer = cluster.peer(&away);
    let new = cluster.member(&leader).add(&peer, false).await.unwrap();
    assert_ne!(new, id);
    cluster.start(&away).await;
    cluster.votes(new).await;
    assert!(get(cluster.member(&away), "a").await.unwrap().is_some());
}

#[tokio::test]
async fn after_a_restart_of_all_the_members_are_those_of_the_log() {
    let mut cluster = Cluster::of(3).await;
    cluster.grow("n4").await;
    let gone = cluster.id("n1");
    eventually(async || cluster.member("n2").remove(gone).await.ok()).await;
    cluster.stop("n1").await;
    for name in ["n2", "n3", "n4"] {
        cluster.stop(name).await;
    }
    for name in ["n2", "n3", "n4"] {
        cluster.start(name).await;
    }
    cluster.leader().await;
    set(cluster.any(), "a", "1").await;
    let names = |engine: &Engine| engine.members().into_iter().map(|member| member.name).collect::<BTreeSet<_>>();
    for (_, engine) in cluster.all() {
        assert_eq!(names(engine), BTreeSet::from(["n2", "n3", "n4"].map(str::to_owned)));
    }
}

#[tokio::test]
async fn a_member_moves_to_another_address() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let moved = cluster.all().map(|(name, _)| name.clone()).find(|name| *name != leader).unwrap();
    let id = cluster.id(&moved);
    cluster.stop(&moved).await;
    let peer = cluster.place(&moved).await;
    let taken = cluster.peer(&leader);
    let asked = cluster.member(&leader);
    assert_eq!(asked.relocate(id, &taken).await, Err(Failure::Unchanged(Unchanged::AddressTaken)));
    asked.relocate(id, &peer).await.unwrap();
    set(asked, "a", "1").await;
    cluster.start(&moved).await;
    assert!(get(cluster.member(&moved), "a").await.unwrap().is_some());
}

#[tokio::test]
async fn whom_nobody_has_added_is_taken_in_by_nobody() {
    let mut cluster = Cluster::of(1).await;
    cluster.place("n2").await;
    let refused = cluster.try_start("n2").await.unwrap_err().to_string();
    assert!(refused.contains("mainstay store member add"), "{refused}");
}
