//! What we lack or limit ourselves, which blames nobody.

use super::*;

/// Endpoints that are ejected by their first failure, and a breaker that opens by its own.
fn touchy() -> ServiceSettings {
    let mut settings = settings();
    settings.outlier.as_mut().unwrap().consecutive_failures = Some(1);
    settings.breaker.as_mut().unwrap().minimum_calls = 1;
    settings
}

#[test]
fn what_we_lack_ourselves_blames_nobody_and_is_not_tried_elsewhere() {
    let mut stage = play(2, &touchy(), "+0ms GET a\n+1ms unable a 0\n+0ms unable a 0\n+0ms GET b\n+0ms unable b 0");
    expect![[r#"
        +0ms GET a
            a: attempt 0 at endpoint 0 (First)
            a waits 1s at most: Connect
        +1ms unable a 0
            a: refuse: exhausted (us after 1 attempts, again after 2s)
        +0ms unable a 0
        +0ms GET b
            b: attempt 0 at endpoint 1 (First)
            b waits 1s at most: Connect
        +0ms unable b 0
            b: refuse: exhausted (us after 1 attempts, again after 2s)
    "#]]
    .assert_eq(&stage.told);
    assert_nobody_is_blamed(&mut stage);
}

#[track_caller]
fn assert_nobody_is_blamed(stage: &mut Stage) {
    let view = stage.service.view(stage.now);
    assert!(view.endpoints.iter().all(|endpoint| endpoint.state == crate::EndpointState::Ready), "{view:?}");
    assert!(view.endpoints.iter().all(|endpoint| endpoint.failures == 0 && endpoint.in_flight == 0), "{view:?}");
    assert_eq!((view.breaker, view.in_use), (BreakerState::Closed, 0));
}

#[test]
fn a_fallback_answers_for_what_we_lack_ourselves() {
    let mut settings = settings();
    settings.fallback.respond = true;
    check(
        2,
        &settings,
        "
        +0ms GET a
        +1ms unable a 0
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms unable a 0
                a: send the fixed answer
        "#]],
    );
}

#[test]
fn who_waits_for_a_connection_that_our_own_limit_holds_back_blames_nobody_for_it() {
    let script = "
        +0ms GET a
        +0ms waits a 0
        +1s wait
        +0ms GET b deadline=500ms
        +0ms waits b 0
        +500ms wait
    ";
    let mut stage = play(2, &touchy(), script);
    expect![[r#"
        +0ms GET a
            a: attempt 0 at endpoint 0 (First)
            a waits 1s at most: Connect
        +0ms waits a 0
            a waits 1s at most: Connect
        +1s wait
            a: cancel attempt 0
            a: refuse: exhausted (us after 1 attempts, again after 2s)
        +0ms GET b deadline=500ms
            b: attempt 0 at endpoint 1 (First)
            b waits 500ms at most: Call
        +0ms waits b 0
            b waits 500ms at most: Call
        +500ms wait
            b: cancel attempt 0
            b: refuse: exhausted (us after 1 attempts, again after 2s)
    "#]]
    .assert_eq(&stage.told);
    assert_nobody_is_blamed(&mut stage);
}

#[test]
fn a_caller_that_leaves_while_we_hold_its_attempt_back_blames_nobody() {
    let mut settings = touchy();
    settings.timeout.connect = Duration::from_secs(3);
    let mut stage = play(2, &settings, "+0ms GET a\n+0ms waits a 0\n+2s leaves a");
    assert_nobody_is_blamed(&mut stage);
}

#[test]
fn who_got_its_connection_after_a_wait_is_late_by_the_endpoints_fault() {
    check(
        2,
        &settings(),
        "
        +0ms GET a
        +0ms waits a 0
        +500ms connected a 0
        +0ms waits a 0
        +4500ms wait
        +0ms leaves a
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +0ms waits a 0
                a waits 1s at most: Connect
            +500ms connected a 0
                a waits 4500ms at most: Attempt
            +0ms waits a 0
                a waits 4500ms at most: Attempt
            +4500ms wait
                a: cancel attempt 0
                a: attempt 1 at endpoint 1 (Resend)
                a waits 1s at most: Connect
            +0ms leaves a
                a: cancel attempt 1
        "#]],
    );
}

/// Our own limit is no fault of the service: its breaker does not learn of it.
#[test]
fn endpoints_that_are_at_the_limit_that_we_set_are_busy_and_not_broken() {
    let mut settings = settings();
    settings.bulkhead.per_endpoint = Limit::At(1);
    settings.breaker.as_mut().unwrap().minimum_calls = 1;
    check(
        1,
        &settings,
        "
        +0ms GET a
        +0ms GET b
        +1ms head a 0 200
        +1ms finished a
        +0ms GET c
        +1ms head c 0 200
        +1ms finished c
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +0ms GET b
                b: refuse: exhausted (us after 0 attempts, again after 2s)
                a waits 1s at most: Connect
            +1ms head a 0 200
                a: forward attempt 0
            +1ms finished a
            +0ms GET c
                c: attempt 0 at endpoint 0 (First)
                c waits 1s at most: Connect
            +1ms head c 0 200
                c: forward attempt 0
            +1ms finished c
        "#]],
    );
}
