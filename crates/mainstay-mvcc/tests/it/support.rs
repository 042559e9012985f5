//! Words for short stories.

use bytes::Bytes;
use mainstay_mvcc::{
    Applied, Command, Compare, Delete, Done, Op, Put, Range, Refused, Relation, Response, Span, Store, Target, Txn,
    TxnDone,
};

pub(crate) fn put(key: &str, value: &str) -> Put {
    Put {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Some(value.to_owned().into()),
        lease: Some(0),
        previous: false,
    }
}

pub(crate) fn put_on(key: &str, lease: i64) -> Put {
    Put { lease: Some(lease), ..put(key, "") }
}

pub(crate) fn span(from: &str, end: &str) -> Span {
    Span::of(from.to_owned().into(), end.to_owned().into())
}

pub(crate) fn delete(from: &str, end: &str) -> Delete {
    Delete { span: span(from, end), previous: false }
}

pub(crate) fn when(key: &str, relation: Relation, target: Target) -> Compare {
    Compare { span: Span::key(key.to_owned()), relation, target }
}

pub(crate) fn txn(when: Vec<Compare>, then: Vec<Op>, otherwise: Vec<Op>) -> Txn {
    Txn { when, then, otherwise }
}

/// Carries out what must not be refused.
pub(crate) fn done(store: &mut Store, command: Command) -> Applied {
    let applied = store.apply(&command);
    assert!(applied.done.is_ok(), "{command:?}: {:?}", applied.done);
    applied
}

pub(crate) fn refused(store: &mut Store, command: Command) -> Refused {
    let before = (store.revision(), store.hash(0).unwrap());
    let applied = store.apply(&command);
    assert_eq!((applied.revision, store.hash(0).unwrap()), before, "a refusal changes nothing");
    applied.done.unwrap_err()
}

pub(crate) fn transacted(store: &mut Store, txn: Txn) -> TxnDone {
    match done(store, Command::Txn(txn)).done {
        Ok(Done::Txn(txn)) => txn,
        other => panic!("{other:?}"),
    }
}

/// All that is there at a revision, as `key=value` with its three numbers.
pub(crate) fn shown(store: &Store, revision: i64) -> Vec<String> {
    let found = store.range(&Range { revision, ..Range::all(span("\0", "\0")) }).unwrap();
    show(&found.kvs)
}

pub(crate) fn show(kvs: &[mainstay_mvcc::KeyValue]) -> Vec<String> {
    let show = |kv: &mainstay_mvcc::KeyValue| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("{}={} {}/{}/{}", text(&kv.key), text(&kv.value), kv.create, kv.modified, kv.version)
    };
    kvs.iter().map(show).collect()
}

pub(crate) fn ranged(response: &Response) -> Vec<String> {
    match response {
        Response::Range(found) => show(&found.kvs),
        other => panic!("{other:?}"),
    }
}
