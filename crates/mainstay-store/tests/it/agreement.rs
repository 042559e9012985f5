//! What members agree on, and that it stays.

use std::time::Duration;

use mainstay_mvcc::{Command, Span, Watch};
use mainstay_store::{Failure, Seen};

use crate::stage::{Cluster, get, put, set};

#[tokio::test]
async fn one_member_alone_is_a_store_and_remembers_when_it_comes_back() {
    let mut cluster = Cluster::of(1).await;
    assert_eq!(set(cluster.any(), "a", "1").await, 2);
    assert_eq!(set(cluster.any(), "a", "2").await, 3);
    let hash = cluster.any().hash(0).unwrap();
    cluster.stop("n1").await;
    cluster.start("n1").await;
    let found = get(cluster.any(), "a").await.unwrap().unwrap();
    assert_eq!((&found.value[..], found.create, found.modified, found.version), (&b"2"[..], 2, 3, 2));
    assert_eq!(cluster.any().hash(0).unwrap(), hash);
}

#[tokio::test]
async fn what_one_member_is_told_all_can_be_asked_for_at_once() {
    let cluster = Cluster::of(3).await;
    for round in 0..20 {
        for (name, engine) in cluster.all() {
            let value = format!("{name} {round}");
            set(engine, "a", &value).await;
            for (_, asked) in cluster.all() {
                assert_eq!(get(asked, "a").await.unwrap().unwrap().value, value, "a read after the write was answered");
            }
        }
    }
    let hashes: Vec<_> = cluster.all().map(|(_, engine)| engine.hash(0).unwrap()).collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

#[tokio::test]
async fn a_leader_that_is_stopped_hands_over_and_comes_back_to_what_it_missed() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    set(cluster.member(&leader), "a", "1").await;
    cluster.stop(&leader).await;
    let heir = cluster.leader().await;
    assert_ne!(heir, leader);
    set(cluster.member(&heir), "a", "2").await;
    cluster.start(&leader).await;
    assert_eq!(cluster.leader().await, heir, "who comes back disturbs nobody");
    assert_eq!(get(cluster.member(&leader), "a").await.unwrap().unwrap().value, "2");
}

#[tokio::test]
async fn without_a_majority_nothing_is_done_and_nothing_is_guessed() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    set(cluster.member(&leader), "a", "1").await;
    let others: Vec<_> = cluster.all().map(|(name, _)| name.clone()).filter(|name| *name != leader).collect();
    for name in &others {
        cluster.stop(name).await;
    }
    // The first that is tried may still be under way when the leader notices.
    let first = cluster.member(&leader).propose(put("a", "2")).await;
    assert!(matches!(first, Err(Failure::Timeout | Failure::NoLeader)), "{first:?}");
    assert_eq!(cluster.member(&leader).propose(put("a", "3")).await, Err(Failure::NoLeader));
    assert!(get(cluster.member(&leader), "a").await.is_err(), "a read that could be stale is not answered");
    cluster.start(&others[0]).await;
    cluster.leader().await;
    set(cluster.any(), "b", "1").await;
}

