//! The guards, one by one and all together, on one thread.

use std::convert::Infallible;
use std::io;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use failsafe::CircuitBreaker as _;
use governor::{Quota, RateLimiter as Governor};
use mainstay::alone::{Fallback, Hedge, Retry, Timeout};
use mainstay::sync::{Breaker, Bulkhead, RateLimiter};
use mainstay::tower::{Layer as Guard, Plain};
use mainstay::{
    BreakerSettings, Builder, BulkheadSettings, Facts, HedgeAfter, HedgeSettings, Limit, RateLimitSettings,
    RetrySettings, Service as Mainstay,
};
use tokio::runtime::Runtime;
use tower::limit::ConcurrencyLimitLayer;
use tower::retry::budget::Budget as _;
use tower::retry::{Policy, RetryLayer};
use tower::timeout::TimeoutLayer;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_resilience::bulkhead::BulkheadLayer;
use tower_resilience::circuitbreaker::{CircuitBreakerLayer, SlidingWindowType};
use tower_resilience::fallback::FallbackLayer;
use tower_resilience::ratelimiter::RateLimiterLayer;
use tower_resilience::retry::RetryLayer as ResilientRetry;
use tower_resilience::timelimiter::TimeLimiterLayer;

use crate::{Case, Group};

/// The dependency: a number, answered at once.
async fn answer(number: u64) -> Result<u64, io::Error> {
    Ok(std::hint::black_box(number))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

fn case(name: &'static str, run: impl Fn(u64) -> Duration + 'static) -> Case {
    Case { name, run: Box::new(run) }
}

/// Calls through a `tower::Service`, as its users do: wait until it is ready, call, wait for the answer.
fn towered<S>(name: &'static str, make: impl Fn() -> S + 'static) -> Case
where
    S: Service<u64, Response = u64> + 'static,
    S::Error: std::fmt::Debug,
{
    let runtime = runtime();
    let service = {
        let _inside = runtime.enter();
        std::cell::RefCell::new(make())
    };
    case(name, move |calls| {
        let mut service = service.borrow_mut();
        runtime.block_on(async {
            let begun = Instant::now();
            for number in 0..calls {
                let ready = service.ready().await.expect("it is ready");
                ready.call(number).await.expect("it answers");
            }
            begun.elapsed()
        })
    })
}

/// Calls through our own interface.
fn called(name: &'static str, set: impl FnOnce(Builder<()>) -> Builder<()>) -> Case {
    let runtime = runtime();
    let service = set(Mainstay::builder("bench")).build().expect("settings that can be meant");
    case(name, move |calls| {
        runtime.block_on(async {
            let begun = Instant::now();
            for number in 0..calls {
                service.call(Facts::idempotent(), |_| answer(number)).await.expect("it answers");
            }
            begun.elapsed()
        })
    })
}

/// Calls through our `tower::Layer`.
fn layered(name: &'static str, set: impl FnOnce(Builder<()>) -> Builder<()>) -> Case {
    let service = set(Mainstay::builder("bench")).build().expect("settings that can be meant");
    towered(name, move || Guard::new(service.clone(), Plain::new(Facts::idempotent())).layer(tower::service_fn(answer)))
}

/// Calls without a runtime.
fn plain(name: &'static str, mut act: impl FnMut(u64) + 'static) -> Case {
    let act = std::cell::RefCell::new(move |number| act(number));
    case(name, move |calls| {
        let mut act = act.borrow_mut();
        let begun = Instant::now();
        for number in 0..calls {
            act(number);
        }
        begun.elapsed()
    })
}

#[derive(Clone)]
struct ThreeTimes(u32);

impl<E> Policy<u64, u64, E> for ThreeTimes {
    type Future = std::future::Ready<()>;

    fn retry(&mut self, _: &mut u64, result: &mut Result<u64, E>) -> Option<Self::Future> {
        if result.is_ok() || self.0 == 0 {
            return None;
        }
        self.0 -= 1;
        Some(std::future::ready(()))
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}

/// Retries as long as the budget of `tower` pays for them.
#[derive(Clone, Default)]
struct Budgeted(std::sync::Arc<tower::retry::budget::TpsBudget>);

impl<E> Policy<u64, u64, E> for Budgeted {
    type Future = std::future::Ready<()>;

    fn retry(&mut self, _: &mut u64, result: &mut Result<u64, E>) -> Option<Self::Future> {
        if result.is_ok() {
            self.0.deposit();
            return None;
        }
        self.0.withdraw().then(|| std::future::ready(()))
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}

const LONG: Duration = Duration::from_secs(15);

/// A bound that is never reached.
fn wide() -> BulkheadSettings {
    BulkheadSettings { concurrency: Limit::At(1024), adaptive: mainstay::Adaptive::Off, ..BulkheadSettings::default() }
}

/// A rate that is never reached, as others can be told it too.
const RATE: u32 = 1_000_000_000;

fn rate() -> RateLimitSettings {
    RateLimitSettings::per_second(RATE.into())
}

fn quota() -> Quota {
    Quota::per_second(NonZeroU32::new(RATE).expect("more than none"))
}

fn breaker() -> CircuitBreakerLayer<tower_resilience::circuitbreaker::DefaultClassifier> {
    CircuitBreakerLayer::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_type(SlidingWindowType::CountBased)
        .sliding_window_size(100)
        .minimum_number_of_calls(100)
        .build()
        .expect("settings that can be meant")
}

fn failsafe_breaker()
-> failsafe::StateMachine<failsafe::failure_policy::SuccessRateOverTimeWindow<failsafe::backoff::Exponential>, ()> {
    let backoff = failsafe::backoff::exponential(Duration::from_secs(1), Duration::from_secs(10));
    let policy = failsafe::failure_policy::success_rate_over_time_window(0.5, 100, Duration::from_secs(10), backoff);
    failsafe::Config::new().failure_policy(policy).build()
}

/// Every group.
pub fn groups() -> Vec<Group> {
    vec![
        nothing(),
        timeout(),
        retry(),
        hedge(),
        fallback(),
        bulkhead(),
        breakers(),
        rate_limits(),
        keyed_limits(),
        stack(),
    ]
}

fn nothing() -> Group {
    Group { name: "nothing between", cases: vec![towered("nothing", || tower::service_fn(answer))] }
}

fn timeout() -> Group {
    let cases = vec![
        alone("mainstay: alone::Timeout", Timeout::new(LONG), |timeout, number| async move {
            timeout.call(answer(number)).await.expect("it is quick")
        }),
        called("mainstay: call", |builder| builder.bare().within(LONG)),
        layered("mainstay: layer", |builder| builder.bare().within(LONG)),
        towered("tower::timeout", || TimeoutLayer::new(LONG).layer(tower::service_fn(answer))),
        towered("tower-resilience: timelimiter", || {
            TimeLimiterLayer::builder().timeout_duration(LONG).build().layer(tower::service_fn(answer))
        }),
    ];
    Group { name: "timeout", cases }
}

/// Calls through a guard that is alone.
fn alone<G: 'static, A: Future<Output = Result<u64, io::Error>>>(
    name: &'static str,
    guard: G,
    call: impl Fn(&'static G, u64) -> A + 'static,
) -> Case {
    let runtime = runtime();
    let guard: &'static G = Box::leak(Box::new(guard));
    case(name, move |calls| {
        runtime.block_on(async {
            let begun = Instant::now();
            for number in 0..calls {
                call(guard, number).await.expect("it answers");
            }
            begun.elapsed()
        })
    })
}

fn retry() -> Group {
    let without = RetrySettings { budget: None, ..RetrySettings::default() };
    let cases = vec![
        alone("mainstay: alone::Retry, without budget", Retry::new(&without), |retry, number| {
            retry.call(Facts::idempotent(), move |_| answer(number))
        }),
        alone("mainstay: alone::Retry, with budget", Retry::new(&RetrySettings::default()), |retry, number| {
            retry.call(Facts::idempotent(), move |_| answer(number))
        }),
        called("mainstay: call", |builder| builder.bare().retry(RetrySettings::default())),
        layered("mainstay: layer", |builder| builder.bare().retry(RetrySettings::default())),
        towered("tower::retry, with budget", || RetryLayer::new(Budgeted::default()).layer(tower::service_fn(answer))),
        towered("tower::retry", || RetryLayer::new(ThreeTimes(3)).layer(tower::service_fn(answer))),
        towered("tower-resilience: retry", || {
            ResilientRetry::<u64, u64, io::Error>::exponential_backoff().build().layer(tower::service_fn(answer))
        }),
    ];
    Group { name: "retry", cases }
}

/// Hedges whatever can be cloned.
#[derive(Clone)]
struct Twice;

impl tower::hedge::Policy<u64> for Twice {
    fn clone_request(&self, request: &u64) -> Option<u64> {
        Some(*request)
    }

    fn can_retry(&self, _: &u64) -> bool {
        true
    }
}

fn hedge() -> Group {
    let settings = HedgeSettings { after: HedgeAfter::Fixed(LONG.into()), max: 1 };
    let cases = vec![
        alone("mainstay: alone::Hedge", Hedge::new(&settings), |hedge, number| {
            hedge.call(Facts::idempotent(), move |_| answer(number))
        }),
        towered("tower::hedge", || tower::hedge::Hedge::new(tower::service_fn(answer), Twice, 10, 0.99, LONG)),
    ];
    Group { name: "hedge", cases }
}

fn fallback() -> Group {
    let kept = Fallback::new(|_: Result<u64, io::Error>| Ok(0));
    let cases = vec![
        alone("mainstay: alone::Fallback", kept, |kept, number| kept.call(answer(number))),
        towered("tower-resilience: fallback", || {
            FallbackLayer::<u64, u64, io::Error>::value(0).layer(tower::service_fn(answer))
        }),
    ];
    Group { name: "fallback", cases }
}

fn bulkhead() -> Group {
    let alone = Bulkhead::new(&wide());
    let waits = Bulkhead::new(&wide());
    let runtime = runtime();
    let cases = vec![
        plain("mainstay: sync::Bulkhead::try_acquire", move |number| {
            let permit = alone.try_acquire().expect("there is room");
            std::hint::black_box(number);
            drop(permit);
        }),
        case("mainstay: sync::Bulkhead::acquire", move |calls| {
            runtime.block_on(async {
                let begun = Instant::now();
                for number in 0..calls {
                    let permit = waits.acquire().await.expect("there is room");
                    answer(number).await.expect("it answers");
                    drop(permit);
                }
                begun.elapsed()
            })
        }),
        called("mainstay: call", |builder| builder.bare().bulkhead(wide())),
        towered("tower::limit", || ConcurrencyLimitLayer::new(1024).layer(tower::service_fn(answer))),
        towered("tower-resilience: bulkhead", || {
            let layer =
                BulkheadLayer::builder().max_concurrent_calls(1024).build().expect("settings that can be meant");
            layer.layer(tower::service_fn(answer))
        }),
    ];
    Group { name: "bulkhead", cases }
}

fn breakers() -> Group {
    let ours = Breaker::new(&BreakerSettings::default());
    let theirs = failsafe_breaker();
    let cases = vec![
        plain("mainstay: sync::Breaker", move |number| {
            ours.call(|| Ok::<_, Infallible>(std::hint::black_box(number))).expect("it answers");
        }),
        called("mainstay: call", |builder| builder.bare().breaker(BreakerSettings::default())),
        plain("failsafe, by rate in a window", move |number| {
            theirs.call(|| Ok::<_, Infallible>(std::hint::black_box(number))).expect("it answers");
        }),
        towered("tower-resilience: circuitbreaker", || breaker().layer(tower::service_fn(answer))),
    ];
    Group { name: "breaker", cases }
}

fn rate_limits() -> Group {
    let ours = RateLimiter::new(&rate());
    let theirs = Governor::direct(quota());
    let cases = vec![
        plain("mainstay: sync::RateLimiter", move |_| ours.try_acquire().expect("it is within")),
        plain("governor: direct", move |_| theirs.check().expect("it is within")),
        towered("tower-resilience: ratelimiter", || {
            let layer = RateLimiterLayer::per_second(RATE as usize).build().expect("settings that can be meant");
            layer.layer(tower::service_fn(answer))
        }),
    ];
    Group { name: "rate limit", cases }
}

fn keyed_limits() -> Group {
    let ours = RateLimiter::new(&rate());
    let theirs = Governor::keyed(quota());
    let cases = vec![
        plain("mainstay: sync::RateLimiter, 1000 keys", move |number| {
            ours.try_acquire_for(number % 1000).expect("it is within");
        }),
        plain("governor: keyed, 1000 keys", move |number| theirs.check_key(&(number % 1000)).expect("it is within")),
    ];
    Group { name: "rate limit by key", cases }
}

fn stack() -> Group {
    let cases = vec![
        called("mainstay: call, everything on", |builder| builder),
        fallen("mainstay: call, everything on, fallback"),
        layered("mainstay: layer, everything on", |builder| builder),
        towered("tower: timeout, limit, retry + t-r: breaker", || {
            ServiceBuilder::new()
                .layer(TimeoutLayer::new(LONG))
                .layer(breaker())
                .layer(ConcurrencyLimitLayer::new(1024))
                .layer(RetryLayer::new(ThreeTimes(3)))
                .layer(TimeoutLayer::new(Duration::from_secs(5)))
                .service(tower::service_fn(answer))
        }),
        towered("tower-resilience: the same, with fallback", || {
            let bulkhead =
                BulkheadLayer::builder().max_concurrent_calls(1024).build().expect("settings that can be meant");
            let inner = TimeLimiterLayer::builder()
                .timeout_duration(Duration::from_secs(5))
                .build()
                .layer(tower::service_fn(answer));
            let retried = ResilientRetry::exponential_backoff().build().layer(inner);
            let guarded = breaker().layer(bulkhead.layer(retried));
            let limited = TimeLimiterLayer::builder().timeout_duration(LONG).build().layer(guarded);
            FallbackLayer::value(0).layer(limited)
        }),
    ];
    Group { name: "the full stack", cases }
}

/// With a fallback at hand.
fn fallen(name: &'static str) -> Case {
    let runtime = runtime();
    let service = Mainstay::builder("bench").build().expect("settings that can be meant");
    case(name, move |calls| {
        runtime.block_on(async {
            let begun = Instant::now();
            for number in 0..calls {
                let call = service.call(Facts::idempotent(), |_| answer(number)).fallback(|_, _| Ok(0));
                call.await.expect("it answers");
            }
            begun.elapsed()
        })
    })
}
