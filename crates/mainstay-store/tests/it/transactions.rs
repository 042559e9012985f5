//! Transactions, as those write them who use them most.

use mainstay_store::etcd::wire::etcdserverpb as pb;
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::request_op::Request;
use pb::response_op::Response;
use tonic::Code;

use crate::support::{delete, get, put, refusal, store};

fn op(request: Request) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

fn puts(key: &str, value: &str) -> pb::RequestOp {
    op(Request::RequestPut(put(key, value)))
}

fn gets(key: &str) -> pb::RequestOp {
    op(Request::RequestRange(get(key)))
}

fn deletes(key: &str) -> pb::RequestOp {
    op(Request::RequestDeleteRange(delete(key)))
}

fn when(key: &str, target: CompareTarget, with: TargetUnion) -> pb::Compare {
    pb::Compare {
        key: key.to_owned().into(),
        target: target.into(),
        target_union: Some(with),
        ..pb::Compare::default()
    }
}

fn txn(compare: Vec<pb::Compare>, success: Vec<pb::RequestOp>, failure: Vec<pb::RequestOp>) -> pb::TxnRequest {
    pb::TxnRequest { compare, success, failure }
}

/// What each thing answered: a word, and the revision that it saw or made.
fn told(response: &pb::TxnResponse) -> Vec<String> {
    let at = |header: &Option<pb::ResponseHeader>| header.as_ref().unwrap().revision;
    let tell = |op: &pb::ResponseOp| match op.response.as_ref().unwrap() {
        Response::ResponseRange(found) => format!("found {} @{}", found.count, at(&found.header)),
        Response::ResponsePut(put) => format!("put @{}", at(&put.header)),
        Response::ResponseDeleteRange(gone) => format!("deleted {} @{}", gone.deleted, at(&gone.header)),
        Response::ResponseTxn(inner) => format!("txn {} [{}]", inner.succeeded, told(inner).join(", ")),
    };
    response.responses.iter().map(tell).collect()
}

#[tokio::test]
async fn an_update_of_kube_apiserver_is_done_at_the_revision_it_saw_and_else_reads_what_is_there() {
    let store = store().await;
    let mut kv = store.kv();
    let create = txn(
        vec![when("pod", CompareTarget::Mod, TargetUnion::ModRevision(0))],
        vec![puts("pod", "1")],
        vec![gets("pod")],
    );
    assert!(kv.txn(create.clone()).await.unwrap().into_inner().succeeded);
    let again = kv.txn(create).await.unwrap().into_inner();
    assert_eq!((again.succeeded, told(&again), again.header.unwrap().revision), (false, vec!["found 1 @2".into()], 2));
    let update = |revision| {
        let seen = when("pod", CompareTarget::Mod, TargetUnion::ModRevision(revision));
        txn(vec![seen], vec![puts("pod", "2")], vec![gets("pod")])
    };
    let done = kv.txn(update(2)).await.unwrap().into_inner();
    assert_eq!((done.succeeded, told(&done), done.header.unwrap().revision), (true, vec!["put @3".into()], 3));
    assert!(!kv.txn(update(2)).await.unwrap().into_inner().succeeded);
}

#[tokio::test]
async fn all_that_a_transaction_writes_is_one_revision_and_each_answer_tells_what_it_saw() {
    let store = store().await;
    store.put("a", "0").await;
    let inner = txn(vec![], vec![puts("c", "1"), gets("a")], vec![]);
    let ops = vec![
        gets("a"),
        deletes("nothing"),
        puts("b", "1"),
        gets("b"),
        op(Request::RequestTxn(inner)),
        deletes("a"),
        gets("a"),
    ];
    let done = store.kv().txn(txn(vec![], ops, vec![])).await.unwrap().into_inner();
    let expected = [
        "found 1 @2",
        "deleted 0 @2",
        "put @3",
        "found 1 @3",
        "txn true [put @3, found 1 @3]",
        "deleted 1 @3",
        "found 0 @3",
    ];
    assert_eq!(told(&done), expected);
    assert_eq!(done.header.unwrap().revision, 3);
    let nothing = txn(vec![], vec![deletes("nothing")], vec![]);
    assert_eq!(store.kv().txn(nothing).await.unwrap().into_inner().header.unwrap().revision, 3);
}

