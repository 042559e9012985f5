//! In steady state nothing takes memory: not a call through the whole, and none behind a guard alone.
//!
//! What is counted is what this thread takes. Whatever a guard keeps is there after some calls; the dependency answers at
//! once, or a moment later, so that a timer is set.

use std::future::{poll_fn, ready};
use std::io;
use std::pin::pin;
use std::task::Poll;

use allocation_counter::measure;
use mainstay::alone::{Fallback, Hedge, Retry, Timeout};
use mainstay::sync::{Breaker, Bulkhead, RateLimiter};
use mainstay::time::{Sleep, Time, TokioTime};
use mainstay::{
    Attempt, BackoffSettings, BreakerSettings, Builder, BulkheadSettings, Duration, Facts, HedgeAfter, HedgeSettings,
    Instant, RateLimitSettings, RetrySettings, Service,
};
use tokio::runtime::Runtime;

const WARM_UP: u64 = 500;
const COUNTED: u64 = 2_000;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// Tokio's timer by a clock that stands still: what shards tell each other some times a second, however many calls there
/// are, is not a call's.
#[derive(Debug)]
struct Still {
    time: TokioTime,
    now: Instant,
}

impl Still {
    fn new() -> Self {
        let time = TokioTime::new();
        Self { now: time.now(), time }
    }
}

impl Time for Still {
    fn now(&self) -> Instant {
        self.now
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        self.time.sleep_until(at)
    }
}

/// `act` takes no memory, however often it is done.
#[track_caller]
fn check(mut act: impl AsyncFnMut(u64)) {
    let taken = runtime().block_on(async {
        for number in 0..WARM_UP {
            act(number).await;
        }
        let mut counted = pin!(async {
            for number in 0..COUNTED {
                act(number).await;
            }
        });
        let mut taken = 0;
        poll_fn(|cx| {
            let mut polled = Poll::Pending;
            taken += measure(|| polled = counted.as_mut().poll(cx)).count_total;
            polled
        })
        .await;
        taken
    });
    assert_eq!(taken, 0);
}

/// An answer at once, or when the runtime comes by again.
async fn answer(number: u64) -> Result<u64, io::Error> {
    if number.is_multiple_of(2) {
        tokio::task::yield_now().await;
    }
    Ok(number)
}

/// Calls through a service take none.
#[track_caller]
fn check_calls<V: Clone>(set: impl FnOnce(Builder<()>) -> Builder<V>) {
    let service = set(Service::builder("steady").time(Still::new())).build().unwrap();
    check(async |number| {
        service.call(Facts::idempotent(), |_: Attempt<V>| answer(number)).await.unwrap();
    });
    check(async |number| {
        service.call(Facts::once(), |_: Attempt<V>| answer(number)).fallback(|_, _| Ok(0)).await.unwrap();
    });
}

#[test]
#[should_panic(expected = "left: 2000")]
fn one_allocation_in_each_call_would_be_seen() {
    check(async |number| drop(std::hint::black_box(Box::new(number))));
}

#[test]
fn a_call_through_everything_takes_no_memory() {
    check_calls(|builder| builder);
    check_calls(|builder| builder.shards(4));
    check_calls(|builder| builder.endpoints(["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]));
    let limits = |settings: RateLimitSettings| RateLimiter::new(&settings).named("steady");
    check_calls(|builder| builder.rate_limit(limits(RateLimitSettings::per_second(1_000_000_000))));
}

#[test]
fn a_call_behind_one_policy_of_a_service_takes_no_memory() {
    check_calls(Builder::bare);
    check_calls(|builder| builder.bare().retry(RetrySettings::default()));
    check_calls(|builder| builder.bare().breaker(BreakerSettings::default()));
    check_calls(|builder| builder.bare().bulkhead(BulkheadSettings::default()));
}

#[test]
fn attempts_that_fail_and_calls_that_are_refused_take_none_either() {
    // Without pauses, for which the time would have to pass.
    let backoff = BackoffSettings { base: Duration::ZERO, ..BackoffSettings::default() };
    let retry = RetrySettings { backoff, budget: None, ..RetrySettings::default() };
    let service = Service::builder("steady").bare().retry(retry).time(Still::new()).build().unwrap();
    check(async |_| {
        let failed = service.call(Facts::idempotent(), |_| ready(Err::<u64, _>("lost"))).await;
        failed.unwrap_err();
    });
    service.order_breaker(mainstay::BreakerOrder::Open);
    check(async |number| {
        let refused = service.call(Facts::idempotent(), |_| answer(number)).await;
        refused.unwrap_err();
    });
}

#[cfg(feature = "tower")]
#[test]
fn a_call_through_the_layer_takes_no_memory() {
    use mainstay::tower::{Layer, Plain};
    use tower::{Layer as _, Service as _};

    let service = Service::builder("steady").time(Still::new()).build().unwrap();
    let mut layered = Layer::new(service, Plain::new(Facts::idempotent())).layer(tower::service_fn(answer));
    check(async |number| {
        layered.call(number).await.unwrap();
    });
}

#[test]
fn a_guard_alone_takes_no_memory() {
    let timeout = Timeout::new(Duration::from_secs(15));
    check(async |number| {
        timeout.call(answer(number)).await.unwrap().unwrap();
    });
    let with_budget = RetrySettings::default();
    for settings in [RetrySettings { budget: None, ..with_budget.clone() }, with_budget] {
        let retry = Retry::new(&settings);
        check(async |number| {
            retry.call(Facts::idempotent(), |_| answer(number)).await.unwrap();
        });
    }
    let hedge = Hedge::new(&HedgeSettings { after: HedgeAfter::Fixed(Duration::from_secs(15)), max: 1 });
    let fallback = Fallback::new(|_: Result<u64, io::Error>| Ok(0));
    check(async |number| {
        fallback.call(hedge.call(Facts::idempotent(), |_| answer(number))).await.unwrap();
    });
    let bulkhead = Bulkhead::new(&BulkheadSettings::default());
    check(async |number| {
        drop(bulkhead.try_acquire().unwrap());
        let _permit = bulkhead.acquire().await.unwrap();
        answer(number).await.unwrap();
    });
    let breaker = Breaker::new(&BreakerSettings::default());
    check(async |number| {
        breaker.call(|| Ok::<_, io::Error>(number)).unwrap();
    });
    let limiter = RateLimiter::new(&RateLimitSettings::per_second(1_000_000_000));
    check(async |number| {
        limiter.try_acquire().unwrap();
        limiter.try_acquire_for(number % 100).unwrap();
        limiter.acquire_for(number % 100).await.unwrap();
    });
    let narrow = RateLimiter::new(&RateLimitSettings::per_second(1));
    check(async |_| {
        let _ = narrow.try_acquire_for("one");
    });
}
