//! Stories of watches: a cursor over the history, and the hub that says who must look.

use mainstay_mvcc::{Budget, Command, Cursor, Event, Hub, Op, Span, Standing, Step, Store, Watch, WatchId};

use crate::support::{delete, done, put, span, transacted, txn};

/// So much in one step that no story comes near.
const ALL: Budget = Budget { events: 1_000, bytes: 1 << 20, looks: 1_000 };

fn watch(keys: Span, from: i64) -> Watch {
    Watch { span: keys, from, puts: true, deletes: true, previous: false }
}

fn everything(from: i64) -> Watch {
    watch(span("\0", "\0"), from)
}

fn store(writes: &[&str]) -> Store {
    let mut store = Store::new();
    for write in writes {
        write_to(&mut store, write);
    }
    store
}

/// `key=value`, or `-key` to delete it.
fn write_to(store: &mut Store, write: &str) {
    done(
        store,
        match (write.strip_prefix('-'), write.split_once('=')) {
            (Some(key), _) => Command::Delete(delete(key, "")),
            (None, Some((key, value))) => Command::Put(put(key, value)),
            (None, None) => panic!("{write}"),
        },
    );
}

fn show(events: &[Event]) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let show = |event: &Event| {
        let before = event.previous.as_ref().map(|kv| format!(" was {}", text(&kv.value))).unwrap_or_default();
        let key = text(&event.kv.key);
        match event.deleted {
            true => format!("{}: -{key}{before}", event.kv.modified),
            false => format!("{}: {key}={}{before}", event.kv.modified, text(&event.kv.value)),
        }
    };
    events.iter().map(show).collect()
}

