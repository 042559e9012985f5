//! Time kept by a thread, for whoever has no runtime or one that we do not know.
//!
//! One thread for the whole process, begun with the first wait, sleeps until the next moment that somebody waits for. A
//! wait that is dropped leaves its place at once, so what it remembers is never more than what waits.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant as StdInstant};

use mainstay_core::Instant;

use super::{Sleep, Time};

/// The machine's clock, and a thread that wakes whoever waits, on any runtime or none.
#[derive(Debug, Clone)]
pub struct ThreadTime {
    origin: StdInstant,
}

impl ThreadTime {
    /// A clock that begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: StdInstant::now() }
    }
}

impl Default for ThreadTime {
    fn default() -> Self {
        Self::new()
    }
}

impl Time for ThreadTime {
    fn now(&self) -> Instant {
        let nanos = self.origin.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        let at = self.origin.checked_add(Duration::from_nanos(at.as_nanos()));
        Sleep::new(Waiting { at, place: None })
    }
}

/// Somebody's wait.
struct Waiting {
    /// `None` for a moment that never comes.
    at: Option<StdInstant>,
    place: Option<(StdInstant, u64)>,
}

impl Future for Waiting {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        if StdInstant::now() >= at {
            return Poll::Ready(());
        }
        let keeper = Keeper::of_process();
        let mut waiting = keeper.lock();
        let place = *self.place.get_or_insert_with(|| {
            waiting.last += 1;
            (at, waiting.last)
        });
        let before = waiting.wakers.insert(place, cx.waker().clone());
        let is_next = waiting.wakers.first_key_value().is_some_and(|(first, _)| *first == place);
        drop(waiting);
        // With the last of its wakers a task may end, and with the task the waits that it holds.
        drop(before);
        if is_next {
            keeper.sooner.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let waker = { Keeper::of_process().lock().wakers.remove(&place) };
        drop(waker);
    }
}

#[derive(Debug, Default)]
struct Keeper {
    waiting: Mutex<Everybody>,
    /// Somebody wants to be woken before all others.
    sooner: Condvar,
}

#[derive(Debug, Default)]
struct Everybody {
    wakers: BTreeMap<(StdInstant, u64), Waker>,
    last: u64,
}

impl Keeper {
    fn of_process() -> &'static Self {
        static KEEPER: OnceLock<Keeper> = OnceLock::new();
        static THREAD: OnceLock<()> = OnceLock::new();
        let keeper = KEEPER.get_or_init(Self::default);
        THREAD.get_or_init(|| {
            let begun = std::thread::Builder::new().name("mainstay-time".into()).spawn(|| keeper.keep());
            begun.map(|_| ()).expect("the system has room for one thread more");
        });
        keeper
    }

    // Each change is one insertion or removal, so what a panic would leave behind is whole.
    fn lock(&self) -> MutexGuard<'_, Everybody> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self) {
        let mut waiting = self.lock();
        loop {
            let now = StdInstant::now();
            let next = waiting.wakers.first_key_value().map(|((at, _), _)| *at);
            waiting = match next {
                Some(at) if at <= now => {
                    let woken = waiting.wakers.pop_first();
                    drop(waiting);
                    woken.into_iter().for_each(|(_, waker)| waker.wake());
                    self.lock()
                }
                Some(at) => self.sooner.wait_timeout(waiting, at - now).unwrap_or_else(PoisonError::into_inner).0,
                None => self.sooner.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;
    use std::thread::Thread;

    use super::*;

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn wait(mut sleep: Pin<&mut Sleep>) {
        let waker = Arc::new(Unpark(std::thread::current())).into();
        while sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            std::thread::park();
        }
    }

    #[test]
    fn a_wait_without_a_runtime_is_never_too_short() {
        let time = ThreadTime::new();
        let never = time.sleep_until(Instant::FAR_FUTURE);
        for millis in [5, 1, 0, 3] {
            let until = time.now() + mainstay_core::Duration::from_millis(millis);
            wait(std::pin::pin!(time.sleep_until(until)));
            assert!(time.now() >= until);
        }
        drop(never);
    }
}
