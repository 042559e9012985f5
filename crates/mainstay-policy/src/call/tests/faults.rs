//! Drills: faults that are meant, and what the call makes of them.

use super::*;

#[test]
fn an_aborted_attempt_is_tried_again_as_if_the_instance_had_failed() {
    check(
        2,
        &settings(),
        "+0ms fault abort 503 30s 0
         +0ms GET a
         +25ms wait
         +10ms head a 1 200",
        expect![[r#"
            +0ms fault abort 503 30s 0
            +0ms GET a
                a waits 25ms at most: Backoff
            +25ms wait
                a: attempt 1 at endpoint 1 (Retry)
                a waits 1s at most: Connect
            +10ms head a 1 200
                a: forward attempt 1
        "#]],
    );
}

#[test]
fn a_reset_may_have_had_an_effect_so_a_post_is_not_repeated() {
    check(
        2,
        &settings(),
        "+0ms fault reset - 30s
         +0ms POST a",
        expect![[r#"
            +0ms fault reset - 30s
            +0ms POST a
                a: refuse: reset (upstream after 1 attempts)
        "#]],
    );
}

#[test]
fn a_delayed_attempt_is_sent_later_and_then_has_time_to_connect() {
    check(
        2,
        &settings(),
        "+0ms fault delay 200 30s
         +0ms GET a
         +200ms wait
         +1ms connected a 0
         +10ms head a 0 200
         +1ms finished a",
        expect![[r#"
            +0ms fault delay 200 30s
            +0ms GET a
                a waits 200ms at most: Fault
            +200ms wait
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms connected a 0
                a waits 4799ms at most: Attempt
            +10ms head a 0 200
                a: forward attempt 0
            +1ms finished a
        "#]],
    );
}

#[test]
fn a_delay_past_the_attempts_time_is_a_timeout_and_the_other_endpoint_answers() {
    check(
        2,
        &settings(),
        "+0ms fault delay 60000 1m 0
         +0ms GET a
         +5s wait
         +25ms wait
         +10ms head a 1 200",
        expect![[r#"
            +0ms fault delay 60000 1m 0
            +0ms GET a
                a waits 5s at most: Attempt
            +5s wait
                a: cancel attempt 0
                a waits 25ms at most: Backoff
            +25ms wait
                a: attempt 1 at endpoint 1 (Retry)
                a waits 1s at most: Connect
            +10ms head a 1 200
                a: forward attempt 1
        "#]],
    );
}

#[test]
fn a_fault_ends_with_its_lease() {
    check(
        1,
        &settings(),
        "+0ms fault reset - 10s
         +10s GET a
         +5ms head a 0 200",
        expect![[r#"
            +0ms fault reset - 10s
            +10s GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +5ms head a 0 200
                a: forward attempt 0
        "#]],
    );
}

#[test]
fn drilled_failures_eject_as_real_ones_do() {
    let mut stage = Stage::new(2, &settings());
    stage.line("+0ms fault abort 503 1m");
    for call in 0..26_u8 {
        stage.line(&format!("+1ms POST {}", char::from(b'a' + call)));
    }
    let view = stage.service.view(stage.now);
    assert!(view.endpoints.iter().any(|endpoint| endpoint.ejections > 0), "{view:?}");
    assert!(view.fault.is_some());
}

#[test]
fn a_caller_that_leaves_a_delayed_attempt_leaves_nothing_behind() {
    check(
        2,
        &settings(),
        "+0ms fault delay 200 30s
         +0ms GET a
         +100ms leaves a",
        expect![[r#"
            +0ms fault delay 200 30s
            +0ms GET a
                a waits 200ms at most: Fault
            +100ms leaves a
                a: cancel attempt 0
        "#]],
    );
}
