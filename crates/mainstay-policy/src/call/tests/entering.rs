//! Before the first attempt: deadline, limits, breaker, bulkhead, and who can be asked at all.

use super::*;

#[test]
fn a_call_over_its_rate_limit_is_refused_and_no_fallback_answers_it() {
    let mut settings = settings();
    settings.fallback.respond = true;
    check(
        1,
        &settings,
        "
        +0ms GET a limited
        +0ms limits a over
        +0ms GET b limited
        +0ms limits b pass
        +1ms head b 0 200
        +0ms finished b
    ",
        expect![[r#"
            +0ms GET a limited
                a: ask the limits
            +0ms limits a over
                a: refuse: rate_limited (client after 0 attempts, again after 3s)
            +0ms GET b limited
                b: ask the limits
            +0ms limits b pass
                b: attempt 0 at endpoint 0 (First)
                b waits 1s at most: Connect
            +1ms head b 0 200
                b: forward attempt 0
            +0ms finished b
        "#]],
    );
}

#[test]
fn a_call_over_a_limit_that_queues_waits_for_its_place_and_then_asks_the_next_limit() {
    check(
        1,
        &settings(),
        "
        +0ms GET a limited
        +0ms limits a wait=40ms
        +39ms wait
        +1ms wait
        +0ms limits a wait=20ms
        +20ms wait
        +0ms limits a pass
        +1ms head a 0 200
        +0ms finished a
    ",
        expect![[r#"
            +0ms GET a limited
                a: ask the limits
            +0ms limits a wait=40ms
                a waits 40ms at most: Limit
            +39ms wait
                a waits 1ms at most: Limit
            +1ms wait
                a: ask the limits
            +0ms limits a wait=20ms
                a waits 20ms at most: Limit
            +20ms wait
                a: ask the limits
            +0ms limits a pass
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms head a 0 200
                a: forward attempt 0
            +0ms finished a
        "#]],
    );
}

#[test]
fn nobody_waits_for_a_place_past_the_deadline() {
    check(
        1,
        &settings(),
        "
        +0ms GET a limited deadline=50ms
        +0ms limits a wait=50ms
        +0ms GET b limited deadline=50ms
        +0ms limits b wait=49ms
        +10ms leaves b
    ",
        expect![[r#"
            +0ms GET a limited deadline=50ms
                a: ask the limits
            +0ms limits a wait=50ms
                a: refuse: rate_limited (client after 0 attempts, again after 50ms)
            +0ms GET b limited deadline=50ms
                b: ask the limits
            +0ms limits b wait=49ms
                b waits 49ms at most: Limit
            +10ms leaves b
        "#]],
    );
}

#[test]
fn what_a_limit_makes_a_call_wait_is_not_the_services_slowness() {
    let mut settings = settings();
    let breaker = settings.breaker.as_mut().unwrap();
    breaker.slow_call = Some(Duration::from_millis(500));
    breaker.minimum_calls = 1;
    check(
        1,
        &settings,
        "
        +0ms GET a limited
        +0ms limits a wait=600ms
        +600ms wait
        +0ms limits a pass
        +1ms head a 0 200
        +0ms finished a
        +0ms GET b
    ",
        expect![[r#"
            +0ms GET a limited
                a: ask the limits
            +0ms limits a wait=600ms
                a waits 600ms at most: Limit
            +600ms wait
                a: ask the limits
            +0ms limits a pass
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms head a 0 200
                a: forward attempt 0
            +0ms finished a
            +0ms GET b
                b: attempt 0 at endpoint 0 (First)
                b waits 1s at most: Connect
        "#]],
    );
}

#[test]
fn a_call_that_comes_too_late_is_not_begun() {
    check(
        1,
        &settings(),
        "+0ms GET a deadline=0s",
        expect![[r#"
        +0ms GET a deadline=0s
            a: refuse: deadline_passed (client after 0 attempts)
    "#]],
    );
}

#[test]
fn a_full_bulkhead_queues_in_order_and_then_refuses() {
    let mut settings = settings();
    settings.bulkhead.concurrency = Limit::At(1);
    settings.bulkhead.queue = 2;
    check(
        1,
        &settings,
        "
        +0ms GET a
        +0ms GET b
        +0ms GET c
        +0ms GET d
        +1ms head a 0 200
        +1ms finished a
        +1ms leaves c
        +1ms head b 0 200
        +1ms finished b
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +0ms GET b
                a waits 1s at most: Connect
                b waits 500ms at most: Queue
            +0ms GET c
                a waits 1s at most: Connect
                b waits 500ms at most: Queue
                c waits 500ms at most: Queue
            +0ms GET d
                d: refuse: queue_full (us after 0 attempts, again after 2s)
                a waits 1s at most: Connect
                b waits 500ms at most: Queue
                c waits 500ms at most: Queue
            +1ms head a 0 200
                a: forward attempt 0
                b waits 499ms at most: Queue
                c waits 499ms at most: Queue
            +1ms finished a
                b: attempt 0 at endpoint 0 (First)
                b waits 1s at most: Connect
                c waits 498ms at most: Queue
            +1ms leaves c
                b waits 999ms at most: Connect
            +1ms head b 0 200
                b: forward attempt 0
            +1ms finished b
        "#]],
    );
}

#[test]
fn a_more_important_call_takes_the_place_of_one_that_can_be_shed_and_its_turn_too() {
    let mut settings = settings();
    settings.bulkhead.concurrency = Limit::At(1);
    settings.bulkhead.queue = 2;
    check(
        1,
        &settings,
        "
        +0ms GET a
        +0ms GET b
        +0ms GET c sheddable
        +0ms GET d critical
        +0ms GET e sheddable
        +1ms head a 0 200
        +1ms finished a
        +0ms leaves d
        +0ms leaves b
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +0ms GET b
                a waits 1s at most: Connect
                b waits 500ms at most: Queue
            +0ms GET c sheddable
                a waits 1s at most: Connect
                b waits 500ms at most: Queue
                c waits 500ms at most: Queue
            +0ms GET d critical
                c: refuse: displaced (us after 0 attempts, again after 1s)
                a waits 1s at most: Connect
                b waits 500ms at most: Queue
                d waits 500ms at most: Queue
            +0ms GET e sheddable
                e: refuse: queue_full (us after 0 attempts, again after 1s)
                a waits 1s at most: Connect
                b waits 500ms at most: Queue
                d waits 500ms at most: Queue
            +1ms head a 0 200
                a: forward attempt 0
                b waits 499ms at most: Queue
                d waits 499ms at most: Queue
            +1ms finished a
                d: attempt 0 at endpoint 0 (First)
                b waits 498ms at most: Queue
                d waits 1s at most: Connect
            +0ms leaves d
                d: cancel attempt 0
                b: attempt 0 at endpoint 0 (First)
                b waits 1s at most: Connect
            +0ms leaves b
                b: cancel attempt 0
        "#]],
    );
}

#[test]
fn a_call_that_would_wait_past_its_deadline_is_refused_at_once() {
    let mut settings = settings();
    settings.bulkhead.concurrency = Limit::At(1);
    check(
        1,
        &settings,
        "
        +0ms GET a
        +20ms head a 0 200
        +0ms GET b deadline=15ms
        +0ms GET c deadline=100ms
        +85ms finished a
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +20ms head a 0 200
                a: forward attempt 0
            +0ms GET b deadline=15ms
                b: refuse: hopeless (us after 0 attempts, again after 2s)
            +0ms GET c deadline=100ms
                c waits 100ms at most: Call
            +85ms finished a
                c: refuse: hopeless (us after 0 attempts, again after 1s)
        "#]],
    );
}

#[test]
fn whoever_waits_too_long_is_refused() {
    let mut settings = settings();
    settings.bulkhead.concurrency = Limit::At(1);
    check(
        1,
        &settings,
        "
        +0ms GET a
        +0ms GET b
        +500ms wait
        +1ms head a 0 200
        +1ms finished a
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +0ms GET b
                a waits 1s at most: Connect
                b waits 500ms at most: Queue
            +500ms wait
                b: refuse: queue_timeout (us after 0 attempts, again after 2s)
                a waits 500ms at most: Connect
            +1ms head a 0 200
                a: forward attempt 0
            +1ms finished a
        "#]],
    );
}

#[test]
fn an_open_breaker_answers_at_once() {
    check(
        1,
        &settings(),
        "
        +0ms breaker open
        +0ms GET a
        +0ms breaker auto
        +0ms GET b
        +1ms head b 0 200
        +0ms finished b
    ",
        expect![[r#"
            +0ms breaker open
            +0ms GET a
                a: refuse: breaker_open (us after 0 attempts, again after 10s)
            +0ms breaker auto
            +0ms GET b
                b: attempt 0 at endpoint 0 (First)
                b waits 1s at most: Connect
            +1ms head b 0 200
                b: forward attempt 0
            +0ms finished b
        "#]],
    );
}

#[test]
fn a_drained_service_says_that_nothing_is_usable() {
    check(
        1,
        &settings(),
        "
        +0ms drain 0
        +0ms GET a
    ",
        expect![[r#"
            +0ms drain 0
            +0ms GET a
                a: refuse: no_endpoint (upstream after 0 attempts)
        "#]],
    );
}

/// A half-open breaker whose probe vanished stayed half-open for ever in resilience4j (issue 903) and Polly (issue 216).
#[test]
fn a_half_open_breaker_outlives_a_probe_that_vanishes() {
    let mut settings = settings();
    settings.retry = None;
    let breaker = settings.breaker.as_mut().unwrap();
    (breaker.minimum_calls, breaker.half_open_calls) = (1, 1);
    check(
        1,
        &settings,
        "
        +0ms GET a
        +1ms head a 0 500
        +0ms finished a
        +0ms GET b
        +1s GET c
        +0ms drop c
        +0ms GET d
        +1ms leaves d
        +0ms GET e
        +1ms head e 0 200
        +0ms finished e
        +0ms GET f
        +1ms head f 0 200
        +0ms finished f
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms head a 0 500
                a: forward attempt 0
            +0ms finished a
            +0ms GET b
                b: refuse: breaker_open (us after 0 attempts, again after 1s)
            +1s GET c
                c: attempt 0 at endpoint 0 (First)
                c waits 1s at most: Connect
            +0ms drop c
            +0ms GET d
                d: attempt 0 at endpoint 0 (First)
                d waits 1s at most: Connect
            +1ms leaves d
                d: cancel attempt 0
            +0ms GET e
                e: attempt 0 at endpoint 0 (First)
                e waits 1s at most: Connect
            +1ms head e 0 200
                e: forward attempt 0
            +0ms finished e
            +0ms GET f
                f: attempt 0 at endpoint 0 (First)
                f waits 1s at most: Connect
            +1ms head f 0 200
                f: forward attempt 0
            +0ms finished f
        "#]],
    );
}

/// An endpoint that refused connections is well again with the first check that passes.
#[test]
fn a_restarted_instance_is_used_with_its_first_passing_check() {
    let mut settings = settings();
    settings.health = Some(HealthSettings::new(Probe::Tcp));
    check(
        2,
        &settings,
        "
        +0ms check 1 fail
        +0ms GET a
        +1ms head a 0 200
        +0ms finished a
        +0ms GET b
        +1ms head b 0 200
        +0ms finished b
        +0ms check 1 pass
        +0ms GET c
        +1ms head c 0 200
        +0ms finished c
        +0ms GET d
        +1ms head d 0 200
        +0ms finished d
    ",
        expect![[r#"
            +0ms check 1 fail
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms head a 0 200
                a: forward attempt 0
            +0ms finished a
            +0ms GET b
                b: attempt 0 at endpoint 1 (First)
                b waits 1s at most: Connect
            +1ms head b 0 200
                b: forward attempt 0
            +0ms finished b
            +0ms check 1 pass
            +0ms GET c
                c: attempt 0 at endpoint 0 (First)
                c waits 1s at most: Connect
            +1ms head c 0 200
                c: forward attempt 0
            +0ms finished c
            +0ms GET d
                d: attempt 0 at endpoint 1 (First)
                d waits 1s at most: Connect
            +1ms head d 0 200
                d: forward attempt 0
            +0ms finished d
        "#]],
    );
}

#[test]
fn of_two_calls_with_one_key_the_second_waits_for_the_first_answer() {
    check(
        1,
        &settings(),
        "
        +0ms POST a keyed limited
        +0ms limits a pass
        +0ms key a first
        +0ms POST b keyed
        +1ms key b waits
        +1ms head a 0 201
        +1ms key b replay
        +1ms finished a
    ",
        expect![[r#"
            +0ms POST a keyed limited
                a: ask the limits
            +0ms limits a pass
                a: ask for the key
            +0ms key a first
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +0ms POST b keyed
                b: ask for the key
                a waits 1s at most: Connect
            +1ms key b waits
                a waits 999ms at most: Connect
                b waits 14999ms at most: Key
            +1ms head a 0 201
                a: forward attempt 0
                b waits 14998ms at most: Key
            +1ms key b replay
                b: give the first answer again
            +1ms finished a
        "#]],
    );
}

#[test]
fn a_call_that_cannot_wait_for_the_first_of_its_key_is_told_so() {
    check(
        1,
        &settings(),
        "
        +0ms POST a keyed deadline=1s
        +0ms key a waits
        +1s wait
        +0ms POST b keyed
        +0ms key b reused
    ",
        expect![[r#"
            +0ms POST a keyed deadline=1s
                a: ask for the key
            +0ms key a waits
                a waits 1s at most: Key
            +1s wait
                a: refuse: key_in_progress (client after 0 attempts, again after 1s)
            +0ms POST b keyed
                b: ask for the key
            +0ms key b reused
                b: refuse: key_reused (client after 0 attempts)
        "#]],
    );
}

#[test]
fn the_first_of_its_key_goes_on_without_its_caller_once_something_was_sent() {
    let mut stage = play(
        1,
        &settings(),
        "
        +0ms POST a keyed
        +0ms key a first
        +1ms connected a 0
    ",
    );
    let now = stage.now;
    assert!(!stage.calls.get_mut(&1).unwrap().go_on_alone(now), "nothing was sent: it may be carried out later");
    stage.line("+1ms sent a 0");
    assert!(stage.calls.get_mut(&1).unwrap().go_on_alone(now));
    stage.line("+1ms head a 0 201");
    let call = stage.calls.get_mut(&1).unwrap();
    let answer = WholeAnswer { status: 201, retry_after: false, kept: true };
    assert_eq!(call.release_key(&stage.service, Some(answer), false), Some(KeyEnd::Kept));
    assert_eq!(call.release_key(&stage.service, None, false), None, "decided once");
}

#[track_caller]
fn key_after(script: &str, answer: Option<u16>) -> KeyEnd {
    let mut stage = play(2, &settings(), &format!("+0ms POST a keyed\n+0ms key a first\n{script}"));
    let answer = answer.map(|status| WholeAnswer { status, retry_after: status == 503, kept: true });
    stage.calls.get_mut(&1).unwrap().release_key(&stage.service, answer, false).unwrap()
}

#[test]
fn a_key_is_free_again_only_when_nothing_can_have_been_done() {
    assert_eq!(key_after("+1ms failed a 0 refused not-sent\n+1ms failed a 1 refused not-sent", None), KeyEnd::Free);
    assert_eq!(key_after("+1ms sent a 0\n+1ms failed a 0 reset unknown", None), KeyEnd::Unknown);
    assert_eq!(key_after("+1ms sent a 0\n+15s wait", None), KeyEnd::Unknown);
    assert_eq!(key_after("+1ms sent a 0\n+1ms leaves a", None), KeyEnd::Unknown);
    assert_eq!(key_after("+1ms leaves a", None), KeyEnd::Free);
    assert_eq!(key_after("+1ms head a 0 429", Some(429)), KeyEnd::Free);
    assert_eq!(key_after("+1ms head a 0 503", Some(503)), KeyEnd::Free);
    assert_eq!(key_after("+1ms head a 0 500", Some(500)), KeyEnd::Kept);
    assert_eq!(key_after("+1ms head a 0 201\n+1ms broken a", None), KeyEnd::Unknown);
}
