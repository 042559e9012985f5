//! Stories, as an operator reads them.

use expect_test::{Expect, expect};
use mainstay_core::{Certainty, EndpointId, Failure, Origin};
use mainstay_policy::{
    AttemptReason, Crossing, End, FallbackKind, FaultKind, KeyEnd, KeyRefusal, LimitId, NoEndpoint, NoRetry,
    PassedOver, Refusal,
};

use super::*;

mod table;

fn record(entries: &[(u64, Decision)]) -> FoundRecord {
    FoundRecord {
        request_id: "r-1".to_owned(),
        route: "/cart".to_owned(),
        service: "shop".to_owned(),
        method: "GET",
        path: "/cart/7".to_owned(),
        path_cut: false,
        age: Duration::from_secs(3),
        lasted: Duration::from_micros(262_500),
        allowed: Duration::from_secs(15),
        endpoints: vec!["127.0.0.1:9101".to_owned(), "127.0.0.1:9102".to_owned()],
        limits: vec![(LimitId(3), "per-caller".to_owned())],
        entries: entries
            .iter()
            .map(|(micros, what)| Entry { after: Duration::from_micros(*micros), what: *what })
            .collect(),
        dropped: 0,
        same_id: Some(1),
    }
}

fn attempt(attempt: u8, why: AttemptReason) -> Decision {
    let endpoint = EndpointId { slot: u32::from(attempt), generation: 0 };
    let passed_over = PassedOver::default();
    Decision::Attempt { attempt, endpoint, why, probe: false, panic: false, trial: false, crossing: None, passed_over }
}

fn moved_on() -> FoundRecord {
    record(&[
        (40, attempt(0, AttemptReason::First)),
        (
            250_100,
            Decision::Failed {
                attempt: 0,
                failure: Failure::ConnectTimeout,
                certainty: Certainty::NotSent,
                makes_way_for: None,
            },
        ),
        (250_120, attempt(1, AttemptReason::Resend)),
        (262_400, Decision::Head { attempt: 1, status: 200 }),
        (262_500, Decision::Ended(End::Answered { status: 200 })),
    ])
}

