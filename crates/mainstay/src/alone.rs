//! A timeout or a retry alone, around any future, for code that wants nothing else and pays for nothing else.
//!
//! The pause, the budget and what is worth another attempt are those of a [`crate::Service`]. What comes back is what the
//! attempt gave.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
//! # runtime.block_on(async {
//! use std::time::Duration;
//! use mainstay::{Facts, RetrySettings, alone::{Retry, Timeout}};
//!
//! let (retry, timeout) = (Retry::new(&RetrySettings::default()), Timeout::new(Duration::from_secs(1)));
//! let answer = retry.call(Facts::idempotent(), |_number| async {
//!     timeout.call(async { 42 }).await
//! });
//! assert_eq!(answer.await, Ok(42));
//! # Ok(()) })
//! # }
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use mainstay_core::{Certainty, Duration, Failure, Purpose, Seed};
use mainstay_policy::{Budget, RetrySettings, pause};
use pin_project_lite::pin_project;

use crate::Facts;
use crate::builder::any_seed;
use crate::classify::{AnyError, Classify};
use crate::time::{Sleep, Time, default_time};

/// The longest that a future may take.
#[derive(Debug, Clone)]
pub struct Timeout {
    length: Duration,
    time: Arc<dyn Time>,
}

/// It took too long, and was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {length}")]
pub struct TooLate {
    /// How long it had.
    pub length: Duration,
}

impl Timeout {
    /// So long.
    #[must_use]
    pub fn new(length: impl Into<Duration>) -> Self {
        Self { length: length.into(), time: default_time() }
    }

    /// The same by another clock.
    #[must_use]
    pub fn with_time(length: impl Into<Duration>, time: impl Time + 'static) -> Self {
        Self { length: length.into(), time: Arc::new(time) }
    }

    /// Waits for `future`, no longer than that. The time begins when it is first waited for; one that is ready at once costs
    /// no look at a clock.
    pub const fn call<F: Future>(&self, future: F) -> Limited<'_, F> {
        Limited { timeout: self, future, sleep: None }
    }
}

pin_project! {
    /// A future with a limit on its time.
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is polled"]
    pub struct Limited<'t, F> {
        timeout: &'t Timeout,
        #[pin]
        future: F,
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl<F: Future> Future for Limited<'_, F> {
    type Output = Result<F::Output, TooLate>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let Timeout { length, time } = this.timeout;
        if this.sleep.is_none() {
            this.sleep.set(Some(time.sleep_until(time.now() + *length)));
        }
        if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
            ready!(sleep.poll(cx));
        }
        Poll::Ready(Err(TooLate { length: *length }))
    }
}

/// Makes attempts until one is good, or no other may follow. Hedges need a [`crate::Service`].
#[derive(Debug, Clone)]
pub struct Retry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: RetrySettings,
    time: Arc<dyn Time>,
    budget: Option<Mutex<Budget>>,
    seed: Seed,
    /// Calls that have failed so far, from whose numbers their luck is drawn.
    failed: AtomicU64,
}

impl Retry {
    /// With these settings, and a budget that is full.
    #[must_use]
    pub fn new(settings: &RetrySettings) -> Self {
        Self::of(settings, default_time(), any_seed())
    }

    /// The same by another clock and with luck that can be had twice.
    #[must_use]
    pub fn with_time(settings: &RetrySettings, time: impl Time + 'static, seed: u64) -> Self {
        Self::of(settings, Arc::new(time), Seed::new(seed))
    }

    fn of(settings: &RetrySettings, time: Arc<dyn Time>, seed: Seed) -> Self {
        let budget = settings.budget.map(|budget| Mutex::new(Budget::new(Some(&budget), time.now())));
        Self { inner: Arc::new(Inner { settings: settings.clone(), time, budget, seed, failed: AtomicU64::new(0) }) }
    }

    /// Makes attempts. `attempt` is told which one it is, from 1. Every error is a failure of which nobody knows whether it
    /// had an effect.
    pub fn call<F, Fut, T, E>(&self, facts: Facts, attempt: F) -> Retrying<'_, F, Fut, AnyError>
    where
        F: FnMut(u8) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.call_classified(facts, attempt, AnyError)
    }

    /// The same, where `classify` says what a result means.
    pub fn call_classified<F, Fut, T, E, C>(&self, facts: Facts, attempt: F, classify: C) -> Retrying<'_, F, Fut, C>
    where
        F: FnMut(u8) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: Classify<T, E>,
    {
        let made = Made { number: 0, call: None, pause: Duration::ZERO };
        Retrying { retry: &self.inner, facts, attempt, classify, made, running: None, sleep: None }
    }
}

/// What was done so far.
#[derive(Debug)]
struct Made {
    number: u8,
    /// Its number among those that failed.
    call: Option<u64>,
    pause: Duration,
}

