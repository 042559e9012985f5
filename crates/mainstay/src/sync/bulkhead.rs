//! A bulkhead on its own.

use std::collections::HashMap;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use mainstay_core::{CallId, Duration, Instant, Limit};
use mainstay_policy::{
    Adaptive, Bulkhead as Decisions, BulkheadSettings, NoPlace, PermitPool, Priority, Sample, Turn, Wish,
};
use pin_project_lite::pin_project;

use crate::time::{Sleep, ThreadTime, Time, default_time};

/// How many run at once, and who waits. A clone is another handle to it.
///
/// ```
/// use mainstay::{BulkheadSettings, Limit, sync::Bulkhead};
///
/// let pool = Bulkhead::new(&BulkheadSettings { concurrency: Limit::At(1), ..BulkheadSettings::default() });
/// let permit = pool.try_acquire().expect("nobody else is here");
/// assert!(pool.try_acquire().is_none());
/// drop(permit);
/// assert!(pool.try_acquire().is_some());
/// ```
#[derive(Debug, Clone)]
pub struct Bulkhead {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    time: Arc<dyn Time>,
    queue_timeout: Duration,
    /// The limit follows how long a permit is held.
    is_adaptive: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    decisions: Decisions,
    waiting: HashMap<CallId, Waiter>,
    next: u64,
    /// How long permits were held lately, as far as that is known.
    served: Duration,
    poke_at: Instant,
}

#[derive(Debug)]
struct Waiter {
    waker: Waker,
    turn: Option<Turn>,
}

/// How often the limit follows what was measured.
const POKE_EVERY: Duration = Duration::from_millis(100);

/// No permit was free in time, or it would have been waited in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no permit: {}", in_words(.why))]
pub struct NoPermit {
    why: Turn,
}

const fn in_words(why: &Turn) -> &'static str {
    match why {
        Turn::Displaced => "something more important took the place",
        Turn::Hopeless => "too little time is left",
        Turn::Granted | Turn::Late => "it was waited too long, or as many wait as may",
    }
}

/// The right to run. It comes back when this is dropped.
#[derive(Debug)]
#[must_use = "a permit comes back when it is dropped"]
pub struct Permit<'b> {
    bulkhead: &'b Bulkhead,
    began: Began,
}

/// A permit that outlives the handle it was asked of, as a task needs that is started with it.
///
/// ```
/// # use mainstay::{BulkheadSettings, Limit, sync::Bulkhead};
/// # let pool = Bulkhead::new(&BulkheadSettings { concurrency: Limit::At(1), ..BulkheadSettings::default() });
/// let permit = pool.try_acquire().expect("nobody else is here").into_owned();
/// let work = std::thread::spawn(move || drop(permit));
/// # work.join().unwrap();
/// # assert!(pool.try_acquire().is_some());
/// ```
#[derive(Debug)]
#[must_use = "a permit comes back when it is dropped"]
pub struct OwnedPermit {
    bulkhead: Bulkhead,
    began: Began,
}

/// When a permit was given and how many were out; `None` where nobody wants to know.
type Began = Option<(Instant, u32)>;

impl Bulkhead {
    /// All permits are free.
    #[must_use]
    pub fn new(settings: &BulkheadSettings) -> Self {
        Self::of(settings, default_time())
    }

    /// The same by another clock.
    #[must_use]
    pub fn with_time(settings: &BulkheadSettings, time: impl Time + 'static) -> Self {
        Self::of(settings, Arc::new(time))
    }

    fn of(settings: &BulkheadSettings, time: Arc<dyn Time>) -> Self {
        let decisions = Decisions::new(settings, PermitPool::new(settings.concurrency, 1));
        let state =
            State { decisions, waiting: HashMap::new(), next: 0, served: Duration::ZERO, poke_at: Instant::ORIGIN };
        let (queue_timeout, is_adaptive) = (settings.queue_timeout, settings.adaptive != Adaptive::Off);
        Self { inner: Arc::new(Inner { time, queue_timeout, is_adaptive, state: Mutex::new(state) }) }
    }

