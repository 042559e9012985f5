//! Keys: what is asked and answered, and every refusal to the letter.

use mainstay_store::etcd::Settings;
use mainstay_store::etcd::wire::etcdserverpb as pb;
use tonic::Code;

use crate::support::{between, delete, get, put, refusal, store, store_with};

fn names(found: &pb::RangeResponse) -> Vec<&str> {
    found.kvs.iter().map(|kv| std::str::from_utf8(&kv.key).unwrap()).collect()
}

#[tokio::test]
async fn a_key_tells_its_life_and_every_answer_who_gives_it() {
    let store = store().await;
    let empty = store.get("a").await;
    let header = empty.header.unwrap();
    assert!(header.cluster_id != 0 && header.member_id != 0 && header.raft_term != 0, "{header:?}");
    assert_eq!((header.revision, empty.count), (1, 0));
    assert_eq!(store.put("a", "1").await, 2);
    assert_eq!(store.put("a", "2").await, 3);
    let found = store.get("a").await;
    let kv = &found.kvs[0];
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version, &kv.value[..]), (2, 3, 2, &b"2"[..]));
    assert_eq!(store.delete("a").await, 4);
    assert_eq!(store.delete("a").await, 4, "what deletes nothing makes no revision");
    assert_eq!(store.put("a", "3").await, 5);
    let kv = store.get("a").await.kvs.remove(0);
    assert_eq!((kv.create_revision, kv.version), (5, 1), "a key that comes back begins anew");
}

#[tokio::test]
async fn a_list_comes_in_pages_of_one_revision_as_kube_apiserver_reads_it() {
    let store = store().await;
    for key in ["k/1", "k/2", "k/3", "k/4", "k/5"] {
        store.put(key, "v").await;
    }
    let mut kv = store.kv();
    let first = kv.range(pb::RangeRequest { limit: 2, ..between("k/", "k0") }).await.unwrap().into_inner();
    assert_eq!((names(&first), first.more, first.count), (vec!["k/1", "k/2"], true, 5));
    let revision = first.header.unwrap().revision;
    store.put("k/25", "new").await;
    store.delete("k/4").await;
    let page = pb::RangeRequest { limit: 2, revision, ..between("k/2\0", "k0") };
    let second = kv.range(page).await.unwrap().into_inner();
    assert_eq!((names(&second), second.more, second.count), (vec!["k/3", "k/4"], true, 3));
    let last = kv.range(pb::RangeRequest { limit: 2, revision, ..between("k/4\0", "k0") }).await.unwrap().into_inner();
    assert_eq!((names(&last), last.more), (vec!["k/5"], false));
    let counted = kv.range(pb::RangeRequest { count_only: true, ..between("\0", "\0") }).await.unwrap().into_inner();
    assert_eq!((counted.count, counted.kvs.len()), (5, 0));
}

#[tokio::test]
async fn what_is_read_can_be_sorted_filtered_and_left_without_values() {
    let store = store().await;
    for (key, value) in [("a", "3"), ("b", "1"), ("c", "2")] {
        store.put(key, value).await;
    }
    let mut kv = store.kv();
    let by_value = pb::RangeRequest {
        sort_target: pb::range_request::SortTarget::Value.into(),
        sort_order: pb::range_request::SortOrder::Descend.into(),
        limit: 2,
        ..between("a", "\0")
    };
    let found = kv.range(by_value).await.unwrap().into_inner();
    assert_eq!((names(&found), found.more), (vec!["a", "c"], true));
    let young = pb::RangeRequest { min_mod_revision: 3, keys_only: true, ..between("a", "\0") };
    let found = kv.range(young).await.unwrap().into_inner();
    assert_eq!((names(&found), found.count), (vec!["b", "c"], 3));
    assert!(found.kvs.iter().all(|kv| kv.value.is_empty()));
    let past = kv.range(pb::RangeRequest { revision: 2, ..between("a", "\0") }).await.unwrap().into_inner();
    assert_eq!((names(&past), past.header.unwrap().revision), (vec!["a"], 4));
}

