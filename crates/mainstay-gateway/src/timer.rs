//! One timer for each connection, moved as seldom as possible.
//!
//! A busy connection changes its deadline several times in every request, and nearly always to a later one. So a later
//! deadline leaves the timer where it is: it fires early, sees that nothing is due, and is set again. At a thousand
//! requests a second this is one operation on the runtime's wheel in some seconds instead of thousands.
//!
//! The invariant: [`Timer::poll`] never says that a deadline has come before it has.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use mainstay_core::Instant;
use tokio::task::coop::has_budget_remaining;
use tokio::time::Sleep;

use crate::clock::Clock;

/// The timer of one connection.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Clock,
    sleep: Pin<Box<Sleep>>,
    /// When the sleep fires; `FAR_FUTURE` while it must not be polled.
    armed: Instant,
    /// Whom the sleep wakes when it does.
    wakes: Option<Waker>,
}

impl Timer {
    /// A timer that is not set.
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            sleep: Box::pin(tokio::time::sleep_until(clock.to_tokio(Instant::FAR_FUTURE))),
            armed: Instant::FAR_FUTURE,
            wakes: None,
        }
    }

    /// Whether `deadline` has come at `now`; otherwise the task is woken when it does, or before. `None` waits for
    /// nothing.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, now: Instant, deadline: Option<Instant>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        if deadline <= now {
            return Poll::Ready(());
        }
        if deadline < self.armed {
            self.arm(deadline);
        }
        // It has not fired, and knows whom to wake.
        if now < self.armed && self.wakes.as_ref().is_some_and(|wakes| wakes.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        loop {
            // A task that has used up its share of a turn is woken at once, and the sleep does not learn of it.
            let is_heard = has_budget_remaining();
            if self.sleep.as_mut().poll(cx).is_pending() {
                self.wakes = is_heard.then(|| cx.waker().clone());
                return Poll::Pending;
            }
            if self.clock.now() >= deadline {
                self.armed = Instant::FAR_FUTURE;
                self.wakes = None;
                return Poll::Ready(());
            }
            self.arm(deadline);
        }
    }

    fn arm(&mut self, deadline: Instant) {
        self.sleep.as_mut().reset(self.clock.to_tokio(deadline));
        self.armed = deadline;
        self.wakes = None;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use mainstay_core::Duration;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_deadline_that_is_put_off_is_never_told_early() {
        let clock = Clock::new();
        let mut timer = Timer::new(clock);
        let near = clock.now() + Duration::from_millis(2);
        let late = clock.now() + Duration::from_millis(20);
        // The first poll arms the near one; the caller then changes its mind.
        let first = poll_fn(|cx| Poll::Ready(timer.poll(cx, clock.now(), Some(near)))).await;
        assert!(first.is_pending() || clock.now() >= near);
        poll_fn(|cx| timer.poll(cx, clock.now(), Some(late))).await;
        assert!(clock.now() >= late);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_fired_timer_serves_the_next_deadline() {
        let clock = Clock::new();
        let mut timer = Timer::new(clock);
        for _ in 0..3 {
            let deadline = clock.now() + Duration::from_millis(2);
            poll_fn(|cx| timer.poll(cx, clock.now(), Some(deadline))).await;
            assert!(clock.now() >= deadline);
        }
    }
}