#[tokio::test]
async fn many_at_once_share_batches_and_each_gets_its_own_answer() {
    let cluster = Cluster::of(3).await;
    let mut writers = Vec::new();
    for number in 0..500 {
        let engine = cluster.any().clone();
        writers
            .push(tokio::spawn(async move { engine.propose(put(&format!("k{number}"), "v")).await.unwrap().revision }));
    }
    let mut revisions = Vec::new();
    for writer in writers {
        revisions.push(writer.await.unwrap());
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (2..502).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_lease_ends_when_nobody_keeps_it_alive_and_its_keys_go_with_it() {
    let cluster = Cluster::of(3).await;
    let engine = cluster.any();
    engine.propose(Command::Grant { id: 7, ttl: 1 }).await.unwrap();
    let mut command = put("a", "1");
    let Command::Put(put) = &mut command else { unreachable!() };
    put.lease = Some(7);
    engine.propose(command).await.unwrap();
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(engine.renew(7).await, Ok(Some(1)));
    }
    assert!(get(engine, "a").await.unwrap().is_some());
    while get(engine, "a").await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(engine.renew(7).await, Ok(None));
}

#[tokio::test]
async fn a_watch_on_any_member_brings_every_write_once_and_in_order_also_when_the_leader_goes() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let other = cluster.all().map(|(name, _)| name.clone()).find(|name| *name != leader).unwrap();
    let span = Span::of("k".into(), "l".into());
    let mut watcher = cluster.member(&other).watch(Watch { span, from: 0, puts: true, deletes: true, previous: false });
    for round in 0..20 {
        set(cluster.member(&other), &format!("k{round}"), "v").await;
        if round == 10 {
            cluster.stop(&leader).await;
        }
    }
    let mut seen = Vec::new();
    while seen.len() < 20 {
        let Seen::Events(events) = watcher.next().await else { panic!("nothing was compacted") };
        seen.extend(events.into_iter().map(|event| event.kv.modified));
    }
    assert_eq!(seen, (2..22).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_was_away_for_longer_than_the_log_reaches_gets_a_snapshot_and_all_are_the_same_again() {
    let mut cluster = Cluster::with(3, 1 << 20).await;
    let leader = cluster.leader().await;
    let away = cluster.all().map(|(name, _)| name.clone()).find(|name| *name != leader).unwrap();
    set(cluster.member(&leader), "kept", "from the beginning").await;
    cluster.stop(&away).await;
    let value = "v".repeat(2000);
    for number in 1..=3000 {
        let written = set(cluster.member(&leader), &format!("k{}", number % 100), &value).await;
        // The data stays small, so that snapshots are made of it.
        if number % 100 == 0 {
            cluster.member(&leader).propose(Command::Compact(written)).await.unwrap();
        }
    }
    cluster.member(&leader).propose(Command::Grant { id: 7, ttl: 600 }).await.unwrap();
    cluster.start(&away).await;
    let found = get(cluster.member(&away), "kept").await.unwrap().unwrap();
    assert_eq!(found.value, "from the beginning");
    assert_eq!(cluster.member(&away).leases(), [7]);
    let hashes: Vec<_> = cluster.all().map(|(_, engine)| engine.hash(0).unwrap()).collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    for name in ["n1", "n2", "n3"] {
        cluster.stop(name).await;
    }
    for name in ["n1", "n2", "n3"] {
        cluster.start(name).await;
    }
    get(cluster.any(), "kept").await.unwrap().unwrap();
    assert_eq!(cluster.any().hash(0).unwrap(), hashes[0]);
}

#[tokio::test]
async fn who_has_snapshots_of_its_own_takes_a_newer_one_and_goes_on() {
    let mut cluster = Cluster::with(3, 1 << 20).await;
    let leader = cluster.leader().await;
    let away = cluster.all().map(|(name, _)| name.clone()).find(|name| *name != leader).unwrap();
    let value = "v".repeat(2000);
    let write = async |cluster: &Cluster, times: usize| {
        for number in 1..=times {
            let written = set(cluster.any(), &format!("k{}", number % 100), &value).await;
            // The data stays small, so that snapshots are made of it.
            if number % 100 == 0 {
                cluster.any().propose(Command::Compact(written)).await.unwrap();
            }
        }
    };
    write(&cluster, 1500).await;
    get(cluster.member(&away), "k1").await.unwrap().unwrap();
    cluster.stop(&away).await;
    write(&cluster, 3000).await;
    cluster.start(&away).await;
    write(&cluster, 10).await;
    get(cluster.member(&away), "k1").await.unwrap().unwrap();
    cluster.stop(&away).await;
    cluster.start(&away).await;
    set(cluster.member(&away), "a", "1").await;
    for (_, engine) in cluster.all() {
        assert_eq!(get(engine, "a").await.unwrap().unwrap().value, "1");
    }
    let hashes: Vec<_> = cluster.all().map(|(_, engine)| engine.hash(0).unwrap()).collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

#[tokio::test]
async fn a_lease_lives_on_under_a_new_leader_from_its_first_moment() {
    let mut cluster = Cluster::of(3).await;
    let asked = cluster.any().clone();
    asked.propose(Command::Grant { id: 7, ttl: 60 }).await.unwrap();
    for _ in 0..2 {
        let leader = cluster.leader().await;
        if cluster.member(&leader).header().member == asked.header().member {
            asked.hand_over(cluster.all().map(|(_, engine)| engine.header().member).last().unwrap()).await.unwrap();
            continue;
        }
        cluster.stop(&leader).await;
        // The first that the new leader is asked, as soon as there is one.
        assert_eq!(asked.renew(7).await, Ok(Some(60)));
        assert_eq!(asked.lease(7, false).await.unwrap().unwrap().granted, 60);
        cluster.start(&leader).await;
    }
}

#[tokio::test]
async fn a_command_that_is_too_long_is_refused_whoever_is_asked_and_disturbs_nobody() {
    let cluster = Cluster::of(3).await;
    let long = "v".repeat(40 << 20);
    for (_, engine) in cluster.all() {
        assert_eq!(engine.propose(put("a", &long)).await, Err(Failure::TooLong));
    }
    set(cluster.any(), "a", "1").await;
}
