//! Commands and questions, drawn: few keys, so that they meet.

use bytes::Bytes;
use mainstay_mvcc::{Command, Compare, Delete, End, Op, Order, Put, Range, Relation, SortBy, Span, Target, Txn, Watch};
use proptest::prelude::*;

const LONG: &str = "a key that is too long for the index to hold it by itself";

fn key() -> impl Strategy<Value = Bytes> {
    prop::sample::select(vec!["a", "aa", "ab", "b", "c", "\0", LONG]).prop_map(Bytes::from)
}

fn span() -> impl Strategy<Value = Span> {
    let end = prop_oneof![3 => Just(End::Single), 2 => key().prop_map(End::Before), 1 => Just(End::Open)];
    (key(), end).prop_map(|(from, end)| Span { from, end })
}

fn lease() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![0, 1, 2, -3])
}

fn put() -> impl Strategy<Value = Put> {
    let value = prop::option::weighted(0.9, prop::sample::select(vec!["", "1", "2"]).prop_map(Bytes::from));
    let lease = prop::option::weighted(0.9, prop_oneof![2 => Just(0), 1 => lease()]);
    (key(), value, lease, any::<bool>()).prop_map(|(key, value, lease, previous)| Put { key, value, lease, previous })
}

fn delete() -> impl Strategy<Value = Delete> {
    (span(), any::<bool>()).prop_map(|(span, previous)| Delete { span, previous })
}

fn revision() -> impl Strategy<Value = i64> {
    prop_oneof![4 => Just(0), 6 => 0..40i64]
}

pub(crate) fn range() -> impl Strategy<Value = Range> {
    let by = prop::sample::select(vec![SortBy::Key, SortBy::Version, SortBy::Create, SortBy::Mod, SortBy::Value]);
    let order = prop::sample::select(vec![Order::Ascending, Order::Descending]);
    let filter = || prop_oneof![5 => Just(0), 1 => 1..30i64];
    let filters = (filter(), filter(), filter(), filter());
    (span(), revision(), -1..4i64, prop::option::of((by, order)), any::<bool>(), prop::bool::weighted(0.2), filters)
        .prop_map(
            |(span, revision, limit, order, keys_only, count_only, (min_mod, max_mod, min_create, max_create))| Range {
                span,
                revision,
                limit,
                order,
                keys_only,
                count_only,
                min_mod,
                max_mod,
                min_create,
                max_create,
            },
        )
}

pub(crate) fn watch() -> impl Strategy<Value = Watch> {
    let kinds = prop_oneof![3 => Just((true, true)), 1 => Just((true, false)), 1 => Just((false, true))];
    (span(), revision(), kinds, any::<bool>()).prop_map(|(span, from, (puts, deletes), previous)| Watch {
        span,
        from,
        puts,
        deletes,
        previous,
    })
}

fn compare() -> impl Strategy<Value = Compare> {
    let relation = prop::sample::select(vec![Relation::Equal, Relation::Greater, Relation::Less, Relation::NotEqual]);
    let target = prop_oneof![
        (0..4i64).prop_map(Target::Version),
        (0..20i64).prop_map(Target::Create),
        (0..20i64).prop_map(Target::Mod),
        prop::sample::select(vec!["", "1", "2"]).prop_map(|value| Target::Value(value.into())),
        lease().prop_map(Target::Lease),
    ];
    (span(), relation, target).prop_map(|(span, relation, target)| Compare { span, relation, target })
}

fn txn() -> impl Strategy<Value = Txn> {
    let leaf =
        prop_oneof![2 => range().prop_map(Op::Range), 5 => put().prop_map(Op::Put), 2 => delete().prop_map(Op::Delete)];
    let op = leaf.prop_recursive(2, 8, 3, |op| of_ops(op).prop_map(Op::Txn));
    of_ops(op)
}

fn of_ops(op: impl Strategy<Value = Op> + Clone) -> impl Strategy<Value = Txn> {
    let ops = || prop::collection::vec(op.clone(), 0..4);
    (prop::collection::vec(compare(), 0..2), ops(), ops()).prop_map(|(when, then, otherwise)| Txn {
        when,
        then,
        otherwise,
    })
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        10 => put().prop_map(Command::Put),
        3 => delete().prop_map(Command::Delete),
        6 => txn().prop_map(Command::Txn),
        2 => (0..40i64).prop_map(Command::Compact),
        2 => (lease(), 0..20i64).prop_map(|(id, ttl)| Command::Grant { id, ttl }),
        1 => lease().prop_map(Command::Revoke),
        1 => prop::collection::vec(lease(), 0..4).prop_map(Command::Expire),
    ]
}
