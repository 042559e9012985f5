//! Slow start: a growing share for an endpoint that is new or back.
//!
//! Its caches are cold, its connections are not made and its code is not compiled yet; a full share at once would be felt
//! by every caller that meets it. So each of its calls is refused to it by luck and goes to another: nine in ten at
//! first, none when `slow_start` is over (Envoy's slow start with its defaults: linear, a tenth at the least).
//!
//! Only while at least half of the candidates are warm: after a total outage, or at the beginning, all are alike and
//! nobody would take what is refused. A rule that goes by keys gives keys back at once, because a key that moves twice
//! is colder than an endpoint.

use mainstay_core::{Duration, Instant, Purpose, Seed, below};

use super::learned::Learned;
use super::{Ask, Fleet};
use crate::balance::{Candidates, Excluded};

/// So many are left out of the draw; what more there are is passed over when it is drawn...
const LEFT_OUT: usize = 8;
/// ...and among so many it makes no difference to leave out that few.
const MANY: usize = 8 * LEFT_OUT;

/// A call at a time when endpoints warm up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Warming {
    now: Instant,
    window: Duration,
    luck: Seed,
}

impl Warming {
    /// Whether the call is refused by an endpoint because that is still warming up.
    pub(super) fn is_refused_by(self, slot: u32, learned: &Learned) -> bool {
        let Some(since) = learned.warm_since else { return false };
        let luck = self.luck.draw(u64::from(slot), 0, Purpose::Sample);
        below(luck, self.window.as_nanos()) >= progress(since, self.now, self.window).as_nanos()
    }
}

/// The part of the window that counts as over: a tenth at the least.
fn progress(since: Instant, now: Instant, window: Duration) -> Duration {
    now.since(since).clamp(Duration::from_nanos(window.as_nanos() / 10), window)
}

/// The share in hundredths that an endpoint takes so far; `None` when it takes all of it.
pub(super) fn share(learned: &Learned, now: Instant, window: Option<Duration>) -> Option<u8> {
    let (since, window) = (learned.warm_since?, window?);
    let hundredths = progress(since, now, window).as_nanos() / (window.as_nanos() / 100).max(1);
    u8::try_from(hundredths).ok().filter(|share| *share < 100)
}

impl Fleet {
    /// An endpoint is new or back.
    pub(super) fn begin_to_warm(&mut self, now: Instant, slot: u32) {
        if let Some(endpoint) = self.endpoints.at_mut(slot) {
            endpoint.learned.warm_since = self.settings.slow_start.map(|_| now);
            self.is_stale = true;
        }
    }

    /// Finds out who warms up among the candidates, and whether the others can take what is refused to them.
    pub(super) fn gather_warming(&mut self, now: Instant) {
        self.warming.clear();
        let Some(window) = self.settings.slow_start.filter(|_| !self.balancer.goes_by_key()) else { return };
        for endpoint in self.endpoints.iter_mut() {
            let learned = &mut endpoint.learned;
            learned.warm_since = learned.warm_since.filter(|since| now.since(*since) < window);
            if let Some(since) = learned.warm_since
                && self.candidates.place(endpoint.id.slot).is_some()
            {
                self.warming.push(endpoint.id.slot);
                self.next_transition = self.next_transition.min(since + window);
            }
        }
        if 2 * self.warming.len() > self.candidates.len() {
            self.warming.clear();
        }
    }

    /// What this call is to those that warm up; `None` when nobody does.
    pub(super) fn warming_for(&self, now: Instant, ask: &Ask<'_>) -> Option<Warming> {
        let window = self.settings.slow_start.filter(|_| !self.warming.is_empty())?;
        let luck = Seed::new(self.seed.draw(ask.call.0, ask.attempt, Purpose::Sample));
        Some(Warming { now, window, luck })
    }

    /// Leaves those out of a draw that refuse this call.
    pub(super) fn leave_out_warming(
        &self,
        now: Instant,
        ask: &Ask<'_>,
        candidates: &Candidates,
        excluded: &mut Excluded,
    ) {
        let count = self.warming.len();
        let Some(warming) = self.warming_for(now, ask).filter(|_| count < MANY) else { return };
        for step in 0..count.min(LEFT_OUT) {
            let slot = self.warming[(ask.call.0 as usize).wrapping_add(step) % count];
            if self.endpoints.at(slot).is_some_and(|endpoint| warming.is_refused_by(slot, &endpoint.learned))
                && let Some(place) = candidates.place(slot)
            {
                excluded.insert(place);
            }
        }
    }
}
