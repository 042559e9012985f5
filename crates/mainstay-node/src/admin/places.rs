//! The places of the admin API's connections, and who gives one up when all are taken.
//!
//! In: what each connection does (it sends a head, its request is served, it has been answered). Out: until when its
//! next head must be there, and a place for everybody who comes: when none is free, the connection that has been without
//! a complete request the longest is closed. So however many half requests somebody holds open, a probe is answered at
//! once. What holds: a connection whose request is being served is never closed for another one, nor is one whose first
//! bytes nobody has looked for yet, so a crowd that comes at once is served in turn.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Connections at once.
pub(super) const CONNECTIONS: usize = 64;
/// The longest wait for a request's head: from its first byte, and for the first one from the accept.
const HEAD: Duration = Duration::from_secs(5);
/// How often it is looked for a connection to close while all of them are busy.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// All places of one address.
pub(super) struct Places {
    free: Arc<Semaphore>,
    taken: Vec<Weak<Seat>>,
}

impl Places {
    pub(super) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(CONNECTIONS)), taken: Vec::with_capacity(CONNECTIONS) }
    }

    /// A place for a connection that has come.
    pub(super) async fn take(&mut self) -> Arc<Seat> {
        loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                return self.seat(permit);
            }
            self.close_longest();
            let free = tokio::time::timeout(LOOK_AGAIN, Arc::clone(&self.free).acquire_owned());
            if let Ok(Ok(permit)) = free.await {
                return self.seat(permit);
            }
        }
    }

    fn seat(&mut self, permit: OwnedSemaphorePermit) -> Arc<Seat> {
        let seat = Arc::new(Seat { state: Mutex::new(State::new(Instant::now())), _permit: permit });
        self.taken.retain(|taken| taken.strong_count() > 0);
        self.taken.push(Arc::downgrade(&seat));
        seat
    }

    fn close_longest(&self) {
        let seats = self.taken.iter().filter_map(Weak::upgrade);
        let waiting = seats.filter_map(|seat| {
            let since = seat.state().waits_since();
            since.map(|since| (since, seat))
        });
        if let Some((_, seat)) = waiting.min_by_key(|(since, _)| *since) {
            seat.close();
        }
    }
}

/// The place of one connection; free again when the connection and its request are gone.
pub(super) struct Seat {
    state: Mutex<State>,
    _permit: OwnedSemaphorePermit,
}

struct State {
    /// The accept, or when something was last answered.
    since: Instant,
    /// The accept, or when the first byte after an answer came.
    asking: Option<Instant>,
    /// A request is served.
    serving: bool,
    /// Everything that had come was read, and it was no request.
    looked: bool,
    /// It is to give its place up.
    closed: bool,
    waker: Option<Waker>,
}

impl State {
    fn new(now: Instant) -> Self {
        Self { since: now, asking: Some(now), serving: false, looked: false, closed: false, waker: None }
    }

    fn waits_since(&self) -> Option<Instant> {
        (self.looked && !self.serving && !self.closed).then_some(self.since)
    }
}

impl Seat {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment or some that do not fail, so what a panic left behind is sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Whether the connection is to close for another one; otherwise its task is woken when it is.
    pub(super) fn is_closed(&self, context: &Context<'_>) -> bool {
        let mut state = self.state();
        if !state.closed && !state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.waker = Some(context.waker().clone());
        }
        state.closed
    }

    /// When the head of the next request must be there, once it has begun.
    pub(super) fn head_by(&self) -> Option<Instant> {
        let state = self.state();
        state.asking.filter(|_| !state.serving).map(|asking| asking + HEAD)
    }

    /// Bytes came.
    pub(super) fn came(&self, now: Instant) {
        self.state().asking.get_or_insert(now);
    }

    /// Nothing more is there to be read, or to be written to.
    pub(super) fn waits(&self) {
        self.state().looked = true;
    }

    /// Bytes of an answer went.
    pub(super) fn went(&self, now: Instant) {
        self.state().since = now;
    }

    /// A request's head is complete; it is served until the value is dropped.
    pub(super) fn serve(self: Arc<Self>) -> Serving {
        let mut state = self.state();
        (state.serving, state.looked) = (true, false);
        drop(state);
        Serving(self)
    }
}

/// A request that is being served.
pub(super) struct Serving(Arc<Seat>);

impl Drop for Serving {
    fn drop(&mut self) {
        let mut state = self.0.state();
        (state.serving, state.asking, state.since) = (false, None, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_head_has_five_seconds_and_a_request_that_is_served_has_its_own_time() {
        let seat = Places::new().take().await;
        let began = seat.state().since;
        assert_eq!(seat.head_by(), Some(began + HEAD));
        let serving = Arc::clone(&seat).serve();
        assert_eq!(seat.head_by(), None);
        drop(serving);
        assert_eq!(seat.head_by(), None, "between requests nothing has begun");
        let first = began + 3 * HEAD;
        seat.came(first);
        seat.came(first + HEAD / 2);
        assert_eq!(seat.head_by(), Some(first + HEAD), "more bytes do not put it off");
    }

    #[tokio::test]
    async fn who_has_been_without_a_request_the_longest_makes_room() {
        let mut places = Places::new();
        let mut seats = Vec::new();
        for _ in 0..CONNECTIONS {
            seats.push(places.take().await);
        }
        let asleep = Context::from_waker(Waker::noop());
        let _served = Arc::clone(&seats[0]).serve();
        seats[2..].iter().for_each(|seat| seat.waits());
        seats[2].went(Instant::now() + HEAD);
        places.close_longest();
        let closed: Vec<_> = (0..CONNECTIONS).filter(|&at| seats[at].is_closed(&asleep)).collect();
        assert_eq!(closed, [3], "0 is served, 1 was not looked at, 2 was answered just now");
        drop(seats.remove(3));
        assert!(!places.take().await.is_closed(&asleep));
    }
}
