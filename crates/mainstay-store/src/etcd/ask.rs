//! What a request means in the words of the store, or why it is refused before anybody agrees on it. The order of the
//! checks is etcd's (`etcdserver/api/v3rpc/key.go`), for a request may be wrong in two ways.

use mainstay_mvcc::{Compare, Delete, Op, Order, Put, Range, Relation, SortBy, Span, Target, Txn};
use prost::bytes::Bytes;
use tonic::Status;

use super::refusal::{self, Refusal, status};
use super::wire::etcdserverpb as pb;
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::range_request::{SortOrder, SortTarget};
use pb::request_op::Request;

/// How many comparisons or things to do a transaction may have, as in etcd (`--max-txn-ops`).
pub(crate) const MAX_TXN_OPS: usize = 128;

/// How deep transactions may be nested. etcd knows no bound of its own; nobody is known to nest more than two.
const MAX_DEPTH: usize = 16;

pub(crate) fn some_key(key: &Bytes) -> Result<(), Status> {
    if key.is_empty() { Err(status(refusal::EMPTY_KEY)) } else { Ok(()) }
}

fn of<T: TryFrom<i32>>(number: i32, refusal: Refusal) -> Result<T, Status> {
    T::try_from(number).map_err(|_| status(refusal))
}

/// Keys in ascending order need no sorting; a target without an order means the ascending one.
fn order(order: SortOrder, target: SortTarget) -> Option<(SortBy, Order)> {
    let by = match target {
        SortTarget::Key => SortBy::Key,
        SortTarget::Version => SortBy::Version,
        SortTarget::Create => SortBy::Create,
        SortTarget::Mod => SortBy::Mod,
        SortTarget::Value => SortBy::Value,
    };
    match (by, order) {
        (SortBy::Key, SortOrder::None | SortOrder::Ascend) => None,
        (_, SortOrder::None | SortOrder::Ascend) => Some((by, Order::Ascending)),
        (_, SortOrder::Descend) => Some((by, Order::Descending)),
    }
}

pub(crate) fn range(request: pb::RangeRequest) -> Result<Range, Status> {
    some_key(&request.key)?;
    let by = of(request.sort_target, refusal::INVALID_SORT)?;
    Ok(Range {
        revision: request.revision,
        limit: request.limit,
        order: order(of(request.sort_order, refusal::INVALID_SORT)?, by),
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod: request.min_mod_revision,
        max_mod: request.max_mod_revision,
        min_create: request.min_create_revision,
        max_create: request.max_create_revision,
        ..Range::all(Span::of(request.key, request.range_end))
    })
}

pub(crate) fn put(request: pb::PutRequest) -> Result<Put, Status> {
    some_key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(status(refusal::VALUE_PROVIDED));
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(status(refusal::LEASE_PROVIDED));
    }
    Ok(Put {
        key: request.key,
        value: (!request.ignore_value).then_some(request.value),
        lease: (!request.ignore_lease).then_some(request.lease),
        previous: request.prev_kv,
    })
}

pub(crate) fn delete(request: pb::DeleteRangeRequest) -> Result<Delete, Status> {
    some_key(&request.key)?;
    Ok(Delete { span: Span::of(request.key, request.range_end), previous: request.prev_kv })
}

fn compare(request: pb::Compare) -> Result<Compare, Status> {
    some_key(&request.key)?;
    let relation = match of(request.result, refusal::INVALID_COMPARE)? {
        CompareResult::Equal => Relation::Equal,
        CompareResult::Greater => Relation::Greater,
        CompareResult::Less => Relation::Less,
        CompareResult::NotEqual => Relation::NotEqual,
    };
    let given = request.target_union;
    Ok(Compare {
        span: Span::of(request.key, request.range_end),
        relation,
        target: target(of(request.target, refusal::INVALID_COMPARE)?, given),
    })
}

/// What is given for something else than what is compared counts as nothing: 0, or the empty value.
fn target(of: CompareTarget, given: Option<TargetUnion>) -> Target {
    match (of, given) {
        (CompareTarget::Version, Some(TargetUnion::Version(version))) => Target::Version(version),
        (CompareTarget::Version, _) => Target::Version(0),
        (CompareTarget::Create, Some(TargetUnion::CreateRevision(revision))) => Target::Create(revision),
        (CompareTarget::Create, _) => Target::Create(0),
        (CompareTarget::Mod, Some(TargetUnion::ModRevision(revision))) => Target::Mod(revision),
        (CompareTarget::Mod, _) => Target::Mod(0),
        (CompareTarget::Value, Some(TargetUnion::Value(value))) => Target::Value(value),
        (CompareTarget::Value, _) => Target::Value(Bytes::new()),
        (CompareTarget::Lease, Some(TargetUnion::Lease(lease))) => Target::Lease(lease),
        (CompareTarget::Lease, _) => Target::Lease(0),
    }
}

pub(crate) fn txn(request: pb::TxnRequest) -> Result<Txn, Status> {
    nested(request, MAX_TXN_OPS, MAX_DEPTH)
}

fn nested(request: pb::TxnRequest, most: usize, depth: usize) -> Result<Txn, Status> {
    let longest = request.compare.len().max(request.success.len()).max(request.failure.len());
    let Some(left) = most.checked_sub(longest) else { return Err(status(refusal::TOO_MANY_OPS)) };
    let ops =
        |ops: Vec<pb::RequestOp>| ops.into_iter().map(|each| op(each, left, depth)).collect::<Result<Vec<_>, _>>();
    Ok(Txn {
        when: request.compare.into_iter().map(compare).collect::<Result<_, _>>()?,
        then: ops(request.success)?,
        otherwise: ops(request.failure)?,
    })
}

fn op(request: pb::RequestOp, most: usize, depth: usize) -> Result<Op, Status> {
    match request.request {
        Some(Request::RequestRange(request)) => range(request).map(Op::Range),
        Some(Request::RequestPut(request)) => put(request).map(Op::Put),
        Some(Request::RequestDeleteRange(request)) => delete(request).map(Op::Delete),
        Some(Request::RequestTxn(_)) if depth == 0 => Err(status(refusal::TOO_DEEP)),
        Some(Request::RequestTxn(request)) => nested(request, most, depth - 1).map(Op::Txn),
        None => Err(status(refusal::KEY_NOT_FOUND)),
    }
}

#[cfg(test)]
mod tests;
