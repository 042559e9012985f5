//! Buckets by key that threads share, without a lock for a key that is known.
//!
//! The law of a key is that of [`super::terms`], exactly, whichever threads ask: what is known of it is one number in one
//! place, and is changed by compare-and-swap. A lock is taken, of one shard of many, only to find a place for a key that has
//! none, which also is when a table grows; so who asks for one key again and again pays for the swap and nothing else.
//!
//! A shard has tables of groups of eight, searched and filled as [`super::table`] tells, each four times as large as the
//! one before. A place changes hands under the lock, while threads without it look: first its number is made [`AWAY`], if
//! it is still what was seen, then the key is written, then its number. Who finds its key, reads the number and then finds
//! its key again has read a number of its own, and whose number has changed meanwhile looks again. A key that is brought
//! over leaves `AWAY` behind, so nobody counts in two places.
//!
//! Tables that were outgrown stay, since somebody may be looking there: they are a third of the newest at the most, so a
//! key costs 22 bytes. No more than [`SHARD_SLOTS`] slots are laid out at once, whatever the number of keys (up to 16
//! million); the keys come over one group for each access that takes the lock.

use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use mainstay_core::{Duration, Instant};

use super::{Bucket, LimitVerdict};
use crate::RateLimitSettings;

/// Slots of a group.
const GROUP: usize = 8;
/// Tables of a shard, one after another, each four times as large as the one before; the last is as large as may be.
const TABLES: usize = 8;
/// Groups of a shard's first table.
const GROUPS_MIN: usize = 2;
/// Slots of a shard at the most, while there can be shards enough.
const SHARD_SLOTS: u32 = 4096;
const SHARDS_MIN: u32 = 16;
const SHARDS_MAX: u32 = 4096;

/// What stands in a slot that changes hands, or whose key was brought over.
const AWAY: u64 = u64::MAX;

/// What stands in a slot for the number of a bucket: one more, since zero is a slot that was never used.
const fn stored(level: u64) -> u64 {
    let next = level.saturating_add(1);
    if next < AWAY { next } else { AWAY - 1 }
}

/// One limit over many keys, for many threads. For windows, [`super::KeyedLimiter`].
#[derive(Debug)]
pub struct SharedBuckets {
    bucket: Bucket,
    shards: Box<[Shard]>,
    sizes: Sizes,
}

/// How large the tables of a shard are.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    groups_max: usize,
    /// The number of the last table.
    last: usize,
}

impl Sizes {
    fn new(groups_max: usize) -> Self {
        let last = (1..TABLES).take_while(|table| groups_max >> (2 * table) >= GROUPS_MIN).count();
        Self { groups_max, last }
    }

    fn table(self, number: usize) -> Box<[Group]> {
        let groups = self.groups_max.div_ceil(1 << (2 * (self.last - number)));
        (0..groups).map(|_| Group::default()).collect()
    }
}

/// What an admitted call has taken, to be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedTicket {
    key: u64,
    before: u64,
    after: u64,
}

impl SharedBuckets {
    /// A limit that has seen no key; `None` for windows, which have more to remember than a number. Of the settings the
    /// limit's own terms count, not those of its tiers.
    #[must_use]
    pub fn new(settings: &RateLimitSettings) -> Option<Self> {
        let bucket = Bucket::new(settings)?;
        let shards = (settings.max_keys / SHARD_SLOTS).next_power_of_two().clamp(SHARDS_MIN, SHARDS_MAX);
        let groups_max = settings.max_keys.div_ceil(shards).div_ceil(GROUP as u32).max(1) as usize;
        let shards = (0..shards).map(|_| Shard::default()).collect();
        Some(Self { bucket, shards, sizes: Sizes::new(groups_max) })
    }

    /// Asks for leave for one call of `key`, evenly hashed, that cannot wait.
    ///
    /// # Errors
    /// The verdict when it is over the limit.
    #[inline]
    pub fn take(&self, now: Instant, key: u64) -> Result<(), LimitVerdict> {
        self.change(now, key, |level| match self.bucket.take(now, level) {
            Some(after) => (Ok(()), Some(after)),
            None => (Err(self.bucket.judge(now, level, Duration::ZERO).0), None),
        })
    }

