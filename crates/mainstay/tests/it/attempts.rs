//! Attempts: how many, when, where, and what of them comes back.

use mainstay::{AttemptReason, BudgetSettings, Certainty, Error, Facts, HedgeAfter, HedgeSettings, RetrySettings};

use crate::world::{A, B, C, Script, in_words, ms, plain_retry, read, single, world};

#[test]
fn what_may_be_made_twice_is_tried_again_after_pauses_that_grow() {
    let (time, database) = single(|builder| builder.retry(plain_retry()));
    let script = Script::new(&time, &[(10, Err("lost")), (10, Err("lost")), (10, Ok("rows"))]);
    let rows = time.run(async { database.call(read(), script.attempt()).await });
    assert_eq!(rows.unwrap(), "rows");
    assert_eq!(script.moments(), [0, 35, 95]);
}

#[test]
fn what_must_not_be_made_twice_is_not() {
    let (time, database) = single(|builder| builder);
    let script = Script::new(&time, &[(10, Err("lost")), (10, Ok("paid"))]);
    let error = time.run(async { database.call(Facts::once(), script.attempt()).await }).unwrap_err();
    assert!(matches!(error, Error::Failed { error: "lost", attempts: 1, certainty: Certainty::Unknown }), "{error:?}");
    assert_eq!(script.moments(), [0]);
}

#[test]
fn what_was_not_sent_goes_elsewhere_at_once_whatever_it_is() {
    let (time, shop) = world(&[A, B], |builder| builder);
    let script = Script::new(&time, &[(1, Err("refused")), (1, Ok("paid"))]);
    let paid = time.run(async { shop.call(Facts::once(), script.attempt()).classify(in_words).await });
    assert_eq!(paid.unwrap(), "paid");
    assert_eq!(script.moments(), [0, 1]);
    let places = script.places();
    assert_ne!(places[0], places[1]);
}

#[test]
fn an_error_that_is_the_callers_own_is_its_answer() {
    let (time, database) = single(|builder| builder);
    let script = Script::new(&time, &[(1, Err("404"))]);
    let error = time.run(async { database.call(read(), script.attempt()).classify(in_words).await }).unwrap_err();
    assert_eq!((error.attempts(), error.certainty()), (1, Certainty::Applied));
    assert_eq!(error.into_inner(), Some("404"));
    assert_eq!(database.view().endpoints[0].failures, 0);
}

#[test]
fn the_error_of_the_last_attempt_comes_back() {
    let (time, database) = single(|builder| builder.retry(plain_retry()));
    let script = Script::new(&time, &[(1, Err("lost")), (1, Err("503")), (1, Err("malformed"))]);
    let error = time.run(async { database.call(read(), script.attempt()).classify(in_words).await }).unwrap_err();
    assert_eq!(error.to_string(), "failed after 3 attempt(s)");
    assert_eq!((error.certainty(), error.into_inner()), (Certainty::Applied, Some("malformed")));
}

#[test]
fn an_attempt_that_hangs_is_given_up_and_made_again() {
    let (time, database) = single(|builder| builder.attempt_timeout(ms(100)).retry(plain_retry()));
    let script = Script::new(&time, &[(60_000, Ok("late")), (1, Ok("rows"))]);
    let rows = time.run(async { database.call(read(), script.attempt()).await });
    assert_eq!(rows.unwrap(), "rows");
    assert_eq!(script.moments(), [0, 125]);
}

#[test]
fn a_call_is_over_when_its_time_is() {
    let (time, database) = single(|builder| builder.attempt_timeout(ms(400)).retry(plain_retry()));
    let script = Script::new(&time, &[(60_000, Ok("late"))]);
    let error = time.run(async { database.call(read(), script.attempt()).await }).unwrap_err();
    assert!(matches!(error, Error::TimedOut { error: None, attempts: 3, certainty: Certainty::Unknown }), "{error:?}");
    assert_eq!(script.moments(), [0, 425, 875]);
    assert_eq!(mainstay::time::Time::now(&time).as_nanos(), 1_000_000_000);
}

#[test]
fn an_attempt_is_told_what_is_left_and_why_it_is_made() {
    let (time, shop) = world(&[A, B], |builder| builder.retry(plain_retry()));
    let mut told = Vec::new();
    let answer = time.run(async {
        let attempt = |attempt: mainstay::Attempt| {
            told.push((attempt.number, attempt.why, attempt.left.as_millis()));
            let sleep = time.sleep(ms(10));
            let result = if told.len() < 2 { Err("lost") } else { Ok("page") };
            async move {
                sleep.await;
                result
            }
        };
        shop.call(read(), attempt).await
    });
    assert_eq!(answer.unwrap(), "page");
    assert_eq!(told, [(1, AttemptReason::First, 1000), (2, AttemptReason::Retry, 965)]);
}

#[test]
fn retries_end_with_their_budget() {
    let budget = BudgetSettings { cap: 2, per_second: 0, ..BudgetSettings::default() };
    let retry = RetrySettings { budget: Some(budget), ..plain_retry() };
    let (time, database) = single(|builder| builder.retry(retry).breaker(None));
    let script = Script::new(&time, &[(1, Err("lost"))]);
    for _ in 0..5 {
        time.run(async { database.call(read(), script.attempt()).await }).unwrap_err();
    }
    assert_eq!(script.moments().len(), 5 + 2);
    assert_eq!(database.view().budget, Some(0.0));
}

/// Hedges after 20 ms.
fn hedging(max: u32) -> HedgeSettings {
    HedgeSettings { after: HedgeAfter::Fixed(ms(20)), max }
}

#[test]
fn an_attempt_that_is_slow_is_outrun_by_another_at_another_endpoint() {
    let (time, shop) = world(&[A, B, C], |builder| builder.hedge(hedging(2)));
    let script = Script::new(&time, &[(500, Ok("first")), (500, Ok("second")), (5, Ok("third"))]);
    let page = time.run(async { shop.call(read(), script.attempt()).await });
    assert_eq!(page.unwrap(), "third");
    assert_eq!(script.moments(), [0, 20, 40]);
    let places: std::collections::HashSet<_> = script.places().into_iter().collect();
    assert_eq!(places.len(), 3);
    assert_eq!(shop.view().in_flight, 0, "whoever was outrun has given its permit back");
}

#[test]
fn a_hedge_is_not_made_for_what_must_not_be_made_twice() {
    let (time, shop) = world(&[A, B], |builder| builder.hedge(hedging(1)));
    let script = Script::new(&time, &[(100, Ok("paid"))]);
    time.run(async { shop.call(Facts::once(), script.attempt()).await }).unwrap();
    assert_eq!(script.moments(), [0]);
}

#[test]
fn the_first_answer_counts_even_if_it_is_the_slow_one() {
    let (time, shop) = world(&[A, B], |builder| builder.hedge(hedging(1)));
    let script = Script::new(&time, &[(30, Ok("slow")), (100, Ok("slower"))]);
    assert_eq!(time.run(async { shop.call(read(), script.attempt()).await }).unwrap(), "slow");
}

#[test]
fn while_one_attempt_runs_the_failure_of_another_is_not_the_end() {
    let (time, shop) = world(&[A, B], |builder| builder.retry(plain_retry()).hedge(hedging(1)));
    let script = Script::new(&time, &[(50, Ok("page")), (5, Err("lost"))]);
    assert_eq!(time.run(async { shop.call(read(), script.attempt()).await }).unwrap(), "page");
    assert_eq!(script.moments(), [0, 20]);
}
