//! Locks and elections.

use std::time::Duration;

use futures_util::StreamExt as _;
use mainstay_store::etcd::wire::etcdserverpb as pb;
use mainstay_store::etcd::wire::v3electionpb::{self, election_client::ElectionClient};
use mainstay_store::etcd::wire::v3lockpb::{self, lock_client::LockClient};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::{PATIENCE, Store, refusal, store};

async fn lease(store: &Store, id: i64) -> i64 {
    store.leases().lease_grant(pb::LeaseGrantRequest { id, ttl: 60 }).await.unwrap().into_inner().id
}

async fn revoke(store: &Store, id: i64) {
    store.leases().lease_revoke(pb::LeaseRevokeRequest { id }).await.unwrap();
}

/// Takes a lock in a task of its own.
fn lock(store: &Store, name: &str, lease: i64) -> tokio::task::JoinHandle<Result<Vec<u8>, Status>> {
    let mut locks = LockClient::new(store.channel.clone());
    let request = v3lockpb::LockRequest { name: name.to_owned().into(), lease };
    tokio::spawn(async move { locks.lock(request).await.map(|locked| locked.into_inner().key.to_vec()) })
}

async fn unlock(store: &Store, key: Vec<u8>) {
    let request = v3lockpb::UnlockRequest { key: key.into() };
    LockClient::new(store.channel.clone()).unlock(request).await.unwrap();
}