#[test]
fn a_hanging_instance_and_the_way_around_it_read_as_a_story() {
    expect![[r#"
        request r-1, 3 s ago
              0.0 ms  arrived: GET /cart/7 on route /cart, service shop, deadline in 15 s  [route.timeout]
              0.0 ms  attempt 1 to 127.0.0.1:9101  [service.shop.balance]
            250.1 ms  attempt 1 failed: no connection within the connect timeout; nothing was sent  [service.shop.timeout.connect]
            250.1 ms  attempt 2 to 127.0.0.1:9102: tried elsewhere at once; nothing was sent, so it is outside the budget  [service.shop.retry.attempts]
            262.4 ms  attempt 2: an answer with status 200
            262.5 ms  ended: answered whole with status 200
    "#]]
    .assert_eq(&moved_on().story(|_| None));
}

#[test]
fn who_is_one_of_more_than_can_be_shown_says_so() {
    let crowd = FoundRecord { same_id: Some(40), ..moved_on() };
    let story = crowd.story(|_| None);
    assert!(story.starts_with("request r-1, 3 s ago; one of 40 with this id, of which 16 are shown\n"), "{story}");
    assert!(crowd.to_json(|_| None).contains("\"same_id\":40,"));
}

fn in_force(key: &str) -> Option<String> {
    key.ends_with(".connect").then(|| format!("{key} = \"250ms\", m.toml:7"))
}

#[test]
fn a_key_is_told_with_what_it_is_set_to_and_where() {
    let story = moved_on().story(in_force);
    assert!(story.contains("[service.shop.timeout.connect = \"250ms\", m.toml:7]"), "{story}");
    assert!(story.contains("[service.shop.balance]"), "{story}");
}

#[test]
fn an_attempt_that_had_all_the_time_of_its_call_is_not_blamed_on_the_attempts_own() {
    let mut late = record(&[
        (40, attempt(0, AttemptReason::First)),
        (
            300_900,
            Decision::Failed {
                attempt: 0,
                failure: Failure::Timeout,
                certainty: Certainty::Unknown,
                makes_way_for: None,
            },
        ),
    ]);
    assert!(late.story(|_| None).contains("[service.shop.timeout.attempt]"));
    late.allowed = Duration::from_millis(300);
    let story = late.story(|_| None);
    assert!(story.contains("before the call's deadline; it may have been applied  [route.timeout]"), "{story}");
}

#[test]
fn a_call_that_leaves_its_zone_says_why() {
    let leaves = |crossing| match attempt(0, AttemptReason::First) {
        Decision::Attempt { attempt, endpoint, why, probe, panic, trial, passed_over, .. } => {
            let what = Decision::Attempt { attempt, endpoint, why, probe, panic, trial, crossing, passed_over };
            record(&[(40, what)]).story(|_| None)
        }
        _ => unreachable!(),
    };
    let share = leaves(Some(Crossing::Share));
    assert!(share.contains("the own one carries only a part of its calls  [service.shop.zone_aware]"), "{share}");
    let room = leaves(Some(Crossing::Room));
    assert!(room.contains("nobody in the own one could take it  [service.shop.zone_aware]"), "{room}");
    assert!(leaves(None).contains("[service.shop.balance]"));
}

#[test]
fn a_kept_answer_is_told_with_its_age_and_why_no_other_came() {
    let told = |why, age_secs, stale_secs| {
        record(&[
            (40, Decision::Stale { why, age_secs, stale_secs }),
            (40, Decision::Ended(End::Fallback(FallbackKind::Stale))),
        ])
        .story(|_| None)
    };
    let stale = told(Refusal::BreakerOpen, 72, 12);
    let text = "no answer came (the breaker is open): a kept one stands in, 72 s old, stale for 12 s";
    assert!(stale.contains(&format!("{text}  [service.shop.fallback.stale_if_error]")), "{stale}");
    let fresh = told(Refusal::Failed(Failure::Refused), 5, 0);
    assert!(fresh.contains("(the connection was refused): a kept one stands in, 5 s old, still fresh"), "{fresh}");
}

#[test]
fn the_same_story_as_json() {
    let mut short = moved_on();
    short.entries.truncate(2);
    expect![[r#"{"request_id":"r-1","route":"/cart","service":"shop","method":"GET","path":"/cart/7","path_cut":false,"same_id":1,"age_ms":3000.000,"duration_ms":262.500,"deadline_ms":15000.000,"endpoints":["127.0.0.1:9101","127.0.0.1:9102"],"decisions":[{"after_ms":0.040,"event":"attempt","text":"attempt 1 to 127.0.0.1:9101","because":"service.shop.balance"},{"after_ms":250.100,"event":"failed","text":"attempt 1 failed: no connection within the connect timeout; nothing was sent","because":"service.shop.timeout.connect","setting":"service.shop.timeout.connect = \"250ms\", m.toml:7"}],"decisions_dropped":0,"advice":null}"#]]
    .assert_eq(&short.to_json(in_force));
}

#[test]
fn an_order_that_may_have_been_applied_is_not_repeated_and_the_story_says_why() {
    let story = record(&[
        (40, attempt(0, AttemptReason::First)),
        (
            5_000,
            Decision::Failed {
                attempt: 0,
                failure: Failure::Reset,
                certainty: Certainty::Unknown,
                makes_way_for: None,
            },
        ),
        (5_000, Decision::NoRetry { why: NoRetry::NotIdempotent }),
        (5_000, Decision::Ended(End::Refused(Refusal::Failed(Failure::Reset)))),
    ])
    .story(|_| None);
    assert!(story.contains("it may have been applied"), "{story}");
    assert!(story.contains("[service.shop.retry.idempotent_only]"), "{story}");
    assert!(story.contains("ended without an answer: the connection broke"), "{story}");
}

#[test]
fn a_rate_limit_is_told_by_its_name_its_rate_and_what_it_counts_by() {
    let limit = LimitId(3);
    let retry_after = Duration::from_millis(1_500);
    let story = record(&[
        (10, Decision::Delayed { limit, wait: Duration::from_millis(120), percent: 100 }),
        (120_010, Decision::WithinLimit { limit, remaining: 0 }),
        (120_020, Decision::OverLimit { limit, retry_after, percent: 100 }),
        (120_030, Decision::OverLimit { limit, retry_after, percent: 40 }),
        (120_040, Decision::WithinLimit { limit: LimitId::NONE, remaining: 0 }),
    ])
    .story(|key| key.ends_with(".rate").then(|| format!("{key} = \"10/s\", m.toml:9")));
    expect![[r#"
        request r-1, 3 s ago
              0.0 ms  arrived: GET /cart/7 on route /cart, service shop, deadline in 15 s  [route.timeout]
              0.0 ms  over the rate limit per-caller; it waits 120 ms for its turn  [rate_limit.per-caller.rate = "10/s", m.toml:9]  [rate_limit.per-caller.key]
            120.0 ms  within its rate limits; of per-caller, which is the nearest, 0 more may come now
            120.0 ms  over the rate limit per-caller; one will be let through in 1.5 s  [rate_limit.per-caller.rate = "10/s", m.toml:9]  [rate_limit.per-caller.key]
            120.0 ms  over the rate limit per-caller, which is lowered to 40 % of its rate because calls that it let through fail; one will be let through in 1.5 s  [rate_limit.per-caller.rate = "10/s", m.toml:9]  [rate_limit.per-caller.adaptive]
            120.0 ms  within its rate limits
    "#]].assert_eq(&story);
}

#[test]
fn what_mainstay_lacks_itself_is_not_told_of_the_instance() {
    let story = |pool| {
        record(&[
            (40, attempt(0, AttemptReason::First)),
            (50, Decision::Unable { attempt: 0, pool }),
            (50, Decision::Ended(End::Refused(Refusal::Exhausted))),
        ])
        .story(|_| None)
    };
    let (pool, system) = (story(true), story(false));
    assert!(pool.contains("were busy; nothing was sent  [service.shop.pool.size]"), "{pool}");
    assert!(system.contains("attempt 1 was not made: Mainstay itself lacked a descriptor"), "{system}");
    assert!(system.contains("ended without an answer: Mainstay lacked what an attempt needs"), "{system}");
}

#[test]
fn a_hedge_says_why_it_was_made_and_who_was_given_up() {
    expect![[r#"
        request r-1, 3 s ago
              0.0 ms  arrived: GET /cart/7 on route /cart, service shop, deadline in 15 s  [route.timeout]
              0.0 ms  attempt 1 to 127.0.0.1:9101  [service.shop.balance]
             38.0 ms  attempt 2 to 127.0.0.1:9102: a hedge beside what runs, paid for by the budget; there was no answer for 38 ms  [service.shop.retry.hedge]
             45.0 ms  attempt 2: an answer with status 200
             45.0 ms  attempt 1 was given up: attempt 2 had answered; it may have been applied
             46.0 ms  ended: answered whole with status 200
    "#]]
    .assert_eq(
        &record(&[
            (0, attempt(0, AttemptReason::First)),
            (38_000, attempt(1, AttemptReason::Hedge)),
            (45_000, Decision::Head { attempt: 1, status: 200 }),
            (45_000, Decision::Outpaced { attempt: 0, by: 1, certainty: Certainty::Unknown }),
            (46_000, Decision::Ended(End::Answered { status: 200 })),
        ])
        .story(|_| None),
    );
}

#[test]
fn a_hedge_that_was_not_made_says_why() {
    let story = record(&[(0, attempt(0, AttemptReason::First)), (20_000, Decision::NoHedge { why: NoRetry::Budget })])
        .story(|_| None);
    let line = "there was no answer for 20 ms, but no other attempt is made beside it: the retry budget is empty";
    assert!(story.contains(line), "{story}");
}

#[test]
fn who_is_refused_at_once_is_told_what_it_would_have_waited_for() {
    let story = record(&[
        (40, Decision::LongWait { expected_ms: 90, accepted_ms: 40 }),
        (40, Decision::Overload { limit: 212, in_flight: 212, waiting: 37 }),
        (40, Decision::Ended(End::Refused(Refusal::LongWait))),
    ])
    .story(|_| None);
    expect![[r#"
        request r-1, 3 s ago
              0.0 ms  arrived: GET /cart/7 on route /cart, service shop, deadline in 15 s  [route.timeout]
              0.0 ms  it would wait about 90 ms for a permit, and 40 ms are accepted  [service.shop.bulkhead.queue_timeout]
              0.0 ms  it is shed: 212 attempts run where 212 may now, 37 calls wait  [service.shop.bulkhead.concurrency]
              0.0 ms  ended without an answer: refused at once, because it would wait too long; status 503  [service.shop.bulkhead.queue_timeout]
                      what you can do: look at LIMIT and P50 in `mainstay top`: add instances, or find out why answers are slower than usual
    "#]]
    .assert_eq(&story);
}

#[test]
fn a_drill_is_told_as_what_it_is() {
    let fault = |attempt, kind| Decision::Fault { attempt, kind, left_millis: 12_000 };
    let failure = Failure::Status(503);
    let story = record(&[
        (40, attempt(0, AttemptReason::First)),
        (40, fault(0, FaultKind::Abort { status: 503 })),
        (40, Decision::Failed { attempt: 0, failure, certainty: Certainty::Applied, makes_way_for: None }),
        (25_040, attempt(1, AttemptReason::Retry)),
        (25_040, fault(1, FaultKind::Delay { millis: 200 })),
        (237_400, Decision::Head { attempt: 1, status: 200 }),
    ]);
    expect![[r#"
        request r-1, 3 s ago
              0.0 ms  arrived: GET /cart/7 on route /cart, service shop, deadline in 15 s  [route.timeout]
              0.0 ms  attempt 1 to 127.0.0.1:9101  [service.shop.balance]
              0.0 ms  a drill answers attempt 1 with 503 in the instance's place; its lease ends in 12 s, and `mainstay fault shop off` ends it now
              0.0 ms  attempt 1 failed: status 503; the drill's doing, nothing was sent  [service.shop.retry.on]
             25.0 ms  attempt 2 to 127.0.0.1:9102: a retry, paid for by the budget  [service.shop.retry.budget]
             25.0 ms  a drill delays attempt 2 by 200 ms; its lease ends in 12 s, and `mainstay fault shop off` ends it now
            237.4 ms  attempt 2: an answer with status 200
    "#]].assert_eq(&story.story(|_| None));
}

#[test]
fn a_request_id_cannot_play_with_the_terminal() {
    let mut sly = record(&[]);
    sly.request_id = "\u{1b}[2Jx\nfake".to_owned();
    let story = sly.story(|_| None);
    assert!(!story.contains('\u{1b}'));
    assert_eq!(story.lines().count(), 2);
}

#[test]
fn lengths_are_written_short() {
    for (millis, text) in [(15_000, "15 s"), (1_500, "1.5 s"), (250, "250 ms"), (1_050, "1 s")] {
        assert_eq!(Short(Duration::from_millis(millis)).to_string(), text);
    }
    assert_eq!(Short(Duration::from_micros(40)).to_string(), "40 us");
}
