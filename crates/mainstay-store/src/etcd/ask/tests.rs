use super::*;
use tonic::Code;

fn refusal_of<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.unwrap_err();
    (status.code(), status.message().to_owned())
}

fn said(refusal: Refusal) -> (Code, String) {
    (refusal.0, refusal.1.to_owned())
}

fn key(name: &'static str) -> Bytes {
    Bytes::from_static(name.as_bytes())
}

fn put_op(name: &'static str) -> pb::RequestOp {
    pb::RequestOp { request: Some(Request::RequestPut(pb::PutRequest { key: key(name), ..Default::default() })) }
}

fn txn_op(txn: pb::TxnRequest) -> pb::RequestOp {
    pb::RequestOp { request: Some(Request::RequestTxn(txn)) }
}

#[test]
fn no_request_is_without_a_key() {
    assert_eq!(refusal_of(range(pb::RangeRequest::default())), said(refusal::EMPTY_KEY));
    assert_eq!(refusal_of(put(pb::PutRequest::default())), said(refusal::EMPTY_KEY));
    assert_eq!(refusal_of(delete(pb::DeleteRangeRequest::default())), said(refusal::EMPTY_KEY));
    let compared = pb::TxnRequest { compare: vec![pb::Compare::default()], ..Default::default() };
    assert_eq!(refusal_of(txn(compared)), said(refusal::EMPTY_KEY));
    let nothing = pb::TxnRequest { success: vec![pb::RequestOp { request: None }], ..Default::default() };
    assert_eq!(refusal_of(txn(nothing)), said(refusal::KEY_NOT_FOUND));
}

#[test]
fn what_is_left_as_it_is_may_not_be_given() {
    let value = pb::PutRequest { key: key("a"), value: key("v"), ignore_value: true, ..Default::default() };
    assert_eq!(refusal_of(put(value)), said(refusal::VALUE_PROVIDED));
    let lease = pb::PutRequest { key: key("a"), lease: 1, ignore_lease: true, ..Default::default() };
    assert_eq!(refusal_of(put(lease)), said(refusal::LEASE_PROVIDED));
    let neither = pb::PutRequest { key: key("a"), ignore_value: true, ignore_lease: true, ..Default::default() };
    let kept = put(neither).unwrap();
    assert_eq!((kept.value, kept.lease), (None, None));
}

#[test]
fn a_transaction_has_128_ops_in_all_its_depths_together() {
    let many = |count: usize| pb::TxnRequest { success: vec![put_op("a"); count], ..Default::default() };
    assert!(txn(many(128)).is_ok());
    assert_eq!(refusal_of(txn(many(129))), said(refusal::TOO_MANY_OPS));
    let within = |count: usize| pb::TxnRequest { failure: vec![txn_op(many(count))], ..Default::default() };
    assert!(txn(within(127)).is_ok());
    assert_eq!(refusal_of(txn(within(128))), said(refusal::TOO_MANY_OPS));
}

#[test]
fn transactions_are_nested_so_deep_and_no_deeper() {
    let nest = |depth: usize| {
        (0..depth).fold(pb::TxnRequest::default(), |inner, _| pb::TxnRequest {
            success: vec![txn_op(inner)],
            ..Default::default()
        })
    };
    assert!(txn(nest(16)).is_ok());
    assert_eq!(refusal_of(txn(nest(17))), said(refusal::TOO_DEEP));
}

#[test]
fn keys_in_ascending_order_are_not_sorted_and_a_target_alone_ascends() {
    let sorted = |order: SortOrder, by: SortTarget| {
        let request =
            pb::RangeRequest { key: key("a"), sort_order: order.into(), sort_target: by.into(), ..Default::default() };
        range(request).unwrap().order
    };
    assert_eq!(sorted(SortOrder::None, SortTarget::Key), None);
    assert_eq!(sorted(SortOrder::Ascend, SortTarget::Key), None);
    assert_eq!(sorted(SortOrder::Descend, SortTarget::Key), Some((SortBy::Key, Order::Descending)));
    assert_eq!(sorted(SortOrder::None, SortTarget::Mod), Some((SortBy::Mod, Order::Ascending)));
    let nowhere = pb::RangeRequest { key: key("a"), sort_order: 9, ..Default::default() };
    assert_eq!(refusal_of(range(nowhere)), said(refusal::INVALID_SORT));
}

#[test]
fn a_comparison_with_something_else_compares_with_nothing() {
    let compared = |target: CompareTarget, with: TargetUnion| {
        let request =
            pb::Compare { key: key("a"), target: target.into(), target_union: Some(with), ..Default::default() };
        compare(request).unwrap().target
    };
    assert_eq!(compared(CompareTarget::Mod, TargetUnion::ModRevision(7)), Target::Mod(7));
    assert_eq!(compared(CompareTarget::Mod, TargetUnion::Version(7)), Target::Mod(0));
    assert_eq!(compared(CompareTarget::Value, TargetUnion::Version(7)), Target::Value(Bytes::new()));
}
