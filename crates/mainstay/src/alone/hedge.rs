//! Another attempt beside one that is slow.
//!
//! As in a [`crate::Service`]: a hedge is made when no answer has come for so long, or at once when an attempt fails; only
//! for what may be made twice, and only while the budget pays for it. The first good answer is the answer, and the others
//! are dropped. What was outrun is remembered as having taken at least so long.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use mainstay_core::{Certainty, Duration, Instant};
use mainstay_policy::{Budget, BudgetSettings, HEDGES_MAX, HedgeAfter, HedgeSettings, Spread};
use pin_project_lite::pin_project;

use super::Why;
use crate::Facts;
use crate::classify::{AnyError, Classify};
use crate::time::{Sleep, Time, default_time};

/// Makes another attempt beside one that is slow. A clone shares what was learned and the budget.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// # runtime.block_on(async {
/// use std::time::Duration;
/// use mainstay::{Facts, HedgeAfter, HedgeSettings, alone::Hedge};
///
/// let after = HedgeAfter::Fixed(Duration::from_millis(20).into());
/// let hedge = Hedge::new(&HedgeSettings { after, max: 1 });
/// let answer = hedge.call(Facts::idempotent(), |number| async move {
///     if number == 1 {
///         tokio::time::sleep(Duration::from_secs(60)).await; // this replica hangs
///     }
///     Ok::<_, std::io::Error>(number)
/// });
/// assert_eq!(answer.await?, 2);
/// # Ok(()) })
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Hedge {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: HedgeSettings,
    time: Arc<dyn Time>,
    learned: Mutex<Learned>,
}

#[derive(Debug)]
struct Learned {
    spread: Spread,
    budget: Budget,
}

/// Attempts of one call that can run at once.
const RUNNING_MAX: usize = 1 + HEDGES_MAX as usize;

impl Hedge {
    /// With these settings and the budget that retries have by default: one hedge for five good answers.
    #[must_use]
    pub fn new(settings: &HedgeSettings) -> Self {
        Self::of(settings, Some(BudgetSettings::default()), default_time())
    }

    /// The same with another budget, or none, and by another clock.
    #[must_use]
    pub fn with_time(settings: &HedgeSettings, budget: Option<BudgetSettings>, time: impl Time + 'static) -> Self {
        Self::of(settings, budget, Arc::new(time))
    }

    fn of(settings: &HedgeSettings, budget: Option<BudgetSettings>, time: Arc<dyn Time>) -> Self {
        let budget = Budget::new(budget.as_ref(), time.now());
        let learned = Mutex::new(Learned { spread: Spread::default(), budget });
        Self { inner: Arc::new(Inner { settings: *settings, time, learned }) }
    }

    /// Makes attempts. `attempt` is told which one it is, from 1. Every error is a failure.
    pub fn call<F, Fut, T, E>(&self, facts: Facts, attempt: F) -> Hedging<'_, F, Fut, AnyError>
    where
        F: FnMut(u8) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.call_classified(facts, attempt, AnyError)
    }

    /// The same, where `classify` says what a result means.
    pub fn call_classified<F, Fut, T, E, C>(&self, facts: Facts, attempt: F, classify: C) -> Hedging<'_, F, Fut, C>
    where
        F: FnMut(u8) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: Classify<T, E>,
    {
        let may_repeat = facts.method.is_idempotent() && !facts.single;
        let hedges_left = if may_repeat { self.inner.settings.max.min(HEDGES_MAX) as u8 } else { 0 };
        Hedging {
            hedge: &self.inner,
            hedges_left,
            made: 0,
            attempt,
            classify,
            began: [None; RUNNING_MAX],
            first: None,
            beside: [const { None }; HEDGES_MAX as usize],
            sleep: None,
        }
    }
}

impl Inner {
    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long an attempt has before another is made beside it; `None` while that is not known.
    fn patience(&self) -> Option<Duration> {
        match self.settings.after {
            HedgeAfter::Fixed(after) => Some(after),
            HedgeAfter::Percentile(percentile) => self.learned().spread.get(percentile),
        }
    }

