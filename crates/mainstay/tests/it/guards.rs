//! What stands before a call: breaker, bulkhead; and what answers in its place.

use futures_util::future::join_all;
use mainstay::{
    Adaptive, BreakerOrder, BreakerSettings, BreakerView, BulkheadSettings, Error, Facts, Limit, Origin, Priority,
    Refusal,
};

use crate::world::{Script, ms, plain_retry, read, single};

fn breaker(minimum_calls: u32) -> BreakerSettings {
    BreakerSettings { minimum_calls, ..BreakerSettings::default() }
}

fn bulkhead(concurrency: u32, queue: u32) -> BulkheadSettings {
    BulkheadSettings {
        concurrency: Limit::At(concurrency),
        adaptive: Adaptive::Off,
        queue,
        queue_timeout: ms(100),
        ..BulkheadSettings::default()
    }
}

#[test]
fn a_dependency_that_fails_is_left_alone_and_asked_again_when_it_may_be_well() {
    let (time, database) = single(|builder| builder.breaker(breaker(20)).retry(None));
    let fails = Script::new(&time, &[(1, Err("lost"))]);
    for _ in 0..20 {
        time.run(async { database.call(read(), fails.attempt()).await }).unwrap_err();
    }
    assert!(matches!(database.view().breaker, BreakerView::Open(_)));
    let error = time.run(async { database.call(read(), fails.attempt()).await }).unwrap_err();
    assert!(matches!(error, Error::Refused { reason: Refusal::BreakerOpen, attempts: 0, .. }), "{error:?}");
    assert_eq!((error.origin(), error.retry_after()), (Origin::Us, Some(ms(1000))));
    assert_eq!(fails.moments().len(), 20);

    time.advance(ms(1000));
    let well = Script::new(&time, &[(1, Ok("rows"))]);
    for _ in 0..5 {
        time.run(async { database.call(read(), well.attempt()).await }).unwrap();
    }
    assert_eq!(database.view().breaker, BreakerView::Closed);
}

#[test]
fn a_fallback_answers_when_attempts_fail_when_the_breaker_is_open_and_when_time_is_over() {
    let (time, database) = single(|builder| builder.retry(plain_retry()));
    let kept = |facts: Facts, script: &Script| {
        let call = database.call(facts, script.attempt()).fallback(|_, error| match error.attempts() {
            0 => Ok("kept, unasked"),
            _ => Ok("kept"),
        });
        time.run(async { call.await }).unwrap()
    };
    assert_eq!(kept(read(), &Script::new(&time, &[(1, Err("lost"))])), "kept");
    assert_eq!(kept(read(), &Script::new(&time, &[(60_000, Ok("late"))])), "kept");
    assert_eq!(kept(read(), &Script::new(&time, &[(1, Ok("rows"))])), "rows");
    database.order_breaker(BreakerOrder::Open);
    assert_eq!(database.view().breaker, BreakerView::ForcedOpen);
    assert_eq!(kept(read(), &Script::new(&time, &[(1, Ok("rows"))])), "kept, unasked");
}

#[test]
fn a_fallback_that_has_nothing_gives_the_error_back() {
    let (time, database) = single(|builder| builder.retry(None));
    let script = Script::new(&time, &[(1, Err("lost"))]);
    let call = database.call(read(), script.attempt()).fallback(|_, error| Err(error));
    assert_eq!(time.run(async { call.await }).unwrap_err().into_inner(), Some("lost"));
}

#[test]
fn no_more_run_than_may_and_whoever_waits_gets_its_turn() {
    let (time, database) = single(|builder| builder.bulkhead(bulkhead(2, 2)));
    let script = Script::new(&time, &[(50, Ok("rows"))]);
    let all = time.run(async {
        let calls = (0..5).map(|_| async { database.call(read(), script.attempt()).await });
        join_all(calls).await
    });
    assert_eq!(script.moments(), [0, 0, 50, 50]);
    let refused: Vec<_> = all.into_iter().filter_map(Result::err).collect();
    assert!(matches!(refused[..], [Error::Refused { reason: Refusal::QueueFull, .. }]), "{refused:?}");
    assert!(refused[0].retry_after().is_some());
}

#[test]
fn nobody_waits_longer_than_may_be_waited() {
    let (time, database) = single(|builder| builder.bulkhead(bulkhead(1, 1)));
    let script = Script::new(&time, &[(500, Ok("rows"))]);
    let all = time.run(async {
        let calls = (0..2).map(|_| async { database.call(read(), script.attempt()).await });
        join_all(calls).await
    });
    assert!(matches!(all[1], Err(Error::Refused { reason: Refusal::QueueTimeout, .. })), "{all:?}");
    assert_eq!(script.moments(), [0]);
}

#[test]
fn what_matters_most_comes_first() {
    let (time, database) = single(|builder| builder.bulkhead(bulkhead(1, 2)));
    let script = Script::new(&time, &[(10, Ok("rows"))]);
    let ended = std::cell::RefCell::new(Vec::new());
    time.run(async {
        let call = |priority| {
            let (database, script, ended) = (&database, &script, &ended);
            async move {
                let answer = database.call(read().priority(priority), script.attempt()).await;
                ended.borrow_mut().push((priority, answer.is_ok()));
            }
        };
        join_all([Priority::Normal, Priority::Normal, Priority::Critical].map(call)).await
    });
    assert_eq!(ended.into_inner(), [(Priority::Normal, true), (Priority::Critical, true), (Priority::Normal, true)]);
}

#[test]
fn a_retry_takes_a_free_permit_or_is_not_made() {
    let (time, database) = single(|builder| builder.bulkhead(bulkhead(1, 1)).retry(plain_retry()));
    let script = Script::new(&time, &[(10, Err("lost")), (60, Ok("rows"))]);
    let all = time.run(async {
        let calls = (0..2).map(|_| async { database.call(read(), script.attempt()).await });
        join_all(calls).await
    });
    assert_eq!(script.moments(), [0, 10], "the permit went to the one that waited");
    assert_eq!(all[0].as_ref().unwrap_err().attempts(), 1);
    assert!(all[1].is_ok());
}
