//! Hedges: when another attempt is made beside one that is slow, what becomes of both, and when none is made.

use mainstay_core::Ratio;

use super::*;
use crate::BudgetSettings;

/// A hedge after 20 ms.
fn hedging() -> ServiceSettings {
    let mut settings = settings();
    settings.retry.as_mut().unwrap().hedge =
        Some(HedgeSettings { after: HedgeAfter::Fixed(Duration::from_millis(20)), max: 1 });
    settings
}

fn in_flight(stage: &mut Stage) -> Vec<u32> {
    stage.service.view(stage.now).endpoints.iter().map(|endpoint| endpoint.in_flight).collect()
}

fn decisions(stage: &Stage, call: u64) -> Vec<Decision> {
    stage.calls[&call].record().entries().iter().map(|entry| entry.what).collect()
}

#[test]
fn a_slow_attempt_is_joined_by_another_elsewhere_and_the_first_good_head_wins() {
    check(
        3,
        &hedging(),
        "
        +0ms GET a
        +1ms sent a 0
        +19ms wait
        +1ms sent a 1
        +4ms head a 1 200
        +5ms finished a
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 20ms at most: Hedge
            +1ms sent a 0
                a waits 19ms at most: Hedge
            +19ms wait
                a: attempt 1 at endpoint 1 (Hedge)
                a waits 1s at most: Connect
            +1ms sent a 1
                a waits 4979ms at most: Attempt
            +4ms head a 1 200
                a: forward attempt 1
                a: cancel attempt 0
            +5ms finished a
        "#]],
    );
}

#[test]
fn the_first_may_still_win() {
    check(
        2,
        &hedging(),
        "
        +0ms GET a
        +1ms sent a 0
        +19ms wait
        +2ms head a 0 200
        +5ms finished a
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 20ms at most: Hedge
            +1ms sent a 0
                a waits 19ms at most: Hedge
            +19ms wait
                a: attempt 1 at endpoint 1 (Hedge)
                a waits 1s at most: Connect
            +2ms head a 0 200
                a: forward attempt 0
                a: cancel attempt 1
            +5ms finished a
        "#]],
    );
}

#[test]
fn who_is_outrun_has_not_failed_but_is_learned_to_be_slow() {
    let mut stage = play(
        2,
        &hedging(),
        "
        +0ms GET a
        +20ms wait
        +3ms head a 1 200
    ",
    );
    let outpaced = Decision::Outpaced { attempt: 0, by: 1, certainty: Certainty::NotSent };
    assert_eq!(decisions(&stage, 1)[3], outpaced);
    assert_eq!(in_flight(&mut stage), [0, 1]);
    let view = stage.service.view(stage.now);
    let [slow, quick] = &view.endpoints[..] else { panic!() };
    assert_eq!((slow.failures, slow.latency), (0, Some(Duration::from_millis(23))));
    assert_eq!((quick.successes, quick.latency), (1, Some(Duration::from_millis(3))));
}

#[test]
fn the_endpoint_of_a_call_is_the_one_that_answered() {
    let stage = play(2, &hedging(), "+0ms GET a\n+20ms wait\n+1ms head a 0 200");
    assert_eq!(stage.calls[&1].last_endpoint().map(|endpoint| endpoint.slot), Some(0));
}

#[test]
fn an_endpoint_that_is_only_ever_outrun_looks_slower_each_time() {
    let mut stage = Stage::new(2, &hedging());
    for call in ['a', 'b', 'c'] {
        stage.line(&format!("+0ms GET {call}"));
        stage.line("+20ms wait");
        stage.line(&format!("+3ms head {call} 1 200"));
        stage.line(&format!("+0ms finished {call}"));
    }
    let latency = stage.service.view(stage.now).endpoints[0].latency.unwrap();
    assert!(latency > Duration::from_millis(25), "its patience alone is 23 ms: {latency}");
}

