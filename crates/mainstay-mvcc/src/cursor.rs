//! A watcher is a place in the history.
//!
//! Catching up and living in the present are one path: a step looks from the place on, as far as it is told to, and
//! brings what the watch wants. It looks at so much at most, so that whoever reads holds nobody up for long, and brings
//! whole revisions, so that nobody sees half of what happened as one. Only a revision that is too large by itself is
//! brought in parts, to those who take parts.
//!
//! A compaction ends a watch that asks for what is forgotten. One that was there before goes on for as long as what it
//! has not brought yet happens to be in memory.

use bytes::Bytes;

use crate::command::Revision;
use crate::frozen::Write;
use crate::span::{End, Span};
use crate::store::{FIRST_WRITE, Store};
use crate::watch::{Event, Watch};

/// What a watcher has brought, and what it wants.
#[derive(Debug, Clone)]
pub struct Cursor {
    watch: Watch,
    /// Everything below has been brought.
    next: Revision,
    /// So many writes of `next` have been looked at.
    within: u64,
    parts: bool,
    /// It asked for what had been forgotten.
    lost: bool,
}

/// How much one step may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How many events it brings, unless one revision has more.
    pub events: usize,
    /// How many bytes of keys and values it brings, unless one revision has more.
    pub bytes: usize,
    /// At how many writes it looks, unless one revision that it has begun to bring has more.
    pub looks: usize,
}

/// What a step brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// One or more whole revisions; or, if `part`, some of one, of which more follows in the next step that brings
    /// anything.
    Events {
        /// What happened, in order.
        events: Vec<Event>,
        /// Whether more of the last revision follows.
        part: bool,
    },
    /// Nothing yet: there is more to look at.
    Onward,
    /// Nothing, and nothing more to look at.
    Nothing,
    /// What would be brought next is forgotten: the watch has ended. The oldest revision that is remembered.
    Compacted(Revision),
}

impl Cursor {
    /// Takes revisions that are too large by themselves in parts.
    #[must_use]
    pub fn in_parts(self) -> Self {
        Self { parts: true, ..self }
    }

    /// What is watched.
    #[must_use]
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The first revision that has not been brought whole.
    #[must_use]
    pub fn next(&self) -> Revision {
        self.next
    }

    /// Passes over revisions in which nothing happened to what it watches.
    pub fn skip_to(&mut self, revision: Revision) {
        if revision > self.next {
            (self.next, self.within) = (revision, 0);
        }
    }

    fn wants(&self, write: &Write) -> bool {
        let kind = if write.deleted { self.watch.deletes } else { self.watch.puts };
        kind && self.watch.span.contains(write.key())
    }
}

impl Store {
    /// Begins to watch.
    #[must_use]
    pub fn watch(&self, mut watch: Watch) -> Cursor {
        let from = if watch.from > 0 { watch.from } else { self.revision() + 1 };
        let next = from.max(FIRST_WRITE);
        watch.span = watch.span.apart();
        Cursor { watch, next, within: 0, parts: false, lost: from < self.compacted() }
    }

    /// Brings what happened from the cursor on, up to this revision.
    #[must_use]
    pub fn step(&self, cursor: &mut Cursor, until: Revision, budget: Budget) -> Step {
        let until = until.min(self.revision());
        if cursor.lost || (cursor.next <= until && cursor.next < self.history().first_whole()) {
            cursor.lost = true;
            return Step::Compacted(self.compacted());
        }
        let mut batch = Batch { budget, ..Batch::default() };
        if cursor.watch.span.end == End::Single {
            self.step_key(cursor, until, &mut batch);
        } else {
            self.step_span(cursor, until, &mut batch);
        }
        match batch {
            Batch { events, part, .. } if !events.is_empty() => Step::Events { events, part },
            _ if cursor.next <= until => Step::Onward,
            _ => Step::Nothing,
        }
    }

    /// One key's writes are found in the index, however much else happened.
    fn step_key(&self, cursor: &mut Cursor, until: Revision, batch: &mut Batch) {
        let writes = self.index().get(&cursor.watch.span.from).into_iter().flat_map(|chain| chain.since(cursor.next));
        let mut begun = cursor.next;
        for write in writes.take_while(|write| write.main <= until) {
            if write.main > begun && (batch.is_full() || batch.has_looked()) {
                return cursor.skip_to(write.main);
            }
            begun = write.main;
            batch.looks += 1;
            if cursor.wants(write) {
                batch.push(self.event(write, cursor.watch.previous));
            }
        }
        cursor.skip_to(until + 1);
    }

    fn step_span(&self, cursor: &mut Cursor, until: Revision, batch: &mut Batch) {
        while cursor.next <= until {
            let whole = batch.events.len();
            if batch.is_full() || batch.has_looked() {
                return;
            }
            for (at, write) in (cursor.within..).zip(self.history().of(cursor.next, cursor.within)) {
                let begun = batch.events.len() > whole;
                if !begun && batch.has_looked() {
                    cursor.within = at;
                    return;
                }
                batch.looks += 1;
                if !cursor.wants(write) {
                    continue;
                }
                if batch.is_full() && whole > 0 {
                    return batch.truncate(whole);
                }
                if batch.is_full() && begun && cursor.parts {
                    batch.part = true;
                    cursor.within = at;
                    return;
                }
                batch.push(self.event(write, cursor.watch.previous));
            }
            cursor.skip_to(cursor.next + 1);
        }
    }

    fn event(&self, write: &Write, previous: bool) -> Event {
        let before = || self.index().get(write.key())?.at(write.main - 1).map(Write::key_value);
        let previous = if previous && write.main > self.compacted() { before() } else { None };
        Event { deleted: write.deleted, kv: write.key_value(), previous }
    }
}

/// What a step has gathered.
#[derive(Default)]
struct Batch {
    budget: Budget,
    events: Vec<Event>,
    bytes: usize,
    looks: usize,
    part: bool,
}

impl Default for Budget {
    /// A thousand events, a mebibyte, and ten thousand looks: some hundred microseconds.
    fn default() -> Self {
        Self { events: 1_000, bytes: 1 << 20, looks: 10_000 }
    }
}

impl Batch {
    fn is_full(&self) -> bool {
        self.events.len() >= self.budget.events.max(1) || self.bytes >= self.budget.bytes.max(1)
    }

    fn has_looked(&self) -> bool {
        self.looks >= self.budget.looks.max(1)
    }

    fn push(&mut self, event: Event) {
        let size = |kv: &crate::KeyValue| kv.key.len() + kv.value.len();
        self.bytes += size(&event.kv) + event.previous.as_ref().map_or(0, size);
        self.events.push(event);
    }

    fn truncate(&mut self, whole: usize) {
        self.events.truncate(whole);
    }
}

impl Span {
    /// The same in memory of its own: what a request brought may be a small part of a large buffer.
    pub(crate) fn apart(&self) -> Self {
        let apart = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        let end = match &self.end {
            End::Before(end) => End::Before(apart(end)),
            end => end.clone(),
        };
        Self { from: apart(&self.from), end }
    }
}
