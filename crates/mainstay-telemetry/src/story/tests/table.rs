//! A sentence for everything that can be decided, and a line of advice for every end.
//!
//! The lists are written as patterns with an example each. A variant that no pattern names does not compile, so nothing
//! new comes without its words.

use super::*;

/// Examples of all variants of a type: `pattern => example`. Without a pattern for each variant it does not compile.
macro_rules! every {
    ($type:ty: $($pattern:pat => $example:expr),* $(,)?) => {{
        fn is_listed(it: &$type) -> bool {
            match it { $($pattern => true),* }
        }
        let all: Vec<$type> = vec![$({
            let example: $type = $example;
            assert!(matches!(example, $pattern), "{example:?} stands at another's place");
            example
        }),*];
        assert!(all.iter().all(is_listed));
        all
    }};
}

fn failures() -> Vec<Failure> {
    every!(Failure:
        Failure::Refused => Failure::Refused,
        Failure::Unreachable => Failure::Unreachable,
        Failure::ConnectTimeout => Failure::ConnectTimeout,
        Failure::Reset => Failure::Reset,
        Failure::Timeout => Failure::Timeout,
        Failure::Malformed => Failure::Malformed,
        Failure::Status(_) => Failure::Status(503),
    )
}

fn refusals() -> Vec<Refusal> {
    let mut all = every!(Refusal:
        Refusal::DeadlinePassed => Refusal::DeadlinePassed,
        Refusal::RateLimited => Refusal::RateLimited,
        Refusal::SlowRequest => Refusal::SlowRequest,
        Refusal::Key(_) => Refusal::Key(KeyRefusal::Malformed),
        Refusal::BreakerOpen => Refusal::BreakerOpen,
        Refusal::QueueFull => Refusal::QueueFull,
        Refusal::QueueTimeout => Refusal::QueueTimeout,
        Refusal::LongWait => Refusal::LongWait,
        Refusal::Displaced => Refusal::Displaced,
        Refusal::Hopeless => Refusal::Hopeless,
        Refusal::Exhausted => Refusal::Exhausted,
        Refusal::NoEndpoint => Refusal::NoEndpoint,
        Refusal::Deadline => Refusal::Deadline,
        Refusal::Failed(_) => Refusal::Failed(Failure::Refused),
    );
    all.extend(KeyRefusal::ALL.into_iter().skip(1).map(Refusal::Key));
    all.extend(failures().into_iter().skip(1).map(Refusal::Failed));
    all
}

fn ends() -> Vec<End> {
    let mut all = every!(End:
        End::Answered { .. } => End::Answered { status: 200 },
        End::Interrupted { .. } => End::Interrupted { status: 200, origin: Origin::Client },
        End::Fallback(_) => End::Fallback(FallbackKind::Service),
        End::Replayed { .. } => End::Replayed { status: 201 },
        End::Refused(_) => End::Refused(Refusal::DeadlinePassed),
        End::CallerLeft => End::CallerLeft,
    );
    let kinds = every!(FallbackKind:
        FallbackKind::Service => FallbackKind::Service,
        FallbackKind::Respond => FallbackKind::Respond,
        FallbackKind::Stale => FallbackKind::Stale,
    );
    all.extend(kinds.into_iter().skip(1).map(End::Fallback));
    all.push(End::Answered { status: 503 });
    all.extend([Origin::Us, Origin::Upstream].map(|origin| End::Interrupted { status: 200, origin }));
    all.push(End::Replayed { status: 500 });
    all.extend(refusals().into_iter().skip(1).map(End::Refused));
    all
}

fn why_no_other() -> Vec<NoRetry> {
    every!(NoRetry:
        NoRetry::Off => NoRetry::Off,
        NoRetry::AttemptsUsed => NoRetry::AttemptsUsed,
        NoRetry::Condition => NoRetry::Condition,
        NoRetry::NotIdempotent => NoRetry::NotIdempotent,
        NoRetry::BodyNotKept => NoRetry::BodyNotKept,
        NoRetry::Budget => NoRetry::Budget,
        NoRetry::Deadline => NoRetry::Deadline,
        NoRetry::NoPermit => NoRetry::NoPermit,
        NoRetry::NoEndpoint => NoRetry::NoEndpoint,
        NoRetry::Forbidden => NoRetry::Forbidden,
        NoRetry::BreakerOpen => NoRetry::BreakerOpen,
    )
}

const SOME: PassedOver = PassedOver { ejected: 2, ordered_out: 1, limping: 1, warming: 1 };

