//! Leases.

use std::time::Duration;

use futures_util::StreamExt as _;
use mainstay_store::etcd::wire::etcdserverpb as pb;
use tonic::Code;

use crate::support::{PATIENCE, Store, put, refusal, requests, store, watch_prefix};

async fn grant(store: &Store, id: i64, ttl: i64) -> pb::LeaseGrantResponse {
    store.leases().lease_grant(pb::LeaseGrantRequest { id, ttl }).await.unwrap().into_inner()
}

async fn put_on(store: &Store, key: &str, lease: i64) {
    store.kv().put(pb::PutRequest { lease, ..put(key, "v") }).await.unwrap();
}

async fn time_to_live(store: &Store, id: i64) -> pb::LeaseTimeToLiveResponse {
    let ask = pb::LeaseTimeToLiveRequest { id, keys: true };
    store.leases().lease_time_to_live(ask).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_lease_is_granted_with_the_number_that_was_wished_or_drawn() {
    let store = store().await;
    let granted = grant(&store, 7, 60).await;
    assert_eq!((granted.id, granted.ttl, granted.header.unwrap().revision), (7, 60, 1), "no write, no revision");
    let drawn = grant(&store, 0, 60).await;
    assert!(drawn.id > 0 && drawn.id != 7, "{drawn:?}");
    assert_eq!(grant(&store, 8, 1).await.ttl, 2, "no shorter than one and a half elections");
    assert_eq!(grant(&store, 9, -5).await.ttl, 2);
    let again = store.leases().lease_grant(pb::LeaseGrantRequest { id: 7, ttl: 60 }).await;
    assert_eq!(refusal(again), (Code::FailedPrecondition, "etcdserver: lease already exists".to_owned()));
    let long = store.leases().lease_grant(pb::LeaseGrantRequest { id: 10, ttl: 9_000_000_001 }).await;
    assert_eq!(refusal(long), (Code::OutOfRange, "etcdserver: too large lease TTL".to_owned()));
    let all = store.leases().lease_leases(pb::LeaseLeasesRequest {}).await.unwrap().into_inner();
    let mut ids: Vec<i64> = all.leases.iter().map(|lease| lease.id).collect();
    ids.sort_unstable();
    let mut expected = vec![7, 8, 9, drawn.id];
    expected.sort_unstable();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn who_ends_a_lease_deletes_its_keys_in_one_revision() {
    let store = store().await;
    grant(&store, 7, 60).await;
    put_on(&store, "a", 7).await;
    put_on(&store, "b", 7).await;
    store.put("c", "free").await;
    let keys: Vec<_> = time_to_live(&store, 7).await.keys;
    assert_eq!(keys, [&b"a"[..], &b"b"[..]]);
    let mut watches = store.watch([watch_prefix("a"), watch_prefix("b")]).await;
    watches.created().await;
    watches.created().await;
    let ended = store.leases().lease_revoke(pb::LeaseRevokeRequest { id: 7 }).await.unwrap().into_inner();
    assert_eq!(ended.header.unwrap().revision, 5);
    let mut seen = [watches.events().await, watches.events().await].concat();
    seen.sort();
    assert_eq!(seen, ["del a= @5", "del b= @5"]);
    assert_eq!((store.get("a").await.count, store.get("c").await.count), (0, 1));
    let again = store.leases().lease_revoke(pb::LeaseRevokeRequest { id: 7 }).await;
    assert_eq!(refusal(again), (Code::NotFound, "etcdserver: requested lease not found".to_owned()));
}

#[tokio::test]
async fn a_lease_that_is_not_there_has_no_time_and_is_no_error() {
    let store = store().await;
    let gone = time_to_live(&store, 404).await;
    assert_eq!((gone.id, gone.ttl, gone.granted_ttl), (404, -1, 0));
    grant(&store, 7, 60).await;
    let (to, stream) = requests();
    to.send(pb::LeaseKeepAliveRequest { id: 7 }).await.unwrap();
    to.send(pb::LeaseKeepAliveRequest { id: 404 }).await.unwrap();
    let mut answers = store.leases().lease_keep_alive(stream).await.unwrap().into_inner();
    let kept = answers.next().await.unwrap().unwrap();
    assert_eq!((kept.id, kept.ttl), (7, 60));
    let gone = answers.next().await.unwrap().unwrap();
    assert_eq!((gone.id, gone.ttl), (404, 0));
    drop(to);
    assert!(answers.next().await.is_none(), "the stream ends with its requests");
}

#[tokio::test]
async fn a_lease_that_nobody_keeps_alive_ends_with_its_keys() {
    let store = store().await;
    grant(&store, 7, 2).await;
    put_on(&store, "mine", 7).await;
    let mut watches = store.watch([watch_prefix("mine")]).await;
    watches.created().await;
    assert_eq!(watches.events().await, ["del mine= @3"]);
    assert_eq!(time_to_live(&store, 7).await.ttl, -1);
}

#[tokio::test]
async fn a_lease_that_is_kept_alive_stays() {
    let store = store().await;
    grant(&store, 7, 2).await;
    put_on(&store, "mine", 7).await;
    let (to, stream) = requests();
    to.send(pb::LeaseKeepAliveRequest { id: 7 }).await.unwrap();
    let mut answers = store.leases().lease_keep_alive(stream).await.unwrap().into_inner();
    for _ in 0..8 {
        let kept = tokio::time::timeout(PATIENCE, answers.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(kept.ttl, 2);
        tokio::time::sleep(Duration::from_millis(500)).await;
        to.send(pb::LeaseKeepAliveRequest { id: 7 }).await.unwrap();
    }
    assert_eq!(store.get("mine").await.count, 1);
}
