//! How many attempts run at once, and who waits for a turn.
//!
//! One stage, which a call passes once: its first attempt enters or waits. Permits belong to attempts and are free
//! during a backoff; a retry takes a free one or is not made, it never waits. Under overload every permit that comes
//! back goes to somebody who waits, so retries find none and give way to first attempts by themselves.
//!
//! **Permits.** The workers of a node share one [`PermitPool`], so that the ceiling holds exactly over all of them. A
//! worker takes permits from it in blocks and keeps a few spare ones, so that a request in steady state touches memory
//! of its own worker only; all spare permits together are at most an eighth of the ceiling. A worker whose calls wait
//! while it holds not one permit is *starving*: the pool then keeps a permit back for it, and the others return theirs.
//! Who returns one for the others' sake lets each that starved then have its turn before it takes one by right again,
//! though it starves itself by now: else the worker that releases, being there first, would win every time.
//!
//! **Queue.** Who finds no permit waits for one; in which order and how long, [`crate::queue`] decides. Of a call's
//! priority the permits know one thing: what can be shed is admitted only while a fifth of the limit is free, a first
//! attempt as well as a further one, so that it is shed before anybody else has to wait. A critical call needs no such reserve, because it is the first in the queue:
//! it waits for one permit to come back.

mod hearing;

use std::cell::RefCell;
use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_core::{CallId, Duration, Instant, Limit};

use crate::queue::Queue;
use crate::{Adaptive, Admission, BulkheadSettings, Concurrency, NoPlace, Priority, Sample, Samples, Wish};
use hearing::Hearing;
pub use hearing::{Heard, Question};

/// Permits that a worker takes at once, at most.
const BLOCK_MAX: u32 = 32;

/// The permits that the workers of one node share. A clone is another handle to the same permits.
///
/// The counters guard no other memory, so their operations are relaxed; only who sees a turn must see that its worker
/// starves no more.
#[derive(Debug, Clone)]
pub struct PermitPool {
    cell: Arc<Cell>,
}

#[derive(Debug)]
struct Cell {
    workers: u32,
    /// Finds the limit. Locked when a worker tells what it measured, some times a second, and never for a call.
    concurrency: Mutex<Concurrency>,
    /// `u32::MAX` is unlimited: so many attempts fit into no machine.
    limit: AtomicU32,
    taken: AtomicU32,
    /// Workers whose calls wait while they hold not one permit.
    starving: AtomicU32,
    /// How often a worker ceased to starve, by a permit or because its calls left.
    turns: AtomicU64,
}

impl PermitPool {
    /// `ceiling` permits, to be shared by so many `workers`. How many there are under the ceiling, their settings say.
    #[must_use]
    pub fn new(ceiling: Limit<u32>, workers: u32) -> Self {
        let concurrency = Concurrency::new(Adaptive::Off, ceiling);
        Self {
            cell: Arc::new(Cell {
                workers: workers.max(1),
                limit: concurrency.limit().into(),
                concurrency: concurrency.into(),
                taken: 0.into(),
                starving: 0.into(),
                turns: 0.into(),
            }),
        }
    }

    /// Permits that exist.
    #[must_use]
    pub fn limit(&self) -> Limit<u32> {
        limit_of(self.cell.limit.load(Relaxed))
    }

    /// Permits that exist at the most, however quick the answers are.
    #[must_use]
    pub fn ceiling(&self) -> Limit<u32> {
        limit_of(self.steer(|concurrency| concurrency.ceiling()))
    }

    /// Permits that workers hold, in use or spare.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.cell.taken.load(Relaxed)
    }

    /// Permits to take at once: so few that twice as many per worker are an eighth of all.
    fn block(&self, limit: u32) -> u32 {
        (limit / self.cell.workers.saturating_mul(16)).clamp(1, BLOCK_MAX)
    }

    /// Takes up to `wanted` permits and leaves as many as are `reserved` for others.
    fn take(&self, wanted: u32, reserved: u32) -> u32 {
        let mut taken = self.cell.taken.load(Relaxed);
        loop {
            let free = self.cell.limit.load(Relaxed).saturating_sub(taken).saturating_sub(reserved);
            let got = wanted.min(free);
            if got == 0 {
                return 0;
            }
            match self.cell.taken.compare_exchange_weak(taken, taken + got, Relaxed, Relaxed) {
                Ok(_) => return got,
                Err(now_taken) => taken = now_taken,
            }
        }
    }

    fn give_back(&self, permits: u32) {
        if permits > 0 {
            self.cell.taken.fetch_sub(permits, Relaxed);
        }
    }

    /// Whether more permits are held than there are: the ceiling has come down.
    fn is_over(&self) -> bool {
        self.cell.taken.load(Relaxed) > self.cell.limit.load(Relaxed)
    }

    /// Lets `act` change what the limit follows, and puts the limit in force.
    fn steer<T>(&self, act: impl FnOnce(&mut Concurrency) -> T) -> T {
        let mut concurrency = self.cell.concurrency.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut concurrency);
        self.cell.limit.store(concurrency.limit(), Relaxed);
        result
    }
}

