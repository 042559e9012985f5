//! Who must be woken for what happened, found without a look at anybody else.
//!
//! The hub hears every write, in order, some time after it happened, and notes of each watcher the first revision that it
//! has not taken yet. A watcher to whose keys nothing happens is never touched: a write costs a look into a tree of single
//! keys and one into a tree of spans, and what they hit. Because the hub has heard everything up to [`Hub::passed`], a
//! watcher for whom it notes nothing has brought everything up to there, wherever its cursor stands.

use std::collections::BTreeMap;

use crate::command::Revision;
use crate::frozen::Write;
use crate::intervals::Intervals;
use crate::key::Key;
use crate::span::{End, Span};
use crate::store::Store;
use crate::watch::Watch;

/// Everybody who watches. `T` is how a watcher is woken.
#[derive(Debug)]
pub struct Hub<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    keys: BTreeMap<Key, Vec<u32>>,
    spans: Intervals,
    passed: Revision,
    /// How many writes of the revision after `passed` have been heard.
    within: u64,
    /// Whom to wake once that revision has been heard whole.
    woken: Vec<u32>,
}

/// A watcher of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchId {
    slot: u32,
    turn: u32,
}

/// A write that happened, to be heard.
#[derive(Debug, Clone)]
pub struct Happened {
    write: Write,
    /// Whether it is the last of its revision.
    last: bool,
}

/// How a watcher stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Something happened, at the first of these revisions; what happened up to the second is to be looked at.
    Behind(Revision, Revision),
    /// Nothing that it has not taken happened up to this revision.
    Synced(Revision),
}

#[derive(Debug)]
struct Slot<T> {
    turn: u32,
    taken: Option<Taken<T>>,
}

#[derive(Debug)]
struct Taken<T> {
    span: Span,
    puts: bool,
    deletes: bool,
    /// Where it is in the list of those with the same span.
    at: u32,
    /// What happened earlier is none of its business.
    from: Revision,
    /// The first revision that it has not taken.
    pending: Option<Revision>,
    wake: T,
}

