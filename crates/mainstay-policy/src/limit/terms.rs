//! The law of one key, for each algorithm.
//!
//! With N = the rate's count, W = its period, B = the burst, I = W / N rounded up, in any stretch of time *t*, both ends
//! included, a key is admitted
//!
//! - **token bucket**: at most B + t / I times. The generic cell rate algorithm (ITU-T I.371): one number, the time at
//!   which the bucket will be full again; an admitted call moves it on by I, and one that would move it further ahead
//!   than B · I is over the limit. Nothing has to be refilled.
//! - **leaky bucket**: at most 1 + t / I times. The same with a burst of one; B says how many may wait in the bucket.
//! - **fixed window**: at most N · (⌊t / W⌋ + 2) times, so up to 2 N across the border of two windows. A key's window
//!   begins with its own first call and not with the clock's minute, so keys do not all come back at one moment.
//! - **sliding window**: fewer than N + 1 + t · N / W times. Two counts: of the window before, that share counts which a
//!   window that ends now would still overlap, rounded down. Let c be the calls of each window and e the time since the
//!   last began: the rule is cₖ ≤ N − ⌊cₖ₋₁ (1 − e / W)⌋. Over two windows that gives cₖ₋₁ + cₖ < N + 1 + cₖ₋₁ · e / W ≤
//!   N + 1 + e · N / W, and each whole window between adds at most N in a time W. Rounded up it would be one less, and a
//!   key with a small N would never get its rate.
//!
//! The instants are those that are promised: a call that waits counts at the end of its wait. After a change of the rate
//! the new law holds for every stretch that begins after it: a key is never owed more than it would be at rest.
//!
//! A key's state is the instant from which on it is as if it had never been seen, and two counts for the windows.

use mainstay_core::{Duration, Instant};

use super::LimitVerdict;
use crate::{OnExceeded, RateLimitAlgorithm, RateLimitSettings};

const SECOND: u64 = 1_000_000_000;

/// What a limit remembers of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct State {
    /// From then on it is free, in nanoseconds; zero when it was never used.
    pub(super) until: u64,
    /// Calls of the latest window.
    pub(super) count: u32,
    /// Calls of the window before.
    pub(super) before: u32,
}

/// The terms of one tier.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    algorithm: RateLimitAlgorithm,
    /// Calls of a window.
    count: u32,
    /// Nanoseconds between two at the full rate.
    interval: u64,
    /// How far ahead a bucket may be, or how long a window lasts, in nanoseconds.
    span: u64,
    /// The longest wait, in nanoseconds; zero where nobody waits.
    patience: u64,
    quota: u64,
    window: u64,
    percent: u8,
}

impl Terms {
    /// The limit's own, then those of its tiers.
    pub(super) fn all(settings: &RateLimitSettings) -> Vec<Self> {
        let tiers = settings.tiers.iter().map(|tier| (tier.rate, tier.burst));
        let own = std::iter::once((settings.rate, settings.burst));
        own.chain(tiers).map(|(rate, burst)| Self::of(settings, rate, burst)).collect()
    }

    fn of(settings: &RateLimitSettings, rate: mainstay_core::Rate, burst: u64) -> Self {
        let (count, per, burst) = (rate.count(), rate.per().as_nanos(), burst.max(1));
        let interval = per.div_ceil(count).max(1);
        let timeout = match settings.on_exceeded {
            OnExceeded::Reject => 0,
            OnExceeded::Queue { timeout, .. } => timeout.as_nanos(),
        };
        let at_once = match settings.algorithm {
            RateLimitAlgorithm::TokenBucket => burst,
            RateLimitAlgorithm::LeakyBucket => 1,
            RateLimitAlgorithm::FixedWindow | RateLimitAlgorithm::SlidingWindow => count,
        };
        let (span, patience) = match settings.algorithm {
            RateLimitAlgorithm::TokenBucket => (interval.saturating_mul(at_once), timeout),
            RateLimitAlgorithm::LeakyBucket => (interval, timeout.min(interval.saturating_mul(burst))),
            RateLimitAlgorithm::FixedWindow | RateLimitAlgorithm::SlidingWindow => (per, timeout),
        };
        let (quota, window) = quota(count, per, at_once);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Self { algorithm: settings.algorithm, count, interval, span, patience, quota, window, percent: 100 }
    }

