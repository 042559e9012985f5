//! A rate limit on its own.
//!
//! A token or a leaky bucket is one number, so threads share it without a lock, be it for all calls or for a key. Windows by
//! key are spread over shards by the key's hash, each under a lock that is held for one look into a table. Keys are hashed
//! with a secret of this process, so that nobody can choose keys that meet in one slot.

use std::future::Future;
use std::hash::{BuildHasher, Hash, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use mainstay_core::{Duration, Instant};
use mainstay_policy::{
    Bucket, KeyedLimiter, LimitId, LimitQuery, LimitVerdict, OnExceeded, RateLimitSettings, SharedBuckets,
    SharedTicket, Ticket,
};
use pin_project_lite::pin_project;

use crate::telling::limit_id;
use crate::time::{Sleep, Time, default_time};

/// Shards of windows by key: enough that two threads seldom meet.
const SHARDS: u32 = 16;

/// How often something may happen, for each key of its own or for all together. A clone is another handle to it.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    inner: Arc<Inner>,
    id: LimitId,
}

#[derive(Debug)]
struct Inner {
    clock: Clock,
    time: Arc<dyn Time>,
    secret: RandomState,
    /// Without a key.
    bucket: Option<(Bucket, AtomicU64)>,
    keys: Keys,
    /// Calls that wait for their places, and how many may.
    waiting: AtomicU32,
    waiting_max: u32,
}

/// What is known of each key.
#[derive(Debug)]
enum Keys {
    Buckets(SharedBuckets),
    Windows(Vec<Mutex<KeyedLimiter>>),
}

impl Keys {
    fn new(settings: &RateLimitSettings) -> Self {
        if let Some(buckets) = SharedBuckets::new(settings) {
            return Self::Buckets(buckets);
        }
        let share = RateLimitSettings { max_keys: settings.max_keys.div_ceil(SHARDS).max(1), ..settings.clone() };
        Self::Windows((0..SHARDS).map(|_| Mutex::new(KeyedLimiter::new(&share))).collect())
    }
}

/// Where a limit reads the time. To ask the machine for it is dearer than all the rest, so without a clock of the user's
/// the processor's counter is read, which costs a sixth.
#[derive(Debug)]
enum Clock {
    /// From the clock by which it waits.
    Same,
    #[cfg(feature = "quanta")]
    Quick { clock: quanta::Clock, origin: u64 },
}

impl Clock {
    #[cfg(feature = "quanta")]
    fn quick() -> Self {
        let clock = quanta::Clock::new();
        let origin = clock.raw();
        Self::Quick { clock, origin }
    }

    #[cfg(not(feature = "quanta"))]
    const fn quick() -> Self {
        Self::Same
    }
}

/// Over the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("over the limit; ask again in {retry_after}")]
pub struct Limited {
    /// When it would be let through.
    pub retry_after: Duration,
}

impl From<LimitVerdict> for Limited {
    fn from(verdict: LimitVerdict) -> Self {
        Self { retry_after: verdict.retry_after }
    }
}

impl RateLimiter {
    /// A limit that has seen nobody.
    #[must_use]
    pub fn new(settings: &RateLimitSettings) -> Self {
        Self::of(settings, default_time(), Clock::quick())
    }

    /// The same by another clock.
    #[must_use]
    pub fn with_time(settings: &RateLimitSettings, time: impl Time + 'static) -> Self {
        Self::of(settings, Arc::new(time), Clock::Same)
    }

    fn of(settings: &RateLimitSettings, time: Arc<dyn Time>, clock: Clock) -> Self {
        let waiting_max = match settings.on_exceeded {
            OnExceeded::Reject => 0,
            OnExceeded::Queue { calls, .. } => calls,
        };
        Self {
            id: LimitId::NONE,
            inner: Arc::new(Inner {
                clock,
                time,
                secret: RandomState::new(),
                bucket: Bucket::new(settings).map(|bucket| (bucket, AtomicU64::new(0))),
                keys: Keys::new(settings),
                waiting: AtomicU32::new(0),
                waiting_max,
            }),
        }
    }

