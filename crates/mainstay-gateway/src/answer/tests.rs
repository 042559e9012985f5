//! Whole answers, as a caller sees them.

use expect_test::{Expect, expect};
use mainstay_core::{Failure, UnixTime};
use mainstay_http1::{Limits, Reject, RequestHead};
use mainstay_policy::{KeyRefusal, LimitVerdict, Refusal};

use super::*;
use crate::forward::HttpDate;

/// What `answer` writes to somebody who asked with `method`.
fn told(method: &str, answer: impl FnOnce(&mut ServerConnection, &AnswerContext<'_>, &mut Vec<u8>)) -> String {
    let mut machine = ServerConnection::new(Limits::default());
    let request = format!("{method} / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    machine.receive(request.as_bytes(), &mut RequestHead::default()).unwrap();
    let date = HttpDate::new(UnixTime::from_nanos(784_111_777_000_000_000));
    let mut out = Vec::new();
    answer(&mut machine, &AnswerContext { request_id: b"r1", date: date.value(), rules: None }, &mut out);
    assert!(machine.response_complete());
    String::from_utf8(out).unwrap().replace('\r', "")
}

fn check(answer: &ProblemAnswer<'_>, want: &Expect) {
    want.assert_eq(&told("GET", |machine, context, out| {
        answer.write(machine, context, &mut Vec::new(), out).unwrap();
    }));
}

#[test]
fn a_caller_learns_why_there_is_no_answer_and_when_to_ask_again() {
    let order =
        RefuseOrder { refusal: Refusal::BreakerOpen, retry_after: Some(Duration::from_millis(1200)), attempts: 0 };
    check(
        &ProblemAnswer::of(&order, None),
        &expect![[r#"
        HTTP/1.1 503 Service Unavailable
        Content-Length: 163
        content-type: application/problem+json
        cache-control: no-store
        proxy-status: mainstay; error=destination_unavailable; details="breaker_open"
        retry-after: 2
        date: Sun, 06 Nov 1994 08:49:37 GMT
        x-request-id: r1

        {"type":"about:blank","title":"Service Unavailable","status":503,"detail":"The service is failing and is given a rest.","reason":"breaker_open","request_id":"r1"}
    "#]],
    );
}

#[test]
fn a_failure_after_several_attempts_says_so() {
    let order = RefuseOrder { refusal: Refusal::Failed(Failure::Reset), retry_after: None, attempts: 3 };
    check(
        &ProblemAnswer::of(&order, None),
        &expect![[r#"
        HTTP/1.1 502 Bad Gateway
        Content-Length: 181
        content-type: application/problem+json
        cache-control: no-store
        proxy-status: mainstay; error=connection_terminated; details="reset"
        x-mainstay-retries: used
        date: Sun, 06 Nov 1994 08:49:37 GMT
        x-request-id: r1

        {"type":"about:blank","title":"Bad Gateway","status":502,"detail":"The instance closed the connection before it answered. 3 attempts were made.","reason":"reset","request_id":"r1"}
    "#]],
    );
}

#[test]
fn a_caller_over_its_limit_learns_which_and_for_how_long() {
    let wait = Duration::from_millis(10);
    let verdict = LimitVerdict {
        admitted: false,
        quota: 200,
        window: Duration::from_secs(2),
        retry_after: wait,
        ..LimitVerdict::FREE
    };
    let limit = RateLimitTold { name: "per-\"caller", verdict, since: Duration::ZERO };
    let order = RefuseOrder { refusal: Refusal::RateLimited, retry_after: Some(wait), attempts: 0 };
    check(
        &ProblemAnswer::of(&order, Some(limit)),
        &expect![[r#"
        HTTP/1.1 429 Too Many Requests
        Content-Length: 152
        content-type: application/problem+json
        cache-control: no-store
        proxy-status: mainstay; error=http_request_denied; details="rate_limited"
        retry-after: 1
        ratelimit-policy: "per-caller";q=200;w=2
        ratelimit: "per-caller";r=0;t=1
        date: Sun, 06 Nov 1994 08:49:37 GMT
        x-request-id: r1

        {"type":"about:blank","title":"Too Many Requests","status":429,"detail":"The caller is over its rate limit.","reason":"rate_limited","request_id":"r1"}
    "#]],
    );
}

#[test]
fn the_answer_to_head_has_no_body() {
    let answer = ProblemAnswer::new(Problem::NoRoute);
    let text = told("HEAD", |machine, context, out| answer.write(machine, context, &mut Vec::new(), out).unwrap());
    expect![[r#"
        HTTP/1.1 404 Not Found
        Content-Length: 135
        content-type: application/problem+json
        cache-control: no-store
        proxy-status: mainstay; error=destination_not_found; details="no_route"
        date: Sun, 06 Nov 1994 08:49:37 GMT
        x-request-id: r1

    "#]]
    .assert_eq(&text);
}

#[test]
fn a_request_that_cannot_be_read_is_answered_and_the_connection_closes() {
    let mut machine = ServerConnection::new(Limits::default());
    let refused = machine.receive(b"GET / HTTP/1.1\nHost: h\n\n", &mut RequestHead::default()).unwrap_err();
    let context = AnswerContext { request_id: b"", date: b"now", rules: None };
    let mut out = Vec::new();
    let answer = ProblemAnswer::new(Problem::Rejected(refused));
    answer.write(&mut machine, &context, &mut Vec::new(), &mut out).unwrap();
    expect![[r#"
        HTTP/1.1 400 Bad Request
        Content-Length: 114
        Connection: close
        content-type: application/problem+json
        cache-control: no-store
        proxy-status: mainstay; error=http_request_error; details="bare_lf"
        date: now

        {"type":"about:blank","title":"Bad Request","status":400,"detail":"The request is malformed.","reason":"bare_lf"}
    "#]].assert_eq(&String::from_utf8(out).unwrap().replace('\r', ""));
    assert!(machine.must_close());
}

#[test]
fn every_reason_has_a_status_and_its_words() {
    const NONE: Option<&str> = None;
    for (problem, status, error) in [
        (Problem::Refused(Refusal::DeadlinePassed), 504, Some("http_request_denied")),
        (Problem::Refused(Refusal::RateLimited), 429, Some("http_request_denied")),
        (Problem::Refused(Refusal::QueueFull), 503, Some("connection_limit_reached")),
        (Problem::Refused(Refusal::QueueTimeout), 503, Some("connection_limit_reached")),
        (Problem::Refused(Refusal::LongWait), 503, Some("connection_limit_reached")),
        (Problem::Refused(Refusal::Displaced), 503, Some("connection_limit_reached")),
        (Problem::Refused(Refusal::Hopeless), 503, Some("connection_limit_reached")),
        (Problem::Refused(Refusal::Exhausted), 503, Some("connection_limit_reached")),
        (Problem::Refused(Refusal::NoEndpoint), 503, Some("destination_unavailable")),
        (Problem::Refused(Refusal::Deadline), 504, Some("http_response_timeout")),
        (Problem::Refused(Refusal::Failed(Failure::Refused)), 502, Some("connection_refused")),
        (Problem::Refused(Refusal::Failed(Failure::Unreachable)), 502, Some("destination_unavailable")),
        (Problem::Refused(Refusal::Failed(Failure::ConnectTimeout)), 504, Some("connection_timeout")),
        (Problem::Refused(Refusal::Failed(Failure::Timeout)), 504, Some("http_response_timeout")),
        (Problem::Refused(Refusal::Failed(Failure::Malformed)), 502, Some("http_protocol_error")),
        (Problem::Refused(Refusal::Failed(Failure::Status(503))), 503, NONE),
        (Problem::Rejected(Reject::HeadTooLarge), 431, Some("http_request_error")),
        (Problem::NoRoute, 404, Some("destination_not_found")),
        (Problem::BodyTooLarge, 413, Some("http_request_error")),
        (Problem::HeadTimeout, 408, Some("http_request_error")),
    ] {
        let facts = problem.facts();
        assert_eq!((facts.status, facts.error), (status, error), "{problem:?}");
        assert!(!reason(facts.status).is_empty() && !facts.reason.is_empty() && facts.detail.ends_with('.'));
    }
    for reject in Reject::ALL {
        assert!((400..=505).contains(&Problem::Rejected(*reject).facts().status), "{reject:?}");
    }
}

/// What is written for callers names every refusal with its status and its error.
#[test]
fn the_page_for_callers_has_every_refusal() {
    let page = include_str!("../../../../docs/reference/what-a-caller-sees.md");
    let keys = KeyRefusal::ALL.map(Refusal::Key);
    let failures = [
        Failure::Refused,
        Failure::Unreachable,
        Failure::ConnectTimeout,
        Failure::Reset,
        Failure::Timeout,
        Failure::Malformed,
    ];
    let ours = [
        Refusal::DeadlinePassed,
        Refusal::RateLimited,
        Refusal::BreakerOpen,
        Refusal::QueueFull,
        Refusal::QueueTimeout,
        Refusal::LongWait,
        Refusal::Displaced,
        Refusal::Hopeless,
        Refusal::Exhausted,
        Refusal::NoEndpoint,
        Refusal::Deadline,
    ];
    for refusal in ours.into_iter().chain(keys).chain(failures.map(Refusal::Failed)) {
        let ProblemFacts { status, error, reason, .. } = Problem::Refused(refusal).facts();
        let row = format!("| `{reason}` | {status} | `{}` |", error.unwrap_or_default());
        assert!(page.contains(&row), "{row} is missing");
    }
    let slow = Problem::Refused(Refusal::SlowRequest).facts();
    assert!(page.contains(&format!("| `{}` | {} | `{}` |", slow.reason, slow.status, slow.error.unwrap_or_default())));
}

#[test]
fn a_fixed_answer_is_what_stands_in_the_configuration() {
    let fixed = FixedAnswer { status: 200, body: "[]".to_owned(), content_type: "application/json".to_owned() };
    let text = told("GET", |machine, context, out| write_fixed(&fixed, machine, context, out).unwrap());
    expect![[r#"
        HTTP/1.1 200 OK
        Content-Length: 2
        content-type: application/json
        date: Sun, 06 Nov 1994 08:49:37 GMT
        x-request-id: r1

        []"#]]
    .assert_eq(&text);
    let empty = FixedAnswer { status: 204, body: "ignored".to_owned(), content_type: "text/plain".to_owned() };
    let text = told("GET", |machine, context, out| write_fixed(&empty, machine, context, out).unwrap());
    expect![[r#"
        HTTP/1.1 204 No Content
        date: Sun, 06 Nov 1994 08:49:37 GMT
        x-request-id: r1

    "#]]
    .assert_eq(&text);
}

#[test]
fn a_redirect_names_the_other_place() {
    let text = told("POST", |machine, context, out| {
        write_redirect(308, b"https://shop.example/a?b", machine, context, out).unwrap();
    });
    expect![[r#"
        HTTP/1.1 308 Permanent Redirect
        Content-Length: 0
        location: https://shop.example/a?b
        date: Sun, 06 Nov 1994 08:49:37 GMT
        x-request-id: r1

    "#]]
    .assert_eq(&text);
}
