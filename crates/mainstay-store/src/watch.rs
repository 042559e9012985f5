//! Watches of one member: who looks at what happened, and when.
//!
//! Whoever applies a command says that there is something to hear ([`Watches::applied`]) and does no more. A task then
//! lets the hub hear it, which wakes those whom it concerns; each looks for itself, a bounded step at a time, under a
//! lock that readers share. What a watcher holds is a place in the history: the slow one holds no more than the quick
//! one, and nobody waits for it.
//!
//! Catching up and being live are the same: a watcher that opens in the past is behind from the hub's view, as one is for
//! whom much happened. So there is no moment at which it is handed over, and none in which something could fall between.
//!
//! The store's lock is taken after the hub's, never before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use mainstay_mvcc::{Budget, Cursor, Event, Hub, Mark, Revision, Standing, Step, Store, Watch, WatchId};
use tokio::sync::Notify;

use crate::mutant::{self, Mutant};

/// How many writes the hub hears under one lock of the store: some microseconds.
const HEARD_AT_ONCE: usize = 256;

/// What a watch brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// What happened, in order: one or more whole revisions, never a part of one.
    Events(Vec<Event>),
    /// What it would bring next is no longer remembered: the watch has ended. The oldest revision that is.
    Compacted(Revision),
}

/// The watches of one member. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub(crate) struct Watches {
    room: Arc<Room>,
}

#[derive(Debug)]
struct Room {
    store: Arc<RwLock<Store>>,
    hub: Mutex<Hearing>,
    applied: Notify,
}

#[derive(Debug)]
struct Hearing {
    hub: Hub<Arc<Notify>>,
    /// What the hub has not heard is not forgotten.
    mark: Mark,
}

impl Watches {
    /// Those of a store that others share and change.
    #[must_use]
    pub(crate) fn new(store: Arc<RwLock<Store>>) -> Self {
        let hearing = {
            let mut store = store.write().unwrap_or_else(PoisonError::into_inner);
            Hearing { hub: Hub::new(store.revision()), mark: store.mark() }
        };
        Self { room: Arc::new(Room { store, hub: Mutex::new(hearing), applied: Notify::new() }) }
    }

    /// Says that something was applied. It takes no lock.
    pub(crate) fn applied(&self) {
        self.room.applied.notify_one();
    }

    /// Says that the store behind the lock is another one now: a snapshot was taken on.
    pub(crate) fn replaced(&self) {
        let mut hearing = self.room.hearing();
        hearing.mark = self.room.store.write().unwrap_or_else(PoisonError::into_inner).mark();
        hearing.mark.passed(hearing.hub.passed());
        drop(hearing);
        self.applied();
    }