impl<T> Hub<T> {
    /// A hub that has heard everything up to this revision.
    #[must_use]
    pub fn new(passed: Revision) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            keys: BTreeMap::new(),
            spans: Intervals::default(),
            passed,
            within: 0,
            woken: Vec::new(),
        }
    }

    /// The last revision that it has heard whole.
    #[must_use]
    pub fn passed(&self) -> Revision {
        self.passed
    }

    /// How many watch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether nobody watches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Somebody watches, and has brought everything before `from`.
    pub fn join(&mut self, watch: &Watch, from: Revision, wake: T) -> WatchId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { turn: 0, taken: None });
            self.slots.len() as u32 - 1
        });
        let span = watch.span.apart();
        let list = list(&mut self.keys, &mut self.spans, &span);
        let at = list.len() as u32;
        list.push(slot);
        // Of a revision that is being heard, what was for this one may have been said already.
        let said = self.passed + i64::from(self.within > 0);
        let pending = (from <= said).then_some(from);
        if pending.is_some() {
            self.woken.push(slot);
        }
        let taken = Taken { span, puts: watch.puts, deletes: watch.deletes, at, from, pending, wake };
        let place = &mut self.slots[slot as usize];
        place.taken = Some(taken);
        WatchId { slot, turn: place.turn }
    }

    /// Somebody watches no more.
    pub fn leave(&mut self, id: WatchId) {
        let Some(slot) = self.slots.get_mut(id.slot as usize).filter(|slot| slot.turn == id.turn) else { return };
        let Some(gone) = slot.taken.take() else { return };
        slot.turn = slot.turn.wrapping_add(1);
        self.free.push(id.slot);
        let list = list(&mut self.keys, &mut self.spans, &gone.span);
        list.swap_remove(gone.at as usize);
        if let Some(moved) = list.get(gone.at as usize)
            && let Some(moved) = &mut self.slots[*moved as usize].taken
        {
            moved.at = gone.at;
        }
        if list.is_empty() {
            match gone.span.end {
                End::Single => drop(self.keys.remove(&gone.span.from[..])),
                _ => self.spans.leave_if_empty(&gone.span),
            }
        }
    }

    /// Tells how a watcher stands. What it is told of it has taken: it is to look there itself.
    pub fn take(&mut self, id: WatchId) -> Standing {
        let standing = self.standing(id);
        if let Standing::Behind(..) = standing
            && let Some(taken) = &mut self.slots[id.slot as usize].taken
        {
            // While one revision pends, later ones are not noted: not even the one that is being heard.
            taken.pending = (self.within > 0).then_some(self.passed + 1);
            self.woken.extend(taken.pending.map(|_| id.slot));
        }
        standing
    }

    /// Tells how a watcher stands, and no more.
    #[must_use]
    pub fn standing(&self, id: WatchId) -> Standing {
        let slot = self.slots.get(id.slot as usize).filter(|slot| slot.turn == id.turn);
        let pending = slot.and_then(|slot| slot.taken.as_ref()).and_then(|taken| taken.pending);
        match pending.filter(|first| *first <= self.passed) {
            Some(first) => Standing::Behind(first, self.passed),
            None => Standing::Synced(self.passed),
        }
    }

    /// Hears what [`Store::happened`] told, and wakes whom it concerns once a revision has been heard whole.
    pub fn hear(&mut self, happened: &[Happened], mut wake: impl FnMut(&T)) {
        for Happened { write, last } in happened {
            self.within += 1;
            self.note(write);
            if *last {
                (self.passed, self.within) = (write.main, 0);
                for slot in self.woken.drain(..) {
                    if let Some(taken) = &self.slots[slot as usize].taken {
                        wake(&taken.wake);
                    }
                }
            }
        }
    }

    /// The store is another one, which does not remember all that the hub has not heard. Everybody is to look for
    /// themselves.
    pub fn lose(&mut self, revision: Revision, mut wake: impl FnMut(&T)) {
        let next = self.passed + 1;
        (self.passed, self.within) = (revision.max(self.passed), 0);
        self.woken.clear();
        for taken in self.slots.iter_mut().filter_map(|slot| slot.taken.as_mut()) {
            if taken.from <= self.passed {
                taken.pending.get_or_insert(next.max(taken.from));
                wake(&taken.wake);
            }
        }
    }

    fn note(&mut self, write: &Write) {
        let Self { slots, keys, spans, woken, .. } = self;
        let mut note = |numbers: &[u32]| {
            for slot in numbers {
                let Some(taken) = &mut slots[*slot as usize].taken else { continue };
                let wanted = if write.deleted { taken.deletes } else { taken.puts };
                if wanted && taken.pending.is_none() && write.main >= taken.from {
                    taken.pending = Some(write.main);
                    woken.push(*slot);
                }
            }
        };
        let key = write.key();
        if let Some(numbers) = keys.get(key) {
            note(numbers);
        }
        spans.stab(key, note);
    }
}

fn list<'a>(keys: &'a mut BTreeMap<Key, Vec<u32>>, spans: &'a mut Intervals, span: &Span) -> &'a mut Vec<u32> {
    match span.end {
        End::Single => keys.entry(Key::from(&span.from[..])).or_default(),
        _ => spans.entry(span),
    }
}

impl Store {
    /// What happened after what a hub has heard, up to so many writes, into `into`. `false` when it is no longer all
    /// remembered: see [`Hub::lose`].
    #[must_use]
    pub fn happened<T>(&self, hub: &Hub<T>, most: usize, into: &mut Vec<Happened>) -> bool {
        into.clear();
        let (mut revision, mut from) = (hub.passed + 1, hub.within);
        if revision <= self.revision() && revision < self.history().first_whole() {
            return false;
        }
        while revision <= self.revision() && into.len() < most {
            let count = self.history().count(revision);
            let writes = self.history().of(revision, from).take(most - into.len());
            into.extend(
                (from + 1..)
                    .zip(writes)
                    .map(|(number, write)| Happened { write: write.clone(), last: number == count }),
            );
            (revision, from) = (revision + 1, 0);
        }
        true
    }
}
