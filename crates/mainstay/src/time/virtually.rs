//! Time that jumps, for tests.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use mainstay_core::{Duration, Instant};

use super::{Sleep, Time};

/// A clock that stands still while anything is going on and then jumps to the next moment that somebody waits for.
///
/// ```
/// use mainstay::{Duration, time::{Time, VirtualTime}};
///
/// let time = VirtualTime::new();
/// time.run(async {
///     time.sleep(Duration::from_secs(3600)).await;
/// });
/// assert_eq!(time.now().as_nanos(), 3600 * 1_000_000_000, "an hour, and no time has passed");
/// ```
#[derive(Debug, Clone, Default)]
pub struct VirtualTime(Arc<Mutex<World>>);

#[derive(Debug, Default)]
struct World {
    now: Instant,
    wakers: BTreeMap<(Instant, u64), Waker>,
    last: u64,
}

impl VirtualTime {
    /// A clock at its beginning.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for this length of time.
    pub fn sleep(&self, length: Duration) -> Sleep {
        self.sleep_until(self.now() + length)
    }

    /// Moves on and wakes whoever waited for any moment up to the new one.
    pub fn advance(&self, length: Duration) {
        let mut woken = Vec::new();
        {
            let mut world = self.world();
            world.now += length;
            while world.wakers.first_key_value().is_some_and(|((at, _), _)| *at <= world.now) {
                woken.extend(world.wakers.pop_first());
            }
        }
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Runs `future` to its end, on this thread. Whenever nothing can go on, time moves to the next moment that somebody
    /// waits for.
    ///
    /// # Panics
    /// When nothing can go on and nobody waits for any moment: the future would hang for ever.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            while woken.0.swap(false, Ordering::SeqCst) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return output;
                }
            }
            let next = self.world().wakers.first_key_value().map(|((at, _), _)| *at);
            let next = next.expect("nothing can go on, and nobody waits for a moment to come");
            self.advance(next.since(self.now()));
        }
    }

    // Each change is one insertion or removal, so what a panic would leave behind is whole.
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Time for VirtualTime {
    fn now(&self) -> Instant {
        self.world().now
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        Sleep::new(Waiting { time: self.clone(), at, place: None })
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Waiting {
    time: VirtualTime,
    at: Instant,
    place: Option<u64>,
}

impl Future for Waiting {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let time = self.time.clone();
        let mut world = time.world();
        if world.now >= self.at {
            return Poll::Ready(());
        }
        let place = *self.place.get_or_insert_with(|| {
            world.last += 1;
            world.last
        });
        let before = world.wakers.insert((self.at, place), cx.waker().clone());
        drop(world);
        // With the last of its wakers a task may end, and with the task the waits that it holds.
        drop(before);
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let waker = { self.time.world().wakers.remove(&(self.at, place)) };
        drop(waker);
    }
}
