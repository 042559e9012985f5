//! Where a limit keeps what it knows of each key: a table whose every access costs the same.
//!
//! The table is one of groups of eight slots. A key's hash names two groups, and a new key goes to the one that is
//! emptier, which fills the table to about four fifths before any pair of groups is full (Y. Azar et al.: "Balanced
//! allocations", STOC 1994); one place with sixteen slots to look at would manage half. A slot whose time has passed is
//! free, so nothing has to be swept out.
//!
//! When both groups of a new key are full, a table of twice the size is laid beside it, up to the number of keys that is
//! allowed; its memory is the system's untouched zeroes. From then on every access brings one group over, and its own
//! key first. So an access looks at 32 slots and copies nine at the most, and the law of a key holds while it moves,
//! since it is in one of two places. The move is over after an eighth as many accesses as the old table has slots; by
//! then the new one is little more than half full.
//!
//! Where there may be no more, the key nearest to its end is forgotten and counted: it gains a part of its burst, which is
//! better than to refuse callers for the number of the others.

use mainstay_core::Instant;

use super::State;

/// Slots of a group.
const GROUP: usize = 8;

/// Slots of a new table.
const SLOTS_MIN: usize = 64;

/// The slots, and beside them those that are not brought over yet.
#[derive(Debug, Clone)]
pub(super) struct Table {
    slots: Slots,
    old: Slots,
    /// Groups of `old` before this one are brought over.
    next: usize,
    slots_max: usize,
    evicted: u64,
}

impl Table {
    pub(super) fn new(max_keys: u32) -> Self {
        let slots_max = slots_max(max_keys);
        let slots = Slots::new(slots_max.min(SLOTS_MIN));
        Self { slots, old: Slots::default(), next: 0, slots_max, evicted: 0 }
    }

    /// Another number of keys; a table that is too large for it is moved to a smaller one like one that is too small.
    pub(super) fn allow(&mut self, max_keys: u32) {
        self.slots_max = slots_max(max_keys);
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn capacity(&self) -> usize {
        self.slots.len() + self.old.len()
    }

    /// The slot where `key` is or will be. Good until the next access.
    pub(super) fn place(&mut self, now: Instant, key: u64) -> usize {
        self.bring_group(now);
        let place = match self.slots.look_up(now, key) {
            Place::Known(place) => return place,
            Place::Full(_) if !self.is_moving() && self.slots.len() < self.slots_max => {
                self.move_to(self.slots.len().saturating_mul(2).min(self.slots_max));
                self.vacate(now, key)
            }
            Place::Free(place) => place,
            Place::Full(place) => self.evict(place),
        };
        let state = self.take_old(key).unwrap_or_default();
        self.slots.set(place, Slot { key, state });
        place
    }

    pub(super) fn state(&self, place: usize) -> State {
        self.slots.get(place).state
    }

    pub(super) fn set(&mut self, place: usize, state: State) {
        self.slots.set(place, Slot { state, ..self.slots.get(place) });
    }

    /// Gives `key` the state `to` if it is in the state `from`.
    pub(super) fn replace(&mut self, key: u64, from: State, to: State) -> bool {
        let (slots, place) = match (self.slots.find(key), self.find_old(key)) {
            (Some(place), _) => (&mut self.slots, place),
            (None, Some(place)) => (&mut self.old, place),
            (None, None) => return false,
        };
        let slot = slots.get(place);
        if slot.state == from {
            slots.set(place, Slot { state: to, ..slot });
        }
        slot.state == from
    }

    fn is_moving(&self) -> bool {
        self.old.len() > 0
    }

    fn move_to(&mut self, slots: usize) {
        self.old = std::mem::replace(&mut self.slots, Slots::new(slots));
        self.next = 0;
    }

    /// Brings the next group over, where there is one.
    fn bring_group(&mut self, now: Instant) {
        if !self.is_moving() {
            if self.slots.len() <= self.slots_max {
                return;
            }
            self.move_to(self.slots_max);
        }
        for place in self.next * GROUP..(self.next + 1) * GROUP {
            let slot = self.old.get(place);
            if !slot.is_free(now) {
                let place = self.vacate(now, slot.key);
                self.slots.set(place, slot);
            }
        }
        self.next += 1;
        if self.next * GROUP == self.old.len() {
            self.old = Slots::default();
        }
    }

    /// A slot for `key`, whoever has to go for it.
    fn vacate(&mut self, now: Instant, key: u64) -> usize {
        match self.slots.look_up(now, key) {
            Place::Known(place) | Place::Free(place) => place,
            Place::Full(place) => self.evict(place),
        }
    }

    fn evict(&mut self, place: usize) -> usize {
        self.evicted += 1;
        place
    }

    fn find_old(&self, key: u64) -> Option<usize> {
        self.old.find(key).filter(|place| place / GROUP >= self.next)
    }

    fn take_old(&mut self, key: u64) -> Option<State> {
        let place = self.find_old(key)?;
        let slot = self.old.get(place);
        self.old.set(place, Slot::default());
        Some(slot.state)
    }
}

/// A key and what is known of it. Free from the end of its state on.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    key: u64,
    state: State,
}