#[tokio::test]
async fn what_was_there_before_is_told_on_request() {
    let store = store().await;
    store.put("a", "1").await;
    let mut kv = store.kv();
    let set = kv.put(pb::PutRequest { prev_kv: true, ..put("a", "2") }).await.unwrap().into_inner();
    assert_eq!(&set.prev_kv.unwrap().value[..], b"1");
    let kept = pb::PutRequest { ignore_value: true, prev_kv: true, ..put("a", "") };
    assert_eq!(&kv.put(kept).await.unwrap().into_inner().prev_kv.unwrap().value[..], b"2");
    let gone = kv.delete_range(pb::DeleteRangeRequest { prev_kv: true, ..delete("a") }).await.unwrap().into_inner();
    assert_eq!((gone.deleted, &gone.prev_kvs[0].value[..], gone.prev_kvs[0].version), (1, &b"2"[..], 3));
    let new = kv.put(pb::PutRequest { prev_kv: true, ..put("a", "3") }).await.unwrap().into_inner();
    assert_eq!(new.prev_kv, None);
}

#[tokio::test]
async fn every_refusal_has_etcds_code_and_text() {
    let store = store().await;
    store.put("a", "1").await;
    store.put("a", "2").await;
    store.put("a", "3").await;
    store.compact(3).await;
    let mut kv = store.kv();
    let invalid = |text: &str| (Code::InvalidArgument, text.to_owned());
    let beyond = |text: &str| (Code::OutOfRange, text.to_owned());
    let no_key = invalid("etcdserver: key is not provided");
    assert_eq!(refusal(kv.range(get("")).await), no_key);
    assert_eq!(refusal(kv.put(put("", "v")).await), no_key);
    assert_eq!(refusal(kv.delete_range(delete("")).await), no_key);
    let compacted = beyond("etcdserver: mvcc: required revision has been compacted");
    let future = beyond("etcdserver: mvcc: required revision is a future revision");
    assert_eq!(refusal(kv.range(pb::RangeRequest { revision: 2, ..get("a") }).await), compacted);
    assert_eq!(refusal(kv.range(pb::RangeRequest { revision: 9, ..get("a") }).await), future);
    let compact = |revision| pb::CompactionRequest { revision, physical: false };
    assert_eq!(refusal(kv.compact(compact(3)).await), compacted);
    assert_eq!(refusal(kv.compact(compact(9)).await), future);
    let unsorted = pb::RangeRequest { sort_target: 7, ..get("a") };
    assert_eq!(refusal(kv.range(unsorted).await), invalid("etcdserver: invalid sort option"));
    let leased = pb::PutRequest { lease: 404, ..put("a", "v") };
    let no_lease = (Code::NotFound, "etcdserver: requested lease not found".to_owned());
    assert_eq!(refusal(kv.put(leased).await), no_lease);
    let nothing = pb::PutRequest { ignore_value: true, ..put("b", "") };
    assert_eq!(refusal(kv.put(nothing).await), invalid("etcdserver: key not found"));
    let both = pb::PutRequest { ignore_value: true, ..put("a", "v") };
    assert_eq!(refusal(kv.put(both).await), invalid("etcdserver: value is provided"));
    let both = pb::PutRequest { ignore_lease: true, lease: 1, ..put("a", "v") };
    assert_eq!(refusal(kv.put(both).await), invalid("etcdserver: lease is provided"));
    assert_eq!(store.get("a").await.header.unwrap().revision, 4, "what was refused changed nothing");
}

#[tokio::test]
async fn a_request_has_one_and_a_half_mebibytes_at_the_most() {
    let store = store().await;
    let mut kv = store.kv();
    let of = |size: usize| put("a", &"x".repeat(size));
    kv.put(of(1536 * 1024 - 64)).await.unwrap();
    let large = (Code::InvalidArgument, "etcdserver: request is too large".to_owned());
    assert_eq!(refusal(kv.put(of(1536 * 1024)).await), large);
    let (code, text) = refusal(kv.put(of(3 * 1024 * 1024)).await);
    assert_eq!(code, Code::ResourceExhausted, "{text}");
    assert!(text.starts_with("grpc: received message larger than max"), "{text}");
    assert_eq!(store.get("a").await.kvs[0].value.len(), 1536 * 1024 - 64);
}

#[tokio::test]
async fn a_thousand_calls_at_once_on_one_connection_are_all_answered() {
    let store = store_with(Settings { max_streams: 8, ..Settings::default() }).await;
    // A client knows how many streams it may open once it has been answered.
    store.put("first", "v").await;
    let calls = (0..1000).map(|number| {
        let mut kv = store.kv();
        async move { kv.put(put(&format!("k{number}"), "v")).await.unwrap().into_inner().header.unwrap().revision }
    });
    let mut revisions = futures_util::future::join_all(calls).await;
    revisions.sort_unstable();
    assert_eq!(revisions, (3..1003).collect::<Vec<i64>>());
}
