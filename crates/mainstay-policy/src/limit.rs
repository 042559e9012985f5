//! How often something may happen, for each key of its own.
//!
//! A token bucket in the form of the generic cell rate algorithm: one number per key, the time at which its bucket will
//! be full again (the theoretical arrival time of ITU-T I.371). An admitted call moves it on by the interval of the
//! rate, and a call is refused when it would move further ahead of `now` than the burst allows. Nothing has to be
//! refilled, and a key whose time has passed is the same as one that was never seen.
//!
//! In: a key, hashed by the driver with a secret seed so that nobody can choose keys that collide. Out: a verdict with
//! the figures for the answer's headers.
//!
//! - In any stretch of time `t` a key is admitted at most `burst + rate × t` times (the interval is rounded up).
//! - Memory is bounded: 16 bytes a key, and never more than `max_keys` (rounded up to a whole group).
//!
//! The table is one of groups of eight slots. A key's hash names two groups, and a new key goes to the one that is
//! emptier, which fills the table to about four fifths before any pair of groups is full (Y. Azar et al.: "Balanced
//! allocations", STOC 1994); one place with sixteen slots to look at would manage half. An access looks at these sixteen
//! and no more, whatever the table's state, and a slot whose time has passed is free, so nothing has to be swept out.
//!
//! When both groups of a new key are full, the table doubles, up to `max_keys`; the access that doubles it copies it,
//! which takes tens of milliseconds towards a million keys; a driver that spreads its keys over several limiters divides
//! that pause. Beyond that the key nearest to its end is forgotten and counted: it gains a part of its burst, which is
//! better than to refuse callers for the number of the others.

use mainstay_core::{Duration, Instant};

use crate::RateLimitSettings;

/// Slots of a group.
const GROUP: usize = 8;

/// Slots of a new table.
const SLOTS_MIN: usize = 64;

/// What a limit says to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitVerdict {
    /// It may go.
    pub admitted: bool,
    /// How many may come at once: the burst.
    pub limit: u64,
    /// How many more may come at once now.
    pub remaining: u64,
    /// Until all of them may again.
    pub reset: Duration,
    /// Until the next one may; zero unless this one was refused.
    pub retry_after: Duration,
}

impl LimitVerdict {
    /// The one of two that tells a caller more: the refusal that lasts longer, or the least that remains.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        let rank = |verdict: &Self| (verdict.admitted, std::cmp::Reverse(verdict.retry_after), verdict.remaining);
        if rank(&other) < rank(&self) { other } else { self }
    }
}

/// One limit over many keys.
#[derive(Debug, Clone)]
pub struct KeyedLimiter {
    terms: Terms,
    slots_max: usize,
    slots: Vec<Slot>,
    evicted: u64,
}

#[derive(Debug, Clone, Copy)]
struct Terms {
    burst: u64,
    /// Nanoseconds between two at the full rate.
    interval: u64,
    /// How far a key may be ahead: the burst in nanoseconds.
    ahead_max: u64,
}

/// Free from `full_at` on; zero when it was never used.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    key: u64,
    full_at: u64,
}

impl Slot {
    fn is_free(self, now: Instant) -> bool {
        self.full_at <= now.as_nanos()
    }
}

impl Terms {
    fn of(settings: &RateLimitSettings) -> Self {
        let burst = settings.burst.max(1);
        let interval = settings.rate.per().as_nanos().div_ceil(settings.rate.count()).max(1);
        Self { burst, interval, ahead_max: interval.saturating_mul(burst) }
    }

    /// The verdict for a key, and when its bucket is full after it.
    fn judge(self, now: Instant, full_at: u64) -> (LimitVerdict, u64) {
        // Never further ahead than an empty bucket is, as it would be after a change of the rate.
        let ahead = full_at.saturating_sub(now.as_nanos()).min(self.ahead_max);
        let room = self.ahead_max - ahead;
        let admitted = room >= self.interval;
        let ahead = if admitted { ahead + self.interval } else { ahead };
        let wait = if admitted { 0 } else { self.interval - room };
        let verdict = LimitVerdict {
            admitted,
            limit: self.burst,
            remaining: (self.ahead_max - ahead) / self.interval,
            reset: Duration::from_nanos(ahead),
            retry_after: Duration::from_nanos(wait),
        };
        (verdict, now.as_nanos().saturating_add(ahead))
    }
}

impl KeyedLimiter {
    /// A limit that has seen no key.
    #[must_use]
    pub fn new(settings: &RateLimitSettings) -> Self {
        let slots_max = slots_max(settings);
        let slots = vec![Slot::default(); slots_max.min(SLOTS_MIN)];
        Self { terms: Terms::of(settings), slots_max, slots, evicted: 0 }
    }

    /// Changes the rate, the burst or the number of keys. What each key has used stays.
    pub fn configure(&mut self, now: Instant, settings: &RateLimitSettings) {
        self.terms = Terms::of(settings);
        self.slots_max = slots_max(settings);
        if self.slots.len() > self.slots_max {
            self.resize(now, self.slots_max);
        }
    }

    /// Asks for leave for one call of `key`, which must be evenly hashed.
    pub fn admit(&mut self, now: Instant, key: u64) -> LimitVerdict {
        let place = self.place(now, key);
        let slot = &mut self.slots[place];
        let full_at = if slot.key == key { slot.full_at } else { 0 };
        let (verdict, full_at) = self.terms.judge(now, full_at);
        *slot = Slot { key, full_at };
        verdict
    }

    /// Keys that were forgotten early for want of room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Slots for keys that there are now, 16 bytes each.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// The slot where `key` is or will be.
    fn place(&mut self, now: Instant, key: u64) -> usize {
        loop {
            match self.look_up(now, key) {
                Place::Known(place) | Place::Free(place) => return place,
                Place::Full(_) if self.slots.len() < self.slots_max => {
                    self.resize(now, self.slots.len().saturating_mul(2).min(self.slots_max));
                }
                Place::Full(place) => {
                    self.evicted += 1;
                    return place;
                }
            }
        }
    }

    fn look_up(&self, now: Instant, key: u64) -> Place {
        let mut best = (usize::MAX, u64::MAX, 0);
        for group in self.groups(key) {
            let (mut live, mut first) = (0, (u64::MAX, 0));
            for place in group * GROUP..(group + 1) * GROUP {
                let slot = self.slots[place];
                if slot.key == key && slot.full_at > 0 {
                    return Place::Known(place);
                }
                live += usize::from(!slot.is_free(now));
                first = first.min((slot.full_at, place));
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

    /// Each half of the hash names a group: the high part of a product spreads it over any number of them.
    fn groups(&self, key: u64) -> [usize; 2] {
        let groups = (self.slots.len() / GROUP) as u64;
        [key >> 32, key & 0xffff_ffff].map(|half| ((half * groups) >> 32) as usize)
    }

    fn resize(&mut self, now: Instant, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); slots]);
        for slot in old.into_iter().filter(|slot| !slot.is_free(now)) {
            let place = match self.look_up(now, slot.key) {
                Place::Known(place) | Place::Free(place) => place,
                Place::Full(place) => {
                    self.evicted += 1;
                    place
                }
            };
            self.slots[place] = slot;
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

fn slots_max(settings: &RateLimitSettings) -> usize {
    (settings.max_keys.max(1) as usize).next_multiple_of(GROUP)
}

#[cfg(test)]
mod tests;
