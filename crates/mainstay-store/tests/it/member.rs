//! What a member tells of itself, and what it does not do.

use mainstay_store::etcd::wire::etcdserverpb as pb;
use pb::cluster_client::ClusterClient;
use pb::maintenance_client::MaintenanceClient;
use tonic::Code;
use tonic::codegen::http::uri::PathAndQuery;

use crate::support::{refusal, store};

#[tokio::test]
async fn a_member_tells_how_it_stands() {
    let store = store().await;
    store.put("a", "1").await;
    let mut maintenance = MaintenanceClient::new(store.channel.clone());
    let status = maintenance.status(pb::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.version, mainstay_store::etcd::VERSION);
    assert!(status.db_size > 0 && status.raft_index > 0 && status.raft_applied_index > 0 && !status.is_learner);
    assert!(status.errors.is_empty(), "{:?}", status.errors);
    let alarms = maintenance.alarm(pb::AlarmRequest::default()).await.unwrap().into_inner().alarms;
    assert!(alarms.is_empty());
    maintenance.defragment(pb::DefragmentRequest {}).await.unwrap();
    let members = ClusterClient::new(store.channel.clone());
    let members = { members }.member_list(pb::MemberListRequest { linearizable: true }).await.unwrap().into_inner();
    let me = status.header.unwrap().member_id;
    let me = members.members.iter().find(|member| member.id == me).unwrap();
    assert!(me.client_ur_ls[0].starts_with("http://") && me.peer_ur_ls[0].starts_with("http://"), "{me:?}");
    assert!(members.members.iter().any(|member| member.id == status.leader));
}

#[tokio::test]
async fn leadership_goes_only_to_who_may_have_it() {
    let store = store().await;
    let mut maintenance = MaintenanceClient::new(store.channel.clone());
    let status = maintenance.status(pb::StatusRequest {}).await.unwrap().into_inner();
    let me = status.header.unwrap().member_id;
    let moved = maintenance.move_leader(pb::MoveLeaderRequest { target_id: status.leader }).await;
    let stranger = maintenance.move_leader(pb::MoveLeaderRequest { target_id: 404 }).await;
    if status.leader == me {
        moved.unwrap();
        let bad = (Code::FailedPrecondition, "etcdserver: bad leader transferee".to_owned());
        assert_eq!(refusal(stranger), bad);
    } else {
        let elsewhere = (Code::FailedPrecondition, "etcdserver: not leader".to_owned());
        assert_eq!([refusal(moved), refusal(stranger)], [elsewhere.clone(), elsewhere]);
    }
}

#[tokio::test]
async fn two_stores_with_the_same_data_have_the_same_hash() {
    let hash = async |value: &str| {
        let store = store().await;
        store.put("a", value).await;
        let mut maintenance = MaintenanceClient::new(store.channel.clone());
        let of = pb::HashKvRequest { revision: 2 };
        let hash = maintenance.hash_kv(of).await.unwrap().into_inner();
        assert_eq!((hash.hash_revision, hash.compact_revision), (2, -1));
        hash.hash
    };
    assert_eq!(hash("1").await, hash("1").await);
    assert_ne!(hash("1").await, hash("2").await);
}

#[tokio::test]
async fn users_and_roles_and_what_nobody_knows_are_said_to_be_missing() {
    let store = store().await;
    for (path, told) in [
        ("/etcdserverpb.Auth/AuthStatus", "users and roles are not built"),
        ("/etcdserverpb.KV/RangeStream", "unknown method RangeStream for service etcdserverpb.KV"),
        ("/nobody.Knows/It", "unknown method It for service nobody.Knows"),
    ] {
        let mut client = tonic::client::Grpc::new(store.channel.clone());
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<pb::StatusRequest, pb::StatusResponse>::default();
        let request = tonic::Request::new(pb::StatusRequest {});
        let why = client.unary(request, PathAndQuery::from_static(path), codec).await.unwrap_err();
        assert_eq!(why.code(), Code::Unimplemented);
        assert!(why.message().contains(told), "{}", why.message());
    }
}