    /// A permit, if one is free and nobody waits.
    #[must_use]
    #[inline]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        let mut state = self.inner.state();
        state.decisions.try_enter(Priority::Normal).then(|| self.permit(&state))
    }

    /// Waits for a permit, as long as [`BulkheadSettings::queue_timeout`] says.
    #[inline]
    pub fn acquire(&self) -> Acquire<'_> {
        self.acquire_by(Priority::Normal)
    }

    /// The same for something that matters more or less.
    #[inline]
    pub const fn acquire_by(&self, priority: Priority) -> Acquire<'_> {
        Acquire { place: Place { bulkhead: self, call: None }, priority, patience: Patience::Untried }
    }

    /// Waits for a permit and holds the thread up meanwhile.
    ///
    /// # Errors
    /// [`NoPermit`] when none came free in time.
    pub fn acquire_blocking(&self) -> Result<Permit<'_>, NoPermit> {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        // No runtime may be here, so the wait is a thread's.
        let time = ThreadTime::new();
        let mut too_long = pin!(time.sleep_until(time.now() + self.inner.queue_timeout));
        let mut acquire = pin!(self.acquire());
        let waker = Arc::new(Unpark(std::thread::current())).into();
        let cx = &mut Context::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = acquire.as_mut().poll_turn(cx) {
                return result;
            }
            if too_long.as_mut().poll(cx).is_ready() {
                return Err(NoPermit { why: Turn::Late });
            }
            std::thread::park();
        }
    }

    /// Permits that are out.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.inner.state().decisions.in_use()
    }

    /// How many may be out now.
    #[must_use]
    pub fn limit(&self) -> Limit<u32> {
        self.inner.state().decisions.limit()
    }

    fn permit(&self, state: &State) -> Permit<'_> {
        let began = self.inner.is_adaptive.then(|| (self.inner.time.now(), state.decisions.in_flight()));
        Permit { bulkhead: self, began }
    }
}

impl Inner {
    // The decisions leave whole what a panic would interrupt.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_back(&self, began: Began) {
        let mut state = self.state();
        if began.is_none() && state.decisions.is_idle() {
            state.decisions.release(Instant::ORIGIN);
            return;
        }
        let now = self.time.now();
        if let Some((began, in_flight)) = began {
            let held = now.since(began);
            state.served = Duration::from_nanos(state.served.as_nanos() / 8 * 7 + held.as_nanos() / 8);
            state.decisions.observe(in_flight, Sample::Answered(held));
            if now >= state.poke_at {
                state.poke_at = now + POKE_EVERY;
                state.decisions.poke(now);
            }
        }
        state.decisions.release(now);
        let woken = state.admit(now);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl State {
    /// Names those whose wait is over, to be woken once the lock is free.
    fn admit(&mut self, now: Instant) -> Option<Waker> {
        let mut woken = None;
        while let Some(admission) = self.decisions.poll_admitted(now, self.served) {
            match self.waiting.get_mut(&admission.call) {
                Some(waiter) => {
                    waiter.turn = Some(admission.turn);
                    // Wakers wake others here only where several are dropped from the queue at once.
                    if let Some(another) = woken.replace(waiter.waker.clone()) {
                        another.wake();
                    }
                }
                None if admission.turn == Turn::Granted => self.decisions.release(now),
                None => {}
            }
        }
        woken
    }
}

impl Permit<'_> {
    /// The same permit for whoever cannot borrow the bulkhead.
    pub fn into_owned(self) -> OwnedPermit {
        let permit = ManuallyDrop::new(self);
        OwnedPermit { bulkhead: permit.bulkhead.clone(), began: permit.began }
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.bulkhead.inner.take_back(self.began);
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        self.bulkhead.inner.take_back(self.began);
    }
}

pin_project! {
    /// A wait for a permit.
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is polled"]
    pub struct Acquire<'b> {
        place: Place<'b>,
        priority: Priority,
        #[pin]
        patience: Patience,
    }
}

pin_project! {
    /// How long it waits.
    #[project = PatienceProjection]
    #[derive(Debug)]
    enum Patience {
        Untried,
        Until { at: Instant },
        Asleep { #[pin] sleep: Sleep },
    }
}

/// A place in the queue, or none yet.
#[derive(Debug)]
struct Place<'b> {
    bulkhead: &'b Bulkhead,
    call: Option<CallId>,
}

impl Drop for Place<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(call) = self.call {
            self.leave(call);
        }
    }
}