    /// Asks for leave for one call of `key` that could wait for so long.
    pub fn admit(&self, now: Instant, key: u64, patience: Duration) -> (LimitVerdict, SharedTicket) {
        self.change(now, key, |before| {
            let (verdict, after) = self.bucket.judge(now, before, patience);
            ((verdict, SharedTicket { key, before, after }), verdict.admitted.then_some(after))
        })
    }

    /// Takes back what a call was given that did not go; false when somebody has a place behind it.
    pub fn give_back(&self, ticket: &SharedTicket) -> bool {
        let SharedTicket { key, before, after } = *ticket;
        let undo = |level| (level == after, (level == after).then_some(before));
        self.shard(key).find_anywhere(key).and_then(|slot| slot.change(key, undo)).unwrap_or(false)
    }

    /// Keys that were forgotten early for want of room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.shards.iter().map(|shard| shard.moves().evicted).sum()
    }

    /// Slots for keys that there are now, 16 bytes each.
    #[must_use]
    pub fn capacity(&self) -> usize {
        let tables = self.shards.iter().flat_map(|shard| shard.tables.iter().filter_map(OnceLock::get));
        tables.map(|table| table.len() * GROUP).sum()
    }

    /// Lets `decide` see the number of `key` and say what it becomes, if it changes. It may be asked again when another
    /// thread was quicker.
    #[inline]
    fn change<T>(&self, now: Instant, key: u64, decide: impl Fn(u64) -> (T, Option<u64>)) -> T {
        let shard = self.shard(key);
        loop {
            if let Some(told) = shard.find(key).and_then(|slot| slot.change(key, &decide)) {
                return told;
            }
            if let Some(told) = shard.place(now, key, self.sizes, |slot| slot.change(key, &decide)) {
                return told;
            }
        }
    }

    fn shard(&self, key: u64) -> &Shard {
        // The groups go by the high bits of each half.
        &self.shards[key as usize & (self.shards.len() - 1)]
    }
}

/// A part of the keys.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    /// The table where keys belong now.
    newest: AtomicUsize,
    tables: [OnceLock<Box<[Group]>>; TABLES],
    /// Who holds it may give places away.
    moves: Mutex<Moves>,
}

#[derive(Debug, Default)]
struct Moves {
    /// The table before the newest has keys that are not brought over.
    is_moving: bool,
    /// Its groups before this one are brought over.
    next: usize,
    evicted: u64,
}

/// Keys on a line of the cache that only changes with them, and their numbers.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Group {
    keys: [AtomicU64; GROUP],
    levels: [AtomicU64; GROUP],
}

#[derive(Debug, Clone, Copy)]
struct Slot<'g> {
    key: &'g AtomicU64,
    /// The number of its bucket, as it is [`stored`]: from then on the slot is free.
    level: &'g AtomicU64,
}

impl Slot<'_> {
    /// As [`SharedBuckets::change`]; `None` when the slot is not `key`'s any more.
    #[inline]
    fn change<T>(self, key: u64, decide: impl Fn(u64) -> (T, Option<u64>)) -> Option<T> {
        let mut before = self.level.load(Acquire);
        loop {
            if before == 0 || before == AWAY || self.key.load(Relaxed) != key {
                return None;
            }
            let (told, after) = decide(before - 1);
            let Some(after) = after else { return Some(told) };
            match self.level.compare_exchange_weak(before, stored(after), AcqRel, Acquire) {
                Ok(_) => return Some(told),
                Err(changed) => before = changed,
            }
        }
    }

    /// Gives a slot that is [`AWAY`] to a key.
    fn fill(self, key: u64, stored: u64) {
        self.key.store(key, Relaxed);
        self.level.store(stored, Release);
    }
}

impl Group {
    fn slot(&self, place: usize) -> Slot<'_> {
        Slot { key: &self.keys[place], level: &self.levels[place] }
    }

    #[inline]
    fn find(&self, key: u64) -> Option<Slot<'_>> {
        let place = self.keys.iter().position(|known| known.load(Acquire) == key)?;
        Some(self.slot(place))
    }

    /// How many slots are used, and the one that is nearest to its end, with its number.
    fn weigh(&self, now: u64) -> (usize, u64, Slot<'_>) {
        let levels = self.levels.each_ref().map(|level| level.load(Acquire));
        let used = levels.iter().filter(|level| **level > now).count();
        let first = (0..GROUP).min_by_key(|place| levels[*place]).unwrap_or(0);
        (used, levels[first], self.slot(first))
    }
}