    /// Gives it the name by which metrics count whom it refuses before a service (`mainstay_rate_limited_total`).
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.id = limit_id(Some(name));
        self
    }

    /// What time it is by its own clock.
    pub(crate) fn now(&self) -> Instant {
        match &self.inner.clock {
            Clock::Same => self.inner.time.now(),
            #[cfg(feature = "quanta")]
            Clock::Quick { clock, origin } => Instant::from_nanos(clock.delta_as_nanos(*origin, clock.raw())),
        }
    }

    pub(crate) const fn id(&self) -> LimitId {
        self.id
    }

    /// Asks for leave, without a key: all such asks are counted together.
    ///
    /// # Errors
    /// [`Limited`] when it is over the limit.
    pub fn try_acquire(&self) -> Result<(), Limited> {
        let now = self.now();
        if let Some((bucket, level)) = &self.inner.bucket
            && level.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |level| bucket.take(now, level)).is_ok()
        {
            return Ok(());
        }
        let (verdict, _) = self.inner.ask(now, None, Duration::ZERO);
        if verdict.admitted { Ok(()) } else { Err(verdict.into()) }
    }

    /// Asks for leave for `key`.
    ///
    /// # Errors
    /// [`Limited`] when this key is over the limit.
    pub fn try_acquire_for(&self, key: impl Hash) -> Result<(), Limited> {
        let now = self.now();
        let key = self.inner.secret.hash_one(key);
        if let Keys::Buckets(buckets) = &self.inner.keys {
            return buckets.take(now, key).map_err(Limited::from);
        }
        let (verdict, _) = self.inner.ask(now, Some(key), Duration::ZERO);
        if verdict.admitted { Ok(()) } else { Err(verdict.into()) }
    }

    /// Waits for leave, without a key, where [`OnExceeded::Queue`] says that it may be waited. Who waits has its place from
    /// the beginning; dropped, it gives it back while nobody stands behind it.
    pub fn acquire(&self) -> AcquirePlace<'_> {
        self.begin(None)
    }

    /// Waits for leave for `key`.
    pub fn acquire_for(&self, key: impl Hash) -> AcquirePlace<'_> {
        self.begin(Some(self.inner.secret.hash_one(key)))
    }

    const fn begin(&self, key: Option<u64>) -> AcquirePlace<'_> {
        AcquirePlace { limiter: self, key, place: None, sleep: None }
    }

    /// As if by [`RateLimiter::acquire`], for who waits in another way: the verdict, and the place if there is one to wait
    /// for.
    pub(crate) fn ask(&self, now: Instant, key: Option<u64>, patience: Duration) -> (LimitVerdict, Option<Place>) {
        let (verdict, taken) = self.inner.ask(now, key, patience);
        if verdict.wait.is_zero() {
            return (verdict, None);
        }
        let waiting = self.inner.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place { limiter: self.clone(), taken: Some(taken) };
        if waiting < self.inner.waiting_max { (verdict, Some(place)) } else { (verdict.refused(), None) }
    }
}

/// What was taken, to be given back.
#[derive(Debug, Clone, Copy)]
enum Taken {
    Bucket { before: u64, after: u64 },
    Key(SharedTicket),
    Window { shard: usize, ticket: Ticket },
}

impl Inner {
    fn ask(&self, now: Instant, key: Option<u64>, patience: Duration) -> (LimitVerdict, Taken) {
        if let (Some((bucket, level)), None) = (&self.bucket, key) {
            return ask_bucket(bucket, level, now, patience);
        }
        let key = key.unwrap_or_default();
        match &self.keys {
            Keys::Buckets(buckets) => {
                let (verdict, ticket) = buckets.admit(now, key, patience);
                (verdict, Taken::Key(ticket))
            }
            Keys::Windows(shards) => {
                // The table in a shard goes by the high bits, so the shard goes by the low ones.
                let shard = key as usize % shards.len();
                let query = LimitQuery { patience, ..LimitQuery::of(key) };
                let (verdict, ticket) = locked(&shards[shard]).admit(now, &query);
                (verdict, Taken::Window { shard, ticket })
            }
        }
    }

