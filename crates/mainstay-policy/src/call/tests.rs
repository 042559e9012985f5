//! Stories of calls: a script of events goes in, what was decided comes out.
//!
//! Each line of a script is `+TIME VERB CALL …`; what the call then wants done, and how long it waits, is printed behind
//! it. Endpoints are named by their slot.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use expect_test::{Expect, expect};
use mainstay_core::{CallId, Certainty, Duration, Failure, Instant, Limit, MethodClass, Seed};

use super::*;
use crate::{
    BackoffKind, BackoffSettings, Balance, BreakerOrder, CheckResult, EndpointSpec, HealthSettings, Jitter, Order,
    PermitPool, Probe, ServiceSettings,
};

struct Stage {
    now: Instant,
    service: Service,
    calls: BTreeMap<u64, Call>,
    told: String,
}

/// Settings under which luck decides nothing: endpoints in turn, pauses of exactly 25 ms, 50 ms, …
fn settings() -> ServiceSettings {
    let mut settings = ServiceSettings { balance: Balance::RoundRobin, ..Default::default() };
    let retry = settings.retry.as_mut().unwrap();
    retry.backoff = BackoffSettings { kind: BackoffKind::Exponential, jitter: Jitter::None, ..retry.backoff };
    settings
}

impl Stage {
    fn new(endpoints: u16, settings: &ServiceSettings) -> Self {
        let now = Instant::ORIGIN;
        let mut service = Service::new(settings, PermitPool::new(settings.bulkhead.concurrency, 1), Seed::new(1), now);
        let specs: Vec<_> = (0..endpoints)
            .map(|n| EndpointSpec {
                address: ([127, 0, 0, 1], 9000 + n).into(),
                weight: 1,
                zone: "".into(),
                backup: false,
            })
            .collect();
        service.update(now, &specs);
        Self { now, service, calls: BTreeMap::new(), told: String::new() }
    }

    fn line(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let after: Duration = words.next().unwrap().strip_prefix('+').unwrap().parse().unwrap();
        self.now += after;
        let rest: Vec<&str> = words.collect();
        writeln!(self.told, "{line}").unwrap();
        self.act(&rest);
        self.settle();
    }

    fn act(&mut self, words: &[&str]) {
        let now = self.now;
        match words {
            [method @ ("GET" | "POST" | "PUT"), call, options @ ..] => {
                let option = |key: &str| options.iter().find_map(|option| option.strip_prefix(key));
                let facts = Facts {
                    method: MethodClass::of(method.as_bytes()),
                    idempotency_key: options.contains(&"key"),
                    hash: 0,
                    deadline: now + option("deadline=").map_or(Duration::from_secs(15), |text| text.parse().unwrap()),
                    covers_body: options.contains(&"own-deadline"),
                    limited: options.contains(&"limited"),
                };
                let id = name_to_id(call);
                let mut new = Call::new(CallId(id), facts, Record::default());
                new.handle_input(&mut self.service, now, Input::Begin);
                self.calls.insert(id, new);
            }
            ["drop", call] => drop(self.calls.remove(&name_to_id(call))),
            ["check", endpoint, result] => {
                let result = if *result == "pass" { CheckResult::Pass } else { CheckResult::Fail(Failure::Refused) };
                let id = EndpointId { slot: endpoint.parse().unwrap(), generation: 0 };
                self.service.check(now, id, result);
            }
            ["drain", endpoint] => {
                let address = ([127, 0, 0, 1], 9000 + endpoint.parse::<u16>().unwrap()).into();
                assert!(self.service.order(now, address, Order::Draining));
            }
            ["breaker", order] => {
                let order = if *order == "open" { BreakerOrder::Open } else { BreakerOrder::Auto };
                self.service.order_breaker(now, order);
            }
            ["wait"] => {
                for call in self.calls.values_mut() {
                    call.handle_timeout(&mut self.service, now);
                }
            }
            [verb, call, rest @ ..] => {
                let input = input(verb, rest);
                let call = self.calls.get_mut(&name_to_id(call)).expect("a call that was begun");
                call.handle_input(&mut self.service, now, input);
            }
            other => panic!("no such line: {other:?}"),
        }
    }

    /// Prints what the calls want and hands permits to those that wait for them.
    fn settle(&mut self) {
        loop {
            self.service.poke(self.now);
            for (id, call) in &mut self.calls {
                while let Some(output) = call.poll_output() {
                    writeln!(self.told, "    {}: {}", id_to_name(*id), tell(&output)).unwrap();
                }
            }
            let Some(admission) = self.service.poll_admitted(self.now) else { break };
            let granted = admission.granted;
            match self.calls.get_mut(&admission.call.0) {
                Some(call) => call.handle_input(&mut self.service, self.now, Input::Admitted { granted }),
                None => self.service.decline(self.now, admission),
            }
        }
        for (id, call) in &self.calls {
            if let Some(deadline) = call.poll_timeout().filter(|_| !call.has_ended()) {
                let wait = deadline.at.since(self.now);
                writeln!(self.told, "    {} waits {wait} at most: {:?}", id_to_name(*id), deadline.why).unwrap();
            }
        }
    }
}

fn name_to_id(name: &str) -> u64 {
    u64::from(name.as_bytes()[0] - b'a') + 1
}

fn id_to_name(id: u64) -> char {
    char::from(b'a' + (id - 1) as u8)
}