/// Waits until so many have a place in the queue.
async fn waiting(store: &Store, name: &str, many: i64) {
    let all = crate::support::between(&format!("{name}/"), &format!("{name}0"));
    let looked = async {
        while store.kv().range(all.clone()).await.unwrap().into_inner().count != many {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looked).await.unwrap_or_else(|_| panic!("{many} places in the queue"));
}

#[tokio::test]
async fn a_lock_is_held_by_one_and_goes_to_who_came_next() {
    let store = store().await;
    let [first, second, third] = [lease(&store, 0xa).await, lease(&store, 0xb).await, lease(&store, 0xc).await];
    let held = lock(&store, "l", first).await.unwrap().unwrap();
    assert_eq!(held, b"l/a");
    assert_eq!(lock(&store, "l", first).await.unwrap().unwrap(), held, "whoever holds it already has it");
    let second = lock(&store, "l", second);
    waiting(&store, "l", 2).await;
    let third = lock(&store, "l", third);
    waiting(&store, "l", 3).await;
    assert!(!second.is_finished() && !third.is_finished());
    unlock(&store, held).await;
    let held = second.await.unwrap().unwrap();
    assert_eq!(held, b"l/b");
    assert!(!third.is_finished());
    revoke(&store, 0xb).await;
    assert_eq!(third.await.unwrap().unwrap(), b"l/c", "a lease that ends lets go of its lock");
}

#[tokio::test]
async fn who_lost_its_lease_while_it_waited_does_not_get_the_lock() {
    let store = store().await;
    let [first, second] = [lease(&store, 0xa).await, lease(&store, 0xb).await];
    let held = lock(&store, "l", first).await.unwrap().unwrap();
    let second = lock(&store, "l", second);
    waiting(&store, "l", 2).await;
    revoke(&store, 0xb).await;
    unlock(&store, held).await;
    assert_eq!(refusal(second.await.unwrap()), (Code::Unknown, "mutex: session is expired".to_owned()));
}

#[tokio::test]
async fn who_goes_away_while_it_waits_leaves_the_queue() {
    let store = store().await;
    let [first, second] = [lease(&store, 0xa).await, lease(&store, 0xb).await];
    lock(&store, "l", first).await.unwrap().unwrap();
    let second = lock(&store, "l", second);
    waiting(&store, "l", 2).await;
    second.abort();
    waiting(&store, "l", 1).await;
    let nobody = lock(&store, "l", 0);
    waiting(&store, "l", 2).await;
    nobody.abort();
    waiting(&store, "l", 1).await;
    let leases = store.leases().lease_leases(pb::LeaseLeasesRequest {}).await.unwrap().into_inner().leases;
    assert_eq!(leases.len(), 2, "the lease that was made for a place has ended with it");
}

#[tokio::test]
async fn a_lock_needs_a_lease_that_is_there_or_none() {
    let store = store().await;
    let gone = lock(&store, "l", 404).await.unwrap();
    assert_eq!(refusal(gone), (Code::Unknown, "etcdserver: requested lease not found".to_owned()));
    let held = lock(&store, "l", 0).await.unwrap().unwrap();
    let leases = store.leases().lease_leases(pb::LeaseLeasesRequest {}).await.unwrap().into_inner().leases;
    assert_eq!(held, format!("l/{:x}", leases[0].id).into_bytes());
}

#[tokio::test]
async fn who_waits_no_longer_than_it_said_is_told_so_and_leaves_the_queue() {
    let store = store().await;
    let [first, second] = [lease(&store, 0xa).await, lease(&store, 0xb).await];
    lock(&store, "l", first).await.unwrap().unwrap();
    let mut request = tonic::Request::new(v3lockpb::LockRequest { name: "l".into(), lease: second });
    request.metadata_mut().insert("grpc-timeout", "50m".parse().unwrap());
    let late = LockClient::new(store.channel.clone()).lock(request).await;
    // The client and the store both look at the clock; whoever is first tells it in its own words.
    assert!(matches!(late.unwrap_err().code(), Code::DeadlineExceeded | Code::Cancelled));
    waiting(&store, "l", 1).await;
}

fn elections(store: &Store) -> ElectionClient<Channel> {
    ElectionClient::new(store.channel.clone())
}

fn campaign(lease: i64, value: &str) -> v3electionpb::CampaignRequest {
    v3electionpb::CampaignRequest { name: "e".into(), lease, value: value.to_owned().into() }
}

fn who() -> v3electionpb::LeaderRequest {
    v3electionpb::LeaderRequest { name: "e".into() }
}

#[tokio::test]
async fn an_election_has_one_leader_whose_word_is_observed_and_then_the_next() {
    let store = store().await;
    let nobody = refusal(elections(&store).leader(who()).await);
    assert_eq!(nobody, (Code::Unknown, "election: no leader".to_owned()));
    let [first, second] = [lease(&store, 0xa).await, lease(&store, 0xb).await];
    let mut observed = elections(&store).observe(who()).await.unwrap().into_inner();
    let won = elections(&store).campaign(campaign(first, "one")).await.unwrap().into_inner().leader.unwrap();
    assert_eq!((&won.key[..], won.lease, won.rev), (&b"e/a"[..], 0xa, 2));
    let mut next = async || {
        let told = tokio::time::timeout(PATIENCE, observed.next()).await.unwrap().unwrap().unwrap();
        String::from_utf8(told.kv.unwrap().value.to_vec()).unwrap()
    };
    assert_eq!(next().await, "one");
    let mut client = elections(&store);
    let waits = tokio::spawn(async move { client.campaign(campaign(second, "two")).await.unwrap().into_inner() });
    waiting(&store, "e", 2).await;
    let word = v3electionpb::ProclaimRequest { leader: Some(won.clone()), value: "still one".into() };
    elections(&store).proclaim(word.clone()).await.unwrap();
    assert_eq!(next().await, "still one");
    let leader = elections(&store).leader(who()).await.unwrap().into_inner().kv.unwrap();
    assert_eq!((&leader.value[..], leader.lease), (&b"still one"[..], 0xa));
    assert!(!waits.is_finished());
    elections(&store).resign(v3electionpb::ResignRequest { leader: Some(won.clone()) }).await.unwrap();
    assert_eq!(waits.await.unwrap().leader.unwrap().key[..], b"e/b"[..]);
    assert_eq!(next().await, "two");
    let late = refusal(elections(&store).proclaim(word).await);
    assert_eq!(late, (Code::Unknown, "election: not leader".to_owned()), "whoever was deposed cannot speak");
}

#[tokio::test]
async fn who_campaigns_again_proclaims() {
    let store = store().await;
    let first = lease(&store, 0xa).await;
    let won = elections(&store).campaign(campaign(first, "one")).await.unwrap().into_inner().leader.unwrap();
    let again = elections(&store).campaign(campaign(first, "two")).await.unwrap().into_inner().leader.unwrap();
    assert_eq!(won, again);
    assert_eq!(&elections(&store).leader(who()).await.unwrap().into_inner().kv.unwrap().value[..], b"two");
    let nameless = v3electionpb::ResignRequest { leader: None };
    let refused = refusal(elections(&store).resign(nameless).await);
    assert_eq!(refused, (Code::Unknown, "\"leader\" field must be provided".to_owned()));
}
