//! Stories of the data, corner by corner as etcd has them.

use mainstay_mvcc::{Command, Done, Op, Order, Put, Range, Refused, Relation, Response, SortBy, Span, Store, Target};

use crate::support::{delete, done, put, put_on, ranged, refused, show, shown, span, transacted, txn, when};

#[test]
fn a_store_begins_at_revision_1_and_only_writes_move_it() {
    let mut store = Store::new();
    assert_eq!((store.revision(), store.compacted()), (1, -1));
    assert_eq!(done(&mut store, Command::Delete(delete("a", ""))).revision, 1, "there was nothing to delete");
    assert_eq!(done(&mut store, Command::Grant { id: 7, ttl: 10 }).revision, 1);
    transacted(&mut store, txn(vec![], vec![Op::Range(Range::all(span("a", "")))], vec![]));
    assert_eq!(store.revision(), 1);
    assert_eq!(done(&mut store, Command::Put(put("a", "1"))).revision, 2);
    assert_eq!(shown(&store, 0), ["a=1 2/2/1"]);
}

#[test]
fn a_key_that_comes_back_begins_anew() {
    let mut store = Store::new();
    for value in ["1", "2"] {
        done(&mut store, Command::Put(put("a", value)));
    }
    done(&mut store, Command::Delete(delete("a", "")));
    done(&mut store, Command::Put(put("a", "3")));
    assert_eq!(shown(&store, 0), ["a=3 5/5/1"]);
    assert_eq!(shown(&store, 4), [""; 0]);
    assert_eq!(shown(&store, 3), ["a=2 2/3/2"]);
}

#[test]
fn what_a_transaction_reads_it_has_written_before() {
    let mut store = Store::new();
    done(&mut store, Command::Put(put("a", "old")));
    let read = || Op::Range(Range::all(span("\0", "\0")));
    let before = Op::Range(Range { revision: 2, ..Range::all(span("a", "")) });
    let then = vec![read(), Op::Put(put("b", "1")), read(), Op::Delete(delete("a", "")), read(), before];
    let txn_done = transacted(&mut store, txn(vec![], then, vec![]));
    assert_eq!(ranged(&txn_done.responses[0]), ["a=old 2/2/1"]);
    assert_eq!(ranged(&txn_done.responses[2]), ["a=old 2/2/1", "b=1 3/3/1"]);
    assert_eq!(ranged(&txn_done.responses[4]), ["b=1 3/3/1"]);
    assert_eq!(ranged(&txn_done.responses[5]), ["a=old 2/2/1"]);
    assert_eq!(store.revision(), 3, "all of it is one revision");
}

#[test]
fn a_transaction_within_compares_what_was_there_before_the_first_write() {
    let mut store = Store::new();
    let missing = || vec![when("a", Relation::Equal, Target::Create(0))];
    let within = txn(missing(), vec![Op::Put(put("b", "a was missing"))], vec![]);
    let outer = txn(missing(), vec![Op::Put(put("a", "1")), Op::Txn(within)], vec![]);
    transacted(&mut store, outer);
    assert_eq!(shown(&store, 0), ["a=1 2/2/1", "b=a was missing 2/2/1"]);
}

#[test]
fn a_missing_key_compares_as_zeros_and_its_value_as_nothing() {
    let mut store = Store::new();
    let mut holds =
        |relation, target| transacted(&mut store, txn(vec![when("a", relation, target)], vec![], vec![])).succeeded;
    for target in [Target::Version(0), Target::Create(0), Target::Mod(0), Target::Lease(0)] {
        assert!(holds(Relation::Equal, target));
    }
    for relation in [Relation::Equal, Relation::NotEqual, Relation::Less, Relation::Greater] {
        assert!(!holds(relation, Target::Value("".into())));
    }
}