fn input(verb: &str, rest: &[&str]) -> Input {
    let attempt = || rest[0].parse().unwrap();
    match (verb, rest) {
        ("limits", [word]) => Input::Limits(LimitVerdict {
            admitted: *word == "pass",
            limit: 100,
            remaining: 0,
            reset: Duration::from_secs(1),
            retry_after: Duration::from_secs(3),
        }),
        ("waits", _) => Input::Waits { attempt: attempt() },
        ("unable", _) => Input::Unable { attempt: attempt() },
        ("connected", _) => Input::Connected { attempt: attempt() },
        ("sent", _) => Input::Sent { attempt: attempt() },
        ("long-body", _) => Input::BodyNotKept,
        ("body", [_]) | ("body", []) => Input::BodyMoved,
        ("awaits-body", _) => Input::AwaitsBody(true),
        ("head", [_, status, options @ ..]) => Input::Head {
            attempt: attempt(),
            head: AnswerFacts {
                status: status.parse().unwrap(),
                retry_after: options
                    .iter()
                    .find_map(|option| option.strip_prefix("retry-after="))
                    .map(|text| text.parse().unwrap()),
                retries_used: options.contains(&"retries-used"),
            },
        },
        ("failed", [_, failure, certainty]) => Input::Failed {
            attempt: attempt(),
            failure: match *failure {
                "refused" => Failure::Refused,
                "reset" => Failure::Reset,
                "malformed" => Failure::Malformed,
                other => panic!("{other}"),
            },
            certainty: if *certainty == "not-sent" { Certainty::NotSent } else { Certainty::Unknown },
        },
        ("finished", _) => Input::Finished { clean: true },
        ("broken", _) => Input::Finished { clean: false },
        ("leaves", _) => Input::CallerLeft,
        ("fallback", [word]) => Input::FallbackEnded { answered: *word == "answered" },
        other => panic!("no such verb: {other:?}"),
    }
}

fn tell(output: &Output) -> String {
    match output {
        Output::Attempt(AttemptOrder { attempt, endpoint, why, .. }) => {
            format!("attempt {attempt} at endpoint {} ({why:?})", endpoint.slot)
        }
        Output::Refuse(RefuseOrder { refusal, retry_after, attempts }) => {
            let when = retry_after.map(|after| format!(", again after {after}")).unwrap_or_default();
            format!("refuse: {} ({} after {attempts} attempts{when})", refusal.as_str(), refusal.origin().as_str())
        }
        Output::Forward { attempt, retries_used } => {
            format!("forward attempt {attempt}{}", if *retries_used { ", retries used up" } else { "" })
        }
        Output::Cancel { attempt } => format!("cancel attempt {attempt}"),
        Output::AskLimits => "ask the limits".into(),
        Output::FallbackService => "ask the fallback service".into(),
        Output::Respond => "send the fixed answer".into(),
        Output::Abort => "break off".into(),
    }
}

fn play(endpoints: u16, settings: &ServiceSettings, script: &str) -> Stage {
    let mut stage = Stage::new(endpoints, settings);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        stage.line(line);
    }
    stage
}

#[track_caller]
#[allow(clippy::needless_pass_by_value, reason = "an expectation is written where it is handed in")]
fn check(endpoints: u16, settings: &ServiceSettings, script: &str, told: Expect) {
    let mut stage = play(endpoints, settings, script);
    told.assert_eq(&stage.told);
    let now = stage.now;
    stage.calls.clear();
    let view = stage.service.view(now);
    assert_eq!(view.in_use, 0, "every permit comes back");
    assert!(view.endpoints.iter().all(|endpoint| endpoint.in_flight == 0), "every endpoint is left: {view:?}");
}

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
            a: refuse: exhausted (us after 1 attempts, again after 1s)
        +0ms unable a 0
        +0ms GET b
            b: attempt 0 at endpoint 1 (First)
            b waits 1s at most: Connect
        +0ms unable b 0
            b: refuse: exhausted (us after 1 attempts, again after 1s)
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
            a: refuse: exhausted (us after 1 attempts, again after 1s)
        +0ms GET b deadline=500ms
            b: attempt 0 at endpoint 1 (First)
            b waits 500ms at most: Call
        +0ms waits b 0
            b waits 500ms at most: Call
        +500ms wait
            b: cancel attempt 0
            b: refuse: exhausted (us after 1 attempts, again after 1s)
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
    };
    let mut call = Call::new(CallId(1), facts, Record::default());
    call.set_retry(Arc::new(None));
    call.handle_input(&mut stage.service, stage.now, Input::Begin);
    assert!(matches!(call.poll_output(), Some(Output::Attempt(_))));
    let head = AnswerFacts { status: 503, retry_after: None, retries_used: false };
    call.handle_input(&mut stage.service, stage.now, Input::Head { attempt: 0, head });
    assert_eq!(call.poll_output(), Some(Output::Forward { attempt: 0, retries_used: false }));
}

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
                d: refuse: queue_full (us after 0 attempts, again after 1s)
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
                b: refuse: queue_timeout (us after 0 attempts, again after 1s)
                a waits 500ms at most: Connect
            +1ms head a 0 200
                a: forward attempt 0
            +1ms finished a
        "#]],
    );
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
                a waits 14999ms at most: Call
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
                b: refuse: exhausted (us after 0 attempts, again after 1s)
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
fn the_record_of_a_call_that_tries_as_often_as_it_can_misses_nothing() {
    let mut settings = settings();
    settings.retry.as_mut().unwrap().attempts = ATTEMPTS_MAX;
    settings.fallback = crate::FallbackSettings { service: true, respond: true };
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