impl Place<'_> {
    #[cold]
    fn leave(&self, call: CallId) {
        let inner = &self.bulkhead.inner;
        let now = inner.time.now();
        let mut state = inner.state();
        let granted = state.waiting.remove(&call).is_some_and(|waiter| waiter.turn == Some(Turn::Granted));
        if granted {
            state.decisions.release(now);
        } else {
            state.decisions.leave(call);
        }
        let woken = state.admit(now);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl<'b> Acquire<'b> {
    /// Its turn, once it has come.
    #[inline]
    fn poll_turn(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Permit<'b>, NoPermit>> {
        let bulkhead = self.place.bulkhead;
        let mut state = bulkhead.inner.state();
        if self.place.call.is_none() && state.decisions.try_enter(self.priority) {
            return Poll::Ready(Ok(bulkhead.permit(&state)));
        }
        self.poll_queue(state, cx)
    }

    #[cold]
    fn poll_queue(
        self: Pin<&mut Self>,
        mut state: MutexGuard<'_, State>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Permit<'b>, NoPermit>> {
        let mut this = self.project();
        let bulkhead = this.place.bulkhead;
        let Some(call) = this.place.call else {
            let now = bulkhead.inner.time.now();
            let until = now + bulkhead.inner.queue_timeout;
            this.patience.set(Patience::Until { at: until });
            state.next += 1;
            let call = CallId(state.next);
            let (deadline, served) = (Instant::FAR_FUTURE, state.served);
            return match state.decisions.enqueue(now, &Wish { call, priority: *this.priority, until, deadline, served })
            {
                Ok(_) => {
                    state.waiting.insert(call, Waiter { waker: cx.waker().clone(), turn: None });
                    this.place.call = Some(call);
                    Poll::Pending
                }
                Err(NoPlace::Hopeless) => Poll::Ready(Err(NoPermit { why: Turn::Hopeless })),
                Err(NoPlace::Full | NoPlace::LongWait { .. }) => Poll::Ready(Err(NoPermit { why: Turn::Late })),
            };
        };
        let Some(waiter) = state.waiting.get_mut(&call) else { return Poll::Pending };
        let Some(turn) = waiter.turn else {
            waiter.waker.clone_from(cx.waker());
            return Poll::Pending;
        };
        state.waiting.remove(&call);
        this.place.call = None;
        match turn {
            Turn::Granted => Poll::Ready(Ok(bulkhead.permit(&state))),
            why => Poll::Ready(Err(NoPermit { why })),
        }
    }

    fn poll_patience(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Permit<'b>, NoPermit>> {
        let mut this = self.project();
        if let Patience::Until { at } = *this.patience {
            let sleep = this.place.bulkhead.inner.time.sleep_until(at);
            this.patience.set(Patience::Asleep { sleep });
        }
        match this.patience.project() {
            PatienceProjection::Asleep { sleep } => sleep.poll(cx).map(|()| Err(NoPermit { why: Turn::Late })),
            PatienceProjection::Untried | PatienceProjection::Until { .. } => Poll::Pending,
        }
    }
}

impl<'b> Future for Acquire<'b> {
    type Output = Result<Permit<'b>, NoPermit>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.as_mut().poll_turn(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self.poll_patience(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::VirtualTime;
    use futures_util::future::join_all;

    fn settings(concurrency: u32, queue: u32) -> BulkheadSettings {
        BulkheadSettings {
            concurrency: Limit::At(concurrency),
            adaptive: Adaptive::Off,
            queue,
            queue_timeout: Duration::from_millis(100),
            ..BulkheadSettings::default()
        }
    }

    #[test]
    fn whoever_waits_gets_its_turn_or_is_told_that_it_will_not() {
        let time = VirtualTime::new();
        let pool = Bulkhead::with_time(&settings(1, 3), time.clone());
        let got = time.run(join_all((0..5).map(|_| async {
            let permit = pool.acquire().await?;
            time.sleep(Duration::from_millis(40)).await;
            drop(permit);
            Ok::<_, NoPermit>(time.now().as_nanos() / 1_000_000)
        })));
        let late = Err(NoPermit { why: Turn::Late });
        assert_eq!(got, [Ok(40), Ok(80), Ok(120), late, late]);
        assert_eq!((pool.in_use(), pool.limit()), (0, Limit::At(1)));
    }

    #[test]
    fn a_wait_that_is_given_up_leaves_nothing_behind() {
        let time = VirtualTime::new();
        let pool = Bulkhead::with_time(&settings(1, 3), time.clone());
        let held = pool.try_acquire().unwrap();
        {
            let mut waiting = pin!(pool.acquire());
            assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            drop(held);
        }
        assert_eq!(pool.in_use(), 0);
        assert!(pool.try_acquire().is_some());
    }

    #[test]
    fn a_thread_can_wait_too() {
        let pool = Bulkhead::new(&BulkheadSettings { queue_timeout: Duration::from_secs(10), ..settings(1, 8) });
        let held = pool.try_acquire().unwrap();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| pool.acquire_blocking().is_ok())).collect();
            drop(held);
            assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
        });
        let impatient = Bulkhead::new(&BulkheadSettings { queue_timeout: Duration::from_millis(1), ..settings(1, 8) });
        let _held = impatient.try_acquire().unwrap();
        assert_eq!(impatient.acquire_blocking().unwrap_err(), NoPermit { why: Turn::Late });
    }
}
