//! What holds whatever the commands: the store answers as its simplest model does.

use mainstay_mvcc::{Command, Range, Span, Store};
use proptest::prelude::*;

use crate::draw;
use crate::model::Model;

/// Whoever reads learns the same of both.
fn alike(store: &Store, model: &Model, asked: &[Range]) {
    assert_eq!((store.revision(), store.compacted()), (model.revision(), model.compacted));
    for range in asked {
        assert_eq!(store.range(range), model.range(range), "{range:?}");
    }
    for revision in model.compacted.max(1)..=model.revision() {
        let all = Range { revision, ..Range::all(Span::of("\0".into(), "\0".into())) };
        assert_eq!(store.range(&all), model.range(&all), "at {revision}");
    }
    assert_eq!(store.leases().collect::<Vec<_>>(), model.leases.clone().into_iter().collect::<Vec<_>>());
    for (id, ttl) in &model.leases {
        let lease = store.lease(*id).unwrap();
        assert_eq!((lease.ttl, lease.keys), (*ttl, model.keys_of(*id)));
    }
}

proptest! {
    #[test]
    fn the_store_is_its_model(
        commands in prop::collection::vec((draw::command(), 0..4usize), 1..60),
        asked in prop::collection::vec(draw::range(), 12),
    ) {
        let (mut store, mut model) = (Store::new(), Model::new());
        for (command, tidy) in &commands {
            prop_assert_eq!(store.apply(command), model.apply(command), "{:?}", command);
            store.tidy(*tidy);
            alike(&store, &model, &asked);
        }
    }

    #[test]
    fn members_that_tidy_at_their_own_pace_are_the_same(
        commands in prop::collection::vec((draw::command(), 0..4usize), 1..60),
    ) {
        let (mut early, mut late) = (Store::new(), Store::new());
        for (command, tidy) in &commands {
            prop_assert_eq!(early.apply(command), late.apply(command));
            early.tidy(*tidy);
            prop_assert_eq!(early.hash(0), late.hash(0));
        }
        while early.tidy(1) {}
        while late.tidy(1000) {}
        prop_assert_eq!(early.hash(0), late.hash(0));
        prop_assert_eq!(early.bytes(), late.bytes());
    }

    #[test]
    fn a_compaction_of_everything_leaves_what_lives(
        commands in prop::collection::vec(draw::command(), 1..40),
    ) {
        let mut store = Store::new();
        for command in &commands {
            store.apply(command);
        }
        let all = Range::all(Span::of("\0".into(), "\0".into()));
        let living = store.range(&all).unwrap();
        // One more revision, so that a deletion in the last one is no longer at the edge.
        store.apply(&Command::Put(crate::support::put("zz", "")));
        store.apply(&Command::Compact(store.revision()));
        while store.tidy(3) {}
        store.apply(&Command::Delete(crate::support::delete("zz", "")));
        store.apply(&Command::Put(crate::support::put("zz", "")));
        store.apply(&Command::Compact(store.revision()));
        while store.tidy(3) {}
        store.apply(&Command::Delete(crate::support::delete("zz", "")));
        prop_assert_eq!(store.range(&all).unwrap(), living.clone());
        let each = |kv: &mainstay_mvcc::KeyValue| kv.key.len() as u64 + kv.value.len() as u64 + 200;
        let most: u64 = living.kvs.iter().map(each).sum::<u64>() + 3 * 200;
        prop_assert!(store.bytes() <= most, "{} bytes for {} keys", store.bytes(), living.count);
    }
}