    /// An attempt has answered, and those that were still waited for have not.
    fn went_well(&self, began: Option<Instant>, others: impl Iterator<Item = Instant>) {
        // What was ready at once costs no look at a clock: time that stands still takes nothing from a budget.
        let Some(began) = began else { return self.learned().budget.success(Instant::ORIGIN) };
        let now = self.time.now();
        let mut learned = self.learned();
        learned.budget.success(now);
        learned.spread.observe(now, now.since(began));
        others.for_each(|other| learned.spread.observe_at_least(now, now.since(other)));
    }

    fn pays(&self) -> bool {
        let now = self.time.now();
        self.learned().budget.withdraw(now)
    }
}

pin_project! {
    /// Attempts, one beside another.
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is polled"]
    pub struct Hedging<'h, F, Fut, C> {
        hedge: &'h Inner,
        hedges_left: u8,
        made: u8,
        attempt: F,
        classify: C,
        // When each began that runs, as far as it had to be waited for.
        began: [Option<Instant>; RUNNING_MAX],
        #[pin]
        first: Option<Fut>,
        beside: [Option<Pin<Box<Fut>>>; HEDGES_MAX as usize],
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl<F, Fut, T, E, C> Future for Hedging<'_, F, Fut, C>
where
    F: FnMut(u8) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
{
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.made == 0 {
            let mut this = self.as_mut().project();
            *this.made = 1;
            this.first.set(Some((this.attempt)(1)));
        }
        loop {
            if let Some((place, result)) = self.as_mut().poll_attempts(cx) {
                let this = self.as_mut().project();
                let began = this.began[place].take();
                let why = Why::of(this.classify.classify(&result));
                if why.is_none() {
                    this.hedge.went_well(began, this.began.iter().copied().flatten());
                    return Poll::Ready(result);
                }
                let not_sent = why.is_some_and(|why| why.certainty == Certainty::NotSent);
                let runs = this.first.is_some() || this.beside.iter().any(Option::is_some);
                if !self.as_mut().hedge(not_sent) && !runs {
                    return Poll::Ready(result);
                }
            } else if self.as_mut().poll_patience(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl<F, Fut, C> Hedging<'_, F, Fut, C>
where
    F: FnMut(u8) -> Fut,
    Fut: Future,
{
    /// What the next attempt that is ready has to say, and its place.
    fn poll_attempts(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<(usize, Fut::Output)> {
        let mut this = self.project();
        if let Some(first) = this.first.as_mut().as_pin_mut()
            && let Poll::Ready(output) = first.poll(cx)
        {
            this.first.set(None);
            return Some((0, output));
        }
        for (place, beside) in this.beside.iter_mut().enumerate() {
            if let Some(future) = beside
                && let Poll::Ready(output) = future.as_mut().poll(cx)
            {
                *beside = None;
                return Some((place + 1, output));
            }
        }
        None
    }

    /// Waits until a hedge is due, and makes it.
    fn poll_patience(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.as_mut().project();
        if this.sleep.is_none() {
            let now = this.hedge.time.now();
            let newest = usize::from(this.made.saturating_sub(1));
            this.began[newest].get_or_insert(now);
            let patience = if *this.hedges_left > 0 { this.hedge.patience() } else { None };
            let Some(patience) = patience else { return Poll::Pending };
            this.sleep.set(Some(this.hedge.time.sleep_until(now + patience)));
        }
        let Some(sleep) = this.sleep.as_mut().as_pin_mut() else { return Poll::Pending };
        std::task::ready!(sleep.poll(cx));
        this.sleep.set(None);
        self.hedge(false);
        Poll::Ready(())
    }

    /// Makes another attempt, if one is left and is paid for; what was not sent is replaced for nothing.
    fn hedge(self: Pin<&mut Self>, is_free: bool) -> bool {
        let mut this = self.project();
        if *this.hedges_left == 0 {
            return false;
        }
        if !is_free && !this.hedge.pays() {
            *this.hedges_left = 0;
            return false;
        }
        *this.hedges_left -= 1;
        *this.made += 1;
        this.sleep.set(None);
        let place = usize::from(*this.made - 2);
        this.beside[place] = Some(Box::pin((this.attempt)(*this.made)));
        true
    }
}

#[cfg(test)]
mod tests {
    use mainstay_policy::Percentile;

    use super::*;
    use crate::time::VirtualTime;

    fn after(millis: u64, max: u32) -> HedgeSettings {
        HedgeSettings { after: HedgeAfter::Fixed(Duration::from_millis(millis)), max }
    }

    /// Makes a call whose attempts take so long and end so; when it was over, and how.
    fn played(
        hedge: &Hedge,
        time: &VirtualTime,
        facts: Facts,
        attempts: &[(u64, Result<u8, u8>)],
    ) -> (u64, Result<u8, u8>) {
        let began = time.now();
        let result = time.run(hedge.call(facts, |number| {
            let (millis, result) = attempts[usize::from(number) - 1];
            let sleep = time.sleep(Duration::from_millis(millis));
            async move {
                sleep.await;
                result
            }
        }));
        (time.now().since(began).as_millis(), result)
    }

    #[test]
    fn the_first_good_answer_is_the_answer() {
        let time = VirtualTime::new();
        let hedge = Hedge::with_time(&after(20, 2), None, time.clone());
        let idempotent = Facts::idempotent();
        assert_eq!(played(&hedge, &time, idempotent, &[(10, Ok(1))]), (10, Ok(1)));
        assert_eq!(played(&hedge, &time, idempotent, &[(500, Ok(1)), (10, Ok(2))]), (30, Ok(2)));
        assert_eq!(played(&hedge, &time, idempotent, &[(25, Ok(1)), (10, Ok(2))]), (25, Ok(1)));
        let slow = [(500, Ok(1)), (500, Ok(2)), (5, Ok(3))];
        assert_eq!(played(&hedge, &time, idempotent, &slow), (45, Ok(3)));
        assert_eq!(played(&hedge, &time, Facts::once(), &[(500, Ok(1))]), (500, Ok(1)));
    }

    #[test]
    fn after_a_failure_the_next_comes_at_once_and_the_last_word_is_the_answer() {
        let time = VirtualTime::new();
        let hedge = Hedge::with_time(&after(20, 1), None, time.clone());
        let idempotent = Facts::idempotent();
        assert_eq!(played(&hedge, &time, idempotent, &[(5, Err(1)), (10, Ok(2))]), (15, Ok(2)));
        assert_eq!(played(&hedge, &time, idempotent, &[(5, Err(1)), (10, Err(2))]), (15, Err(2)));
        assert_eq!(played(&hedge, &time, idempotent, &[(50, Ok(1)), (10, Err(2))]), (50, Ok(1)));
        assert_eq!(played(&hedge, &time, Facts::once(), &[(5, Err(1))]), (5, Err(1)));
    }

    #[test]
    fn a_budget_ends_them() {
        let time = VirtualTime::new();
        let budget = BudgetSettings { cap: 1, per_second: 0, ..BudgetSettings::default() };
        let hedge = Hedge::with_time(&after(20, 1), Some(budget), time.clone());
        let slow = [(100, Err(1)), (10, Ok(2))];
        assert_eq!(played(&hedge, &time, Facts::idempotent(), &slow), (30, Ok(2)));
        assert_eq!(played(&hedge, &time, Facts::idempotent(), &slow), (100, Err(1)));
    }

    #[test]
    fn a_percentile_is_learned_first() {
        let time = VirtualTime::new();
        let settings = HedgeSettings { after: HedgeAfter::Percentile(Percentile::P90), max: 1 };
        let hedge = Hedge::with_time(&settings, None, time.clone());
        let stray = [(500, Ok(1)), (10, Ok(2))];
        assert_eq!(played(&hedge, &time, Facts::idempotent(), &stray), (500, Ok(1)), "nothing is known yet");
        for _ in 0..200 {
            played(&hedge, &time, Facts::idempotent(), &[(10, Ok(1)), (10, Ok(2))]).1.unwrap();
        }
        let (took, result) = played(&hedge, &time, Facts::idempotent(), &stray);
        assert!(result == Ok(2) && (20..=22).contains(&took), "{took}");
    }
}