    /// Lowered to this share of the rate. A bucket's burst falls with it, so that the time in which an empty one fills
    /// stays what it was and nobody gains a call by a change.
    pub(super) fn at(self, percent: u8) -> Self {
        let percent = percent.clamp(1, 100);
        if percent == 100 {
            return self;
        }
        let part = |whole: u64| (u128::from(whole) * u128::from(percent) / 100).max(1) as u64;
        let lowered = Self { quota: part(self.quota), percent, ..self };
        match self.algorithm {
            RateLimitAlgorithm::TokenBucket | RateLimitAlgorithm::LeakyBucket => {
                let interval = u128::from(self.interval) * 100;
                let interval = u64::try_from(interval.div_ceil(u128::from(percent))).unwrap_or(u64::MAX);
                Self { interval, span: self.span.max(interval), ..lowered }
            }
            RateLimitAlgorithm::FixedWindow | RateLimitAlgorithm::SlidingWindow => {
                Self { count: part(self.count.into()) as u32, ..lowered }
            }
        }
    }

    /// The verdict for a key; its state now and after the verdict.
    pub(super) fn judge(&self, now: Instant, state: State, patience: Duration) -> (LimitVerdict, State, State) {
        let now = now.as_nanos();
        let place = match self.algorithm {
            RateLimitAlgorithm::TokenBucket | RateLimitAlgorithm::LeakyBucket => self.bucket(now, state),
            RateLimitAlgorithm::FixedWindow => self.fixed(now, state),
            RateLimitAlgorithm::SlidingWindow => self.sliding(now, state),
        };
        let wait = place.at.saturating_sub(now);
        let admitted = wait <= self.patience.min(patience.as_nanos());
        let after = if admitted { place.taken } else { place.state };
        let verdict = LimitVerdict {
            admitted,
            wait: Duration::from_nanos(if admitted { wait } else { 0 }),
            quota: self.quota,
            window: Duration::from_secs(self.window),
            remaining: if admitted && wait == 0 { place.left } else { 0 },
            reset: Duration::from_nanos(after.until.saturating_sub(now)),
            retry_after: Duration::from_nanos(if admitted { 0 } else { wait }),
            percent: self.percent,
        };
        (verdict, place.state, after)
    }

    /// As [`Terms::judge`] of a bucket for a call that cannot wait, with nothing to tell its caller: the state afterwards.
    /// `None` when it is over the limit.
    pub(super) fn take(&self, now: Instant, until: u64) -> Option<u64> {
        let now = now.as_nanos();
        let after = until.saturating_sub(now).saturating_add(self.interval);
        (after <= self.span).then(|| now.saturating_add(after))
    }

    /// Never further ahead than an empty bucket with all who may wait for it, as it would be after a change of the rate.
    fn bucket(&self, now: u64, state: State) -> Place {
        let ahead = state.until.saturating_sub(now).min(self.span.saturating_add(self.patience));
        let after = ahead.saturating_add(self.interval);
        let state = |ahead| State { until: now.saturating_add(ahead), ..State::default() };
        Place {
            state: state(ahead),
            at: now.saturating_add(after.saturating_sub(self.span)),
            taken: state(after),
            left: self.span.saturating_sub(after) / self.interval,
        }
    }