impl Inner {
    fn went_well(&self) {
        if let Some(budget) = &self.budget {
            let now = self.time.now();
            budget.lock().unwrap_or_else(PoisonError::into_inner).success(now);
        }
    }

    /// After which pause another attempt follows, if one does.
    fn plan(
        &self,
        facts: &Facts,
        made: &mut Made,
        failure: Failure,
        certainty: Certainty,
        asked: Option<Duration>,
    ) -> Option<Duration> {
        let Self { settings, .. } = self;
        let may_repeat = facts.method.is_idempotent()
            || (settings.idempotency_key && facts.idempotency_key)
            || !settings.idempotent_only
            || certainty == Certainty::NotSent;
        let is_left = u32::from(made.number) < settings.attempts && !facts.single;
        if !is_left || !may_repeat || !settings.on.includes(failure) {
            return None;
        }
        let call = *made.call.get_or_insert_with(|| self.failed.fetch_add(1, Ordering::Relaxed));
        let draw = self.seed.draw(call, made.number.into(), Purpose::Backoff);
        made.pause = pause(&settings.backoff, made.number.into(), made.pause, draw).max(asked.unwrap_or_default());
        let is_paid = self.budget.as_ref().is_none_or(|budget| {
            let now = self.time.now();
            budget.lock().unwrap_or_else(PoisonError::into_inner).withdraw(now)
        });
        is_paid.then_some(made.pause)
    }
}

pin_project! {
    /// Attempts, one after another.
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is polled"]
    pub struct Retrying<'r, F, Fut, C> {
        retry: &'r Inner,
        facts: Facts,
        attempt: F,
        classify: C,
        made: Made,
        #[pin]
        running: Option<Fut>,
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl<F, Fut, T, E, C> Future for Retrying<'_, F, Fut, C>
where
    F: FnMut(u8) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
                ready!(sleep.poll(cx));
                this.sleep.set(None);
            }
            if this.running.is_none() {
                this.made.number += 1;
                this.running.set(Some((this.attempt)(this.made.number)));
            }
            let Some(running) = this.running.as_mut().as_pin_mut() else { return Poll::Pending };
            let result = ready!(running.poll(cx));
            let (failure, certainty, asked) = match this.classify.classify(&result).head() {
                Ok(head) if head.status < 500 && head.status != 429 => {
                    this.retry.went_well();
                    return Poll::Ready(result);
                }
                Ok(head) => (Failure::Status(head.status), Certainty::Applied, head.retry_after),
                Err((failure, certainty)) => (failure, certainty, None),
            };
            let Some(pause) = this.retry.plan(this.facts, this.made, failure, certainty, asked) else {
                return Poll::Ready(result);
            };
            this.running.set(None);
            this.sleep.set(Some(this.retry.time.sleep_until(this.retry.time.now() + pause)));
        }
    }
}

#[cfg(test)]
mod tests {
    use mainstay_policy::{BackoffSettings, BudgetSettings, Jitter};

    use super::*;
    use crate::time::VirtualTime;

    fn plain() -> RetrySettings {
        let backoff = BackoffSettings { jitter: Jitter::None, ..BackoffSettings::default() };
        RetrySettings { backoff, ..RetrySettings::default() }
    }

    #[test]
    fn attempts_follow_one_another_until_one_is_good() {
        let time = VirtualTime::new();
        let retry = Retry::with_time(&plain(), time.clone(), 1);
        let good_from = |first: u8| {
            let retry = &retry;
            move |facts| {
                retry.call(facts, move |number| async move { if number < first { Err(number) } else { Ok(number) } })
            }
        };
        assert_eq!(time.run(good_from(3)(Facts::idempotent())), Ok(3));
        assert_eq!(time.now().as_nanos(), 75_000_000);
        assert_eq!(time.run(good_from(4)(Facts::idempotent())), Err(3));
        assert_eq!(time.run(good_from(2)(Facts::once())), Err(1));
    }

    #[test]
    fn a_budget_ends_them() {
        let time = VirtualTime::new();
        let budget = Some(BudgetSettings { cap: 1, per_second: 0, ..BudgetSettings::default() });
        let retry = Retry::with_time(&RetrySettings { budget, ..plain() }, time.clone(), 1);
        let mut made = 0;
        let call = retry.call(Facts::idempotent(), |_| {
            made += 1;
            async { Err::<(), _>(()) }
        });
        time.run(call).unwrap_err();
        assert_eq!(made, 2);
    }

    #[test]
    fn what_takes_too_long_is_dropped() {
        let time = VirtualTime::new();
        let timeout = Timeout::with_time(Duration::from_millis(50), time.clone());
        assert_eq!(time.run(timeout.call(async { 1 })), Ok(1));
        let late = time.run(timeout.call(std::future::pending::<()>())).unwrap_err();
        assert_eq!(late.to_string(), "no answer within 50ms");
        assert_eq!(time.now().as_nanos(), 50_000_000);
    }
}
