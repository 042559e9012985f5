//! How often something may happen, for each key of its own.
//!
//! In: a key, hashed by the driver with a secret seed so that nobody can choose keys that collide; its tier; how long the
//! call could wait. Out: a verdict ("now", "in 40 ms, and the place is yours", "no, ask again in 2 s") with the figures
//! for the answer's fields, and a [`Ticket`] by which a place that is not wanted any more is given back.
//!
//! - A key has one law, that of its algorithm ([`Terms`] states each exactly), whatever other keys do, over every change
//!   of the rate, and in each tier.
//! - A place is reserved when it is promised. So those who wait keep their order, and a place that is given back is free
//!   again only while nobody has reserved one behind it: to hand it on would bring two calls to one moment.
//! - Memory is bounded: 24 bytes a key, never more than `max_keys` of them (rounded up to a whole group of eight), and no
//!   call waits for more than one group to be copied, however large the table is ([`table`]).
//! - Time never runs backwards here: threads that share a limiter read their clocks a little before they ask.
//!
//! Where threads share a limit whose keys are buckets, they need no lock for one that is known ([`SharedBuckets`]).
//!
//! An adaptive limit is lowered while the calls that it lets through fail ([`Throttle`]).

mod bucket;
mod shared;
mod table;
mod terms;
mod throttle;

use mainstay_core::{Duration, Instant};

use crate::RateLimitSettings;
pub use bucket::Bucket;
pub use shared::{SharedBuckets, SharedTicket};
use table::Table;
use terms::{State, Terms};
pub use throttle::*;

/// Which limit, as the driver calls it; its own number means the same in every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LimitId(pub u32);

impl LimitId {
    /// No limit.
    pub const NONE: Self = Self(0);
}

/// Who asks a limit for leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitQuery {
    /// What the call is counted by, evenly hashed; keys of different tiers differ.
    pub key: u64,
    /// Which terms hold: 0 for the limit's own, then its tiers in their order. One that there is not has the limit's own.
    pub tier: usize,
    /// How long the call could wait. Where the limit refuses at once nobody waits, whatever this says.
    pub patience: Duration,
    /// The limit stands at so much of its rate, 1 to 100 ([`Throttle::percent`]).
    pub percent: u8,
}

impl LimitQuery {
    /// A key under the limit's own terms, as far as they go.
    #[must_use]
    pub const fn of(key: u64) -> Self {
        Self { key, tier: 0, patience: Duration::MAX, percent: 100 }
    }
}

/// What a limit says to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitVerdict {
    /// It may go, though perhaps only after a wait.
    pub admitted: bool,
    /// How long it waits for the place that is reserved for it.
    pub wait: Duration,
    /// So many are allowed...
    pub quota: u64,
    /// ...in this time, a whole number of seconds.
    pub window: Duration,
    /// How many more may come at once now.
    pub remaining: u64,
    /// Until all of them may again.
    pub reset: Duration,
    /// Until the next one may; zero unless this one was refused.
    pub retry_after: Duration,
    /// The limit stands at so much of its rate, 1 to 100.
    pub percent: u8,
}

impl LimitVerdict {
    /// That of a limit which is there no longer.
    pub const FREE: Self = Self {
        admitted: true,
        wait: Duration::ZERO,
        quota: 0,
        window: Duration::ZERO,
        remaining: 0,
        reset: Duration::ZERO,
        retry_after: Duration::ZERO,
        percent: 100,
    };

    /// The one of two that tells a caller more: the refusal that lasts longer, or the least that remains.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        let rank = |verdict: &Self| (verdict.admitted, std::cmp::Reverse(verdict.retry_after), verdict.remaining);
        if rank(&other) < rank(&self) { other } else { self }
    }

    /// The same for a call that cannot wait after all.
    #[must_use]
    pub fn refused(self) -> Self {
        Self { admitted: false, wait: Duration::ZERO, retry_after: self.retry_after.max(self.wait), ..self }
    }
}

/// What an admitted call has taken, to be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    key: u64,
    before: State,
    after: State,
}

/// One limit over many keys.
#[derive(Debug, Clone)]
pub struct KeyedLimiter {
    /// The limit's own, then those of its tiers.
    terms: Vec<Terms>,
    table: Table,
    latest: Instant,
}

impl KeyedLimiter {
    /// A limit that has seen no key.
    #[must_use]
    pub fn new(settings: &RateLimitSettings) -> Self {
        Self { terms: Terms::all(settings), table: Table::new(settings.max_keys), latest: Instant::ORIGIN }
    }

    /// Changes the rate, the burst, the tiers or the number of keys. What each key has used stays: from now on each is
    /// admitted what the new terms allow, less what it owes under the old. Another algorithm needs a new limiter.
    pub fn configure(&mut self, settings: &RateLimitSettings) {
        self.terms = Terms::all(settings);
        self.table.allow(settings.max_keys);
    }

    /// Asks for leave for one call.
    pub fn admit(&mut self, now: Instant, query: &LimitQuery) -> (LimitVerdict, Ticket) {
        self.latest = self.latest.max(now);
        let own = self.terms[0];
        let terms = self.terms.get(query.tier).copied().unwrap_or(own).at(query.percent);
        let place = self.table.place(self.latest, query.key);
        let (verdict, before, after) = terms.judge(self.latest, self.table.state(place), query.patience);
        self.table.set(place, after);
        (verdict, Ticket { key: query.key, before, after })
    }

    /// Takes back what a call was given that did not go; false when somebody has a place behind it.
    pub fn give_back(&mut self, ticket: &Ticket) -> bool {
        self.table.replace(ticket.key, ticket.after, ticket.before)
    }

    /// Keys that were forgotten early for want of room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.table.evicted()
    }

    /// Slots for keys that there are now, 24 bytes each.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.table.capacity()
    }
}

#[cfg(test)]
mod tests;
