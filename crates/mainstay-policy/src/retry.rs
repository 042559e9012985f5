//! What another attempt costs: a pause, and a token.
//!
//! The **backoff** spreads callers that failed together, so that they do not come back together. It is a function of
//! its settings, the number of the retry and a draw; the formulas are those of M. Brooker ("Exponential Backoff and
//! Jitter", AWS Architecture Blog, 2015).
//!
//! The **budget** is a bucket of tokens per service. A success deposits a share of a token, a retry withdraws a whole
//! one, so in the long run the retries are at most that share of the successes: a service that fails is not buried under
//! several times its load (Google, "Site Reliability Engineering", chapter 22). A trickle by time lets a service with
//! few calls retry too. Tokens are counted in whole billionths: a float would drift, and a token per second is then
//! exactly one billionth per nanosecond.

use mainstay_core::{Duration, Instant, below};

use crate::{BackoffKind, BackoffSettings, BudgetSettings, Jitter};

/// How long to wait before the `retry`-th further attempt (1 is the first), when the pause before it was `previous`
/// (zero when there was none) and luck is `draw`.
///
/// ```
/// use mainstay_core::Duration;
/// use mainstay_policy::{BackoffSettings, Jitter, pause};
/// let settings = BackoffSettings { jitter: Jitter::None, ..BackoffSettings::default() };
/// assert_eq!(pause(&settings, 3, Duration::ZERO, 0), Duration::from_millis(100));
/// ```
#[must_use]
pub fn pause(settings: &BackoffSettings, retry: u32, previous: Duration, draw: u64) -> Duration {
    let factor = match settings.kind {
        BackoffKind::Fixed => 1,
        BackoffKind::Exponential => 1_u64.checked_shl(retry.saturating_sub(1)).unwrap_or(u64::MAX),
    };
    let whole = settings.base.saturating_mul(factor).min(settings.max);
    match settings.jitter {
        Jitter::None => whole,
        Jitter::Full => between(Duration::ZERO, whole, draw),
        Jitter::Equal => between(Duration::from_nanos(whole.as_nanos() / 2), whole, draw),
        Jitter::Decorrelated => {
            let highest = previous.max(settings.base).saturating_mul(3);
            between(settings.base, highest, draw).min(settings.max)
        }
    }
}

/// Evenly from `low` to `high`, both included.
fn between(low: Duration, high: Duration, draw: u64) -> Duration {
    low + Duration::from_nanos(below(draw, (high - low).as_nanos().saturating_add(1)))
}

/// One token in the unit in which they are counted.
const TOKEN: u64 = 1_000_000_000;

/// The tokens that pay for retries and hedges.
#[derive(Debug, Clone)]
pub struct Budget {
    /// `None` when it is switched off.
    terms: Option<Terms>,
    level: u64,
    at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Terms {
    deposit: u64,
    per_nano: u64,
    cap: u64,
}

impl Terms {
    fn of(settings: &BudgetSettings) -> Self {
        Self {
            deposit: (settings.share.get() * TOKEN as f64).round() as u64,
            per_nano: settings.per_second.into(),
            cap: u64::from(settings.cap) * TOKEN,
        }
    }
}

impl Budget {
    /// A full budget; without settings there is always a token.
    #[must_use]
    pub fn new(settings: Option<&BudgetSettings>, now: Instant) -> Self {
        let terms = settings.map(Terms::of);
        Self { terms, level: terms.map_or(0, |terms| terms.cap), at: now }
    }

    /// Changes the settings. The tokens stay, as far as there is room for them; one that was off begins full.
    pub fn configure(&mut self, now: Instant, settings: Option<&BudgetSettings>) {
        if self.terms.is_none() {
            *self = Self::new(settings, now);
            return;
        }
        self.refill(now);
        self.terms = settings.map(Terms::of);
        self.level = self.level.min(self.terms.map_or(0, |terms| terms.cap));
    }

    /// A call ended well: deposits its share.
    pub fn success(&mut self, now: Instant) {
        self.refill(now);
        if let Some(terms) = self.terms {
            self.level = (self.level + terms.deposit).min(terms.cap);
        }
    }

    /// Takes a token for one retry, if there is a whole one.
    #[must_use]
    pub fn withdraw(&mut self, now: Instant) -> bool {
        self.refill(now);
        if self.terms.is_none() {
            return true;
        }
        let left = self.level.checked_sub(TOKEN);
        self.level = left.unwrap_or(self.level);
        left.is_some()
    }

    /// The tokens that are left at `now`; infinitely many when it is switched off.
    #[must_use]
    pub fn tokens(&self, now: Instant) -> f64 {
        self.terms.map_or(f64::INFINITY, |terms| self.level_at(now, terms) as f64 / TOKEN as f64)
    }

    /// Whether a whole token is left.
    #[must_use]
    pub fn has_token(&self, now: Instant) -> bool {
        self.terms.is_none_or(|terms| self.level_at(now, terms) >= TOKEN)
    }

    fn level_at(&self, now: Instant, terms: Terms) -> u64 {
        let trickle = now.since(self.at).as_nanos().saturating_mul(terms.per_nano);
        self.level.saturating_add(trickle).min(terms.cap)
    }

    fn refill(&mut self, now: Instant) {
        if let Some(terms) = self.terms {
            self.level = self.level_at(now, terms);
        }
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests;
