//! Whole heads: what comes in, what goes out.

use std::net::SocketAddr;

use expect_test::{Expect, expect};
use mainstay_config::{Cidr, HeaderOps, HostHeader};
use mainstay_core::{Duration, Seed, UnixTime};
use mainstay_http1::{
    FieldsView, Limits, RequestHead, RequestParser, RequestView, ResponseHead, ResponseParser, ResponseView,
};

use super::*;

/// Parses a request whose lines are parted by line feeds.
pub(crate) fn request<T>(text: &str, look: impl FnOnce(RequestView<'_>) -> T) -> T {
    let bytes = format!("{}\n\n", text.trim()).replace('\n', "\r\n").into_bytes();
    let mut head = RequestHead::default();
    let parsed = RequestParser::new(Limits::default()).parse(&bytes, &mut head).expect("the request is well-formed");
    assert!(parsed.is_some(), "the request is complete");
    look(head.view(&bytes))
}

/// The fields of a request.
pub(crate) fn fields<T>(lines: &[(&str, &str)], look: impl FnOnce(FieldsView<'_>) -> T) -> T {
    let lines: String = lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    request(&format!("GET / HTTP/1.1\nHost: shop.example\n{lines}"), |request| look(request.fields()))
}

fn response<T>(text: &str, look: impl FnOnce(ResponseView<'_>) -> T) -> T {
    let bytes = format!("{}\n\n", text.trim()).replace('\n', "\r\n").into_bytes();
    let mut head = ResponseHead::default();
    let parsed = ResponseParser::new(Limits::default()).parse(&bytes, false, &mut head);
    assert!(parsed.expect("the answer is well-formed").is_some(), "the answer is complete");
    look(head.view(&bytes))
}

fn ops(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> FieldRules {
    let pairs = |list: &[(&str, &str)]| list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let remove = remove.iter().map(|name| (*name).to_owned()).collect();
    FieldRules::new(&HeaderOps { set: pairs(set), add: pairs(add), remove })
}

/// What goes upstream for `text` from `peer`, where 10.0.0.0/8 is trusted.
fn up(peer: &str, text: &str, rules: &FieldRules, want: &Expect) {
    want.assert_eq(&upstream(peer, text, rules, &mut ForwardingLines::default()));
}

/// As [`up`], on a connection for which `forwarding` was written before.
fn upstream(peer: &str, text: &str, rules: &FieldRules, forwarding: &mut ForwardingLines) -> String {
    let proxies: [Cidr; 1] = ["10.0.0.0/8".parse().unwrap()];
    let peer = Peer::new(SocketAddr::new(peer.parse().unwrap(), 4000), false, &proxies);
    let out = request(text, |request| {
        let trace = Trace::of(request.fields(), Seed::new(1), 7);
        let made = make_request_id(Seed::new(1), 7);
        let context = RequestContext {
            rules,
            peer: &peer,
            request_id: super::request_id(request.fields()).unwrap_or(&made),
            trace: &trace,
            left: Duration::from_millis(1500),
            chunked: false,
        };
        let mut out = Vec::new();
        write_request_fields(request, &context, forwarding, &mut out);
        out
    });
    String::from_utf8(out).unwrap().replace('\r', "")
}

#[test]
fn what_was_written_for_a_connection_before_says_nothing_false_of_the_next_request() {
    let (plain, without) = (FieldRules::default(), ops(&[("via", "1.1 edge")], &[], &["forwarded"]));
    for peer in ["203.0.113.7", "10.1.2.3", "2001:db8::7"] {
        let mut kept = ForwardingLines::default();
        for (request, rules) in [
            ("GET /a HTTP/1.1\nHost: shop.example", &plain),
            ("GET /b HTTP/1.1\nHost: shop.example", &plain),
            ("GET /b HTTP/1.1\nHost: shop.example", &without),
            ("GET /a HTTP/1.1\nHost: shop.example.", &plain),
            ("GET /a HTTP/1.0\nHost: shop.example.", &plain),
            ("GET /a HTTP/1.0", &plain),
            ("GET /a HTTP/1.1\nHost: shop.example\nX-Forwarded-For: 192.0.2.1\nForwarded: for=192.0.2.1", &plain),
            ("GET /a HTTP/1.1\nHost: shop.example", &plain),
        ] {
            let anew = upstream(peer, request, rules, &mut ForwardingLines::default());
            assert_eq!(upstream(peer, request, rules, &mut kept), anew, "{peer} {request}");
        }
    }
}

#[test]
fn a_plain_request_gets_everything_that_an_instance_wants_to_know() {
    up(
        "203.0.113.7",
        "GET /a HTTP/1.1\nHost: shop.example:8080\nUser-Agent: curl/8\nAccept: */*",
        &FieldRules::default(),
        &expect![[r#"
            User-Agent: curl/8
            Accept: */*
            x-forwarded-for: 203.0.113.7
            x-forwarded-proto: http
            x-forwarded-host: shop.example:8080
            forwarded: for=203.0.113.7;host="shop.example:8080";proto=http
            via: 1.1 mainstay
            x-request-id: 6fc401638891608e68bdf4b90551e7f2
            traceparent: 00-4f73367150e576eca68b134b7e1426f5-e6765ea0e4aa82f7-00
            x-mainstay-deadline-ms: 1500
        "#]],
    );
}

#[test]
fn what_a_stranger_says_of_others_is_replaced() {
    up(
        "203.0.113.7",
        "POST /a HTTP/1.1
Host: shop.example
Connection: x-forwarded-for, x-request-id, x-drop, close
X-Drop: 1
X-Forwarded-For: 127.0.0.1
X-Forwarded-Proto: https
X-Forwarded-Host: admin.internal
Forwarded: for=127.0.0.1
X-Mainstay-Deadline-Ms: 999999
X-Mainstay-Priority: critical
X-Request-Id: kept-1
Traceparent: 00-12345678901234567890123456789012-1234567890123456-01
Tracestate: a=1
Expect: 100-continue
TE: gzip, trailers
Via: 1.0 other
Content-Length: 0",
        &FieldRules::default(),
        &expect![[r#"
            Tracestate: a=1
            Via: 1.0 other
            te: trailers
            connection: te
            x-forwarded-for: 203.0.113.7
            x-forwarded-proto: http
            x-forwarded-host: shop.example
            forwarded: for=203.0.113.7;host="shop.example";proto=http
            via: 1.1 mainstay
            x-request-id: kept-1
            traceparent: 00-12345678901234567890123456789012-1234567890123456-01
            x-mainstay-deadline-ms: 1500
        "#]],
    );
}

#[test]
fn an_underscore_is_no_way_around_a_hyphen() {
    up(
        "203.0.113.7",
        "POST /a HTTP/1.1
Host: shop.example
X_Forwarded_For: 127.0.0.1
x-forwarded_proto: https
Transfer_Encoding: chunked
Content_Length: 7
X_User: admin
x_mainstay_deadline_ms: 1
My_Own: stays
X-Request-Id: r1
Traceparent: 00-12345678901234567890123456789012-1234567890123456-01",
        &ops(&[("X-User", "nobody")], &[], &[]),
        &expect![[r#"
            My_Own: stays
            x-forwarded-for: 203.0.113.7
            x-forwarded-proto: http
            x-forwarded-host: shop.example
            forwarded: for=203.0.113.7;host="shop.example";proto=http
            via: 1.1 mainstay
            x-request-id: r1
            traceparent: 00-12345678901234567890123456789012-1234567890123456-01
            x-mainstay-deadline-ms: 1500
            X-User: nobody
        "#]],
    );
}

#[test]
fn what_a_trusted_proxy_says_is_appended_to() {
    up(
        "10.0.0.9",
        "GET /a HTTP/1.1
Host: shop.example
X-Forwarded-For: 203.0.113.7
X-Forwarded-For: 10.0.0.3
X-Forwarded-Proto: https
X-Forwarded-Host: www.example
Forwarded: for=203.0.113.7;proto=https
X-Mainstay-Priority: critical
Traceparent: rubbish
Tracestate: a=1
X-Request-Id: r1",
        &FieldRules::default(),
        &expect![[r#"
            X-Mainstay-Priority: critical
            x-forwarded-for: 203.0.113.7, 10.0.0.3, 10.0.0.9
            x-forwarded-proto: https
            x-forwarded-host: www.example
            forwarded: for=203.0.113.7;proto=https, for=10.0.0.9;host="shop.example";proto=http
            via: 1.1 mainstay
            x-request-id: r1
            traceparent: 00-4f73367150e576eca68b134b7e1426f5-e6765ea0e4aa82f7-00
            x-mainstay-deadline-ms: 1500
        "#]],
    );
}

#[test]
fn a_configuration_has_the_last_word() {
    up(
        "203.0.113.7",
        "GET /a HTTP/1.1\nHost: shop.example\nUser-Agent: curl/8\nX-Env: mine\nX-Request-Id: r1",
        &ops(
            &[("x-env", "prod"), ("x-forwarded-proto", "https")],
            &[("x-tag", "1")],
            &["user-agent", "forwarded", "x-forwarded-for", "traceparent", "via", "x-forwarded-host"],
        ),
        &expect![[r#"
            x-request-id: r1
            x-mainstay-deadline-ms: 1500
            x-env: prod
            x-forwarded-proto: https
            x-tag: 1
        "#]],
    );
}

#[test]
fn a_grpc_call_is_told_its_time_in_its_own_words() {
    up(
        "::1",
        "POST /a.B/C HTTP/1.1\nHost: shop.example\nContent-Type: application/grpc\ngrpc-timeout: 5S\nX-Request-Id: r1
Traceparent: 00-12345678901234567890123456789012-1234567890123456-01",
        &FieldRules::default(),
        &expect![[r#"
            Content-Type: application/grpc
            x-forwarded-for: ::1
            x-forwarded-proto: http
            x-forwarded-host: shop.example
            forwarded: for="[::1]";host="shop.example";proto=http
            via: 1.1 mainstay
            x-request-id: r1
            traceparent: 00-12345678901234567890123456789012-1234567890123456-01
            x-mainstay-deadline-ms: 1500
            grpc-timeout: 1500m
        "#]],
    );
}

/// What goes down for an answer of an instance.
fn down(text: &str, rules: &FieldRules, retries_used: bool, want: &Expect) {
    let date = HttpDate::new(UnixTime::from_nanos(784_111_777_000_000_000));
    let context = ResponseContext {
        rules,
        request_id: b"r1",
        date: date.value(),
        limit: None,
        retries_used,
        chunked: false,
        again: None,
    };
    let mut out = Vec::new();
    response(text, |answer| write_response_fields(answer, &context, &mut out));
    want.assert_eq(&String::from_utf8(out).unwrap().replace('\r', ""));
}

#[test]
fn an_answer_goes_down_without_what_was_meant_for_us() {
    down(
        "HTTP/1.1 200 OK
Content-Length: 2
Connection: keep-alive, x-hop, set-cookie
Keep-Alive: timeout=5
X-Hop: 1
Upgrade: h2c
Set-Cookie: a=b
Set-Cookie: c=d
Server: thing
X-Request-Id: theirs
Content-Type: text/plain",
        &FieldRules::default(),
        false,
        &expect![[r#"
            Set-Cookie: a=b
            Set-Cookie: c=d
            Server: thing
            Content-Type: text/plain
            date: Sun, 06 Nov 1994 08:49:37 GMT
            via: 1.1 mainstay
            x-request-id: r1
        "#]],
    );
}

#[test]
fn an_answer_after_which_there_is_no_retry_says_so() {
    down(
        "HTTP/1.1 503 Service Unavailable\nDate: Mon, 01 Jan 2024 00:00:00 GMT\nRetry-After: 1\nServer: thing",
        &ops(&[("server", "shop")], &[("x-frame-options", "deny")], &[]),
        true,
        &expect![[r#"
            Date: Mon, 01 Jan 2024 00:00:00 GMT
            Retry-After: 1
            via: 1.1 mainstay
            x-request-id: r1
            x-mainstay-retries: used
            proxy-status: mainstay; received-status=503; details="retries are used up"
            server: shop
            x-frame-options: deny
        "#]],
    );
}

#[test]
fn host_is_what_the_route_says() {
    let endpoint: SocketAddr = "[::1]:9101".parse().unwrap();
    let check = |rule: HostHeader, text: &str, want: &str| {
        let got = request(text, |request| host_value(&rule, request, endpoint, &mut Vec::new()).to_vec());
        assert_eq!(String::from_utf8(got).unwrap(), want, "{rule:?} {text}");
    };
    let plain = "GET / HTTP/1.1\nHost: shop.example:8080";
    check(HostHeader::Preserve, plain, "shop.example:8080");
    check(HostHeader::Endpoint, plain, "[::1]:9101");
    check(HostHeader::Fixed("inner.example".to_owned()), plain, "inner.example");
    check(HostHeader::Preserve, "GET / HTTP/1.0", "[::1]:9101");
}
