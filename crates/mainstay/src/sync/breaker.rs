//! A breaker on its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_core::{Duration, Instant};
use mainstay_policy::{
    Breaker as Decisions, BreakerOrder, BreakerPermit, BreakerRefusal, BreakerSettings, CallOutcome,
};

use crate::time::{ThreadTime, Time};
use crate::view::BreakerView;

/// A breaker that counts what it is told, and refuses while too much of it was bad. A clone is another handle to it.
///
/// For what is behind it a call is good or has failed; what nothing is said of counts neither way.
#[derive(Debug, Clone)]
pub struct Breaker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    time: Arc<dyn Time>,
    /// Whether it wants to know how long calls take.
    is_timed: bool,
    state: Mutex<Decisions>,
}

/// A breaker refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the breaker is open; ask again in {retry_after}")]
pub struct BreakerOpen {
    /// When it is worth asking again.
    pub retry_after: Duration,
    /// It was told to refuse.
    pub forced: bool,
}

/// What comes of a call behind a breaker, where it is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Rejected<E> {
    /// It was not made.
    #[error(transparent)]
    Open(BreakerOpen),
    /// It was made, and failed.
    #[error("failed")]
    Failed(#[source] E),
}

impl Breaker {
    /// A closed breaker that has counted nothing.
    #[must_use]
    pub fn new(settings: &BreakerSettings) -> Self {
        Self::with_time(settings, ThreadTime::new())
    }

    /// The same by another clock.
    #[must_use]
    pub fn with_time(settings: &BreakerSettings, time: impl Time + 'static) -> Self {
        let is_timed = settings.slow_call.is_some();
        let state = Mutex::new(Decisions::new(Some(settings)));
        Self { inner: Arc::new(Inner { time: Arc::new(time), is_timed, state }) }
    }

    /// Calls `act`, unless the breaker is open, and counts an error as a failure.
    ///
    /// # Errors
    /// [`Rejected`] says whether `act` was called.
    pub fn call<T, E>(&self, act: impl FnOnce() -> Result<T, E>) -> Result<T, Rejected<E>> {
        let entered = self.try_enter().map_err(Rejected::Open)?;
        let result = act();
        entered.end(if result.is_ok() { CallOutcome::Good } else { CallOutcome::Failed });
        result.map_err(Rejected::Failed)
    }

    /// Asks for leave for one call, whose end is to be told to what it gives.
    ///
    /// # Errors
    /// [`BreakerOpen`] while it is open, or half-open with all its probes out.
    pub fn try_enter(&self) -> Result<Entered<'_>, BreakerOpen> {
        let mut state = self.state();
        // While it is closed no time changes its mind, and to read a clock is dearer than all the rest.
        let is_timeless = !self.inner.is_timed && state.is_closed();
        let began = if is_timeless { Instant::ORIGIN } else { self.inner.time.now() };
        match state.admit(began) {
            Ok(permit) => Ok(Entered { breaker: self, permit: Some(permit), began }),
            Err(BreakerRefusal { retry_after, forced }) => Err(BreakerOpen { retry_after, forced }),
        }
    }

    /// Holds it open or closed, or gives it back to itself.
    pub fn order(&self, order: BreakerOrder) {
        let now = self.inner.time.now();
        self.state().order(now, order);
    }

    /// What it does with a call now.
    #[must_use]
    pub fn view(&self) -> BreakerView {
        let now = self.inner.time.now();
        BreakerView::of(now, self.state().state(now))
    }

    // The decisions leave whole what a panic would interrupt.
    fn state(&self) -> MutexGuard<'_, Decisions> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave for one call. Dropped without a word, it counts neither way: nothing is known of what it was for.
#[derive(Debug)]
#[must_use = "what is dropped without a word counts neither way"]
pub struct Entered<'b> {
    breaker: &'b Breaker,
    permit: Option<BreakerPermit>,
    began: Instant,
}

impl Entered<'_> {
    /// The service did its work.
    pub fn good(self) {
        self.end(CallOutcome::Good);
    }

    /// It did not.
    pub fn failed(self) {
        self.end(CallOutcome::Failed);
    }

    fn end(mut self, outcome: CallOutcome) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: CallOutcome) {
        let Some(permit) = self.permit.take() else { return };
        let now = self.breaker.inner.time.now();
        self.breaker.state().record(now, permit, outcome, now.since(self.began));
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.tell(CallOutcome::Nothing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::VirtualTime;

    #[test]
    fn it_opens_refuses_and_closes_again() {
        let time = VirtualTime::new();
        let settings = BreakerSettings { minimum_calls: 16, ..BreakerSettings::default() };
        let breaker = Breaker::with_time(&settings, time.clone());
        for _ in 0..16 {
            assert!(matches!(breaker.call(|| Err::<(), _>("lost")), Err(Rejected::Failed("lost"))));
        }
        let open = breaker.try_enter().unwrap_err();
        assert_eq!(open.to_string(), "the breaker is open; ask again in 1s");
        time.advance(Duration::from_secs(1));
        drop(breaker.try_enter().unwrap());
        for _ in 0..5 {
            breaker.call(|| Ok::<_, ()>(())).unwrap();
        }
        assert_eq!(breaker.view(), BreakerView::Closed);
    }

    #[test]
    fn what_nothing_is_said_of_counts_neither_way() {
        let settings = BreakerSettings { minimum_calls: 1, ..BreakerSettings::default() };
        let breaker = Breaker::new(&settings);
        for _ in 0..100 {
            drop(breaker.try_enter().unwrap());
        }
        breaker.try_enter().unwrap().good();
        assert_eq!(breaker.view(), BreakerView::Closed);
    }
}
