//! From a key to what it was, is and will have been: its writes, oldest first.

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::ops::Bound;

use mainstay_core::Crc;

use crate::command::Revision;
use crate::frozen::Write;
use crate::key::Key;
use crate::span::{End, Span};

#[derive(Debug, Default)]
pub(crate) struct Index {
    keys: BTreeMap<Key, Chain>,
}

/// The writes of one key. Most keys have one.
#[derive(Debug)]
pub(crate) enum Chain {
    One(Write),
    Many(VecDeque<Write>),
}

impl Index {
    /// One of a write each of keys in their order, built at once.
    pub(crate) fn of(writes: Vec<Write>) -> Self {
        Self { keys: writes.into_iter().map(|write| (Key::from(write.key()), Chain::One(write))).collect() }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Chain> {
        self.keys.get(key)
    }

    /// The keys of a span that are remembered, in their order, whether they live or not.
    pub(crate) fn range<'a>(&'a self, span: &'a Span) -> impl Iterator<Item = (&'a Key, &'a Chain)> {
        bounds(span).into_iter().flat_map(|bounds| self.keys.range::<[u8], _>(bounds))
    }

    /// The keys after this one.
    pub(crate) fn after<'a>(&'a self, key: Option<&'a [u8]>) -> impl Iterator<Item = (&'a Key, &'a Chain)> {
        let bound = key.map_or(Bound::Unbounded, Bound::Excluded);
        self.keys.range::<[u8], _>((bound, Bound::Unbounded))
    }

    /// Adds a write to its key.
    pub(crate) fn push(&mut self, write: Write) {
        match self.keys.entry(Key::from(write.key())) {
            Entry::Occupied(mut entry) => entry.get_mut().push(write),
            Entry::Vacant(entry) => {
                entry.insert(Chain::One(write));
            }
        }
    }

    /// Adds a write to a key: `write` is told the last one there, if the key lives, and may decline.
    pub(crate) fn change(&mut self, key: &[u8], write: impl FnOnce(Option<&Write>) -> Option<Write>) {
        match self.keys.entry(Key::from(key)) {
            Entry::Occupied(mut entry) => {
                let chain = entry.get_mut();
                if let Some(write) = write(chain.last().filter(|last| !last.deleted)) {
                    chain.push(write);
                }
            }
            Entry::Vacant(entry) => {
                if let Some(write) = write(None) {
                    entry.insert(Chain::One(write));
                }
            }
        }
    }

    /// Adds a write to each key of the span that lives: `write` is told the last one there.
    pub(crate) fn change_all(&mut self, span: &Span, mut write: impl FnMut(&Write) -> Write) {
        let Some(bounds) = bounds(span) else { return };
        for (_, chain) in self.keys.range_mut::<[u8], _>(bounds) {
            if let Some(write) = chain.last().filter(|last| !last.deleted).map(&mut write) {
                chain.push(write);
            }
        }
    }

    /// Forgets what this write, which nobody can ask for any more, has made old, and the write itself if it is a deletion.
    /// Returns what the quota counted for it.
    pub(crate) fn forget(&mut self, write: &Write) -> u64 {
        self.forget_before(write.key(), (write.main, write.sub + u32::from(write.deleted)))
    }

    /// Forgets what this write, of the oldest revision that can be asked for, has made old. Returns what the quota counted
    /// for it.
    pub(crate) fn forget_below(&mut self, write: &Write) -> u64 {
        self.forget_before(write.key(), (write.main, 0))
    }

    fn forget_before(&mut self, key: &[u8], place: (Revision, u32)) -> u64 {
        let Some(chain) = self.keys.get_mut(key) else { return 0 };
        let (cost, empty) = chain.forget_before(place);
        if empty {
            self.keys.remove(key);
        }
        cost
    }
}

type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

fn bounds(span: &Span) -> Option<Bounds<'_>> {
    let from: &[u8] = &span.from;
    match &span.end {
        End::Single => Some((Bound::Included(from), Bound::Included(from))),
        End::Before(end) if end[..] > *from => Some((Bound::Included(from), Bound::Excluded(&end[..]))),
        End::Before(_) => None,
        End::Open => Some((Bound::Included(from), Bound::Unbounded)),
    }
}

impl Chain {
    /// The write that a reader at this revision sees, if the key lives then.
    pub(crate) fn at(&self, revision: Revision) -> Option<&Write> {
        self.last_until(revision).filter(|write| !write.deleted)
    }

    /// The last write up to this revision, be it a deletion.
    pub(crate) fn last_until(&self, revision: Revision) -> Option<&Write> {
        match self {
            Self::One(write) => (write.main <= revision).then_some(write),
            Self::Many(writes) => {
                // Who reads, reads the present, as a rule.
                let last = writes.back()?;
                if last.main <= revision {
                    return Some(last);
                }
                let until = writes.partition_point(|write| write.main <= revision);
                writes.get(until.checked_sub(1)?)
            }
        }
    }

    /// The writes that count once everything below this revision is forgotten: the last one before it, unless a later one
    /// at it or the key's deletion has made that one old, and all from it on.
    pub(crate) fn remembered(&self, floor: Revision) -> impl Iterator<Item = &Write> {
        let at_floor = self.since(floor).next().is_some_and(|write| write.main == floor);
        let survivor = if at_floor { None } else { self.at(floor - 1) };
        survivor.into_iter().chain(self.since(floor))
    }

    pub(crate) fn hash(&self, floor: Revision, until: Revision, crc: &mut Crc) {
        self.remembered(floor).take_while(|write| write.main <= until).for_each(|write| crc.add(write.bytes()));
    }

    /// The writes from this revision on.
    pub(crate) fn since(&self, revision: Revision) -> impl Iterator<Item = &Write> {
        let (one, many) = match self {
            Self::One(write) => ((write.main >= revision).then_some(write), None),
            Self::Many(writes) => (None, Some(writes.range(writes.partition_point(|w| w.main < revision)..))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    fn last(&self) -> Option<&Write> {
        match self {
            Self::One(write) => Some(write),
            Self::Many(writes) => writes.back(),
        }
    }

    fn push(&mut self, write: Write) {
        match self {
            Self::Many(writes) => writes.push_back(write),
            Self::One(first) => {
                let mut writes = VecDeque::with_capacity(2);
                writes.push_back(first.clone());
                writes.push_back(write);
                *self = Self::Many(writes);
            }
        }
    }

    fn forget_before(&mut self, place: (Revision, u32)) -> (u64, bool) {
        let old = |write: &Write| (write.main, write.sub) < place;
        match self {
            Self::One(write) => match old(write) {
                true => (write.cost(), true),
                false => (0, false),
            },
            Self::Many(writes) => {
                let mut cost = 0;
                while let Some(write) = writes.pop_front_if(|write| old(write)) {
                    cost += write.cost();
                }
                let empty = writes.is_empty();
                match writes.len() {
                    1 => *self = Self::One(writes[0].clone()),
                    len if len * 4 < writes.capacity() => writes.shrink_to(len * 2),
                    _ => {}
                }
                (cost, empty)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_one_write_takes_little_beside_its_bytes() {
        assert_eq!((size_of::<Write>(), size_of::<Chain>()), (48, 48));
    }
}