const fn limit_of(permits: u32) -> Limit<u32> {
    match permits {
        u32::MAX => Limit::Unlimited,
        limit => Limit::At(limit),
    }
}

/// One worker's share of a service's permits, and its calls that wait for one.
#[derive(Debug)]
pub struct Bulkhead {
    pool: PermitPool,
    hearing: Hearing,
    block: u32,
    in_use: u32,
    spare: u32,
    starving: bool,
    /// Turns that have to pass before this worker takes what others starve for.
    stands_back: u64,
    queue: Queue,
    /// What attempts measured that the pool was not told yet.
    samples: Samples,
}

impl Bulkhead {
    /// A worker's bulkhead over the permits of `pool`.
    #[must_use]
    pub fn new(settings: &BulkheadSettings, pool: PermitPool) -> Self {
        pool.steer(|concurrency| {
            let ceiling = limit_of(concurrency.ceiling());
            concurrency.configure(settings.adaptive, ceiling);
        });
        let limit = pool.cell.limit.load(Relaxed);
        Self {
            block: pool.block(limit),
            pool,
            hearing: Hearing::Plain,
            in_use: 0,
            spare: 0,
            starving: false,
            stands_back: 0,
            queue: Queue::new(settings.queue),
            samples: Samples::default(),
        }
    }

    /// Changes the settings, those of the shared pool included. Attempts under way and calls that wait stay; after a
    /// lower ceiling no permit is given out until enough have come back.
    pub fn configure(&mut self, now: Instant, settings: &BulkheadSettings) {
        self.queue.configure(settings.queue);
        if !self.hearing.is_again() {
            self.pool.steer(|concurrency| concurrency.configure(settings.adaptive, settings.concurrency));
        }
        self.poke(now);
    }

    /// Takes a permit for a call's first attempt: only if nobody waits who is served before it.
    #[must_use]
    pub fn try_enter(&mut self, priority: Priority) -> bool {
        self.queue.is_next(priority) && self.is_admitted(priority) && self.try_acquire()
    }

    /// What can be shed is not to be the reason for which others wait.
    fn is_admitted(&self, priority: Priority) -> bool {
        let is_far_from_full = || {
            let limit = self.permits();
            self.in_flight() < limit - limit / 5
        };
        priority != Priority::Sheddable || is_far_from_full()
    }

    /// Takes a permit for a further attempt of a call, if one is free; what can be shed is to leave room there too.
    #[must_use]
    pub fn try_again(&mut self, priority: Priority) -> bool {
        self.is_admitted(priority) && self.try_acquire()
    }

    fn try_acquire(&mut self) -> bool {
        let free = self.has_spare();
        if free {
            self.spare -= 1;
            self.in_use += 1;
            self.samples.saw(self.in_flight());
            self.watch_starving();
        }
        free
    }

    /// An attempt says how long answers take; `in_flight` is what [`Bulkhead::in_flight`] was when it began.
    pub fn observe(&mut self, in_flight: u32, sample: Sample) {
        self.samples.add(in_flight, sample);
    }

    /// Lets a call wait for a permit, and says how many are served before it.
    ///
    /// # Errors
    /// [`NoPlace`] when it would wait in vain, or as many wait as may.
    pub fn enqueue(&mut self, now: Instant, wish: &Wish) -> Result<u32, NoPlace> {
        let place = self.queue.push(now, wish);
        self.watch_starving();
        place
    }

    /// A call waits no longer: its own time is up, or its caller left. Nothing happens when it does not wait.
    pub fn leave(&mut self, call: CallId) {
        self.queue.leave(call);
        self.watch_starving();
    }

    /// An attempt gives its permit back. Whoever waits may be admitted now: ask [`Bulkhead::poll_admitted`].
    pub fn release(&mut self, _now: Instant) {
        debug_assert!(self.in_use > 0, "a permit comes back that nobody had");
        if self.in_use > 0 {
            self.in_use -= 1;
            self.spare += 1;
        }
        self.share();
    }

    /// Whether there is nobody whose wait could be over.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next call whose wait is over: it waits in vain, or a permit is free for it. `served` is how long an answer
    /// usually takes.
    #[must_use]
    pub fn poll_admitted(&mut self, now: Instant, served: Duration) -> Option<Admission> {
        if let Some(dropped) = self.queue.drop_next(now, served) {
            self.watch_starving();
            return Some(dropped);
        }
        let first = self.queue.first(|priority| self.is_admitted(priority))?;
        if !self.try_acquire() {
            return None;
        }
        let granted = self.queue.grant(now, first);
        self.watch_starving();
        granted
    }

    /// How long those that wait here will need, as far as that is known.
    #[must_use]
    pub fn drains_in(&self) -> Duration {
        self.queue.drains_in()
    }