/// Everything but ends and the reasons for no other attempt, which have tables of their own.
fn decisions() -> Vec<Decision> {
    let (limit, retry_after) = (LimitId(3), Duration::from_millis(1_500));
    let (attempt, certainty) = (0, Certainty::Unknown);
    let mut all = every!(Decision:
        Decision::WithinLimit { .. } => Decision::WithinLimit { limit, remaining: 7 },
        Decision::Delayed { .. } => Decision::Delayed { limit, wait: Duration::from_millis(120), percent: 100 },
        Decision::OverLimit { .. } => Decision::OverLimit { limit, retry_after, percent: 40 },
        Decision::KeyFirst => Decision::KeyFirst,
        Decision::KeyWaits => Decision::KeyWaits,
        Decision::Replayed { .. } => Decision::Replayed { status: 201, age: Duration::from_secs(5) },
        Decision::AnswerNotKept { .. } => Decision::AnswerNotKept { status: 201, age: Duration::from_secs(5) },
        Decision::GoesOn => Decision::GoesOn,
        Decision::Key(_) => Decision::Key(KeyEnd::Kept),
        Decision::BreakerRefused { .. } => Decision::BreakerRefused { forced: false, retry_after },
        Decision::BreakerProbe => Decision::BreakerProbe,
        Decision::Queued { .. } => Decision::Queued { ahead: 4 },
        Decision::Admitted => Decision::Admitted,
        Decision::LongWait { .. } => Decision::LongWait { expected_ms: 90, accepted_ms: 40 },
        Decision::Overload { .. } => Decision::Overload { limit: 64, in_flight: 64, waiting: 12 },
        Decision::NoEndpoint { .. } => Decision::NoEndpoint { why: NoEndpoint::AllEjected, passed_over: SOME },
        Decision::Attempt { .. } => super::attempt(attempt, AttemptReason::First),
        Decision::Fault { .. } => Decision::Fault { attempt, kind: FaultKind::Reset, left_millis: 9_000 },
        Decision::Head { .. } => Decision::Head { attempt, status: 200 },
        Decision::Failed { .. } => Decision::Failed { attempt, failure: Failure::Reset, certainty, makes_way_for: None },
        Decision::Cancelled { .. } => Decision::Cancelled { attempt, certainty },
        Decision::Outpaced { .. } => Decision::Outpaced { attempt, by: 1, certainty },
        Decision::Unable { .. } => Decision::Unable { attempt, pool: true },
        Decision::Backoff { .. } => Decision::Backoff { pause: Duration::from_millis(25) },
        Decision::NoRetry { .. } => Decision::NoRetry { why: NoRetry::Off },
        Decision::NoHedge { .. } => Decision::NoHedge { why: NoRetry::Budget },
        Decision::Fallback { .. } => Decision::Fallback { kind: FallbackKind::Respond },
        Decision::Stale { .. } => Decision::Stale { why: Refusal::BreakerOpen, age_secs: 72, stale_secs: 12 },
        Decision::Interrupted { .. } => Decision::Interrupted { attempt },
        Decision::Ended(_) => Decision::Ended(End::Answered { status: 200 }),
    );
    let reasons = every!(AttemptReason:
        AttemptReason::First => AttemptReason::First,
        AttemptReason::Retry => AttemptReason::Retry,
        AttemptReason::Resend => AttemptReason::Resend,
        AttemptReason::Hedge => AttemptReason::Hedge,
    );
    all.extend(reasons.into_iter().skip(1).map(|why| super::attempt(1, why)));
    let endpoint = EndpointId { slot: 0, generation: 0 };
    let chosen = |probe, panic, trial| Decision::Attempt {
        attempt,
        endpoint,
        why: AttemptReason::First,
        probe,
        panic,
        trial,
        crossing: None,
        passed_over: SOME,
    };
    all.extend([chosen(false, false, false), chosen(true, false, false), chosen(false, true, false)]);
    all.push(chosen(false, false, true));
    all.extend([KeyEnd::NotKept, KeyEnd::Unknown, KeyEnd::Free].map(Decision::Key));
    let none = every!(NoEndpoint:
        NoEndpoint::AllEjected => NoEndpoint::AllEjected,
        NoEndpoint::Empty => NoEndpoint::Empty,
        NoEndpoint::AllTried => NoEndpoint::AllTried,
        NoEndpoint::AllBusy => NoEndpoint::AllBusy,
    );
    let passed_over = PassedOver::default();
    all.extend(none.into_iter().skip(1).map(|why| Decision::NoEndpoint { why, passed_over }));
    all.extend([
        Decision::BreakerRefused { forced: true, retry_after },
        Decision::Fault { attempt, kind: FaultKind::Delay { millis: 200 }, left_millis: 9_000 },
        Decision::Fault { attempt, kind: FaultKind::Abort { status: 503 }, left_millis: 9_000 },
        Decision::Unable { attempt, pool: false },
        Decision::Fallback { kind: FallbackKind::Service },
        Decision::Fallback { kind: FallbackKind::Stale },
    ]);
    all.extend(failures().into_iter().map(|failure| Decision::Failed {
        attempt,
        failure,
        certainty: Certainty::NotSent,
        makes_way_for: None,
    }));
    all.extend([FallbackKind::Stale, FallbackKind::Service].map(|kind| Decision::Failed {
        attempt,
        failure: Failure::Timeout,
        certainty,
        makes_way_for: Some(kind),
    }));
    all
}