#[test]
fn a_transaction_may_change_a_key_once_in_what_can_be_done_together() {
    let mut store = Store::new();
    let a = || Op::Put(put("a", "1"));
    let gone = |from, end| Op::Delete(delete(from, end));
    let nested = |then, otherwise| Op::Txn(txn(vec![], then, otherwise));
    let clashes = [
        vec![a(), a()],
        vec![a(), gone("a", "")],
        vec![gone("a", "b"), a()],
        vec![gone("\0", "\0"), Op::Put(Put { lease: None, ..put("a", "1") })],
        vec![a(), nested(vec![a()], vec![])],
        vec![a(), nested(vec![], vec![a()])],
        vec![nested(vec![a()], vec![]), nested(vec![], vec![a()])],
        vec![nested(vec![gone("a", "")], vec![]), nested(vec![a()], vec![])],
        vec![gone("a", ""), nested(vec![a()], vec![])],
    ];
    for ops in clashes {
        for (then, otherwise) in [(ops.clone(), vec![]), (vec![], ops)] {
            let command = Command::Txn(txn(vec![], then, otherwise));
            assert_eq!(command.check(), Err(Refused::DuplicateKey), "{command:?}");
            assert_eq!(refused(&mut store, command), Refused::DuplicateKey);
        }
    }
    let well = [
        vec![gone("a", "b"), gone("a", "")],
        vec![nested(vec![a()], vec![a()])],
        vec![nested(vec![a()], vec![]), nested(vec![gone("a", "")], vec![])],
        vec![gone("b", "c"), a()],
        vec![gone("\0", "\0"), a()],
    ];
    for ops in well {
        assert_eq!(Command::Txn(txn(vec![], ops.clone(), ops)).check(), Ok(()));
    }
}

#[test]
fn a_transaction_may_delete_everything_and_begin_anew() {
    let mut store = Store::new();
    done(&mut store, Command::Put(put("a", "1")));
    let anew = vec![Op::Delete(delete("\0", "\0")), Op::Put(put("a", "2"))];
    transacted(&mut store, txn(vec![], anew, vec![]));
    assert_eq!(shown(&store, 0), ["a=2 3/3/1"]);
}

#[test]
fn a_checksum_is_taken_in_steps_while_commands_go_on() {
    let mut store = Store::new();
    for key in 0..50 {
        done(&mut store, Command::Put(put(&format!("{key}"), "1")));
    }
    done(&mut store, Command::Compact(9));
    let whole = store.hash(0).unwrap();
    let mut hashing = store.hashing(0).unwrap();
    let mut steps = 0;
    let stepped = loop {
        if let Some(sum) = store.hash_on(&mut hashing, 3) {
            break sum;
        }
        steps += 1;
        done(&mut store, Command::Put(put(&format!("{steps}"), "2")));
        let now = store.revision();
        done(&mut store, Command::Compact(now));
        while store.tidy(10) {}
    };
    assert_eq!((stepped, hashing.revision(), hashing.compacted()), (whole, 51, 9));
    assert!(steps > 15);
}

#[test]
fn a_key_that_one_transaction_sets_and_deletes_is_gone_and_both_happened() {
    let mut store = Store::new();
    let within = |op| Op::Txn(txn(vec![], vec![op], vec![]));
    let both = vec![within(Op::Put(put("a", "1"))), within(Op::Delete(delete("a", "")))];
    transacted(&mut store, txn(vec![], both, vec![]));
    assert_eq!((store.revision(), shown(&store, 0)), (2, vec![]));
    done(&mut store, Command::Put(put("a", "2")));
    assert_eq!(shown(&store, 0), ["a=2 3/3/1"]);
}

#[test]
fn a_refused_transaction_has_done_nothing() {
    let mut store = Store::new();
    let all = |last| Command::Txn(txn(vec![], vec![Op::Put(put("a", "1")), last], vec![]));
    let keep_value = Put { value: None, ..put("b", "") };
    assert_eq!(refused(&mut store, all(Op::Put(keep_value))), Refused::KeyNotFound);
    assert_eq!(refused(&mut store, all(Op::Put(put_on("b", 9)))), Refused::LeaseNotFound);
    let future = Range { revision: 2, ..Range::all(span("a", "")) };
    assert_eq!(refused(&mut store, all(Op::Range(future))), Refused::Future { at: 1 }, "its own revision has not come");
    assert_eq!(refused(&mut store, all(Op::Put(put("", "")))), Refused::EmptyKey);
}