    /// Lets watchers hear what was applied, for as long as it is polled.
    pub(crate) async fn run(&self) {
        loop {
            self.room.applied.notified().await;
            while self.room.hear_some() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Watches keys.
    #[must_use]
    pub(crate) fn open(&self, watch: Watch) -> Watcher {
        let woken = Arc::new(Notify::new());
        let mut hearing = self.room.hearing();
        let cursor = self.room.store().watch(watch);
        let id = hearing.hub.join(cursor.watch(), cursor.next(), Arc::clone(&woken));
        drop(hearing);
        Watcher { room: Arc::clone(&self.room), cursor, until: 0, id, woken }
    }
}

impl Room {
    fn store(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn hearing(&self) -> MutexGuard<'_, Hearing> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the hub hear some of what it has not heard. Returns whether there was any.
    fn hear_some(&self) -> bool {
        let Hearing { hub, mark } = &mut *self.hearing();
        let mut happened = Vec::with_capacity(HEARD_AT_ONCE);
        let store = self.store();
        if !store.happened(hub, HEARD_AT_ONCE, &mut happened) {
            let revision = store.revision();
            drop(store);
            hub.lose(revision, |woken| woken.notify_one());
        } else {
            drop(store);
            hub.hear(&happened, |woken| woken.notify_one());
        }
        mark.passed(hub.passed());
        !happened.is_empty()
    }
}

/// A watch that is open. It holds a bounded amount of memory however slowly it is read: it is a place in what the store
/// remembers, not a queue.
#[derive(Debug)]
pub struct Watcher {
    room: Arc<Room>,
    cursor: Cursor,
    /// It is to look up to here by itself; after that the hub tells.
    until: Revision,
    id: WatchId,
    woken: Arc<Notify>,
}

impl Watcher {
    /// The next that happened. Nothing is lost when it is dropped before it is done.
    pub async fn next(&mut self) -> Seen {
        loop {
            let step = self.room.store().step(&mut self.cursor, self.until, Budget::default());
            match step {
                Step::Events { mut events, .. } => {
                    if mutant::is(Mutant::DroppedEvent) && events.len() > 1 {
                        events.pop();
                    }
                    return Seen::Events(events);
                }
                Step::Compacted(oldest) => return Seen::Compacted(oldest),
                Step::Onward => tokio::task::yield_now().await,
                Step::Nothing => {
                    if !self.is_told_to_look() {
                        self.woken.notified().await;
                    }
                }
            }
        }
    }

    /// Up to which revision everything has been brought, if nothing is waiting: what a progress notification may say. It
    /// is no earlier than what the store had reached at the call.
    #[must_use]
    pub fn synced(&self) -> Option<Revision> {
        let reached = self.room.store().revision();
        while self.room.hearing().hub.passed() < reached {
            self.room.hear_some();
        }
        match self.room.hearing().hub.standing(self.id) {
            Standing::Synced(at) if self.cursor.next() > self.until => Some(at),
            _ => None,
        }
    }

    /// Asks the hub; what it has heard without a word for this one needs no look.
    fn is_told_to_look(&mut self) -> bool {
        match self.room.hearing().hub.take(self.id) {
            Standing::Behind(from, until) => {
                self.cursor.skip_to(from);
                self.until = until;
                true
            }
            Standing::Synced(at) => {
                self.cursor.skip_to(at + 1);
                self.until = at;
                false
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.room.hearing().hub.leave(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use mainstay_mvcc::{Command, Delete, Put, Span};

    use super::*;

    /// A store and its watches, without the task that lets them hear: a story says when that happens.
    struct Member {
        store: Arc<RwLock<Store>>,
        watches: Watches,
    }

    impl Member {
        fn new() -> Self {
            let store = Arc::new(RwLock::new(Store::new()));
            Self { watches: Watches::new(Arc::clone(&store)), store }
        }

        fn apply(&self, command: &Command) -> Revision {
            let applied = self.store.write().unwrap().apply(command);
            assert!(applied.done.is_ok(), "{command:?}: {applied:?}");
            self.watches.applied();
            applied.revision
        }

        fn put(&self, key: &str) -> Revision {
            self.apply(&Command::Put(Put {
                key: key.to_owned().into(),
                value: Some("v".into()),
                lease: Some(0),
                previous: false,
            }))
        }

        fn watchers(&self) -> usize {
            self.watches.room.hearing().hub.len()
        }

        fn hear(&self) {
            while self.watches.room.hear_some() {}
        }
    }

    fn watch(from: &str, end: &str, at: Revision) -> Watch {
        let span = Span::of(from.to_owned().into(), end.to_owned().into());
        Watch { span, from: at, puts: true, deletes: true, previous: false }
    }

    /// What a watcher brings without waiting.
    fn ready(watcher: &mut Watcher) -> Option<Seen> {
        match pin!(watcher.next()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(seen) => Some(seen),
            Poll::Pending => None,
        }
    }

    fn revisions(seen: Option<Seen>) -> Vec<Revision> {
        match seen {
            Some(Seen::Events(events)) => events.iter().map(|event| event.kv.modified).collect(),
            None => vec![],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_watch_of_the_past_becomes_one_of_the_present_without_a_gap() {
        for heard_before in [false, true] {
            for heard_between in [false, true] {
                let member = Member::new();
                member.put("a");
                member.put("b");
                let mut watcher = {
                    if heard_before {
                        member.hear();
                    }
                    member.watches.open(watch("a", "b", 2))
                };
                member.put("a");
                if heard_between {
                    member.hear();
                    assert_eq!(revisions(ready(&mut watcher)), [2, 4]);
                }
                member.put("a");
                member.hear();
                let rest = if heard_between { vec![5] } else { vec![2, 4, 5] };
                assert_eq!(revisions(ready(&mut watcher)), rest);
                assert_eq!(ready(&mut watcher), None);
                assert_eq!(watcher.synced(), Some(5));
            }
        }
    }

    #[test]
    fn progress_is_told_only_once_everything_before_it_was_brought() {
        let member = Member::new();
        let mut watcher = member.watches.open(watch("a", "b", 0));
        assert_eq!(watcher.synced(), Some(1));
        member.put("z");
        assert_eq!(watcher.synced(), Some(2), "nothing happened to it, and it need not look to know");
        member.put("a");
        assert_eq!(watcher.synced(), None);
        member.put("z");
        assert_eq!(watcher.synced(), None);
        assert_eq!(revisions(ready(&mut watcher)), [3]);
        assert_eq!(watcher.synced(), Some(4));
    }

    #[test]
    fn a_watcher_that_is_slow_misses_nothing_and_holds_nothing() {
        // etcd#17529: one that was starved lost events.
        let member = Member::new();
        let mut slow = member.watches.open(watch("a", "b", 0));
        let mut quick = member.watches.open(watch("a", "", 0));
        let mut seen = Vec::new();
        for _ in 0..5_000 {
            member.put("a");
            member.hear();
            seen.extend(revisions(ready(&mut quick)));
        }
        let all: Vec<_> = (2..5_002).collect();
        assert_eq!(seen, all);
        seen.clear();
        loop {
            let some = revisions(ready(&mut slow));
            assert!(some.len() <= Budget::default().events);
            if some.is_empty() {
                break;
            }
            seen.extend(some);
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn a_quiet_watcher_outlives_every_compaction() {
        let member = Member::new();
        let mut quiet = member.watches.open(watch("q", "", 0));
        let mut late = member.watches.open(watch("a", "", 0));
        for _ in 0..10 {
            member.put("a");
        }
        member.apply(&Command::Compact(11));
        while member.store.write().unwrap().tidy(100) {}
        member.hear();
        let delete = Delete { span: Span::key("q"), previous: false };
        member.apply(&Command::Delete(delete));
        member.put("q");
        assert_eq!(late.synced(), None);
        assert_eq!(revisions(ready(&mut quiet)), [12]);
        assert_eq!(revisions(ready(&mut late)), (2..12).collect::<Vec<_>>(), "memory had it all");
        assert_eq!(ready(&mut member.watches.open(watch("q", "", 10))), Some(Seen::Compacted(11)));
    }

    #[test]
    fn who_leaves_is_forgotten() {
        let member = Member::new();
        let watchers: Vec<_> = ["a", "a", "b"].map(|key| member.watches.open(watch(key, "z", 0))).into();
        assert_eq!(member.watchers(), 3);
        drop(watchers);
        assert_eq!(member.watchers(), 0);
        member.put("a");
        member.hear();
    }

    #[test]
    fn a_snapshot_that_is_taken_on_ends_those_whose_past_it_has_not() {
        let member = Member::new();
        let mut watcher = member.watches.open(watch("a", "", 0));
        let mut future = member.watches.open(watch("a", "", 8));
        let other = Member::new();
        for _ in 0..6 {
            other.put("a");
        }
        other.hear();
        other.apply(&Command::Compact(6));
        while other.store.write().unwrap().tidy(100) {}
        let taken_on = std::mem::take(&mut *other.store.write().unwrap());
        *member.store.write().unwrap() = taken_on;
        member.watches.replaced();
        member.hear();
        assert_eq!(ready(&mut watcher), Some(Seen::Compacted(6)));
        assert_eq!(ready(&mut future), None);
        member.put("a");
        member.hear();
        assert_eq!(revisions(ready(&mut future)), [8]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn watchers_that_come_while_others_write_see_every_revision_once() {
        let member = Arc::new(Member::new());
        let watches = member.watches.clone();
        let hearing = tokio::spawn(async move { watches.run().await });
        const LAST: Revision = 3_001;
        let writer = {
            let member = Arc::clone(&member);
            tokio::task::spawn_blocking(move || while member.put("a") < LAST {})
        };
        let mut readers = Vec::new();
        for reader in 0..40 {
            let member = Arc::clone(&member);
            readers.push(tokio::spawn(async move {
                let now = member.store.read().unwrap().revision();
                let from = if reader % 2 == 0 { now + 1 } else { (now / 2).max(2) };
                let end = if reader % 3 == 0 { "" } else { "b" };
                let mut watcher = member.watches.open(watch("a", end, from));
                let mut next = from;
                while next <= LAST {
                    let Seen::Events(events) = watcher.next().await else { panic!("compacted") };
                    for event in events {
                        assert_eq!(event.kv.modified, next);
                        next += 1;
                    }
                }
            }));
            tokio::task::yield_now().await;
        }
        for reader in readers {
            reader.await.unwrap();
        }
        writer.await.unwrap();
        hearing.abort();
    }
}
