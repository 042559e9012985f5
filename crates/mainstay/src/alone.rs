//! A timeout, a retry, a hedge or a fallback alone, around any future, for code that wants nothing else and pays for
//! nothing else.
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

mod fallback;
mod hedge;

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
use crate::classify::{AnyError, Classify, Verdict};
use crate::time::{Sleep, Time, default_time};

pub use fallback::{Fallback, Falling};
pub use hedge::{Hedge, Hedging};

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

/// Makes attempts until one is good, or no other may follow.
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
        let may = May::of(&facts);
        Retrying { retry: &self.inner, may, number: 0, attempt, classify, failed: None, stage: Stage::Unbegun }
    }
}

/// What its facts say of being made again.
#[derive(Debug, Clone, Copy)]
struct May {
    is_idempotent: bool,
    has_key: bool,
    is_single: bool,
}

impl May {
    const fn of(facts: &Facts) -> Self {
        let is_idempotent = facts.method.is_idempotent();
        Self { is_idempotent, has_key: facts.idempotency_key, is_single: facts.single }
    }
}

/// A call of which an attempt has failed.
#[derive(Debug, Clone, Copy)]
struct FailedCall {
    /// Its number among those that failed.
    number: u64,
    /// The last pause.
    pause: Duration,
}

impl Inner {
    fn went_well(&self) {
        if let Some(budget) = &self.budget {
            let now = self.time.now();
            budget.lock().unwrap_or_else(PoisonError::into_inner).success(now);
        }
    }

    /// After which pause another attempt follows the `number`-th, if one does.
    fn plan(&self, may: May, number: u8, failed: &mut Option<FailedCall>, why: &Why) -> Option<Duration> {
        let Self { settings, .. } = self;
        let may_repeat = may.is_idempotent
            || (settings.idempotency_key && may.has_key)
            || !settings.idempotent_only
            || why.certainty == Certainty::NotSent;
        let is_left = u32::from(number) < settings.attempts && !may.is_single;
        if !is_left || !may_repeat || !settings.on.includes(why.failure) {
            return None;
        }
        let first = || FailedCall { number: self.failed.fetch_add(1, Ordering::Relaxed), pause: Duration::ZERO };
        let call = failed.get_or_insert_with(first);
        let draw = self.seed.draw(call.number, number.into(), Purpose::Backoff);
        let pause = pause(&settings.backoff, number.into(), call.pause, draw);
        call.pause = pause.max(why.asked.unwrap_or_default());
        let is_paid = self.budget.as_ref().is_none_or(|budget| {
            let now = self.time.now();
            budget.lock().unwrap_or_else(PoisonError::into_inner).withdraw(now)
        });
        is_paid.then_some(call.pause)
    }
}

/// How an attempt failed.
struct Why {
    failure: Failure,
    certainty: Certainty,
    /// It asks to be asked again after so long.
    asked: Option<Duration>,
}

impl Why {
    /// `None` when it did not.
    fn of(verdict: Verdict) -> Option<Self> {
        match verdict.head() {
            Ok(head) if head.status < 500 && head.status != 429 => None,
            Ok(head) => {
                let (failure, certainty) = (Failure::Status(head.status), Certainty::Applied);
                Some(Self { failure, certainty, asked: head.retry_after })
            }
            Err((failure, certainty)) => Some(Self { failure, certainty, asked: None }),
        }
    }
}

pin_project! {
    /// Attempts, one after another.
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is polled"]
    pub struct Retrying<'r, F, Fut, C> {
        retry: &'r Inner,
        may: May,
        // Of the attempt that runs.
        number: u8,
        attempt: F,
        classify: C,
        failed: Option<FailedCall>,
        #[pin]
        stage: Stage<Fut>,
    }
}

pin_project! {
    #[project = StageProjection]
    #[derive(Debug)]
    enum Stage<Fut> {
        Unbegun,
        Running { #[pin] attempt: Fut },
        Pausing { #[pin] sleep: Sleep },
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
            match this.stage.as_mut().project() {
                StageProjection::Running { attempt } => {
                    let result = ready!(attempt.poll(cx));
                    let Some(why) = Why::of(this.classify.classify(&result)) else {
                        this.retry.went_well();
                        return Poll::Ready(result);
                    };
                    let Some(pause) = this.retry.plan(*this.may, *this.number, this.failed, &why) else {
                        return Poll::Ready(result);
                    };
                    let sleep = this.retry.time.sleep_until(this.retry.time.now() + pause);
                    this.stage.set(Stage::Pausing { sleep });
                    continue;
                }
                StageProjection::Pausing { sleep } => ready!(sleep.poll(cx)),
                StageProjection::Unbegun => {}
            }
            *this.number += 1;
            let attempt = (this.attempt)(*this.number);
            this.stage.set(Stage::Running { attempt });
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