#[tokio::test]
async fn a_missing_key_compares_as_nothing_and_has_no_value() {
    let store = store().await;
    let zero = [
        (CompareTarget::Version, TargetUnion::Version(0)),
        (CompareTarget::Create, TargetUnion::CreateRevision(0)),
        (CompareTarget::Mod, TargetUnion::ModRevision(0)),
        (CompareTarget::Lease, TargetUnion::Lease(0)),
    ];
    let compare = zero.into_iter().map(|(target, with)| when("no", target, with)).collect();
    assert!(store.kv().txn(txn(compare, vec![], vec![])).await.unwrap().into_inner().succeeded);
    for result in [CompareResult::Equal, CompareResult::NotEqual, CompareResult::Less, CompareResult::Greater] {
        let value = when("no", CompareTarget::Value, TargetUnion::Value(Default::default()));
        let compare = vec![pb::Compare { result: result.into(), ..value }];
        assert!(!store.kv().txn(txn(compare, vec![], vec![])).await.unwrap().into_inner().succeeded, "{result:?}");
    }
}

#[tokio::test]
async fn a_leader_of_patroni_is_kept_by_nested_transactions() {
    let store = store().await;
    let mine = || when("leader", CompareTarget::Value, TargetUnion::Value("me".into()));
    let free = || when("leader", CompareTarget::Create, TargetUnion::CreateRevision(0));
    let take = txn(vec![free()], vec![puts("leader", "me")], vec![]);
    let keep = txn(vec![mine()], vec![puts("optime", "1")], vec![op(Request::RequestTxn(take))]);
    let first = store.kv().txn(keep.clone()).await.unwrap().into_inner();
    assert_eq!((first.succeeded, told(&first)), (false, vec!["txn true [put @2]".to_owned()]));
    let second = store.kv().txn(keep).await.unwrap().into_inner();
    assert_eq!((second.succeeded, told(&second)), (true, vec!["put @3".to_owned()]));
}

#[tokio::test]
async fn one_transaction_changes_a_key_once_but_each_branch_may() {
    let store = store().await;
    let twice = (Code::InvalidArgument, "etcdserver: duplicate key given in txn request".to_owned());
    let mut kv = store.kv();
    assert_eq!(refusal(kv.txn(txn(vec![], vec![puts("a", "1"), puts("a", "2")], vec![])).await), twice);
    assert_eq!(refusal(kv.txn(txn(vec![], vec![puts("a", "1"), deletes("a")], vec![])).await), twice);
    assert_eq!(refusal(kv.txn(txn(vec![], vec![], vec![puts("a", "1"), puts("a", "2")])).await), twice);
    let branches = txn(vec![], vec![puts("a", "1")], vec![puts("a", "2")]);
    assert_eq!(kv.txn(branches).await.unwrap().into_inner().header.unwrap().revision, 2);
    let many = txn(vec![], (0..129).map(|number| puts(&number.to_string(), "v")).collect(), vec![]);
    let limit = (Code::InvalidArgument, "etcdserver: too many operations in txn request".to_owned());
    assert_eq!(refusal(kv.txn(many).await), limit);
}

#[tokio::test]
async fn a_transaction_that_reads_what_is_forgotten_writes_nothing() {
    let store = store().await;
    store.put("a", "1").await;
    store.put("a", "2").await;
    store.compact(3).await;
    let past = op(Request::RequestRange(pb::RangeRequest { revision: 2, ..get("a") }));
    let (code, text) = refusal(store.kv().txn(txn(vec![], vec![puts("b", "1"), past], vec![])).await);
    assert_eq!((code, &text[..]), (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted"));
    let found = store.get("b").await;
    assert_eq!((found.count, found.header.unwrap().revision), (0, 3));
}
