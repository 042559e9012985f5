//! How a call ends, and that it leaves nothing behind.

use super::*;

#[test]
fn fallbacks_answer_in_their_order() {
    let mut settings = settings();
    settings.fallback.service = true;
    settings.fallback.respond = true;
    check(
        1,
        &settings,
        "
        +0ms POST a
        +1ms sent a 0
        +1ms failed a 0 malformed unknown
        +1ms fallback a answered
        +0ms POST b
        +1ms head b 0 500
        +1ms fallback b failed
    ",
        expect![[r#"
            +0ms POST a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms sent a 0
                a waits 4999ms at most: Attempt
            +1ms failed a 0 malformed unknown
                a: ask the fallback service
            +1ms fallback a answered
            +0ms POST b
                b: attempt 0 at endpoint 0 (First)
                b waits 1s at most: Connect
            +1ms head b 0 500
                b: cancel attempt 0
                b: ask the fallback service
            +1ms fallback b failed
                b: send the fixed answer
        "#]],
    );
}

#[test]
fn a_service_that_hangs_leaves_time_for_the_one_that_stands_in() {
    let mut settings = settings();
    settings.fallback.service = true;
    settings.retry = None;
    check(
        1,
        &settings,
        "
        +0ms POST a deadline=4s
        +1ms sent a 0
        +2000ms wait
        +1ms fallback a answered
    ",
        expect![[r#"
            +0ms POST a deadline=4s
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms sent a 0
                a waits 1999ms at most: Fallback
            +2000ms wait
                a: cancel attempt 0
                a: ask the fallback service
            +1ms fallback a answered
        "#]],
    );
}

#[test]
fn a_service_that_hangs_leaves_time_for_the_answer_that_was_kept() {
    let mut settings = settings();
    settings.retry = None;
    check(
        1,
        &settings,
        "
        +0ms GET a stale deadline=4s
        +1ms sent a 0
        +1999ms wait
        +0ms kept a 0 yes
        +0ms stale a 12
    ",
        expect![[r#"
            +0ms GET a stale deadline=4s
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms sent a 0
                a waits 1999ms at most: Fallback
            +1999ms wait
                a: look for a kept answer while attempt 0 runs
                a waits 2s at most: Call
            +0ms kept a 0 yes
                a: cancel attempt 0
                a: ask for a kept answer
            +0ms stale a 12
                a: give a kept answer: timeout
        "#]],
    );
}

#[test]
fn nothing_is_cut_short_for_an_answer_that_was_never_kept() {
    let mut settings = settings();
    settings.retry = None;
    check(
        1,
        &settings,
        "
        +0ms GET a stale deadline=4s
        +1ms sent a 0
        +1999ms wait
        +0ms kept a 0 no
        +1999ms head a 0 200
        +1ms finished a
    ",
        expect![[r#"
            +0ms GET a stale deadline=4s
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms sent a 0
                a waits 1999ms at most: Fallback
            +1999ms wait
                a: look for a kept answer while attempt 0 runs
                a waits 2s at most: Call
            +0ms kept a 0 no
                a waits 2s at most: Call
            +1999ms head a 0 200
                a: forward attempt 0
            +1ms finished a
        "#]],
    );
}

#[test]
fn who_makes_way_lets_another_instance_try_first_where_one_is_left() {
    let mut settings = settings();
    settings.retry.as_mut().unwrap().attempts = 2;
    check(
        2,
        &settings,
        "
        +0ms GET a stale deadline=4s
        +1ms sent a 0
        +1999ms wait
        +0ms kept a 0 yes
        +25ms wait
        +1ms sent a 1
        +1s wait
        +0ms kept a 1 yes
        +0ms stale a 12
    ",
        expect![[r#"
            +0ms GET a stale deadline=4s
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms sent a 0
                a waits 1999ms at most: Fallback
            +1999ms wait
                a: look for a kept answer while attempt 0 runs
                a waits 2s at most: Call
            +0ms kept a 0 yes
                a: cancel attempt 0
                a waits 25ms at most: Backoff
            +25ms wait
                a: attempt 1 at endpoint 1 (Retry)
                a waits 987500us at most: Fallback
            +1ms sent a 1
                a waits 986500us at most: Fallback
            +1s wait
                a: look for a kept answer while attempt 1 runs
                a waits 974ms at most: Call
            +0ms kept a 1 yes
                a: cancel attempt 1
                a: ask for a kept answer
            +0ms stale a 12
                a: give a kept answer: timeout
        "#]],
    );
}

#[test]
fn who_makes_way_is_not_blamed_on_the_attempts_own_time() {
    let mut settings = settings();
    (settings.retry, settings.fallback.service) = (None, true);
    for facts in ["deadline=4s", "deadline=4s stale"] {
        let stage = play(1, &settings, &format!("+0ms GET a {facts}\n+1ms sent a 0\n+2s wait"));
        assert_eq!(cut(&stage), Some(Some(FallbackKind::Service)), "{facts}");
    }
    settings.fallback.service = false;
    let stage = play(1, &settings, "+0ms GET a stale deadline=4s\n+1ms sent a 0\n+2s wait\n+0ms kept a 0 yes");
    assert_eq!(cut(&stage), Some(Some(FallbackKind::Stale)));
    settings.fallback.service = true;
    let stage = play(1, &settings, "+0ms GET a deadline=30s\n+1ms sent a 0\n+5s wait");
    assert_eq!(cut(&stage), Some(None), "its own time was the shorter");
}

/// For what the failed attempt made way.
fn cut(stage: &Stage) -> Option<Option<FallbackKind>> {
    stage.calls[&1].record().entries().iter().find_map(|entry| match entry.what {
        Decision::Failed { makes_way_for, .. } => Some(makes_way_for),
        _ => None,
    })
}

#[test]
fn an_endpoint_that_had_little_time_is_not_blamed_for_making_way() {
    let mut settings = settings();
    (settings.retry, settings.fallback.service) = (None, true);
    settings.outlier.as_mut().unwrap().consecutive_failures = Some(2);
    let impatient = "+0ms GET a deadline=100ms\n+1ms sent a 0\n+49ms wait\n+0ms fallback a answered\n";
    let mut stage = play(2, &settings, &impatient.repeat(8));
    let now = stage.now;
    assert!(stage.service.view(now).endpoints.iter().all(|endpoint| endpoint.state == crate::EndpointState::Ready));
}

#[test]
fn a_caller_that_leaves_cancels_its_attempt() {
    check(
        1,
        &settings(),
        "
        +0ms GET a
        +1ms sent a 0
        +1ms leaves a
        +1ms head a 0 200
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms sent a 0
                a waits 4999ms at most: Attempt
            +1ms leaves a
                a: cancel attempt 0
            +1ms head a 0 200
        "#]],
    );
}

#[test]
fn a_deadline_of_the_callers_own_covers_the_answers_body() {
    check(
        1,
        &settings(),
        "
        +0ms GET a deadline=1s own-deadline
        +1ms head a 0 200
        +999ms wait
    ",
        expect![[r#"
            +0ms GET a deadline=1s own-deadline
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Call
            +1ms head a 0 200
                a: forward attempt 0
                a waits 999ms at most: Call
            +999ms wait
                a: break off
        "#]],
    );
}

#[test]
fn an_answer_that_breaks_off_is_over() {
    check(
        1,
        &settings(),
        "
        +0ms GET a
        +1ms head a 0 200
        +1ms broken a
    ",
        expect![[r#"
            +0ms GET a
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms head a 0 200
                a: forward attempt 0
            +1ms broken a
        "#]],
    );
}

#[test]
fn a_dropped_call_gives_back_what_it_held() {
    let mut settings = settings();
    settings.bulkhead.concurrency = Limit::At(1);
    check(
        1,
        &settings,
        "
        +0ms GET a
        +0ms GET b
        +0ms GET c
        +0ms drop b
        +0ms drop a
        +1ms head c 0 200
        +0ms finished c
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
            +0ms drop b
                a waits 1s at most: Connect
                c waits 500ms at most: Queue
            +0ms drop a
                c: attempt 0 at endpoint 0 (First)
                c waits 1s at most: Connect
            +1ms head c 0 200
                c: forward attempt 0
            +0ms finished c
        "#]],
    );
}

#[test]
fn the_record_of_a_call_that_tries_as_often_as_it_can_misses_nothing() {
    let mut settings = settings();
    settings.retry.as_mut().unwrap().attempts = ATTEMPTS_MAX;
    settings.fallback = crate::FallbackSettings { service: true, respond: true, ..crate::FallbackSettings::default() };
    let mut script = "+0ms GET a limited deadline=60s\n+0ms limits a pass\n".to_owned();
    for attempt in 0..ATTEMPTS_MAX {
        writeln!(script, "+1ms head a {attempt} 503\n+1s wait").unwrap();
    }
    let stage = play(20, &settings, &format!("{script}+1ms fallback a failed"));
    let record = stage.calls[&1].record();
    let attempts = record.entries().iter().filter(|entry| matches!(entry.what, Decision::Attempt { .. }));
    assert_eq!((attempts.count(), record.dropped()), (ATTEMPTS_MAX as usize, 0));
    let last = record.entries().last().map(|entry| entry.what);
    assert_eq!(last, Some(Decision::Ended(End::Fallback(FallbackKind::Respond))));
}

#[test]
fn an_attempt_that_nobody_waits_for_any_more_is_recorded_with_what_it_left_behind() {
    for (before, certainty) in [("connected", Certainty::NotSent), ("sent", Certainty::Unknown)] {
        let stage = play(2, &settings(), &format!("+0ms POST a\n+1ms {before} a 0\n+4ms leaves a"));
        let entries = stage.calls[&1].record().entries();
        let cancelled = entries.iter().find(|entry| matches!(entry.what, Decision::Cancelled { .. })).unwrap();
        assert_eq!(cancelled.what, Decision::Cancelled { attempt: 0, certainty });
        assert_eq!(cancelled.after, Duration::from_millis(5));
    }
}

#[test]
fn a_kept_answer_stands_in_before_any_other_fallback() {
    let mut settings = settings();
    settings.fallback.respond = true;
    settings.retry = None;
    check(
        1,
        &settings,
        "
        +0ms POST x
        +1ms failed x 0 reset unknown
        +0ms GET a stale
        +1ms head a 0 500 replaceable
        +0ms stale a 12
        +0ms GET b stale
        +1ms head b 0 500
        +0ms stale b none
        +0ms GET c stale
        +1ms head c 0 404 replaceable
        +1ms finished c
    ",
        expect![[r#"
            +0ms POST x
                x: attempt 0 at endpoint 0 (First)
                x waits 1s at most: Connect
            +1ms failed x 0 reset unknown
                x: send the fixed answer
            +0ms GET a stale
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms head a 0 500 replaceable
                a: cancel attempt 0
                a: ask for a kept answer
            +0ms stale a 12
                a: give a kept answer: 500
            +0ms GET b stale
                b: attempt 0 at endpoint 0 (First)
                b waits 1s at most: Connect
            +1ms head b 0 500
                b: cancel attempt 0
                b: ask for a kept answer
            +0ms stale b none
                b: send the fixed answer
            +0ms GET c stale
                c: attempt 0 at endpoint 0 (First)
                c waits 1s at most: Connect
            +1ms head c 0 404 replaceable
                c: forward attempt 0
            +1ms finished c
        "#]],
    );
}

#[test]
fn a_kept_answer_never_stands_in_for_a_refusal_by_a_limit() {
    check(
        1,
        &ServiceSettings { retry: None, ..settings() },
        "
        +0ms GET a stale limited
        +0ms limits a over
        +0ms GET b stale deadline=0s
        +0ms GET c stale
        +1ms head c 0 429 replaceable
        +1ms finished c
        +0ms GET d stale
        +1ms head d 0 501 replaceable
        +1ms finished d
    ",
        expect![[r#"
            +0ms GET a stale limited
                a: ask the limits
            +0ms limits a over
                a: refuse: rate_limited (client after 0 attempts, again after 3s)
            +0ms GET b stale deadline=0s
                b: refuse: deadline_passed (client after 0 attempts)
            +0ms GET c stale
                c: attempt 0 at endpoint 0 (First)
                c waits 1s at most: Connect
            +1ms head c 0 429 replaceable
                c: forward attempt 0
            +1ms finished c
            +0ms GET d stale
                d: attempt 0 at endpoint 0 (First)
                d waits 1s at most: Connect
            +1ms head d 0 501 replaceable
                d: forward attempt 0
            +1ms finished d
        "#]],
    );
}

#[test]
fn without_a_kept_answer_the_instances_own_goes_down() {
    check(
        1,
        &ServiceSettings { retry: None, ..settings() },
        "
        +0ms GET a stale
        +1ms head a 0 500
        +1ms finished a
        +0ms GET b stale deadline=100ms
        +100ms wait
        +0ms stale b none
        +0ms GET c stale deadline=100ms
        +100ms wait
        +0ms stale c 3
    ",
        expect![[r#"
            +0ms GET a stale
                a: attempt 0 at endpoint 0 (First)
                a waits 1s at most: Connect
            +1ms head a 0 500
                a: forward attempt 0
            +1ms finished a
            +0ms GET b stale deadline=100ms
                b: attempt 0 at endpoint 0 (First)
                b waits 50ms at most: Fallback
            +100ms wait
                b: look for a kept answer while attempt 0 runs
                b waits 0s at most: Call
            +0ms stale b none
                b waits 0s at most: Call
            +0ms GET c stale deadline=100ms
                c: attempt 0 at endpoint 0 (First)
                b waits 0s at most: Call
                c waits 50ms at most: Fallback
            +100ms wait
                b: cancel attempt 0
                b: ask for a kept answer
                c: look for a kept answer while attempt 0 runs
                c waits 0s at most: Call
            +0ms stale c 3
                c waits 0s at most: Call
        "#]],
    );
}