    fn fixed(&self, now: u64, state: State) -> Place {
        let end_max = now.saturating_add(self.span).saturating_add(self.patience);
        let state = match state.until > now {
            true => State { until: state.until.min(end_max), ..state },
            false => State { until: now.saturating_add(self.span), count: 0, before: 0 },
        };
        let (end, count) = match state.count < self.count {
            true => (state.until, state.count),
            false => (state.until.saturating_add(self.span), 0),
        };
        Place {
            state,
            at: end.saturating_sub(self.span),
            taken: State { until: end, count: count + 1, before: 0 },
            left: u64::from(self.count - count - 1),
        }
    }

    fn sliding(&self, now: u64, state: State) -> Place {
        let window = self.latest_window(now, state);
        let (mut next, mut at) = (window, u64::MAX);
        // One that is full, one that the full one overlaps, one that it does not: there is room in the third.
        for _ in 0..3 {
            match self.room_in(next).map(|room| room.max(now)) {
                Some(room) if room < next.start.saturating_add(self.span) => {
                    at = room;
                    break;
                }
                _ => next = next.followed_by(self.span),
            }
        }
        let taken = Window { count: next.count.saturating_add(1), ..next };
        Place {
            state: window.state(self.span),
            at,
            taken: taken.state(self.span),
            left: u64::from(self.count).saturating_sub(self.weight(taken, at) + u64::from(taken.count)),
        }
    }

    fn latest_window(&self, now: u64, state: State) -> Window {
        if state.until <= now {
            return Window { start: now, count: 0, before: 0 };
        }
        let start = state.until.saturating_sub(self.span.saturating_mul(2)).min(now.saturating_add(self.patience));
        let mut window = Window { start, count: state.count, before: state.before };
        // Twice at the most: the key would be free otherwise.
        for _ in 0..2 {
            if now >= window.start.saturating_add(self.span) {
                window = window.followed_by(self.span);
            }
        }
        window
    }

    /// When the window has room for another: as soon as enough of the one before no longer counts.
    fn room_in(&self, window: Window) -> Option<u64> {
        if window.count >= self.count {
            return None;
        }
        let over = (u64::from(window.before) + u64::from(window.count) + 1).saturating_sub(self.count.into());
        if over == 0 {
            return Some(window.start);
        }
        let past = u128::from(self.span) * u128::from(over - 1) / u128::from(window.before.max(1)) + 1;
        Some(window.start.saturating_add(u64::try_from(past).unwrap_or(u64::MAX)))
    }

    /// How much of the window before still counts at `at`, rounded down.
    fn weight(&self, window: Window, at: u64) -> u64 {
        let overlap = self.span.saturating_sub(at.saturating_sub(window.start));
        (u128::from(window.before) * u128::from(overlap) / u128::from(self.span.max(1))) as u64
    }
}

/// Where the next call has its place.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The key's state as it is now.
    state: State,
    /// When the place comes.
    at: u64,
    /// The key's state once it is taken.
    taken: State,
    /// How many more could come at once then.
    left: u64,
}

/// Two windows of a key, one behind the other.
#[derive(Debug, Clone, Copy)]
struct Window {
    start: u64,
    count: u32,
    before: u32,
}

impl Window {
    fn followed_by(self, span: u64) -> Self {
        Self { start: self.start.saturating_add(span), count: 0, before: self.count }
    }

    fn state(self, span: u64) -> State {
        let until = self.start.saturating_add(span.saturating_mul(2));
        State { until, count: self.count, before: self.before }
    }
}

/// The quota and its window in whole seconds, as a caller is told: the window is as long as all that may come at once
/// needs to come back, so what remains is never more than the quota.
fn quota(count: u64, per: u64, at_once: u64) -> (u64, u64) {
    let nanos = (u128::from(at_once) * u128::from(per)).div_ceil(u128::from(count));
    let window = nanos.div_ceil(u128::from(SECOND)).max(1);
    let quota = (window * u128::from(SECOND)).saturating_mul(count.into()) / u128::from(per);
    let whole = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
    (whole(quota).max(at_once), whole(window))
}
