//! Rate limits before a service, and fallbacks that have to be asked.

use futures_util::future::join_all;
use mainstay::sync::RateLimiter;
use mainstay::time::Time;
use mainstay::{Error, Facts, OnExceeded, RateLimitSettings, Refusal, Service};

use crate::world::{Script, ms, plain_retry, read, single};

#[test]
fn each_customer_has_a_limit_of_its_own() {
    let settings = RateLimitSettings { burst: 2, ..RateLimitSettings::per_second(10) };
    let (time, _) = single(|builder| builder);
    let limiter = RateLimiter::with_time(&settings, time.clone());
    let mail = Service::builder("mail").rate_limit(limiter).time(time.clone()).build().unwrap();
    let send = |customer: &str| {
        let call = mail.call(Facts::once().counted_by(customer), |_| async { Ok::<_, ()>(()) });
        time.run(async { call.await })
    };
    assert!(send("a").is_ok() && send("a").is_ok() && send("b").is_ok());
    let error = send("a").unwrap_err();
    assert!(matches!(error, Error::Refused { reason: Refusal::RateLimited, attempts: 0, .. }), "{error:?}");
    assert_eq!(error.retry_after(), Some(ms(100)));
    time.advance(ms(100));
    assert!(send("a").is_ok());
}

#[test]
fn whoever_is_over_a_limit_that_queues_waits_for_its_place() {
    let on_exceeded = OnExceeded::Queue { timeout: ms(1000), calls: 10 };
    let settings = RateLimitSettings { burst: 1, on_exceeded, ..RateLimitSettings::per_second(10) };
    let (time, _) = single(|builder| builder);
    let first = RateLimiter::with_time(&settings, time.clone());
    let second = RateLimiter::with_time(&RateLimitSettings::per_second(1000), time.clone());
    let mail = Service::builder("mail").rate_limit(first).rate_limit(second).time(time.clone()).build().unwrap();
    let script = Script::new(&time, &[(1, Ok("sent"))]);
    let sent = time.run(join_all((0..4).map(|number| {
        // The third has too little time to wait for its place.
        let facts = Facts::once().within(ms(if number == 2 { 150 } else { 1000 }));
        let call = mail.call(facts, script.attempt());
        async { call.await.is_ok() }
    })));
    assert_eq!(sent, [true, true, false, true]);
    assert_eq!(script.moments(), [0, 100, 200]);
}

#[test]
fn a_call_that_is_dropped_while_it_waits_gives_its_place_back() {
    let on_exceeded = OnExceeded::Queue { timeout: ms(1000), calls: 10 };
    let settings = RateLimitSettings { burst: 1, on_exceeded, ..RateLimitSettings::per_second(10) };
    let (time, _) = single(|builder| builder);
    let mail = Service::builder("mail")
        .rate_limit(RateLimiter::with_time(&settings, time.clone()))
        .time(time.clone())
        .build()
        .unwrap();
    let call = || mail.call(Facts::once(), |_| async { Ok::<_, ()>(()) }).into_future();
    time.run(call()).unwrap();
    {
        let mut waiting = std::pin::pin!(call());
        let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(cx).is_pending());
    }
    time.run(call()).unwrap();
    assert_eq!(time.now().as_nanos(), 100_000_000);
}

#[test]
fn half_of_the_time_is_kept_for_a_fallback_that_has_to_be_asked() {
    let (time, search) = single(|builder| builder.retry(plain_retry()));
    let lite = Service::builder("lite").time(time.clone()).build().unwrap();
    let hangs = Script::new(&time, &[(60_000, Ok("late"))]);
    let quick = Script::new(&time, &[(50, Ok("some hits"))]);
    let call = search.call(read(), hangs.attempt()).fallback_call(|facts, error| {
        assert_eq!(error.attempts(), 3);
        let call = lite.call(*facts, quick.attempt());
        async { call.await }
    });
    assert_eq!(time.run(async { call.await }).unwrap(), "some hits");
    assert_eq!(quick.moments(), [hangs.moments()[2] + (1000 - hangs.moments()[2]) / 2]);
}

#[test]
fn a_fallback_that_hangs_ends_with_the_call() {
    let (time, search) = single(|builder| builder.retry(None));
    let script = Script::new(&time, &[(1, Err("lost"))]);
    let call = search.call(read(), script.attempt()).fallback_call(|_, _| std::future::pending());
    let error = time.run(async { call.await }).unwrap_err();
    assert!(matches!(error, Error::TimedOut { attempts: 1, .. }), "{error:?}");
    assert_eq!(time.now().as_nanos(), 1_000_000_000);
    assert_eq!(search.view().in_flight, 0);
}
