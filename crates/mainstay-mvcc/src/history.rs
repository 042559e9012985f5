//! What happened, revision by revision, since the oldest that is remembered.
//!
//! One ring per store. It holds the same frozen bytes as the index, so that an event is kept once; a watcher is a place
//! in it.

use crate::command::Revision;
use crate::frozen::Write;
use crate::ring::Ring;

#[derive(Debug)]
pub(crate) struct History {
    writes: Ring<Write>,
    /// Of each revision, numbered by itself, the number of its first write.
    starts: Ring<u64>,
}

impl History {
    /// One that begins after this revision.
    pub(crate) fn after(revision: Revision) -> Self {
        Self { writes: Ring::default(), starts: Ring::starting(revision as u64 + 1) }
    }

    /// The oldest revision in it; the next that will come, if there is none.
    pub(crate) fn first(&self) -> Revision {
        self.starts.first() as Revision
    }

    /// The oldest revision of which nothing has left.
    pub(crate) fn first_whole(&self) -> Revision {
        let begun = self.starts.get(self.starts.first()).is_some_and(|start| *start < self.writes.first());
        self.first() + i64::from(begun)
    }

    /// Adds a write of the youngest revision or of the one after it.
    pub(crate) fn push(&mut self, write: Write) {
        while self.starts.end() <= write.main as u64 {
            self.starts.push(self.writes.end());
        }
        self.writes.push(write);
    }

    /// The writes of a revision from this one of them on; none if it is not in here.
    pub(crate) fn of(&self, revision: Revision, from: u64) -> impl Iterator<Item = &Write> {
        let (start, end) = self.bounds(revision);
        (start.saturating_add(from)..end).filter_map(|number| self.writes.get(number))
    }

    pub(crate) fn count(&self, revision: Revision) -> u64 {
        let (start, end) = self.bounds(revision);
        end - start
    }

    pub(crate) fn nth(&self, revision: Revision, at: u64) -> Option<&Write> {
        let (start, end) = self.bounds(revision);
        (start + at < end).then(|| self.writes.get(start + at)).flatten()
    }

    /// Takes out the oldest write, if its revision is below this one.
    pub(crate) fn pop_before(&mut self, floor: Revision) -> Option<Write> {
        while self.first() < floor && self.first() < self.starts.end() as Revision {
            if self.count(self.first()) > 0 {
                let write = self.writes.pop()?;
                self.starts_at_front();
                return Some(write);
            }
            self.starts.pop();
        }
        None
    }

    /// A revision whose first writes are gone begins where the ring now begins.
    fn starts_at_front(&mut self) {
        let first = self.first();
        if self.bounds(first).1 <= self.writes.first() {
            self.starts.pop();
        }
    }

    fn bounds(&self, revision: Revision) -> (u64, u64) {
        let number = u64::try_from(revision).unwrap_or(0);
        let Some(start) = self.starts.get(number) else { return (0, 0) };
        let end = self.starts.get(number + 1).copied().unwrap_or(self.writes.end());
        let start = (*start).max(self.writes.first());
        (start, end.max(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_leave_write_by_write_from_the_oldest() {
        let mut history = History::after(1);
        let writes = [(2, 0), (3, 0), (3, 1), (3, 2), (4, 0)];
        for (main, sub) in writes {
            history.push(Write::delete(main, sub, b"k"));
        }
        assert_eq!((history.first(), history.count(3), history.count(9), history.count(1)), (2, 3, 0, 0));
        let mut gone = Vec::new();
        while let Some(write) = history.pop_before(4) {
            gone.push((write.main, write.sub));
            assert_eq!(history.first_whole(), if write.main == 2 { 3 } else { 4 });
            assert_eq!(history.of(4, 0).count(), 1);
        }
        assert_eq!((gone, history.first()), (writes[..4].to_vec(), 4));
    }
}