fn brought(store: &Store, cursor: &mut Cursor) -> Vec<String> {
    match store.step(cursor, store.revision(), ALL) {
        Step::Events { events, part: false } => show(&events),
        Step::Nothing => vec![],
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_watch_brings_what_happened_and_then_what_happens() {
    let mut store = store(&["a=1", "b=1", "-a"]);
    let mut past = store.watch(watch(Span::key("a"), 1));
    let mut now = store.watch(watch(span("a", "c"), 0));
    assert_eq!(brought(&store, &mut past), ["2: a=1", "4: -a"]);
    assert_eq!(brought(&store, &mut now), [""; 0]);
    write_to(&mut store, "a=2");
    assert_eq!((brought(&store, &mut past), brought(&store, &mut now)), (vec!["5: a=2".into()], vec!["5: a=2".into()]));
    assert_eq!(brought(&store, &mut past), [""; 0]);
}

#[test]
fn a_watch_of_a_future_revision_brings_nothing_earlier() {
    // etcd#20221.
    let mut store = store(&["a=1"]);
    for keys in [Span::key("a"), span("a", "b")] {
        let mut cursor = store.watch(watch(keys, store.revision() + 3));
        for write in ["a=2", "a=3", "a=4", "a=5"] {
            write_to(&mut store, write);
        }
        let now = store.revision();
        assert_eq!(brought(&store, &mut cursor), [format!("{}: a=4", now - 1), format!("{now}: a=5")]);
    }
}

#[test]
fn a_watch_that_goes_on_at_a_member_that_is_behind_does_not_go_back_in_time() {
    // etcd#15271: events came that the client had seen before it lost the member that it watched at.
    let mut behind = store(&["a=1", "a=2"]);
    let mut cursor = behind.watch(watch(span("a", "b"), 5));
    assert_eq!(behind.step(&mut cursor, behind.revision(), ALL), Step::Nothing);
    for write in ["a=3", "a=4", "a=5"] {
        write_to(&mut behind, write);
    }
    assert_eq!(brought(&behind, &mut cursor), ["5: a=4", "6: a=5"]);
}

#[test]
fn filters_leave_out_and_what_was_before_is_brought_as_far_as_it_is_remembered() {
    let mut store = store(&["a=1", "a=2", "-a", "a=3"]);
    let with = |puts, deletes| Watch { puts, deletes, previous: true, ..everything(1) };
    let mut all = store.watch(with(true, true));
    assert_eq!(brought(&store, &mut all), ["2: a=1", "3: a=2 was 1", "4: -a was 2", "5: a=3"]);
    assert_eq!(brought(&store, &mut store.watch(with(true, false))), ["2: a=1", "3: a=2 was 1", "5: a=3"]);
    assert_eq!(brought(&store, &mut store.watch(with(false, true))), ["4: -a was 2"]);
    done(&mut store, Command::Compact(3));
    let mut edge = store.watch(Watch { from: 3, ..with(true, true) });
    assert_eq!(brought(&store, &mut edge), ["3: a=2", "4: -a was 2", "5: a=3"], "what was before 3 is forgotten");
}

#[test]
fn a_compaction_at_a_deletion_keeps_the_deletion() {
    // etcd#18089: the event was dropped when the compaction fell on it.
    for tidy in [false, true] {
        let mut store = store(&["a=1", "b=1", "-a", "b=2"]);
        done(&mut store, Command::Compact(4));
        while tidy && store.tidy(1) {}
        for keys in [Span::key("a"), span("a", "c")] {
            let mut cursor = store.watch(watch(keys, 4));
            assert_eq!(brought(&store, &mut cursor)[0], "4: -a");
        }
    }
}

#[test]
fn a_watch_that_is_opened_at_the_compaction_brings_all_of_that_revision() {
    // etcd#19179: a deletion at the compaction was missing. Here it deletes what the same revision sets, too.
    let mut store = store(&["a=1", "c=1"]);
    let within = |op| Op::Txn(txn(vec![], vec![op], vec![]));
    let ops = vec![within(Op::Put(put("b", "1"))), within(Op::Delete(delete("a", "z")))];
    transacted(&mut store, txn(vec![], ops, vec![]));
    write_to(&mut store, "a=2");
    done(&mut store, Command::Compact(4));
    let before = store.hash(0);
    while store.tidy(1) {}
    assert_eq!(store.hash(0), before);
    let mut all = store.watch(everything(4));
    assert_eq!(brought(&store, &mut all), ["4: b=1", "4: -a", "4: -b", "4: -c", "5: a=2"]);
    assert_eq!(brought(&store, &mut store.watch(watch(Span::key("b"), 4))), ["4: b=1", "4: -b"]);
}

#[test]
fn a_watch_of_what_is_forgotten_ends_with_the_oldest_that_is_not() {
    let mut store = store(&["a=1", "a=2", "a=3"]);
    done(&mut store, Command::Compact(3));
    for keys in [Span::key("a"), span("a", "b"), Span::key("never there")] {
        let mut cursor = store.watch(watch(keys, 2));
        for _ in 0..2 {
            assert_eq!(store.step(&mut cursor, store.revision(), ALL), Step::Compacted(3));
        }
    }
}

#[test]
fn a_watch_that_was_there_before_a_compaction_goes_on_while_memory_has_what_it_needs() {
    let mut store = store(&["a=1"]);
    let mut quick = store.watch(everything(0));
    let mut slow = quick.clone();
    for write in ["a=2", "a=3", "a=4"] {
        write_to(&mut store, write);
    }
    done(&mut store, Command::Compact(5));
    assert_eq!(brought(&store, &mut quick), ["3: a=2", "4: a=3", "5: a=4"]);
    while store.tidy(1) {}
    assert_eq!(store.step(&mut slow, store.revision(), ALL), Step::Compacted(5));
    assert_eq!(brought(&store, &mut quick), [""; 0]);
}

#[test]
fn half_a_revision_is_never_brought_while_memory_forgets_the_other() {
    let mut store = store(&["z=1"]);
    let ops = ["a", "b", "c"].map(|key| Op::Put(put(key, "1"))).to_vec();
    transacted(&mut store, txn(vec![], ops, vec![]));
    write_to(&mut store, "a=2");
    let cursor = store.watch(everything(3));
    done(&mut store, Command::Compact(4));
    let mut seen = Vec::new();
    while store.tidy(1) {
        seen.push(match store.step(&mut cursor.clone(), store.revision(), ALL) {
            Step::Events { events, .. } => events.len(),
            _ => 0,
        });
    }
    assert_eq!(seen, [4, 0, 0, 0, 0], "four events or the end");
}

#[test]
fn a_step_is_bounded_and_brings_whole_revisions() {
    let mut store = Store::new();
    for round in 0..5 {
        let ops = ["a", "b", "x"].map(|key| Op::Put(put(&format!("{key}{round}"), "1"))).to_vec();
        transacted(&mut store, txn(vec![], ops, vec![]));
    }
    let budgets = [(1, 1 << 20, 1000), (4, 1 << 20, 1000), (1000, 1, 1000), (1000, 1 << 20, 1), (1000, 1 << 20, 4)];
    for (events, bytes, looks) in budgets {
        let mut cursor = store.watch(watch(span("a", "c"), 1));
        let mut seen = Vec::new();
        loop {
            match store.step(&mut cursor, store.revision(), Budget { events, bytes, looks }) {
                Step::Events { events: brought, part: false } => {
                    assert_eq!(brought.len() % 2, 0, "whole revisions");
                    assert!(brought.len() <= events.max(2));
                    seen.extend(show(&brought));
                }
                Step::Onward => {}
                Step::Nothing => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen.len(), 10, "{events} {bytes} {looks}: {seen:?}");
    }
}

#[test]
fn a_revision_that_is_too_large_comes_in_marked_parts_to_those_who_take_them() {
    let mut store = store(&["a=1", "b=1", "c=1", "d=1"]);
    done(&mut store, Command::Delete(delete("a", "z")));
    write_to(&mut store, "e=1");
    let budget = Budget { events: 3, ..ALL };
    let mut cursor = store.watch(everything(6)).in_parts();
    let mut steps = Vec::new();
    while let Step::Events { events, part } = store.step(&mut cursor, store.revision(), budget) {
        steps.push((show(&events).join(", "), part));
    }
    assert_eq!(steps, [("6: -a, 6: -b, 6: -c".into(), true), ("6: -d, 7: e=1".into(), false)]);
    let mut whole = store.watch(everything(6));
    let Step::Events { events, part } = store.step(&mut whole, store.revision(), budget) else { panic!() };
    assert_eq!((events.len(), part), (4, false));
}

/// A hub, its watchers, and who was woken.
struct Room {
    hub: Hub<&'static str>,
    woken: Vec<&'static str>,
}

impl Room {
    fn hear(&mut self, store: &Store, most: usize) -> Vec<&'static str> {
        let mut happened = Vec::new();
        self.woken.clear();
        while self.hub.passed() < store.revision() {
            assert!(store.happened(&self.hub, most, &mut happened));
            self.hub.hear(&happened, |name| self.woken.push(name));
        }
        self.woken.clone()
    }

    fn join(&mut self, watch: Watch, name: &'static str) -> WatchId {
        let from = watch.from;
        self.hub.join(&watch, from, name)
    }
}

#[test]
fn the_hub_wakes_whom_it_concerns_and_nobody_else() {
    let mut store = store(&["a=1"]);
    let mut room = Room { hub: Hub::new(2), woken: vec![] };
    let a = room.join(watch(Span::key("a"), 3), "a");
    let prefix = room.join(watch(span("a", "b"), 3), "a*");
    room.join(watch(Span::key("b"), 3), "b");
    room.join(watch(span("c", "\0"), 3), "from c");
    room.join(Watch { puts: false, ..everything(3) }, "deletions");
    room.join(everything(6), "later");
    for most in [1, 100] {
        write_to(&mut store, "ab=1");
        write_to(&mut store, "a=2");
        let mut woken = room.hear(&store, most);
        woken.sort_unstable();
        assert_eq!(woken, if most == 1 { vec!["a", "a*"] } else { vec!["later"] }, "woken once until it has looked");
    }
    assert_eq!(room.hub.standing(a), Standing::Behind(4, 6));
    assert_eq!((room.hub.take(a), room.hub.take(a)), (Standing::Behind(4, 6), Standing::Synced(6)));
    assert_eq!(room.hub.take(prefix), Standing::Behind(3, 6));
    write_to(&mut store, "-ab");
    let mut woken = room.hear(&store, 100);
    woken.sort_unstable();
    assert_eq!(woken, ["a*", "deletions"]);
    room.hub.leave(a);
    room.hub.leave(a);
    write_to(&mut store, "a=3");
    assert!(room.hear(&store, 100).is_empty());
    assert_eq!(room.hub.len(), 5);
}

#[test]
fn nobody_is_synced_before_what_happened_was_heard_whole() {
    // etcd#15220: progress was told to watchers that were not in sync.
    let mut store = store(&["a=1"]);
    let mut room = Room { hub: Hub::new(2), woken: vec![] };
    let early = room.join(everything(3), "early");
    let ops = ["a", "b", "c"].map(|key| Op::Put(put(key, "1"))).to_vec();
    transacted(&mut store, txn(vec![], ops, vec![]));
    let mut happened = Vec::new();
    assert!(store.happened(&room.hub, 2, &mut happened));
    room.hub.hear(&happened, |_| panic!("half a revision wakes nobody"));
    assert_eq!(room.hub.take(early), Standing::Synced(2));
    let late = room.join(watch(Span::key("a"), 3), "late");
    assert_eq!(room.hub.take(late), Standing::Synced(2), "3 has not been heard whole");
    let mut woken = room.hear(&store, 2);
    woken.sort_unstable();
    assert_eq!(woken, ["early", "late"], "what was said before it came counts for it");
    assert_eq!((room.hub.take(early), room.hub.take(late)), (Standing::Behind(3, 3), Standing::Behind(3, 3)));
}

#[test]
fn who_looks_while_a_revision_is_being_heard_is_told_of_it() {
    let mut store = store(&["a=1"]);
    let mut room = Room { hub: Hub::new(2), woken: vec![] };
    let id = room.join(everything(3), "all");
    write_to(&mut store, "a=2");
    transacted(&mut store, txn(vec![], ["a", "b"].map(|key| Op::Put(put(key, "1"))).to_vec(), vec![]));
    let mut happened = Vec::new();
    assert!(store.happened(&room.hub, 2, &mut happened));
    room.hub.hear(&happened, |_| {});
    assert_eq!((room.hub.take(id), room.hub.take(id)), (Standing::Behind(3, 3), Standing::Synced(3)));
    assert_eq!(room.hear(&store, 9), ["all"]);
    assert_eq!(room.hub.take(id), Standing::Behind(4, 4));
}

#[test]
fn a_hub_that_lost_the_thread_sends_everybody_to_look() {
    let mut old = store(&["a=1"]);
    let mut room = Room { hub: Hub::new(2), woken: vec![] };
    let id = room.join(watch(Span::key("quiet"), 3), "quiet");
    for write in ["a=2", "a=3", "a=4"] {
        write_to(&mut old, write);
    }
    done(&mut old, Command::Compact(5));
    while old.tidy(9) {}
    assert!(!old.happened(&room.hub, 9, &mut Vec::new()), "as a member that was sent a snapshot");
    room.hub.lose(old.revision(), |name| assert_eq!(*name, "quiet"));
    assert_eq!(room.hub.take(id), Standing::Behind(3, 5));
    let mut cursor = old.watch(watch(Span::key("quiet"), 3));
    assert_eq!(old.step(&mut cursor, 5, ALL), Step::Compacted(5));
}

#[test]
fn what_is_marked_is_not_forgotten() {
    let mut store = store(&["a=1"]);
    let mark = store.mark();
    for write in ["a=2", "a=3", "a=4"] {
        write_to(&mut store, write);
    }
    done(&mut store, Command::Compact(5));
    while store.tidy(1) {}
    let mut hub: Hub<()> = Hub::new(2);
    let mut happened = Vec::new();
    assert!(store.happened(&hub, 9, &mut happened));
    hub.hear(&happened, |()| {});
    assert_eq!((hub.passed(), happened.len()), (5, 3));
    mark.passed(hub.passed());
    while store.tidy(1) {}
    assert!(!store.happened(&Hub::<()>::new(2), 9, &mut happened));
}