#[test]
fn a_call_ends_only_when_no_attempt_is_left() {
    check(
        3,
        &hedging(),
        "
        +0ms GET a
        +1ms sent a 0
        +19ms wait
        +1ms sent a 1
        +1ms failed a 0 reset unknown
        +1ms head a 1 503
        +50ms wait
        +3ms head a 2 200
        +0ms finished a
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 20ms at most: Hedge
            +1ms sent a 0
                a waits 19ms at most: Hedge
            +19ms wait
                a: attempt 1 at endpoint 1 (Hedge)
                a waits 1s at most: Connect
            +1ms sent a 1
                a waits 4979ms at most: Attempt
            +1ms failed a 0 reset unknown
                a waits 4998ms at most: Attempt
            +1ms head a 1 503
                a: cancel attempt 1
                a waits 50ms at most: Backoff
            +50ms wait
                a: attempt 2 at endpoint 2 (Retry)
                a waits 1s at most: Connect
            +3ms head a 2 200
                a: forward attempt 2
            +0ms finished a
        "#]],
    );
}

#[test]
fn a_bad_answer_is_not_forwarded_while_another_attempt_may_bring_a_good_one() {
    check(
        2,
        &hedging(),
        "
        +0ms GET a
        +20ms wait
        +1ms head a 0 501
        +1ms head a 1 200
        +0ms finished a
        +0ms GET b
        +20ms wait
        +1ms head b 0 404
        +0ms finished b
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 20ms at most: Hedge
            +20ms wait
                a: attempt 1 at endpoint 1 (Hedge)
                a waits 980ms at most: Connect
            +1ms head a 0 501
                a: cancel attempt 0
                a waits 999ms at most: Connect
            +1ms head a 1 200
                a: forward attempt 1
            +0ms finished a
            +0ms GET b
                b: attempt 0 at endpoint 0 (First)
                b waits 20ms at most: Hedge
            +20ms wait
                b: attempt 1 at endpoint 1 (Hedge)
                b waits 980ms at most: Connect
            +1ms head b 0 404
                b: forward attempt 0
                b: cancel attempt 1
            +0ms finished b
        "#]],
    );
}

#[test]
fn a_failure_brings_the_next_attempt_at_once() {
    let mut two = hedging();
    two.retry.as_mut().unwrap().hedge.as_mut().unwrap().max = 2;
    check(
        4,
        &two,
        "
        +0ms GET a
        +20ms wait
        +1ms head a 1 503
        +1ms head a 2 200
        +0ms finished a
        +0ms GET b
        +5ms head b 0 503
        +1ms head b 1 200
        +0ms finished b
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 20ms at most: Hedge
            +20ms wait
                a: attempt 1 at endpoint 1 (Hedge)
                a waits 20ms at most: Hedge
            +1ms head a 1 503
                a: cancel attempt 1
                a: attempt 2 at endpoint 2 (Hedge)
                a waits 979ms at most: Connect
            +1ms head a 2 200
                a: forward attempt 2
                a: cancel attempt 0
            +0ms finished a
            +0ms GET b
                b: attempt 0 at endpoint 3 (First)
                b waits 20ms at most: Hedge
            +5ms head b 0 503
                b: cancel attempt 0
                b: attempt 1 at endpoint 0 (Retry)
                b waits 20ms at most: Hedge
            +1ms head b 1 200
                b: forward attempt 1
            +0ms finished b
        "#]],
    );
}

#[test]
fn a_hedge_that_was_not_sent_goes_elsewhere_for_nothing() {
    let mut settings = hedging();
    settings.retry.as_mut().unwrap().budget = Some(BudgetSettings { share: Ratio::ZERO, per_second: 0, cap: 1 });
    check(
        3,
        &settings,
        "
        +0ms GET a
        +20ms wait
        +1ms failed a 1 refused not-sent
        +1ms head a 2 200
        +0ms finished a
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 20ms at most: Hedge
            +20ms wait
                a: attempt 1 at endpoint 1 (Hedge)
                a waits 980ms at most: Connect
            +1ms failed a 1 refused not-sent
                a: attempt 2 at endpoint 2 (Resend)
                a waits 979ms at most: Connect
            +1ms head a 2 200
                a: forward attempt 2
                a: cancel attempt 0
            +0ms finished a
        "#]],
    );
}

