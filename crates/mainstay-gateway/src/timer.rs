//! One timer for each connection, moved as seldom as possible.
//!
//! A busy connection changes its deadline several times in every request, and nearly always to a later one. So a later
//! deadline leaves the timer where it is: it fires early, sees that nothing is due, and is set again. At a thousand
//! requests a second this is one operation on the runtime's wheel in some seconds instead of thousands.
//!
//! The invariant: [`Timer::poll`] never says that a deadline has come before it has.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use mainstay_core::Instant;
use tokio::time::Sleep;

use crate::clock::Clock;

/// The timer of one connection.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Clock,
    sleep: Pin<Box<Sleep>>,
    /// When the sleep fires; `FAR_FUTURE` while it must not be polled.
    armed: Instant,
}

impl Timer {
    /// A timer that is not set.
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            sleep: Box::pin(tokio::time::sleep_until(clock.to_tokio(Instant::FAR_FUTURE))),
            armed: Instant::FAR_FUTURE,
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
        while self.sleep.as_mut().poll(cx).is_ready() {
            if self.clock.now() >= deadline {
                self.armed = Instant::FAR_FUTURE;
                return Poll::Ready(());
            }
            self.arm(deadline);
        }
        Poll::Pending
    }

    fn arm(&mut self, deadline: Instant) {
        self.sleep.as_mut().reset(self.clock.to_tokio(deadline));
        self.armed = deadline;
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
