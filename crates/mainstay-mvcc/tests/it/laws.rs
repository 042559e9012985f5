//! What holds whatever the commands: the store answers as its simplest model does.

use mainstay_mvcc::{Budget, Command, Cursor, Event, Hub, Range, Span, Standing, Step, Store, Watch, WatchId};
use proptest::prelude::*;

use crate::draw;
use crate::model::Model;
use crate::snapshots::{restore, save};

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

/// A watcher as a driver runs it: it looks when the hub says so, as far as the hub says.
struct Watcher {
    cursor: Cursor,
    until: i64,
    id: WatchId,
    seen: Vec<Event>,
    over: bool,
}

impl Watcher {
    fn open(store: &Store, hub: &mut Hub<()>, watch: &Watch) -> Self {
        let cursor = store.watch(watch.clone());
        let id = hub.join(watch, cursor.next(), ());
        Self { cursor, until: 0, id, seen: vec![], over: false }
    }

    fn run(&mut self, store: &Store, hub: &mut Hub<()>, budget: Budget, steps: usize) {
        for _ in 0..steps {
            if self.cursor.next() > self.until {
                match hub.take(self.id) {
                    Standing::Behind(from, until) => {
                        self.cursor.skip_to(from);
                        self.until = until;
                    }
                    Standing::Synced(at) => {
                        self.cursor.skip_to(at + 1);
                        self.until = at;
                        break;
                    }
                }
            }
            match store.step(&mut self.cursor, self.until, budget) {
                Step::Events { events, .. } => self.seen.extend(events),
                Step::Onward | Step::Nothing => {}
                Step::Compacted(_) => self.over = true,
            }
        }
    }
}

fn everything() -> Watch {
    let span = Span::of("\0".into(), "\0".into());
    Watch { span, from: 0, puts: true, deletes: true, previous: true }
}

/// What a watch must have brought, of everything that happened.
fn expected(model: &Model, watch: &Watch, from: i64) -> Vec<Event> {
    let all = model.events.iter().enumerate().filter(|(revision, _)| *revision as i64 >= from);
    let wanted =
        |event: &&Event| watch.span.contains(&event.kv.key) && if event.deleted { watch.deletes } else { watch.puts };
    all.flat_map(|(_, events)| events.iter().filter(wanted).cloned()).collect()
}

proptest! {
    #[test]
    fn a_watch_brings_everything_once_and_in_order(
        commands in prop::collection::vec((draw::command(), 0..4usize, 0..3usize, 0..3usize), 1..60),
        watches in prop::collection::vec((draw::watch(), 0..40usize), 1..6),
        budget in (1..4usize, 1..30usize, 1..4usize),
    ) {
        let budget = Budget { events: budget.0, bytes: budget.1, looks: budget.2 };
        let (mut store, mut model, mut hub) = (Store::new(), Model::new(), Hub::new(1));
        let mark = store.mark();
        let mut open: Vec<(Watch, i64, Watcher)> = vec![];
        let mut happened = vec![];
        for (at, (command, tidy, heard, steps)) in commands.iter().enumerate() {
            for (watch, _) in watches.iter().filter(|(_, when)| *when == at) {
                let from = if watch.from > 0 { watch.from } else { model.revision() + 1 };
                open.push((watch.clone(), from, Watcher::open(&store, &mut hub, watch)));
                if from < model.compacted {
                    let (_, _, watcher) = open.last_mut().unwrap();
                    let step = store.step(&mut watcher.cursor, 1, budget);
                    prop_assert_eq!(step, Step::Compacted(model.compacted));
                }
            }
            store.apply(command);
            model.apply(command);
            prop_assert!(store.happened(&hub, *heard, &mut happened));
            hub.hear(&happened, |()| {});
            mark.passed(hub.passed());
            for (_, _, watcher) in &mut open {
                watcher.run(&store, &mut hub, budget, *steps);
            }
            store.tidy(*tidy);
        }
        while hub.passed() < store.revision() {
            prop_assert!(store.happened(&hub, 2, &mut happened));
            hub.hear(&happened, |()| {});
        }
        for (watch, from, watcher) in &mut open {
            watcher.run(&store, &mut hub, budget, 1_000);
            watcher.seen.iter_mut().for_each(|event| {
                let before = event.previous.take();
                let at = model.maps[event.kv.modified as usize - 1].get(&event.kv.key);
                assert!(before.is_none() || (watch.previous && before.as_ref() == at));
            });
            let expected = expected(&model, watch, *from);
            match watcher.over {
                true => prop_assert_eq!(&watcher.seen[..], &expected[..watcher.seen.len()]),
                false => prop_assert_eq!(&watcher.seen, &expected),
            }
        }
    }

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
    fn a_store_that_was_written_and_read_back_is_the_same(
        commands in prop::collection::vec((draw::command(), 0..4usize), 1..60),
        piece in 1..200usize,
        asked in prop::collection::vec(draw::range(), 12),
        more in prop::collection::vec(draw::command(), 1..10),
    ) {
        let (mut store, mut model) = (Store::new(), Model::new());
        for (command, tidy) in &commands {
            store.apply(command);
            model.apply(command);
            store.tidy(*tidy);
        }
        let bytes = save(&mut store, piece);
        while store.tidy(100) {}
        prop_assert_eq!(&save(&mut store, piece), &bytes, "whatever has been forgotten by then");
        let mut restored = restore(&bytes.concat()).unwrap();
        prop_assert_eq!(restored.bytes(), store.bytes());
        for command in more.iter().map(Some).chain([None]) {
            alike(&restored, &model, &asked);
            for revision in model.compacted.max(0)..=model.revision() {
                prop_assert_eq!(restored.hash(revision), store.hash(revision));
                let watch = Watch { from: revision, ..everything() };
                let budget = Budget { events: 1_000, ..Budget::default() };
                let events = |store: &Store| store.step(&mut store.watch(watch.clone()), store.revision(), budget);
                prop_assert_eq!(events(&restored), events(&store));
            }
            if let Some(command) = command {
                prop_assert_eq!(restored.apply(command), store.apply(command));
                model.apply(command);
            }
        }
        prop_assert_eq!(save(&mut restored, piece), save(&mut store, piece));
    }

    #[test]
    fn a_command_is_read_as_it_was_written(command in draw::command()) {
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        prop_assert_eq!(Command::decode(&bytes), Ok(command));
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