#[test]
fn hedges_and_retries_are_paid_from_one_budget() {
    let mut settings = hedging();
    settings.retry.as_mut().unwrap().budget = Some(BudgetSettings { share: Ratio::ZERO, per_second: 0, cap: 1 });
    check(
        4,
        &settings,
        "
        +0ms GET a
        +20ms wait
        +0ms GET b
        +20ms wait
        +1ms head a 0 200
        +0ms finished a
        +0ms head b 0 503
        +0ms finished b
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 20ms at most: Hedge
            +20ms wait
                a: attempt 1 at endpoint 1 (Hedge)
                a waits 980ms at most: Connect
            +0ms GET b
                b: attempt 0 at endpoint 2 (First)
                a waits 980ms at most: Connect
                b waits 20ms at most: Hedge
            +20ms wait
                a waits 960ms at most: Connect
                b waits 980ms at most: Connect
            +1ms head a 0 200
                a: forward attempt 0
                a: cancel attempt 1
                b waits 979ms at most: Connect
            +0ms finished a
                b waits 979ms at most: Connect
            +0ms head b 0 503
                b: forward attempt 0, retries used up
            +0ms finished b
        "#]],
    );
}

#[test]
fn a_hedge_takes_a_permit_that_is_free_and_never_waits_for_one() {
    let mut settings = hedging();
    settings.bulkhead.concurrency = Limit::At(1);
    let stage = play(2, &settings, "+0ms GET a\n+20ms wait\n+1ms head a 0 200\n+0ms finished a");
    assert!(decisions(&stage, 1).contains(&Decision::NoHedge { why: NoRetry::NoPermit }));
}

#[test]
fn what_can_be_shed_makes_no_second_attempt_from_the_fifth_that_is_for_others() {
    let mut settings = hedging();
    settings.bulkhead.concurrency = Limit::At(5);
    let others = "+0ms GET b\n+0ms GET c\n+0ms GET d\n";
    for (priority, hedged) in [("sheddable", false), ("normal", true)] {
        let stage = play(6, &settings, &format!("+0ms GET a {priority}\n{others}+20ms wait"));
        assert_eq!(stage.calls[&1].attempts() > 1, hedged, "{priority}");
    }
    settings.retry.as_mut().unwrap().hedge = None;
    for (priority, retried) in [("sheddable", false), ("normal", true)] {
        let fails = "+1ms failed a 0 reset unknown\n+0ms GET e\n+25ms wait";
        let stage = play(6, &settings, &format!("+0ms GET a {priority}\n{others}{fails}"));
        assert_eq!(stage.calls[&1].attempts() > 1, retried, "{priority}");
    }
}

#[test]
fn no_hedge_is_made_where_a_second_sending_could_do_harm_or_no_good() {
    let hedged = |endpoints, settings: &ServiceSettings, script: &str| {
        let stage = play(endpoints, settings, script);
        stage.calls[&1].attempts() > 1
    };
    let (on, mut once) = (hedging(), hedging());
    once.retry.as_mut().unwrap().attempts = 1;
    assert!(hedged(2, &on, "+0ms GET a\n+20ms wait"));
    assert!(!hedged(2, &settings(), "+0ms GET a\n+20ms wait"), "it is off");
    assert!(!hedged(2, &on, "+0ms POST a\n+20ms wait"), "not idempotent");
    assert!(!hedged(2, &on, "+0ms PUT a\n+0ms long-body a\n+20ms wait"), "its body is gone");
    assert!(!hedged(2, &on, "+0ms PUT a\n+0ms awaits-body a\n+20ms wait"), "the caller is slow, not the instance");
    assert!(!hedged(1, &on, "+0ms GET a\n+20ms wait"), "there is no other place");
    assert!(!hedged(2, &on, "+0ms GET a deadline=15ms\n+14ms wait"), "there is no time");
    assert!(!hedged(2, &on, "+0ms GET a\n+0ms breaker open\n+20ms wait"), "the breaker is open");
    assert!(!hedged(2, &once, "+0ms GET a\n+20ms wait"), "it may be tried once");
}

#[test]
fn a_post_with_a_key_is_hedged_where_the_service_honours_keys() {
    let mut settings = hedging();
    settings.retry.as_mut().unwrap().idempotency_key = true;
    let stage = play(2, &settings, "+0ms POST a key\n+20ms wait");
    assert_eq!(stage.calls[&1].attempts(), 2);
}