#[test]
fn what_shall_stay_as_it_is_stays() {
    let mut store = Store::new();
    done(&mut store, Command::Grant { id: 7, ttl: 10 });
    done(&mut store, Command::Put(Put { lease: Some(7), ..put("a", "1") }));
    done(&mut store, Command::Put(Put { lease: None, ..put("a", "2") }));
    assert_eq!(store.lease(7).unwrap().keys, ["a"]);
    let previous = done(&mut store, Command::Put(Put { value: None, previous: true, ..put("a", "") })).done;
    let Ok(Done::Put(Some(previous))) = previous else { panic!("{previous:?}") };
    assert_eq!((show(std::slice::from_ref(&previous)), previous.lease), (vec!["a=2 2/3/2".to_owned()], 7));
    assert_eq!(shown(&store, 0), ["a=2 2/4/3"]);
    assert!(store.lease(7).unwrap().keys.is_empty(), "it hangs on nothing now");
}

#[test]
fn a_lease_that_ends_takes_its_keys_along_in_one_revision() {
    let mut store = Store::new();
    assert_eq!(refused(&mut store, Command::Revoke(7)), Refused::LeaseNotFound);
    assert_eq!(refused(&mut store, Command::Grant { id: 0, ttl: 10 }), Refused::LeaseNotFound);
    assert_eq!(refused(&mut store, Command::Grant { id: 7, ttl: 9_000_000_001 }), Refused::LeaseTooLong);
    done(&mut store, Command::Grant { id: 7, ttl: 10 });
    done(&mut store, Command::Grant { id: 8, ttl: 0 });
    assert_eq!(refused(&mut store, Command::Grant { id: 7, ttl: 5 }), Refused::LeaseExists);
    assert_eq!(store.leases().collect::<Vec<_>>(), [(7, 10), (8, 1)]);
    for (key, lease) in [("a", 7), ("b", 7), ("c", 8), ("d", 0), ("b", 8)] {
        done(&mut store, Command::Put(put_on(key, lease)));
    }
    assert_eq!(
        (store.lease(7).unwrap().keys, store.lease(8).unwrap().keys),
        (vec!["a".into()], vec!["b".into(), "c".into()])
    );
    let applied = done(&mut store, Command::Expire(vec![8, 9, 7, 8]));
    assert_eq!((applied.revision, applied.done), (7, Ok(Done::Ended(vec![8, 7]))));
    assert_eq!(shown(&store, 0), ["d= 5/5/1"]);
    assert_eq!(done(&mut store, Command::Expire(vec![8])).done, Ok(Done::Ended(vec![])), "that one is gone");
}

#[test]
fn a_question_is_limited_after_it_is_sorted_and_counts_all_the_same() {
    let mut store = Store::new();
    for (key, value) in [("a", "3"), ("b", "1"), ("c", "2"), ("b", "1")] {
        done(&mut store, Command::Put(put(key, value)));
    }
    let all = Range::all(span("a", "z"));
    let ask = |range: Range| {
        let found = store.range(&range).unwrap();
        let keys: Vec<_> = found.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect();
        (keys.concat(), found.more, found.count)
    };
    let by = |by, order| Range { order: Some((by, order)), limit: 2, ..all.clone() };
    assert_eq!(ask(Range { limit: 2, ..all.clone() }), ("ab".into(), true, 3));
    assert_eq!(ask(Range { limit: 3, ..all.clone() }), ("abc".into(), false, 3));
    assert_eq!(ask(by(SortBy::Key, Order::Descending)), ("cb".into(), true, 3));
    assert_eq!(ask(by(SortBy::Value, Order::Ascending)), ("bc".into(), true, 3));
    assert_eq!(ask(by(SortBy::Mod, Order::Descending)), ("bc".into(), true, 3));
    assert_eq!(ask(by(SortBy::Version, Order::Ascending)), ("ac".into(), true, 3));
    assert_eq!(ask(by(SortBy::Version, Order::Descending)), ("ba".into(), true, 3));
    assert_eq!(ask(by(SortBy::Create, Order::Descending)), ("cb".into(), true, 3));
    assert_eq!(ask(Range { min_mod: 4, limit: 1, ..all.clone() }), ("b".into(), true, 3));
    assert_eq!(ask(Range { max_create: 3, min_create: 3, ..all.clone() }), ("b".into(), false, 3));
    assert_eq!(ask(Range { count_only: true, limit: 1, ..all.clone() }), (String::new(), false, 3));
    let names = store.range(&Range { keys_only: true, ..all }).unwrap();
    assert!(names.kvs.iter().all(|kv| kv.value.is_empty() && kv.version > 0));
}