    fn give_back(&self, taken: Taken) {
        match (taken, &self.keys, &self.bucket) {
            (Taken::Key(ticket), Keys::Buckets(buckets), _) => _ = buckets.give_back(&ticket),
            (Taken::Window { shard, ticket }, Keys::Windows(shards), _) => {
                _ = locked(&shards[shard]).give_back(&ticket);
            }
            // Somebody may have a place behind it: then it stays.
            (Taken::Bucket { before, after }, _, Some((_, level))) => {
                let _ = level.compare_exchange(after, before, Ordering::Relaxed, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

// The decisions leave whole what a panic would interrupt.
fn locked(windows: &Mutex<KeyedLimiter>) -> MutexGuard<'_, KeyedLimiter> {
    windows.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ask_bucket(bucket: &Bucket, level: &AtomicU64, now: Instant, patience: Duration) -> (LimitVerdict, Taken) {
    let mut before = level.load(Ordering::Relaxed);
    loop {
        let (verdict, after) = bucket.judge(now, before, patience);
        if after == before {
            return (verdict, Taken::Bucket { before, after });
        }
        match level.compare_exchange_weak(before, after, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return (verdict, Taken::Bucket { before, after }),
            Err(changed) => before = changed,
        }
    }
}

/// A place that is waited for. Dropped before the wait is over, it is given back as far as nobody stands behind it.
#[derive(Debug)]
pub(crate) struct Place {
    limiter: RateLimiter,
    taken: Option<Taken>,
}

impl Place {
    /// The wait is over, and whoever waited goes on.
    pub(crate) fn take(mut self) {
        self.taken = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.limiter.inner.waiting.fetch_sub(1, Ordering::Relaxed);
        if let Some(taken) = self.taken {
            self.limiter.inner.give_back(taken);
        }
    }
}

pin_project! {
    /// A wait for leave.
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is polled"]
    pub struct AcquirePlace<'l> {
        limiter: &'l RateLimiter,
        key: Option<u64>,
        place: Option<Place>,
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl Future for AcquirePlace<'_> {
    type Output = Result<(), Limited>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.sleep.is_none() {
            let now = this.limiter.now();
            let (verdict, place) = this.limiter.ask(now, *this.key, Duration::MAX);
            if !verdict.admitted {
                return Poll::Ready(Err(verdict.into()));
            }
            if place.is_none() {
                return Poll::Ready(Ok(()));
            }
            *this.place = place;
            let time = &this.limiter.inner.time;
            this.sleep.set(Some(time.sleep_until(time.now() + verdict.wait)));
        }
        if let Some(Poll::Pending) = this.sleep.as_mut().as_pin_mut().map(|sleep| sleep.poll(cx)) {
            return Poll::Pending;
        }
        this.place.take().into_iter().for_each(Place::take);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::VirtualTime;
    use mainstay_policy::RateLimitAlgorithm;

    fn queueing(algorithm: RateLimitAlgorithm) -> RateLimitSettings {
        let on_exceeded = OnExceeded::Queue { timeout: Duration::from_secs(1), calls: 2 };
        RateLimitSettings { algorithm, burst: 2, on_exceeded, ..RateLimitSettings::per_second(10) }
    }

    #[test]
    fn the_burst_at_once_and_then_the_rate_with_a_key_and_without() {
        let time = VirtualTime::new();
        let settings = RateLimitSettings { burst: 3, ..RateLimitSettings::per_second(10) };
        let limiter = RateLimiter::with_time(&settings, time.clone());
        for _ in 0..3 {
            limiter.try_acquire().unwrap();
            limiter.try_acquire_for("a").unwrap();
        }
        let limited = Limited { retry_after: Duration::from_millis(100) };
        assert_eq!((limiter.try_acquire(), limiter.try_acquire_for("a")), (Err(limited), Err(limited)));
        limiter.try_acquire_for("b").unwrap();
        time.advance(Duration::from_millis(100));
        assert_eq!((limiter.try_acquire(), limiter.try_acquire_for("a")), (Ok(()), Ok(())));
    }

    #[test]
    fn who_waits_comes_through_in_turn_and_no_more_wait_than_may() {
        for key in [None, Some("a")] {
            let time = VirtualTime::new();
            let limiter = RateLimiter::with_time(&queueing(RateLimitAlgorithm::TokenBucket), time.clone());
            let passed = time.run(async {
                let ask = || async {
                    let passed = match key {
                        Some(key) => limiter.acquire_for(key).await,
                        None => limiter.acquire().await,
                    };
                    passed.map(|()| time.now().as_nanos() / 1_000_000)
                };
                futures_util::future::join_all((0..5).map(|_| ask())).await
            });
            let refused = Err(Limited { retry_after: Duration::from_millis(300) });
            assert_eq!(passed, [Ok(0), Ok(0), Ok(100), Ok(200), refused], "{key:?}");
        }
    }

    #[test]
    fn a_place_that_is_not_wanted_any_more_is_given_back() {
        let time = VirtualTime::new();
        let limiter = RateLimiter::with_time(&queueing(RateLimitAlgorithm::TokenBucket), time.clone());
        for key in [None, Some("a")] {
            for _ in 0..3 {
                time.run(async {
                    let mut waiting = std::pin::pin!(match key {
                        Some(key) => limiter.acquire_for(key),
                        None => limiter.acquire(),
                    });
                    std::future::poll_fn(|cx| {
                        let _ = waiting.as_mut().poll(cx);
                        Poll::Ready(())
                    })
                    .await;
                });
            }
        }
        time.run(async { limiter.acquire().await.unwrap() });
        assert_eq!(time.now().as_nanos(), 100_000_000, "only the two of the burst were taken");
    }

    #[test]
    fn threads_together_get_no_more_than_the_burst() {
        let settings = RateLimitSettings { burst: 1000, ..RateLimitSettings::per_second(1) };
        let limiter = RateLimiter::with_time(&settings, VirtualTime::new());
        let passed = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let through = (0..1000).filter(|_| limiter.try_acquire().is_ok()).count();
                    passed.fetch_add(through as u32, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(passed.into_inner(), 1000);
    }
}