#[test]
fn the_deadline_ends_all_attempts() {
    check(
        2,
        &hedging(),
        "
        +0ms GET a deadline=100ms
        +20ms wait
        +80ms wait
    ",
        expect![[r#"
            +0ms GET a deadline=100ms
                a: attempt 0 at endpoint 0 (First)
                a waits 20ms at most: Hedge
            +20ms wait
                a: attempt 1 at endpoint 1 (Hedge)
                a waits 80ms at most: Call
            +80ms wait
                a: cancel attempt 0
                a: cancel attempt 1
                a: refuse: deadline (upstream after 2 attempts)
        "#]],
    );
}

#[test]
fn a_caller_who_leaves_ends_all_attempts() {
    let mut stage = play(2, &hedging(), "+0ms GET a\n+1ms sent a 0\n+19ms wait\n+5ms leaves a");
    let cancelled = |attempt, certainty| Decision::Cancelled { attempt, certainty };
    let decisions = decisions(&stage, 1);
    assert!(
        decisions.contains(&cancelled(0, Certainty::Unknown)) && decisions.contains(&cancelled(1, Certainty::NotSent))
    );
    assert_eq!(in_flight(&mut stage), [0, 0]);
}

#[test]
fn a_dropped_call_gives_back_all_its_attempts() {
    let mut stage = play(2, &hedging(), "+0ms GET a\n+20ms wait");
    assert_eq!(in_flight(&mut stage), [1, 1]);
    stage.line("+1ms drop a");
    assert_eq!(in_flight(&mut stage), [0, 0]);
    assert_eq!(stage.service.view(stage.now).in_use, 0);
}

#[test]
fn what_one_attempt_lacks_of_ours_does_not_end_the_other() {
    check(
        2,
        &hedging(),
        "
        +0ms GET a
        +20ms wait
        +0ms unable a 1
        +5ms head a 0 200
        +0ms finished a
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 20ms at most: Hedge
            +20ms wait
                a: attempt 1 at endpoint 1 (Hedge)
                a waits 980ms at most: Connect
            +0ms unable a 1
                a waits 980ms at most: Connect
            +5ms head a 0 200
                a: forward attempt 0
            +0ms finished a
        "#]],
    );
}

#[test]
fn a_percentile_hedges_as_soon_as_it_is_learned_and_not_before() {
    let mut settings = hedging();
    settings.retry.as_mut().unwrap().hedge.as_mut().unwrap().after = HedgeAfter::Percentile(Percentile::P95);
    let mut stage = Stage::new(2, &settings);
    let timer = |stage: &Stage| stage.calls[&1].poll_timeout().map(|deadline| deadline.why);
    for _ in 0..112 {
        stage.line("+0ms GET a");
        assert_eq!(timer(&stage), Some(Timer::Connect));
        stage.line("+10ms head a 0 200");
        stage.line("+0ms finished a");
    }
    stage.line("+0ms GET a");
    assert_eq!(timer(&stage), Some(Timer::Hedge));
    stage.line("+12ms wait");
    assert_eq!(stage.calls[&1].attempts(), 2);
}

#[test]
fn an_instance_that_never_answers_is_hedged_and_its_attempt_is_timed_out_meanwhile() {
    check(
        3,
        &hedging(),
        "
        +0ms GET a
        +0ms sent a 0
        +20ms wait
        +0ms sent a 1
        +4980ms wait
        +20ms wait
        +50ms wait
        +1ms head a 2 200
        +0ms finished a
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 20ms at most: Hedge
            +0ms sent a 0
                a waits 20ms at most: Hedge
            +20ms wait
                a: attempt 1 at endpoint 1 (Hedge)
                a waits 1s at most: Connect
            +0ms sent a 1
                a waits 4980ms at most: Attempt
            +4980ms wait
                a: cancel attempt 0
                a waits 20ms at most: Attempt
            +20ms wait
                a: cancel attempt 1
                a waits 50ms at most: Backoff
            +50ms wait
                a: attempt 2 at endpoint 2 (Retry)
                a waits 1s at most: Connect
            +1ms head a 2 200
                a: forward attempt 2
            +0ms finished a
        "#]],
    );
}