#[test]
fn a_revision_that_is_forgotten_or_to_come_says_so() {
    let mut store = Store::new();
    for value in ["1", "2", "3"] {
        done(&mut store, Command::Put(put("a", value)));
    }
    done(&mut store, Command::Compact(3));
    assert_eq!(store.compacted(), 3);
    let ask = |store: &Store, revision| {
        store.range(&Range { revision, ..Range::all(span("a", "")) }).map(|found| found.count)
    };
    assert_eq!(ask(&store, 2), Err(Refused::Compacted { at: 3 }));
    assert_eq!((ask(&store, 3), ask(&store, 4)), (Ok(1), Ok(1)));
    assert_eq!(ask(&store, 5), Err(Refused::Future { at: 4 }));
    assert_eq!(refused(&mut store, Command::Compact(3)), Refused::Compacted { at: 3 });
    assert_eq!(refused(&mut store, Command::Compact(5)), Refused::Future { at: 4 });
    assert_eq!(store.hash(2), Err(Refused::Compacted { at: 3 }));
}

#[test]
fn a_compaction_gives_back_everything_but_what_lives() {
    let mut store = Store::new();
    for round in 0..50 {
        for key in 0..20 {
            done(&mut store, Command::Put(put(&format!("k{key}"), &format!("{round}"))));
        }
    }
    let full = store.bytes();
    done(&mut store, Command::Delete(delete("k1", "k2")));
    let now = store.revision();
    done(&mut store, Command::Compact(now));
    let mut steps = 0;
    while store.tidy(7) {
        steps += 1;
    }
    assert!(steps > 100, "in small steps: {steps}");
    let (living, gone) = (9, 11);
    let each = full / 1000;
    assert!(store.bytes() <= (living + gone + 1) * each, "{} of {full}", store.bytes());
    done(&mut store, Command::Put(put("k0", "the deletions are at the edge until the next")));
    let now = store.revision();
    done(&mut store, Command::Compact(now));
    while store.tidy(7) {}
    assert!(store.bytes() <= (living + 1) * each, "{} of {full}", store.bytes());
    assert_eq!(shown(&store, 0).len(), 9);
}

#[test]
fn a_pin_holds_memory_and_nothing_else_back() {
    let mut store = Store::new();
    for value in ["1", "2", "3"] {
        done(&mut store, Command::Put(put("a", value)));
    }
    let (full, pin) = (store.bytes(), store.pin());
    done(&mut store, Command::Compact(4));
    assert!(!store.tidy(100));
    assert_eq!((store.bytes(), pin.revision(), store.compacted()), (full, 4, 4));
    drop(pin);
    while store.tidy(1) {}
    assert!(store.bytes() < full / 2);
}

#[test]
fn a_read_of_a_forgotten_revision_is_refused_within_a_transaction_too() {
    // etcd#18667: its transaction died of it, or answered with nothing.
    let mut store = Store::new();
    for value in ["1", "2", "3"] {
        done(&mut store, Command::Put(put("a", value)));
    }
    done(&mut store, Command::Compact(3));
    let old = Op::Range(Range { revision: 2, ..Range::all(span("a", "")) });
    let write_then_read = txn(vec![], vec![Op::Put(put("b", "1")), old.clone()], vec![]);
    assert_eq!(refused(&mut store, Command::Txn(write_then_read)), Refused::Compacted { at: 3 });
    let other_branch = txn(vec![], vec![Op::Put(put("b", "1"))], vec![old]);
    let done = transacted(&mut store, other_branch);
    assert_eq!(done.responses, [Response::Put(None)], "what is not done cannot be refused");
}

#[test]
fn an_interval_without_inside_means_nothing() {
    let mut store = Store::new();
    done(&mut store, Command::Put(put("b", "1")));
    for (from, end) in [("b", "a"), ("b", "b")] {
        assert_eq!(store.range(&Range::all(span(from, end))).unwrap().count, 0);
        done(&mut store, Command::Delete(delete(from, end)));
    }
    assert_eq!(store.range(&Range::all(Span::key("b"))).unwrap().count, 1);
}