impl Slot {
    fn is_free(&self, now: Instant) -> bool {
        self.state.until <= now.as_nanos()
    }
}

/// Slots as plain words: a vector of zeroes is memory that the system has not touched yet, however long it is.
#[derive(Debug, Clone, Default)]
struct Slots(Vec<[u64; 3]>);

impl Slots {
    fn new(slots: usize) -> Self {
        Self(vec![[0; 3]; slots])
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, place: usize) -> Slot {
        let [key, until, counts] = self.0[place];
        Slot { key, state: State { until, count: counts as u32, before: (counts >> 32) as u32 } }
    }

    fn set(&mut self, place: usize, Slot { key, state }: Slot) {
        self.0[place] = [key, state.until, u64::from(state.count) | u64::from(state.before) << 32];
    }

    /// Each half of the hash names a group: the high part of a product spreads it over any number of them.
    fn groups(&self, key: u64) -> [usize; 2] {
        let groups = (self.len() / GROUP) as u64;
        [key >> 32, key & 0xffff_ffff].map(|half| ((half * groups) >> 32) as usize)
    }

    fn places(&self, key: u64) -> impl Iterator<Item = usize> {
        self.groups(key).into_iter().flat_map(|group| group * GROUP..(group + 1) * GROUP)
    }

    fn find(&self, key: u64) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        self.places(key).find(|place| self.0[*place][0] == key && self.0[*place][1] > 0)
    }

    fn look_up(&self, now: Instant, key: u64) -> Place {
        if let Some(place) = self.find(key) {
            return Place::Known(place);
        }
        let mut best = (usize::MAX, u64::MAX, 0);
        for group in self.groups(key) {
            let (mut live, mut first) = (0, (u64::MAX, 0));
            for place in group * GROUP..(group + 1) * GROUP {
                let until = self.0[place][1];
                live += usize::from(until > now.as_nanos());
                first = first.min((until, place));
            }
            // The emptier group wins, and of two full ones the one with the key that is nearest to its end. The first
            // slot of a group to end is free if any of it is.
            best = best.min((live, first.0, first.1));
        }
        match best {
            (GROUP, _, place) => Place::Full(place),
            (_, _, place) => Place::Free(place),
        }
    }
}

/// Where a key belongs.
enum Place {
    /// It is there.
    Known(usize),
    /// It is new, and nobody is there.
    Free(usize),
    /// It is new, and both its groups are full; of the keys there this one is nearest to its end.
    Full(usize),
}

fn slots_max(max_keys: u32) -> usize {
    (max_keys.max(1) as usize).next_multiple_of(GROUP)
}

#[cfg(test)]
mod tests;