/// The groups where `key` may be: each half of it names one.
#[inline]
fn homes(table: &[Group], key: u64) -> [&Group; 2] {
    [key >> 32, key & 0xffff_ffff].map(|half| &table[((half * table.len() as u64) >> 32) as usize])
}

#[inline]
fn find(table: &[Group], key: u64) -> Option<Slot<'_>> {
    homes(table, key).into_iter().find_map(|group| group.find(key))
}

impl Shard {
    fn moves(&self) -> MutexGuard<'_, Moves> {
        // A place is given away by steps, each of which leaves nothing that is wrong.
        self.moves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn find(&self, key: u64) -> Option<Slot<'_>> {
        find(self.tables.get(self.newest.load(Acquire))?.get()?, key)
    }

    /// Where it is, be it not brought over.
    fn find_anywhere(&self, key: u64) -> Option<Slot<'_>> {
        let moves = self.moves();
        self.find(key).or_else(|| find(self.old(&moves)?, key))
    }

    fn old(&self, moves: &Moves) -> Option<&[Group]> {
        let before = self.newest.load(Relaxed).checked_sub(1).filter(|_| moves.is_moving)?;
        self.tables[before].get().map(AsRef::as_ref)
    }

    /// Finds or makes a place for `key` and lets `act` see it before anybody else can have it.
    fn place<T>(&self, now: Instant, key: u64, sizes: Sizes, act: impl Fn(Slot<'_>) -> Option<T>) -> Option<T> {
        let moves = &mut self.moves();
        let now = stored(now.as_nanos());
        self.tables[0].get_or_init(|| sizes.table(0));
        self.bring_group(now, sizes, moves);
        if let Some(slot) = self.find(key)
            && let Some(told) = act(slot)
        {
            return Some(told);
        }
        let level = self.old(moves).and_then(|old| find(old, key)).map(|slot| slot.level.swap(AWAY, AcqRel));
        let slot = self.vacate(now, key, sizes, moves)?;
        slot.fill(key, level.filter(|level| (1..AWAY).contains(level)).unwrap_or(now));
        act(slot)
    }

    /// Brings the next group over, where there is one.
    fn bring_group(&self, now: u64, sizes: Sizes, moves: &mut Moves) {
        let Some(old) = self.old(moves) else { return };
        for place in 0..GROUP {
            let slot = old[moves.next].slot(place);
            let level = slot.level.swap(AWAY, AcqRel);
            let key = slot.key.load(Relaxed);
            if level > now
                && level != AWAY
                && let Some(slot) = self.vacate(now, key, sizes, moves)
            {
                slot.fill(key, level);
            }
        }
        moves.next += 1;
        moves.is_moving = moves.next < old.len();
    }

    /// A slot for `key` that is [`AWAY`], whoever has to go for it.
    fn vacate(&self, now: u64, key: u64, sizes: Sizes, moves: &mut Moves) -> Option<Slot<'_>> {
        loop {
            let newest = self.newest.load(Relaxed);
            let table = self.tables[newest].get()?;
            // The emptier group wins, and of two full ones the one with the key that is nearest to its end.
            let [one, other] = homes(table, key).map(|group| group.weigh(now));
            let (used, level, slot) = if (other.0, other.1) < (one.0, one.1) { other } else { one };
            if used == GROUP && !moves.is_moving && newest < sizes.last {
                self.tables[newest + 1].get_or_init(|| sizes.table(newest + 1));
                self.newest.store(newest + 1, Release);
                (moves.is_moving, moves.next) = (true, 0);
                continue;
            }
            // Else somebody has used it meanwhile.
            if slot.level.compare_exchange(level, AWAY, AcqRel, Relaxed).is_ok() {
                moves.evicted += u64::from(level > now);
                return Some(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests;