    /// Tells the pool what was measured here, and looks at the permits of the other workers: returns spare ones that are
    /// wanted there. A driver calls it every few milliseconds while calls wait anywhere, and ten times a second else, and
    /// then asks [`Bulkhead::poll_admitted`].
    pub fn poke(&mut self, now: Instant) {
        if self.hearing.is_again() {
            self.samples = Samples::default();
        } else {
            self.pool.steer(|concurrency| concurrency.gather(now, &mut self.samples));
        }
        self.block = self.pool.block(self.permits());
        self.share();
    }

    /// Returns spare permits that are wanted elsewhere.
    fn share(&mut self) {
        // Between one block less one and twice that, a load that goes up and down touches nothing shared. With a block of
        // one nothing is kept.
        let turns = self.hearing.hear(Question::Turns, || self.pool.cell.turns.load(Acquire));
        let others = self.others_starving();
        let keep = match others > 0 || self.is_over() {
            true => 0,
            false if self.spare > 2 * (self.block - 1) => self.block - 1,
            false => self.spare,
        };
        if others > 0 && self.spare > 0 {
            self.stands_back = turns + u64::from(others);
        }
        self.pool.give_back(self.spare - keep);
        self.spare = keep;
        self.watch_starving();
    }

    /// Calls that wait here.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.queue.len() as u32
    }

    /// Attempts under way here.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.in_use
    }

    /// Attempts under way on all workers; spare permits of the others count too, an eighth of the limit at the most.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.hear(Question::Taken, PermitPool::taken).saturating_sub(self.spare)
    }

    /// Attempts allowed at once over all workers.
    #[must_use]
    pub fn limit(&self) -> Limit<u32> {
        limit_of(self.permits())
    }

    /// The most that [`Bulkhead::limit`] can come to.
    #[must_use]
    pub fn ceiling(&self) -> Limit<u32> {
        limit_of(self.hear(Question::Ceiling, |pool| pool.steer(|concurrency| concurrency.ceiling())))
    }

    fn permits(&self) -> u32 {
        self.hear(Question::Limit, |pool| pool.cell.limit.load(Relaxed))
    }

    fn is_over(&self) -> bool {
        self.hearing.hear(Question::Over, || self.pool.is_over().into()) > 0
    }

    fn hear(&self, question: Question, ask: impl FnOnce(&PermitPool) -> u32) -> u32 {
        let answer = self.hearing.hear(question, || ask(&self.pool).into());
        u32::try_from(answer).unwrap_or(u32::MAX)
    }

    /// Whether a permit is at hand, fetching more where none is.
    fn has_spare(&mut self) -> bool {
        if self.spare == 0 {
            let reserved = self.reserved();
            self.spare = self.hear(Question::Got, |pool| pool.take(self.block, reserved));
        }
        self.spare > 0
    }

    /// Permits that are not for this worker: one for each other that starves, unless it does so too and has not just
    /// had its turn. Of those that starve one at least has not, so no permit stays unused for it: the first that stands
    /// back does so for one that does not, until that one ceases to starve.
    fn reserved(&self) -> u32 {
        let turns = || self.hearing.hear(Question::Turns, || self.pool.cell.turns.load(Relaxed));
        let by_right = self.starving && turns() >= self.stands_back;
        if by_right { 0 } else { self.others_starving() }
    }

    fn others_starving(&self) -> u32 {
        let starving = self.hear(Question::Starving, |pool| pool.cell.starving.load(Relaxed));
        starving.saturating_sub(u32::from(self.starving))
    }

    fn watch_starving(&mut self) {
        let starving =
            self.in_use + self.spare == 0 && self.queue.first(|priority| self.is_admitted(priority)).is_some();
        match (self.starving, starving) {
            (false, true) => _ = self.pool.cell.starving.fetch_add(1, Relaxed),
            (true, false) => {
                self.pool.cell.starving.fetch_sub(1, Relaxed);
                self.pool.cell.turns.fetch_add(1, Release);
            }
            _ => {}
        }
        self.starving = starving;
    }
}

/// What a recording notes of the shared permits, and a replay gives again.
impl Bulkhead {
    /// From now on every answer of the shared permits is noted.
    pub(crate) fn note_permits(&mut self) {
        self.hearing = Hearing::Noting(Vec::new().into());
    }

    /// Nothing is noted any more.
    pub(crate) fn note_permits_no_more(&mut self) {
        self.hearing = Hearing::Plain;
    }

    /// From now on the shared permits are not asked: their answers are given again.
    pub(crate) fn hear_permits_again(&mut self) {
        self.hearing = Hearing::Again(RefCell::default());
    }

    pub(crate) fn hearing(&self) -> &Hearing {
        &self.hearing
    }
}

/// A worker that ends leaves nothing behind: its permits go back to the others.
impl Drop for Bulkhead {
    fn drop(&mut self) {
        self.queue.clear();
        self.pool.give_back(self.in_use + self.spare);
        (self.in_use, self.spare) = (0, 0);
        self.watch_starving();
    }
}

#[cfg(test)]
mod tests;
