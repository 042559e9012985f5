//! Members that lost their data, and that nothing is lost by it.

use mainstay_store::Failure;

use crate::stage::{Cluster, get, put, set};

#[tokio::test]
async fn a_new_cluster_begins_once_all_of_its_members_are_there() {
    let mut cluster = Cluster::begun_by(2, 3, 256 << 20).await;
    let refused = cluster.any().propose(put("a", "1")).await;
    assert_eq!(refused, Err(Failure::NoLeader), "one of the two may have forgotten what it agreed on with the third");
    cluster.start("n3").await;
    cluster.leader().await;
    set(cluster.any(), "a", "1").await;
    cluster.stop("n1").await;
    set(cluster.any(), "a", "2").await;
    for name in ["n2", "n3"] {
        cluster.stop(name).await;
    }
    cluster.start("n2").await;
    cluster.start("n3").await;
    assert_eq!(get(cluster.any(), "a").await.unwrap().unwrap().value, "2", "two of three go on from then on");
}

#[tokio::test]
async fn a_member_that_lost_its_data_gets_all_from_the_others_while_they_are_well() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let unlucky = cluster.all().map(|(name, _)| name.clone()).find(|name| *name != leader).unwrap();
    for number in 0..50 {
        set(cluster.member(&leader), &format!("k{number}"), "v").await;
    }
    cluster.stop(&unlucky).await;
    cluster.lose(&unlucky);
    cluster.start(&unlucky).await;
    assert_eq!(cluster.leader().await, leader, "who comes back empty disturbs nobody");
    assert!(get(cluster.member(&unlucky), "k49").await.unwrap().is_some());
    assert_eq!(cluster.member(&unlucky).hash(0).unwrap(), cluster.member(&leader).hash(0).unwrap());
}

#[tokio::test]
async fn two_that_forgot_do_not_agree_that_nothing_ever_was() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    set(cluster.member(&leader), "a", "1").await;
    let others: Vec<_> = cluster.all().map(|(name, _)| name.clone()).filter(|name| *name != leader).collect();
    for (_, engine) in cluster.all() {
        assert!(get(engine, "a").await.unwrap().is_some());
    }
    cluster.stop(&others[0]).await;
    set(cluster.member(&leader), "a", "2").await;
    cluster.stop(&leader).await;
    cluster.lose(&leader);
    // One has forgotten all, the other never knew of the last write: who knows of it is away.
    cluster.stop(&others[1]).await;
    cluster.start(&leader).await;
    cluster.start(&others[0]).await;
    assert!(get(cluster.member(&others[0]), "a").await.is_err(), "an acknowledged write would be lost");
    cluster.start(&others[1]).await;
    for name in [&leader, &others[0], &others[1]] {
        assert_eq!(get(cluster.member(name), "a").await.unwrap().unwrap().value, "2");
    }
}