/// The sentence with its keys, without what stands around it.
fn sentence(what: Decision) -> String {
    let story = record(&[(1_000, what)]).story(|_| None);
    let line = story.lines().nth(2).unwrap();
    line.trim_start().trim_start_matches("1.0 ms").trim_start().to_owned()
}

#[track_caller]
fn check(lines: impl Iterator<Item = String>, want: &Expect) {
    want.assert_eq(&lines.map(|line| line + "\n").collect::<String>());
}

#[test]
fn every_decision_has_its_sentence_and_the_key_that_decides_it() {
    check(
        decisions().into_iter().map(sentence),
        &expect![[r#"
            within its rate limits; of per-caller, which is the nearest, 7 more may come now
            over the rate limit per-caller; it waits 120 ms for its turn  [rate_limit.per-caller.rate]  [rate_limit.per-caller.key]
            over the rate limit per-caller, which is lowered to 40 % of its rate because calls that it let through fail; one will be let through in 1.5 s  [rate_limit.per-caller.rate]  [rate_limit.per-caller.adaptive]
            the first with its Idempotency-Key: it is carried out  [service.shop.idempotency]
            the first with its Idempotency-Key is still under way: it waits for that answer  [service.shop.idempotency]
            the first with its Idempotency-Key was answered 5 s ago with status 201: nothing is carried out, that answer is given again  [service.shop.idempotency.ttl]
            the first with its Idempotency-Key was answered 5 s ago with status 201, and that answer is not kept: nothing is carried out  [service.shop.idempotency.memory]
            the caller left after something was sent: the call goes on, for the answer that repeats of its key get  [service.shop.idempotency]
            the answer is kept for repeats of the key  [service.shop.idempotency.ttl]
            refused: the breaker of the service is open; probes may pass in 1.5 s  [service.shop.breaker]
            the breaker is half-open: this call is one of those that decide whether it closes  [service.shop.breaker.half_open_calls]
            as many attempts run as may: it waits, behind 4 other calls  [service.shop.bulkhead.concurrency]
            a permit came free
            it would wait about 90 ms for a permit, and 40 ms are accepted  [service.shop.bulkhead.queue_timeout]
            it is shed: 64 attempts run where 64 may now, 12 calls wait  [service.shop.bulkhead.concurrency]
            each endpoint is ejected, or its probe is under way: 2 ejected, 1 taken out by an operator, 1 limping, 1 still warming up  [service.shop.outlier]
            attempt 1 to 127.0.0.1:9101  [service.shop.balance]
            a drill breaks attempt 1 off in the instance's place; its lease ends in 9 s, and `mainstay fault shop off` ends it now
            attempt 1: an answer with status 200
            attempt 1 failed: the connection broke before the head of an answer; it may have been applied
            attempt 1 was given up; it may have been applied
            attempt 1 was given up: attempt 2 had answered; it may have been applied
            attempt 1 was not made: all connections to the instance that are allowed were busy; nothing was sent  [service.shop.pool.size]
            another attempt follows after a pause of 25 ms  [service.shop.retry.backoff]
            no other attempt follows: retries are off  [service.shop.retry]
            there was no answer, but no other attempt is made beside it: the retry budget is empty  [service.shop.retry.budget]
            the fixed answer is given  [service.shop.fallback.respond.status]
            no answer came (the breaker is open): a kept one stands in, 72 s old, stale for 12 s  [service.shop.fallback.stale_if_error]
            attempt 1: the answer broke off after its head had gone down
            ended: answered whole with status 200
            attempt 2 to 127.0.0.1:9102: a retry, paid for by the budget  [service.shop.retry.budget]
            attempt 2 to 127.0.0.1:9102: tried elsewhere at once; nothing was sent, so it is outside the budget  [service.shop.retry.attempts]
            attempt 2 to 127.0.0.1:9102: a hedge beside what runs, paid for by the budget; there was no answer  [service.shop.retry.hedge]
            attempt 1 to 127.0.0.1:9101; of the others: 2 ejected, 1 taken out by an operator, 1 limping, 1 still warming up  [service.shop.balance]
            attempt 1 to 127.0.0.1:9101; the endpoint was ejected, and this decides whether it comes back; of the others: 1 ejected, 1 taken out by an operator, 1 limping, 1 still warming up  [service.shop.outlier]
            attempt 1 to 127.0.0.1:9101; so few endpoints are usable that health and ejection are ignored; of the others: 1 taken out by an operator, 1 limping, 1 still warming up  [service.shop.panic]
            attempt 1 to 127.0.0.1:9101; the endpoint limps, and this shows whether it keeps pace with the others again; of the others: 2 ejected, 1 taken out by an operator, 1 still warming up  [service.shop.balance]
            the answer is too large to keep, or finds no room: repeats of the key are refused and told its status  [service.shop.idempotency.memory]
            something may have been done, and there is no answer: repeats of the key are refused  [service.shop.idempotency.ttl]
            nothing was done, or the service honours keys itself: a repeat of the key is carried out  [service.shop.idempotency]
            the service has no endpoint that an operator has left in  [service.shop.endpoints]
            each endpoint with room was tried  [service.shop.endpoints]
            each endpoint has as many attempts under way as it may  [service.shop.bulkhead.per_endpoint]  [service.shop.pool.size]
            refused: an operator forced the breaker open; `mainstay breaker shop auto` lets it judge by itself again
            a drill delays attempt 1 by 200 ms; its lease ends in 9 s, and `mainstay fault shop off` ends it now
            a drill answers attempt 1 with 503 in the instance's place; its lease ends in 9 s, and `mainstay fault shop off` ends it now
            attempt 1 was not made: Mainstay itself lacked a descriptor, a port or memory for it; nothing was sent
            another service is asked instead  [service.shop.fallback.service]
            a kept answer is given  [service.shop.fallback.stale_if_error]
            attempt 1 failed: the connection was refused; nothing was sent
            attempt 1 failed: the instance cannot be reached; nothing was sent
            attempt 1 failed: no connection within the connect timeout; nothing was sent  [service.shop.timeout.connect]
            attempt 1 failed: the connection broke before the head of an answer; nothing was sent
            attempt 1 failed: no head of an answer within the attempt's time; nothing was sent  [service.shop.timeout.attempt]
            attempt 1 failed: the answer was not HTTP; nothing was sent
            attempt 1 failed: status 503; nothing was sent  [service.shop.retry.on]
            attempt 1: no head of an answer in half of the time that was left, and an answer that was kept stands ready; it may have been applied  [service.shop.fallback.stale_if_error]  [route.timeout]
            attempt 1: no head of an answer in half of the time that was left, and the rest is left for the fallback service; it may have been applied  [service.shop.fallback.service]  [route.timeout]
        "#]],
    );
}

#[test]
fn every_reason_for_no_other_attempt_has_its_key_and_where_it_can_be_mended_its_advice() {
    let told = |why| {
        let found = record(&[
            (900, Decision::NoRetry { why }),
            (1_000, Decision::Ended(End::Refused(Refusal::Failed(Failure::Reset)))),
        ]);
        let told = found.story(|_| None);
        let line = told.lines().nth(2).unwrap().trim_start().trim_start_matches("0.9 ms").trim_start().to_owned();
        format!("{line}\n  -> {}", found.advice().unwrap_or_default())
    };
    check(
        why_no_other().into_iter().map(told),
        &expect![[r#"
        no other attempt follows: retries are off  [service.shop.retry]
          -> look at the log of 127.0.0.1:9102 at that moment; switch service.shop.retry on if another instance could have answered
        no other attempt follows: the attempts are used up  [service.shop.retry.attempts]
          -> look at the log of 127.0.0.1:9102 at that moment; `mainstay endpoints shop` says what ails the others
        no other attempt follows: such a failure is not retried  [service.shop.retry.on]
          -> look at the log of 127.0.0.1:9102 at that moment
        no other attempt follows: it may have been applied and is not idempotent  [service.shop.retry.idempotent_only]
          -> look at the log of 127.0.0.1:9102 at that moment; let callers send an Idempotency-Key and keep it here (service.shop.idempotency)
        no other attempt follows: its body was too long to keep  [service.shop.retry.buffer]
          -> look at the log of 127.0.0.1:9102 at that moment; raise service.shop.retry.buffer if such bodies are usual
        no other attempt follows: the retry budget is empty  [service.shop.retry.budget]
          -> look at the log of 127.0.0.1:9102 at that moment; leave the budget as it is: too much fails for more retries to help
        no other attempt follows: the deadline is too near  [route.timeout]
          -> look at the log of 127.0.0.1:9102 at that moment; raise route.timeout if there should be time for another attempt
        no other attempt follows: no permit was free  [service.shop.bulkhead.concurrency]
          -> look at the log of 127.0.0.1:9102 at that moment; the service was full, so a retry would have taken another call's place
        no other attempt follows: no other endpoint is left  [service.shop.endpoints]
          -> look at the log of 127.0.0.1:9102 at that moment; `mainstay endpoints shop` says why no other one was left
        no other attempt follows: the answer says that its retries are used up
          -> look at the log of 127.0.0.1:9102 at that moment
        no other attempt follows: the breaker is open  [service.shop.breaker]
          -> look at the log of 127.0.0.1:9102 at that moment; `mainstay endpoints shop` says what ails the others
    "#]],
    );
}

#[test]
fn every_end_says_its_status_and_what_can_be_done() {
    let told = |end| {
        let advice = record(&[(1_000, Decision::Ended(end))]).advice();
        format!("{}\n  -> {}", sentence(Decision::Ended(end)), advice.as_deref().unwrap_or("nothing"))
    };
    check(
        ends().into_iter().map(told),
        &expect![[r#"
            ended: answered whole with status 200
              -> nothing
            ended: the answer with status 200 went down in part; the caller broke it off
              -> nothing
            ended: handed to the fallback service
              -> `mainstay endpoints shop` says why the service itself did not answer
            ended: the first answer was given again, status 201
              -> nothing
            ended without an answer: its deadline had passed when it came; status 504
              -> callers have to leave more of their time, or what stands before Mainstay takes too much of it
            ended: the caller left before there was an answer
              -> compare the caller's own time-out with P99 in `mainstay top`; `mainstay endpoints shop` says who is slow
            ended: answered by the fallback
              -> `mainstay endpoints shop` says why the service itself did not answer
            ended: a kept answer was given
              -> `mainstay endpoints shop` says why the service itself did not answer
            ended: answered whole with status 503
              -> look at the log of 127.0.0.1:9102 for this x-request-id
            ended: the answer with status 200 went down in part; Mainstay broke it off
              -> look at the node's log at that moment
            ended: the answer with status 200 went down in part; the instance broke it off
              -> look at the log of 127.0.0.1:9102 at that moment
            ended: the first answer was given again, status 500
              -> a new try needs a new Idempotency-Key
            ended without an answer: over a rate limit; status 429  [route.rate_limit]
              -> raise its rate if this caller may come more often; else it has to heed Retry-After
            ended without an answer: the rest of its body did not come; status 408  [route.timeout]
              -> nothing here: the caller sends its body too slowly
            ended without an answer: its Idempotency-Key is not one text of 1 to 255 characters; status 400  [service.shop.idempotency]
              -> the caller has to send one text of 1 to 255 characters
            ended without an answer: the breaker is open; status 503  [service.shop.breaker]
              -> `mainstay endpoints shop` says what fails; the breaker closes by itself once probes go well
            ended without an answer: no permit is free, and as many calls wait for one as may; status 503  [service.shop.bulkhead.queue]
              -> look at LIMIT and P50 in `mainstay top`: add instances, or find out why answers are slower than usual
            ended without an answer: it waited as long as it may; status 503  [service.shop.bulkhead.queue_timeout]
              -> look at LIMIT and P50 in `mainstay top`: add instances, or find out why answers are slower than usual
            ended without an answer: refused at once, because it would wait too long; status 503  [service.shop.bulkhead.queue_timeout]
              -> look at LIMIT and P50 in `mainstay top`: add instances, or find out why answers are slower than usual
            ended without an answer: a more important call took its place; status 503  [route.priority]
              -> add instances, or give the route a higher priority if it matters as much as the others
            ended without an answer: its deadline comes before an answer usually does; status 503  [route.timeout]
              -> look at LIMIT and P50 in `mainstay top`: add instances, or find out why answers are slower than usual
            ended without an answer: Mainstay lacked what an attempt needs; status 503
              -> look at the node's limits on descriptors and memory (ulimit -n)
            ended without an answer: no endpoint can be used; status 503  [service.shop.endpoints]
              -> `mainstay endpoints shop` says why each is out and when it is tried again
            ended without an answer: its deadline passed; status 504  [route.timeout]
              -> `mainstay endpoints shop` says who is slow; raise route.timeout if answers may take so long
            ended without an answer: the connection was refused; status 502
              -> see whether a process listens at 127.0.0.1:9102
            ended without an answer: its Idempotency-Key was used for another request; status 422  [service.shop.idempotency]
              -> the caller has to take a new key for each new request
            ended without an answer: the first with its Idempotency-Key is still under way; status 409  [service.shop.idempotency]
              -> the caller has to ask again with the same key a little later
            ended without an answer: the first with its Idempotency-Key was carried out, and its answer is not kept; status 409  [service.shop.idempotency]
              -> take the status for the answer, and shop's own books for the rest; raise service.shop.idempotency.memory
            ended without an answer: the first with its Idempotency-Key may have been carried out, and nobody knows its answer; status 409  [service.shop.idempotency]
              -> look in shop's own books whether it was carried out, and only then take a new key
            ended without an answer: calls under way from its address hold all that one address may of the memory for keys; status 503  [service.shop.idempotency]
              -> raise service.shop.idempotency.memory; where many callers come by one proxy, name it in trusted_proxies
            ended without an answer: the instance cannot be reached; status 502
              -> see whether there is a way from this node to 127.0.0.1:9102
            ended without an answer: no connection within the connect timeout; status 504
              -> see whether 127.0.0.1:9102 is up and its queue for connections is not full
            ended without an answer: the connection broke before the head of an answer; status 502
              -> look at the log of 127.0.0.1:9102 at that moment
            ended without an answer: no head of an answer within the attempt's time; status 504
              -> `mainstay endpoints shop` says whether 127.0.0.1:9102 alone is slow
            ended without an answer: the answer was not HTTP; status 502
              -> see whether 127.0.0.1:9102 speaks HTTP/1.1 and no TLS
            ended without an answer to pass on: status 503
              -> look at the log of 127.0.0.1:9102 for this x-request-id
        "#]],
    );
}

#[test]
fn advice_goes_by_what_was_decided_before() {
    let advice =
        |before, refusal| record(&[(900, before), (1_000, Decision::Ended(End::Refused(refusal)))]).advice().unwrap();
    let limit = LimitId(3);
    let retry_after = Duration::from_secs(1);
    let told = [
        advice(Decision::OverLimit { limit, retry_after, percent: 100 }, Refusal::RateLimited),
        advice(Decision::OverLimit { limit, retry_after, percent: 40 }, Refusal::RateLimited),
        advice(Decision::BreakerRefused { forced: true, retry_after }, Refusal::BreakerOpen),
        advice(Decision::Unable { attempt: 0, pool: true }, Refusal::Exhausted),
        advice(
            Decision::Fault { attempt: 0, kind: FaultKind::Reset, left_millis: 9_000 },
            Refusal::Failed(Failure::Reset),
        ),
        advice(Decision::NoEndpoint { why: NoEndpoint::Empty, passed_over: SOME }, Refusal::NoEndpoint),
    ];
    check(
        told.into_iter(),
        &expect![[r#"
            raise rate_limit.per-caller.rate if this caller may come more often; else it has to heed Retry-After
            find out why calls fail: rate_limit.per-caller.rate counts in full again once they go well
            `mainstay breaker shop auto` takes the operator's order back
            raise service.shop.pool.size or bulkhead.per_endpoint if the instances can take more, else add some
            nothing failed but on purpose: `mainstay fault shop off` ends the drill
            `mainstay restore shop ADDRESS` gives back what an operator took out
        "#]],
    );
}

#[test]
fn nothing_that_an_end_advises_is_for_somebody_who_is_content() {
    for end in ends() {
        let advice = record(&[(1_000, Decision::Ended(end))]).advice();
        assert!(end.is_unhappy() || advice.is_none(), "{end:?}: {advice:?}");
    }
}
