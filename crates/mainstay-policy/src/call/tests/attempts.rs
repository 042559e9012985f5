//! The attempts: what is tried again, where, when, and what is not.

use super::*;

#[test]
fn a_call_that_goes_well() {
    check(
        2,
        &settings(),
        "
        +0ms GET a
        +1ms connected a 0
        +0ms sent a 0
        +9ms head a 0 200
        +5ms finished a
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms connected a 0
                a waits 4999ms at most: Attempt
            +0ms sent a 0
                a waits 4999ms at most: Attempt
            +9ms head a 0 200
                a: forward attempt 0
            +5ms finished a
        "#]],
    );
}

#[test]
fn what_was_not_sent_is_sent_elsewhere_at_once_whatever_its_method() {
    check(
        3,
        &settings(),
        "
        +0ms POST a
        +1ms failed a 0 refused not-sent
        +1ms failed a 1 refused not-sent
        +1ms head a 2 200
        +0ms finished a
    ",
        expect![[r#"
            +0ms POST a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms failed a 0 refused not-sent
                a: attempt 1 at endpoint 1 (Resend)
                a waits 1s at most: Connect
            +1ms failed a 1 refused not-sent
                a: attempt 2 at endpoint 2 (Resend)
                a waits 1s at most: Connect
            +1ms head a 2 200
                a: forward attempt 2
            +0ms finished a
        "#]],
    );
}

#[test]
fn with_one_endpoint_what_was_not_sent_waits_before_it_is_sent_there_again() {
    check(
        1,
        &settings(),
        "
        +0ms POST a
        +1ms failed a 0 refused not-sent
        +25ms wait
        +1ms head a 1 200
        +0ms finished a
    ",
        expect![[r#"
            +0ms POST a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms failed a 0 refused not-sent
                a waits 25ms at most: Backoff
            +25ms wait
                a: attempt 1 at endpoint 0 (Retry)
                a waits 1s at most: Connect
            +1ms head a 1 200
                a: forward attempt 1
            +0ms finished a
        "#]],
    );
}

#[test]
fn a_post_that_may_have_been_applied_is_not_sent_again() {
    check(
        2,
        &settings(),
        "
        +0ms POST a
        +1ms sent a 0
        +9ms failed a 0 reset unknown
    ",
        expect![[r#"
            +0ms POST a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms sent a 0
                a waits 14999ms at most: Call
            +9ms failed a 0 reset unknown
                a: refuse: reset (upstream after 1 attempts)
        "#]],
    );
}

#[test]
fn a_post_with_a_key_is_sent_again_where_the_service_honours_keys() {
    let mut settings = settings();
    settings.retry.as_mut().unwrap().idempotency_key = true;
    check(
        2,
        &settings,
        "
        +0ms POST a key
        +1ms sent a 0
        +9ms failed a 0 reset unknown
        +25ms wait
        +1ms head a 1 200
        +0ms finished a
        +0ms POST b
        +1ms sent b 0
        +9ms failed b 0 reset unknown
    ",
        expect![[r#"
            +0ms POST a key
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms sent a 0
                a waits 4999ms at most: Attempt
            +9ms failed a 0 reset unknown
                a waits 25ms at most: Backoff
            +25ms wait
                a: attempt 1 at endpoint 1 (Retry)
                a waits 1s at most: Connect
            +1ms head a 1 200
                a: forward attempt 1
            +0ms finished a
            +0ms POST b
                b: attempt 0 at endpoint 0 (First)
                b waits 1s at most: Connect
            +1ms sent b 0
                b waits 14999ms at most: Call
            +9ms failed b 0 reset unknown
                b: refuse: reset (upstream after 1 attempts)
        "#]],
    );
}

#[test]
fn a_bad_answer_is_tried_elsewhere_and_the_last_one_goes_down_and_says_so() {
    check(
        4,
        &settings(),
        "
        +0ms GET a
        +5ms head a 0 503
        +25ms wait
        +5ms head a 1 503
        +50ms wait
        +5ms head a 2 503
        +0ms finished a
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +5ms head a 0 503
                a: cancel attempt 0
                a waits 25ms at most: Backoff
            +25ms wait
                a: attempt 1 at endpoint 1 (Retry)
                a waits 1s at most: Connect
            +5ms head a 1 503
                a: cancel attempt 1
                a waits 50ms at most: Backoff
            +50ms wait
                a: attempt 2 at endpoint 2 (Retry)
                a waits 1s at most: Connect
            +5ms head a 2 503
                a: forward attempt 2, retries used up
            +0ms finished a
        "#]],
    );
}

#[test]
fn a_hung_endpoint_costs_an_attempt_timeout_and_the_last_attempt_has_the_rest_of_the_deadline() {
    check(
        2,
        &settings(),
        "
        +0ms GET a deadline=12s
        +1ms sent a 0
        +4999ms wait
        +25ms wait
        +5s wait
        +50ms wait
        +1ms sent a 2
        +1924ms wait
    ",
        expect![[r#"
            +0ms GET a deadline=12s
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms sent a 0
                a waits 4999ms at most: Attempt
            +4999ms wait
                a: cancel attempt 0
                a waits 25ms at most: Backoff
            +25ms wait
                a: attempt 1 at endpoint 1 (Retry)
                a waits 1s at most: Connect
            +5s wait
                a: cancel attempt 1
                a waits 50ms at most: Backoff
            +50ms wait
                a: attempt 2 at endpoint 0 (Retry)
                a waits 1s at most: Connect
            +1ms sent a 2
                a waits 1924ms at most: Call
            +1924ms wait
                a: cancel attempt 2
                a: refuse: deadline (upstream after 3 attempts)
        "#]],
    );
}

#[test]
fn a_connection_that_does_not_come_about_is_given_up_after_the_connect_timeout() {
    check(
        2,
        &settings(),
        "
        +0ms POST a
        +999ms wait
        +1ms wait
        +1ms connected a 1
        +1ms head a 1 201
        +1ms finished a
    ",
        expect![[r#"
            +0ms POST a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +999ms wait
                a waits 1ms at most: Connect
            +1ms wait
                a: cancel attempt 0
                a: attempt 1 at endpoint 1 (Resend)
                a waits 1s at most: Connect
            +1ms connected a 1
                a waits 13999ms at most: Call
            +1ms head a 1 201
                a: forward attempt 1
            +1ms finished a
        "#]],
    );
}

#[test]
fn another_mainstay_that_used_its_retries_up_is_not_asked_again() {
    check(
        2,
        &settings(),
        "
        +0ms GET a
        +1ms head a 0 503 retries-used
        +0ms finished a
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms head a 0 503 retries-used
                a: forward attempt 0, retries used up
            +0ms finished a
        "#]],
    );
}

#[test]
fn the_only_endpoint_is_given_the_time_that_it_asks_for() {
    check(
        1,
        &settings(),
        "
        +0ms GET a deadline=5s
        +1ms head a 0 503 retry-after=2s
        +2s wait
        +1ms head a 1 503 retry-after=9s
        +0ms finished a
    ",
        expect![[r#"
            +0ms GET a deadline=5s
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms head a 0 503 retry-after=2s
                a: cancel attempt 0
                a waits 2s at most: Backoff
            +2s wait
                a: attempt 1 at endpoint 0 (Retry)
                a waits 1s at most: Connect
            +1ms head a 1 503 retry-after=9s
                a: forward attempt 1
            +0ms finished a
        "#]],
    );
}

#[test]
fn an_empty_budget_ends_the_retries() {
    let mut settings = settings();
    settings.retry.as_mut().unwrap().budget.as_mut().unwrap().per_second = 0;
    settings.retry.as_mut().unwrap().budget.as_mut().unwrap().cap = 1;
    check(
        2,
        &settings,
        "
        +0ms GET a
        +1ms head a 0 503
        +25ms wait
        +1ms head a 1 503
        +0ms finished a
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms head a 0 503
                a: cancel attempt 0
                a waits 25ms at most: Backoff
            +25ms wait
                a: attempt 1 at endpoint 1 (Retry)
                a waits 1s at most: Connect
            +1ms head a 1 503
                a: forward attempt 1, retries used up
            +0ms finished a
        "#]],
    );
}

#[test]
fn a_long_body_commits_the_call_to_its_attempt() {
    let script = "
        +0ms GET a
        +1ms sent a 0
        +1ms long-body a
        +1ms failed a 0 reset unknown
    ";
    check(
        2,
        &settings(),
        script,
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms sent a 0
                a waits 4999ms at most: Attempt
            +1ms long-body a
                a waits 14998ms at most: Call
            +1ms failed a 0 reset unknown
                a: refuse: reset (upstream after 1 attempts)
        "#]],
    );
}

#[test]
fn a_body_that_keeps_coming_puts_the_deadline_off() {
    check(
        2,
        &settings(),
        "
        +0ms PUT a
        +1ms sent a 0
        +4s body a
        +4s body a
        +1s head a 0 200
        +0ms finished a
    ",
        expect![[r#"
            +0ms PUT a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms sent a 0
                a waits 4999ms at most: Attempt
            +4s body a
                a waits 5s at most: Attempt
            +4s body a
                a waits 5s at most: Attempt
            +1s head a 0 200
                a: forward attempt 0
            +0ms finished a
        "#]],
    );
}

/// A caller that stops in the middle of its request is no fault of the instance that waits for the rest.
#[test]
fn a_body_that_stops_coming_is_the_callers_fault() {
    check(
        1,
        &settings(),
        "
        +0ms POST a
        +1ms sent a 0
        +1s body a
        +0ms awaits-body a
        +15s wait
    ",
        expect![[r#"
            +0ms POST a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms sent a 0
                a waits 14999ms at most: Call
            +1s body a
                a waits 15s at most: Call
            +0ms awaits-body a
                a waits 15s at most: Call
            +15s wait
                a: cancel attempt 0
                a: refuse: slow_request (client after 1 attempts)
        "#]],
    );
}

#[test]
fn a_route_may_have_a_rule_of_its_own_for_retries() {
    let settings = settings();
    let mut stage = Stage::new(2, &settings);
    let facts = Facts {
        method: MethodClass::Safe,
        idempotency_key: false,
        hash: 0,
        deadline: Instant::from_nanos(1_000_000_000),
        covers_body: false,
        limited: false,
        priority: Priority::Normal,
        keyed: false,
        stale: false,
    };
    let mut call = Call::new(CallId(1), facts, Record::default());
    call.set_retry(Arc::new(None));
    call.handle_input(&mut stage.service, stage.now, Input::Begin);
    assert!(matches!(call.poll_output(), Some(Output::Attempt(_))));
    let head = AnswerFacts { status: 503, retry_after: None, retries_used: false, replaceable: false };
    call.handle_input(&mut stage.service, stage.now, Input::Head { attempt: 0, head });
    assert_eq!(call.poll_output(), Some(Output::Forward { attempt: 0, retries_used: false }));
}

#[test]
fn a_retry_that_finds_no_permit_is_not_made() {
    let mut settings = settings();
    settings.bulkhead.concurrency = Limit::At(1);
    check(
        2,
        &settings,
        "
        +0ms GET a
        +1ms head a 0 503
        +1ms GET b
        +24ms wait
        +1ms head b 0 200
        +1ms finished b
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms head a 0 503
                a: cancel attempt 0
                a waits 25ms at most: Backoff
            +1ms GET b
                b: attempt 0 at endpoint 1 (First)
                a waits 24ms at most: Backoff
                b waits 1s at most: Connect
            +24ms wait
                a: refuse: 503 (upstream after 1 attempts)
                b waits 976ms at most: Connect
            +1ms head b 0 200
                b: forward attempt 0
            +1ms finished b
        "#]],
    );
}
